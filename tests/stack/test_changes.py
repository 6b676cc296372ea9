"""What a change of a parameter does to the stack: the table in docs/operations.md and the schemas.

CloudFormation replaces a resource if a create-only property of its schema changes. The schemas are
those in cfn-lint.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from stacks import ATHENA, DOCUMENT, KEY_ARN, ORGANIZATION, TOPIC_ARN, TRAIL
from support import ROOT

from console_login.stack import template
from console_login.stack.place import REGION
from console_login.stack.template import Resource, Stack, resolve

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
BUCKET = {"ExistingBucketName": "amzn-s3-demo-bucket"}
EVERYTHING = {
    "OrganizationId": ORGANIZATION,
    "AlarmEmail": "a@example.com",
    "SignInAlarms": "true",
    "Dashboard": "true",
}


class Change(NamedTuple):
    """A change of a parameter: its row in the table, the new value, and the values before.

    If a parameter has several rows, its name is followed by a comma and the kind of change.
    """

    row: str
    new: str
    before: Mapping[str, str] = EVERYTHING
    document: Mapping[str, Any] = DOCUMENT

    @property
    def parameter(self) -> str:
        return self.row.split(",")[0].strip("`")

    def stacks(self) -> tuple[Stack, Stack]:
        before = dict(self.before)
        after = before | {self.parameter: self.new}
        return resolve(self.document, before), resolve(self.document, after)


CHANGES = (
    Change("`Name`", "other"),
    Change("`LogGroupName`", "/aws/cloudtrail/other"),
    Change("`EventNames`", "ConsoleLogin,CheckMfa"),
    Change("`OrganizationId`, from empty", ORGANIZATION, {}),
    Change("`OrganizationId`, to another", "o-z9y8x7w6v5"),
    Change("`ExistingBucketName`, from empty", "amzn-s3-demo-bucket"),
    Change("`ExistingBucketName`, to another", "amzn-s3-demo-bucket1", EVERYTHING | BUCKET),
    Change("`ExistingBucketOwner`", "444455556666", EVERYTHING | BUCKET),
    Change("`Prefix`, in the stack's bucket", "other/"),
    Change("`Prefix`, in an existing bucket", "other/", EVERYTHING | BUCKET),
    Change("`TimeZone`", "UTC"),
    Change("`FileExtension`", ".ndjson"),
    Change("`Compression`", "GZIP"),
    Change("`ExpireAfterDays`", "365"),
    Change("`ObjectLockDays`, from 0", "365"),
    Change("`ObjectLockDays`, to another", "30", EVERYTHING | {"ObjectLockDays": "365"}),
    Change("`ObjectLockMode`", "COMPLIANCE", EVERYTHING | {"ObjectLockDays": "365"}),
    Change("`ExistingKeyArn`, from empty", KEY_ARN),
    Change(
        "`ExistingKeyArn`, to another", KEY_ARN[:-1] + "9", {"ExistingKeyArn": KEY_ARN} | EVERYTHING
    ),
    Change("`BufferSizeMiB`", "2"),
    Change("`BufferSeconds`", "60"),
    Change("`LambdaBufferMiB`", "0.5"),
    Change("`LambdaBufferSeconds`", "60"),
    Change("`Architecture`", "x86_64"),
    Change("`LogRetentionDays`", "90"),
    Change("`AlarmEmail`, from empty", "a@example.com", {}),
    Change("`AlarmEmail`, to another", "b@example.com"),
    Change("`AlarmTopicArn`, from empty", TOPIC_ARN, {}),
    Change("`AlarmTopicArn`, to another", TOPIC_ARN + "2", {"AlarmTopicArn": TOPIC_ARN}),
    Change("`SignInAlarms`", "true", {"AlarmEmail": "a@example.com"}),
    Change("`Dashboard`", "true", {}),
)

QUERIED = {"BucketName": "amzn-s3-demo-bucket", "ResultKeyArn": KEY_ARN}

OTHER_CHANGES = (
    Change("`TrailName`", "other", {}, TRAIL),
    Change("`PipelineName`", "other", {}, TRAIL),
    Change("`LogRetentionDays`", "90", {}, TRAIL),
    Change("`BucketName`", "amzn-s3-demo-bucket1", QUERIED, ATHENA),
    Change("`Prefix`", "other/", QUERIED, ATHENA),
    Change("`WorkGroupName`", "other", QUERIED, ATHENA),
    Change("`ResultKeyArn`", KEY_ARN[:-1] + "9", QUERIED, ATHENA),
)


class Effect(NamedTuple):
    """Logical ids of the resources that CloudFormation creates, deletes, replaces and changes."""

    created: frozenset[str]
    deleted: frozenset[str]
    replaced: frozenset[str]
    in_place: frozenset[str]


@functools.cache
def schema(type_: str) -> dict[str, Any]:
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, type_).schema
    return found


def values(properties: Any, pointer: str) -> Iterator[Any]:
    """Yield the values at a property's path; `*` stands for every item of a list."""
    first, _, rest = pointer.partition("/")
    if isinstance(properties, list) and first == "*":
        for each in properties:
            yield from values(each, rest) if rest else (each,)
    elif isinstance(properties, dict) and first in properties:
        yield from values(properties[first], rest) if rest else (properties[first],)


def has_changed(old: Resource, new: Resource, kind: str) -> bool:
    pointers = schema(old.type).get(kind, ())
    paths = [each.removeprefix("/properties/") for each in pointers]
    return any(
        list(values(old.properties, each)) != list(values(new.properties, each)) for each in paths
    )


def effect(before: Stack, after: Stack) -> Effect:
    old, new = before.resources, after.resources
    both = [each for each in old if each in new]
    replaced = {each for each in both if has_changed(old[each], new[each], "createOnlyProperties")}
    for each in both:
        assert old[each].type == new[each].type
        # No change here is of a property that CloudFormation only replaces in some cases.
        assert not has_changed(old[each], new[each], "conditionalCreateOnlyProperties")
    # The resolver does not show that a replacement gets a new name if CloudFormation chooses it.
    unnamed = {each for each in replaced if old[each].type not in template._NAME_PROPERTIES}
    assert not {each for each in both if new[each].needs & unnamed}
    changed = {each for each in both if old[each].properties != new[each].properties}
    return Effect(
        created=frozenset(new) - frozenset(old),
        deleted=frozenset(old) - frozenset(new),
        replaced=frozenset(replaced),
        in_place=frozenset(changed - replaced),
    )


# Groups of resources that the table names by one term, used if all of them are affected.
_ALARMS = {
    each
    for each, resource in DOCUMENT["Resources"].items()
    if resource.get("Condition") == "AlarmsAreWanted"
    and resource["Type"] == "AWS::CloudWatch::Alarm"
}
GROUPS = {
    "alarms": _ALARMS,
    "alarms except TrailSilentAlarm": _ALARMS - {"TrailSilentAlarm"},
    "topic": {"AlarmTopic", "AlarmSubscription", "AlarmTopicPolicy"},
    "sign-in alarms": {
        each
        for each, resource in DOCUMENT["Resources"].items()
        if resource.get("Condition") == "SignInAlarmsAreWanted"
        and resource["Type"] == "AWS::CloudWatch::Alarm"
    },
    "filters of the sign-in alarms": {
        each
        for each, resource in DOCUMENT["Resources"].items()
        if resource.get("Condition") == "SignInAlarmsAreWanted"
        and resource["Type"] == "AWS::Logs::MetricFilter"
    },
}


def listed(ids: frozenset[str], document: Mapping[str, Any] = DOCUMENT) -> str:
    """Return logical ids in the template's order, then the terms of groups."""
    words, left = [], set(ids)
    for word, group in GROUPS.items():
        if group <= left:
            left -= group
            words.append(word)
    return ", ".join([f"`{each}`" for each in document["Resources"] if each in left] + words)


def cell(found: Effect, document: Mapping[str, Any] = DOCUMENT) -> str:
    """Return the table's text for the effect of a change."""
    kept = {
        each
        for each in found.deleted
        if document["Resources"][each].get("DeletionPolicy", "Delete") != "Delete"
    }
    parts = {
        "replaces": found.replaced,
        "creates": found.created,
        "deletes": found.deleted - kept,
        "keeps outside the stack": frozenset(kept),
        "in place": found.in_place,
    }
    return "; ".join(f"{word}: {listed(ids, document)}" for word, ids in parts.items() if ids)


def rows(heading: str = "## What a change of a parameter does") -> dict[str, list[str]]:
    """Return the rows of the table in order: the other cells, by the first cell."""
    section = OPERATIONS.split(f"\n{heading}\n")[1].split("\n##")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[each.strip() for each in line.strip("|").split(" | ")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("change", OTHER_CHANGES, ids=[each.row for each in OTHER_CHANGES])
def test_the_other_templates_table_describes_the_effect(change: Change) -> None:
    found = rows("### Parameters of trail.yaml and athena.yaml")[change.row]
    assert found[0] == cell(effect(*change.stacks()), change.document)
    assert all(found)


def test_the_other_templates_table_has_every_parameter() -> None:
    found = rows("### Parameters of trail.yaml and athena.yaml")
    assert list(found) == [each.row for each in OTHER_CHANGES]
    assert [each.strip("`") for each in found] == [*TRAIL["Parameters"], *ATHENA["Parameters"]]


@pytest.mark.parametrize("change", CHANGES, ids=[each.row for each in CHANGES])
def test_the_table_describes_the_effect(change: Change) -> None:
    assert rows()[change.row][0] == cell(effect(*change.stacks()))


def test_the_table_has_every_parameter_in_the_templates_order() -> None:
    assert list(rows()) == [each.row for each in CHANGES]
    parameters = list(dict.fromkeys(each.parameter for each in CHANGES))
    assert parameters == list(DOCUMENT["Parameters"])
    # Each row has the effect, what happens to sign-ins, and what to do.
    assert {len(rest) for rest in rows().values()} == {3}
    assert all(all(rest) for rest in rows().values())


def test_only_a_replacement_of_the_filter_causes_a_gap() -> None:
    assert schema("AWS::Logs::SubscriptionFilter")["replacementStrategy"] == "delete_then_create"
    for change in CHANGES:
        replaced = effect(*change.stacks()).replaced
        _, sign_ins, to_do = rows()[change.row]
        assert sign_ins.startswith("a gap") == ("SubscriptionFilter" in replaced), change.row
        if "SubscriptionFilter" in replaced:
            assert "[backfill](#backfill)" in to_do
        if "DeliveryStream" in replaced:
            assert "drain" in to_do


def test_reverting_a_change_deletes_what_was_created_and_is_otherwise_the_same() -> None:
    for change in CHANGES:
        before, after = change.stacks()
        there, back = effect(before, after), effect(after, before)
        assert (back.created, back.deleted) == (there.deleted, there.created)
        assert (back.replaced, back.in_place) == (there.replaced, there.in_place)


def test_a_replacement_is_found_in_the_schemas() -> None:
    # Checks `values` of this module too: a name, a nested path and the items of a list.
    assert (
        "/properties/DeliveryStreamName"
        in (schema("AWS::KinesisFirehose::DeliveryStream")["createOnlyProperties"])
    )
    tree = {"A": {"B": 1}, "L": [{"C": 2}, {"C": 3}]}
    assert list(values(tree, "A/B")) == [1]
    assert list(values(tree, "L/*/C")) == [2, 3]
    assert not list(values(tree, "A/C"))
    assert re.fullmatch(r"replaces: .*`DeliveryStream`.*", cell(effect(*CHANGES[0].stacks())))
