"""Check that the policies of keys, buckets and topics allow the requests that must succeed.

Grants of a key, and the organization's policies (service and resource control policies), are not
read.
"""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from console_login import shown
from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Finding, Unchecked, code, is_gone
from console_login.operate.subject import Reader, Subject
from console_login.stack import requests, template
from console_login.stack.policies import Answer, Decision, Document, Request, evaluate
from console_login.stack.requests import Need

# `Statement` is one statement or a list. A new statement drops a Sid that the policy already has.
_APPEND = (
    'import json; old = json.load(open("policy.json")); new = json.load(open("statements.json"));'
    ' has = old["Statement"]; has = has if isinstance(has, list) else [has];'
    ' ids = {each.get("Sid") for each in has};'
    ' [each.pop("Sid") for each in new["Statement"] if each["Sid"] in ids];'
    ' json.dump(old | {"Statement": has + new["Statement"]}, open("policy.json", "w"), indent=2)'
)


class Place(NamedTuple):
    """The commands that print a policy, and that replace it by policy.json."""

    get: str
    put: str


def check_key(subject: Subject) -> Checked:
    """Check that the key is enabled, and that its policy allows the required requests."""
    arn = subject.key_arn
    try:
        key = subject.call("kms", "describe_key", KeyId=arn)["KeyMetadata"]
    except AccessError as error:
        if is_gone(error):
            raise
        yield Unchecked(f"whether key {arn} is enabled: {error}")
    else:
        lost = "# all data encrypted with the key is lost: set another key in samconfig.toml"
        yield from check_key_state(subject, key, [lost, "make deploy"])
    words = ["--stack", subject.stack.name, "--region", subject.region]
    words += ["--account", subject.account_id]
    if subject.stream_name != subject.document["Parameters"]["Name"]["Default"]:
        words += ["--parameter", f"Name={subject.stream_name}"]
    yield from check_key_policy(subject, deployed_stack(subject), words)


def check_key_state(reader: Reader, key: Mapping[str, Any], another: list[str]) -> Checked:
    """Check that a key is enabled.

    key: KeyMetadata of the response of DescribeKey.
    another: the remedy if the key cannot be enabled.
    """
    arn, state = key["Arn"], key["KeyState"]
    enable = {
        "Enabled": [],
        "Disabled": ["enable-key"],
        "PendingDeletion": ["cancel-key-deletion", "enable-key"],
    }
    if state not in enable:
        yield Finding(f"key {arn} is {state}", another)
    elif enable[state]:
        yield Finding(
            f"key {arn} is {state}",
            [reader.aws("kms", command, "--key-id", key["KeyId"]) for command in enable[state]],
        )
    yield f"key {arn} is {state}"


def check_key_policy(reader: Reader, stack: template.Stack, words: list[str]) -> Checked:
    """Check that the policy of a stack's key allows the requests of the stack and its roles.

    stack: with the names that its roles have or will have.
    words: the options of `console-login key-policy` for this stack.
    """
    arn = stack.outputs["KeyArn"]
    command = shown.command(["console-login", "key-policy", *words])
    if (account := arn.split(":")[4]) != stack.account_id:
        yield Unchecked(
            f"the policy of key {arn}, which only account {account} can read: it must have the"
            f" statements printed by: {command}"
        )
        return
    needs = [need for need in requests.of_pipeline(stack) if need.request.resource == arn]
    policy = key_policy(reader, arn)
    yield from check_resource_policy(reader, stack, f"key {arn}", needs, policy, command)


def check_bucket_policy(reader: Reader, stack: template.Stack) -> Checked:
    """Check that the policy of an existing bucket of this account allows Firehose's requests."""
    name = stack.outputs["BucketName"]
    needs = [need for need in requests.of_pipeline(stack) if need.request.action[:3] == "s3:"]
    policy = bucket_policy(reader, name)
    yield from check_resource_policy(
        reader, stack, f"bucket {name}", needs, policy, needed="requests that Firehose needs"
    )


def check_resource_policy(
    reader: Reader,
    stack: template.Stack,
    what: str,
    needs: list[Need],
    policy: tuple[Place, Document | None],
    printing: str = "",
    needed: str = "required requests",
) -> Checked:
    """Check that the policy of a resource allows the requests of services and the stack's roles.

    The roles are assumed to have the template's policies: other checks read their actual ones.
    what: the resource, for messages.
    printing: the command that prints the statements that the policy must have.
    needed: the kind of requests, for messages.
    """
    place, document = policy
    organization = find_organization(reader, document)
    answers = [
        (
            need,
            evaluate(as_member(need.request, organization), intended(stack, need.role), document),
        )
        for need in needs
    ]
    yield f"{len(answers)} requests to {what}"
    denied, unknown = denied_and_unknown(answers)
    if denied:
        yield Finding(
            f"the policy of {what} denies {needed}: {in_words(denied)}",
            repairs(place, denied.values(), printing),
        )
    yield from unchecked(f"the policy of {what}", unknown)


# Repairs -----------------------------------------------------------------------------------------


def repairs(place: Place, denied: Collection[Answer], printing: str = "") -> list[str]:
    """Return the commands that make a policy allow the denied requests.

    printing: as in `check_resource_policy`.
    """
    # Appending a statement has no effect on a Deny.
    is_lacking = bool(printing) and any(not each.is_explicit for each in denied)
    names = [name for each in denials(denied).values() for name in each]
    first = [f"{printing} > statements.json"] if is_lacking else []
    return [*first, *changes(place, names, appends=is_lacking)]


def changes(place: Place, names: Collection[str] = (), *, appends: bool = False) -> list[str]:
    """Return the commands that change a policy.

    names: the statements that deny. A Deny is somebody's decision: no command removes it.
    appends: whether to append the statements of statements.json.
    """
    denying = ", ".join(map(shown.comment, names))
    return [
        f"{place.get} > policy.json",
        *([shown.command(["python3", "-c", _APPEND])] if appends else []),
        *([f"# in policy.json, remove or narrow the Deny: {denying}"] if names else []),
        place.put,
    ]


def denials(denied: Collection[Answer]) -> dict[str, list[str]]:
    """Return the names of the statements that deny, by policy."""
    found: dict[str, list[str]] = {}
    for answer in denied:
        for policy, name in answer.denials:
            if name not in (names := found.setdefault(policy, [])):
                names.append(name)
    return found


def place_of_key(aws: Callable[..., str], arn: str) -> Place:
    """Return the commands for a key's policy; aws: builds an AWS CLI command from words."""
    key = ("--key-id", arn, "--policy-name", "default")
    return Place(
        aws("kms", "get-key-policy", *key, "--query", "Policy", "--output", "text"),
        aws("kms", "put-key-policy", *key, "--policy", "file://policy.json"),
    )


def place_of_bucket(aws: Callable[..., str], name: str) -> Place:
    """Return the commands for a bucket's policy; aws: as in `place_of_key`."""
    bucket = ("--bucket", name)
    return Place(
        aws("s3api", "get-bucket-policy", *bucket, "--query", "Policy", "--output", "text"),
        aws("s3api", "put-bucket-policy", *bucket, "--policy", "file://policy.json"),
    )


# Answers -----------------------------------------------------------------------------------------


def denied_and_unknown(
    answers: list[tuple[Need, Answer]],
) -> tuple[dict[str, Answer], dict[str, Answer]]:
    """Return the denied and the undecided requests, by label."""
    by_label: dict[str, list[Answer]] = {}
    for need, answer in answers:
        by_label.setdefault(need.label, []).append(answer)
    denied, unknown = {}, {}
    for label, found in by_label.items():
        decisions = {each.decision for each in found}
        if decisions == {Decision.DENIED}:
            denied[label] = found[0]
        elif decisions != {Decision.ALLOWED}:
            # One request in several forms: AWS does not document which form it uses.
            unknown[label] = next(each for each in found if each.decision != Decision.ALLOWED)
    return denied, unknown


def in_words(answers: Mapping[str, Answer]) -> str:
    """Return a text that lists requests, grouped by their reason."""
    by_reason: dict[str, list[str]] = {}
    for label, answer in answers.items():
        by_reason.setdefault(answer.why, []).append(label)
    return "; ".join(f"{', '.join(labels)} ({why})" for why, labels in by_reason.items())


def unchecked(what: str, unknown: Mapping[str, Answer]) -> Iterator[Unchecked]:
    if unknown:
        yield Unchecked(f"{what}: {in_words(unknown)}")


# Policies ----------------------------------------------------------------------------------------


def deployed_stack(subject: Subject, names: Mapping[str, str] | None = None) -> template.Stack:
    """Return the stack as the template defines it, with the names of the deployed resources."""
    physical_ids = subject.resources | dict(names or {})
    return template.resolve(
        subject.document, subject.parameters, physical_ids=physical_ids, **subject.place
    )


def intended(stack: template.Stack, role: str) -> dict[str, Document]:
    """Return a role's policies in the template, by name; none if `role` is empty."""
    found = stack.resources[role].properties["Policies"] if role else ()
    return {each["PolicyName"]: each["PolicyDocument"] for each in found}


def open_to(account_id: str) -> Document:
    """Return a substitute for a policy that cannot be read: it leaves each decision to IAM."""
    statement = {"Effect": "Allow", "Principal": {"AWS": account_id}, "Action": "*"}
    return {"Statement": statement | {"Resource": "*"}}


def key_policy(reader: Reader, arn: str) -> tuple[Place, Document]:
    """Return the commands for a key's policy, and the policy; may raise AccessError."""
    found = reader.call("kms", "get_key_policy", KeyId=arn, PolicyName="default")
    return place_of_key(reader.aws, arn), json.loads(found["Policy"])


def bucket_policy(reader: Reader, name: str) -> tuple[Place, Document | None]:
    """Return the commands for a bucket's policy, and the policy, or None; may raise AccessError."""
    place = place_of_bucket(reader.aws, name)
    try:
        found = reader.call("s3", "get_bucket_policy", Bucket=name)
    except AccessError as error:
        if code(error) != "NoSuchBucketPolicy":
            raise
        none = json.dumps({"Version": "2012-10-17", "Statement": []})
        return place._replace(get=printed(none)), None
    return place, json.loads(found["Policy"])


def printed(text: str) -> str:
    """Return a shell command that prints a text."""
    return shown.command(["printf", "%s", text])


def find_organization(reader: Reader, policies: Any) -> str | None:
    """Return the account's organization id; None if no policy needs it, or it cannot be read."""
    if "aws:principalorgid" not in json.dumps(policies).lower():
        return None
    # Without the id, the condition is reported as one that could not be checked.
    with contextlib.suppress(AccessError):
        found = reader.call("organizations", "describe_organization")
        return str(found["Organization"]["Id"])
    return None


def as_member(request: Request, organization: str | None) -> Request:
    """Return a request as sent by a role in an account of an organization."""
    if organization is None or request.is_of_service:
        return request
    return replace(request, context={**request.context, "aws:PrincipalOrgID": organization})
