"""`console-login doctor` on deliveries: objects after events, error objects, alarms."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from doctored import (
    STACK,
    Refusing,
    examined,
    found_by,
    only_finding,
    put_sign_ins,
    result_of,
    without_filter,
)
from serving import BUCKET, STREAM, Endpoint
from support import TOKYO

from console_login.operate import delivery
from console_login.operate.access import Access
from console_login.operate.checks import OK
from console_login.operate.subject import Subject
from console_login.stack import template

FAILED = "consolelogin/processing-failed/2026/11/24/failed"
HOUR = 3600

pytestmark = pytest.mark.usefixtures("credentials")


# Error objects -----------------------------------------------------------------------------------


@pytest.fixture
def error_object(access: Access) -> Iterator[Callable[[str], None]]:
    """Put an error object, with a tag where one is given."""
    s3 = access.client("s3")

    def put(tag: str) -> None:
        s3.put_object(Bucket=BUCKET, Key=FAILED, Body=b"{}\n", Tagging=tag)

    yield put
    s3.delete_object(Bucket=BUCKET, Key=FAILED)


def test_an_error_object_waits(access: Access, error_object: Callable[[str], None]) -> None:
    error_object("")
    finding = only_finding(access, "error objects")
    folder = f"s3://{BUCKET}/consolelogin/processing-failed/"
    assert f"1 error object was not redriven, under {folder}, from 20" in finding.problem
    (why, look), (send, settle) = finding.remedy, finding.after
    assert f" logs tail /aws/lambda/{STREAM}-transform " in why
    assert look.startswith(f"console-login redrive --stack {STACK} --dry-run ")
    assert send.startswith(f"console-login redrive --stack {STACK} --yes ")
    # A comment, not a command: a person must read the objects first.
    assert settle.startswith("# ")
    assert " --settle KEY " in settle


@pytest.mark.parametrize(
    ("tag", "waits"),
    [
        (f"redriven%3A{STREAM}=all", False),
        (f"redriven%3A{STREAM}=1-500", True),
        ("redriven%3Aanother-stream=all", True),
        ("other=done", True),
    ],
)
def test_an_object_that_redrive_has_sent_again_does_not_wait(
    tag: str, waits: bool, access: Access, error_object: Callable[[str], None]
) -> None:
    error_object(tag)
    assert bool(found_by("error objects", access)) == waits


def test_error_objects_with_unreadable_tags_wait(
    access: Access, error_object: Callable[[str], None]
) -> None:
    error_object(f"redriven%3A{STREAM}=all")
    (finding,) = found_by("error objects", Refusing(access, "get_object_tagging"))
    assert "1 error object was not redriven" in finding.problem
    assert "which of them were redriven: GetObjectTagging: AccessDenied: no" in (finding.problem)


def test_error_objects_that_redrive_has_settled_are_counted(
    access: Access, error_object: Callable[[str], None]
) -> None:
    error_object(f"redriven%3A{STREAM}=all")
    looked_at = examined(access)["error objects"].looked_at
    folder = f"s3://{BUCKET}/consolelogin/processing-failed/"
    assert looked_at == [f"1 error object under {folder}, redriven or settled"]


# Delivery ----------------------------------------------------------------------------------------


def test_an_event_without_a_later_object_is_a_finding(
    endpoint: Endpoint, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = access.client("s3")
    later = time.time() + HOUR
    # Other tests have created the filter again, and events older than the filter do not count.
    before = len(endpoint.lines(0))
    put_sign_ins(endpoint, TOKYO)
    endpoint.lines(before + 1)
    assert examined(access, now=later)["delivery"].status == OK
    keys = endpoint.keys()
    for key in keys:
        s3.delete_object(Bucket=BUCKET, Key=key)
    # The events may still be in transit.
    assert examined(access, now=time.time() + 60)["delivery"].status == OK
    finding = only_finding(access, "delivery", now=later)
    assert "there is no object of the last 24 hours" in finding.problem
    assert " logs tail /aws/kinesisfirehose/console-login-firehose " in finding.remedy[1]
    assert finding.after[-1].startswith(f"console-login backfill --stack {STACK} --start 24h --yes")
    # The events are older than the window, or than the filter.
    assert examined(access, now=later + 2 * HOUR, hours=1)["delivery"].status == OK
    with without_filter(access):
        pass
    assert examined(access, now=later)["delivery"].status == OK
    # An object written long enough before the event does not count.
    put_sign_ins(endpoint, TOKYO)
    endpoint.lines(1)
    assert examined(access, now=later)["delivery"].status == OK
    newest = delivery._newest_object
    an_hour = timedelta(hours=1)
    monkeypatch.setattr(delivery, "_newest_object", lambda *args: newest(*args) - an_hour)
    assert "the newest object is from 20" in only_finding(access, "delivery", now=later).problem


def test_ok_counts_the_compared_events_and_those_too_recent_to_compare(
    endpoint: Endpoint, access: Access
) -> None:
    with without_filter(access):
        pass
    start = time.time()
    soon = examined(access, now=start)["delivery"]
    assert soon.status == OK
    # The filter is too recent: all of its events may still be in transit.
    assert soon.looked_at[0].startswith("compared nothing: no matching events from 20")
    assert len(soon.looked_at) == 1
    before = len(endpoint.lines(0))
    put_sign_ins(endpoint, TOKYO, TOKYO)
    endpoint.lines(before + 2)
    compared, young = examined(access, now=start + 60)["delivery"].looked_at
    assert compared.startswith("compared nothing: ")
    assert young == "2 matching events since then, too recent to compare"
    (compared,) = examined(access, now=start + HOUR)["delivery"].looked_at
    assert compared.startswith("compared 2 matching events from 20")
    assert " with the newest object, of 20" in compared


def test_too_many_events_are_counted_as_at_least(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [{"events": [{}] * 3, "nextToken": "t"}, {"events": [{}]}]
    subject = Subject(access, STACK, 24, time.time())
    monkeypatch.setattr(subject, "call", lambda *_, **arguments: pages["nextToken" in arguments])
    assert delivery._count(subject, 0, 1) == "4 matching events"
    monkeypatch.setattr(delivery, "_MAX_PAGES_COUNTED", 1)
    assert delivery._count(subject, 0, 1) == "at least 3 matching events"


# Alarms ------------------------------------------------------------------------------------------

TOPIC = "arn:aws:sns:ap-northeast-1:111122223333:alarms"


class Alarmed(Subject):
    """The stack, deployed with alarms: those of the template, which exist in the endpoint."""

    def __init__(self, access: Access) -> None:
        super().__init__(access, STACK, 24, time.time())
        given = self.parameters | {"AlarmEmail": "security@example.com"}
        self.expected = template.resolve(self.document, given, **self.place)
        alarms = self.expected.of_type("AWS::CloudWatch::Alarm")
        self.resources.update({id_: alarm.physical_id for id_, alarm in alarms.items()})


@pytest.fixture
def alarmed(access: Access) -> Iterator[Alarmed]:
    cloudwatch = access.client("cloudwatch")
    subject = Alarmed(access)
    names = [
        each.physical_id for each in subject.expected.of_type("AWS::CloudWatch::Alarm").values()
    ]
    for name in names:
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="n",
            MetricName="m",
            Period=60,
            EvaluationPeriods=1,
            Statistic="Sum",
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            AlarmActions=[TOPIC],
        )
    yield subject
    cloudwatch.delete_alarms(AlarmNames=names)


def state(access: Any, name: str, value: str) -> None:
    access.client("cloudwatch").set_alarm_state(
        AlarmName=f"{STACK}-{name}", StateValue=value, StateReason=f"the reason of {name}"
    )


def test_alarms_in_the_ok_state_are_counted(alarmed: Alarmed) -> None:
    result = result_of("alarms", alarmed)
    assert (result.status, result.looked_at) == (OK, ["9 alarms"])


def test_an_alarm_in_the_alarm_state_is_listed_with_its_reason(
    access: Access, alarmed: Alarmed
) -> None:
    state(access, "TrailSilentAlarm", "ALARM")
    state(access, "ReconciliationAlarm", "INSUFFICIENT_DATA")
    result = result_of("alarms", alarmed)
    (finding,) = result.findings
    assert finding.problem.startswith("TrailSilentAlarm has been in ALARM since 20")
    assert finding.problem.endswith(": the reason of TrailSilentAlarm")
    assert finding.remedy[0] == "# docs/operations.md, TrailSilentAlarm"
    assert f" --alarm-name {STACK}-TrailSilentAlarm " in finding.remedy[1]
    assert result.looked_at == ["9 alarms, without data: ReconciliationAlarm"]


def test_an_alarm_with_disabled_actions_is_a_finding(access: Access, alarmed: Alarmed) -> None:
    name = f"{STACK}-DataFreshnessAlarm"
    access.client("cloudwatch").disable_alarm_actions(AlarmNames=[name])
    (finding,) = result_of("alarms", alarmed).findings
    assert "DataFreshnessAlarm sends no notifications" in finding.problem
    assert finding.remedy[0].endswith(f" cloudwatch enable-alarm-actions --alarm-names {name}")


def test_an_alarm_without_an_action_is_a_finding(access: Access, alarmed: Alarmed) -> None:
    cloudwatch = access.client("cloudwatch")
    name = f"{STACK}-DataFreshnessAlarm"
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    settings = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    kept = {key: value for key, value in alarm.items() if key in settings}
    cloudwatch.put_metric_alarm(**kept | {"AlarmActions": []})
    (finding,) = result_of("alarms", alarmed).findings
    assert finding.problem == "DataFreshnessAlarm sends no notifications: it has no action"


def test_an_alarm_that_was_deleted_is_a_finding(access: Access, alarmed: Alarmed) -> None:
    access.client("cloudwatch").delete_alarms(AlarmNames=[f"{STACK}-RecordsFailedAlarm"])
    (finding,) = result_of("alarms", alarmed).findings
    assert finding.problem == f"RecordsFailedAlarm was deleted: {STACK}-RecordsFailedAlarm"
