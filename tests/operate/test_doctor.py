"""`console-login doctor`: each finding, by breaking what is deployed through its API."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from serving import BUCKET, GROUP, REGION, STREAM, Endpoint, serving
from support import OSAKA, TOKYO

from console_login import cli
from console_login.operate import doctor
from console_login.operate.access import Access
from console_login.operate.doctor import CHECKS, FINDING, OK, UNCHECKED, Finding, Result, Subject

STACK = "console-login-firehose"
ROLE = f"{STACK}-SubscriptionRole"
FUNCTION_ROLE = f"{STACK}-TransformRole"
STREAM_ARN = f"arn:aws:firehose:{REGION}:111122223333:deliverystream/{STREAM}"
FAILED = "consolelogin/processing-failed/2026/11/24/failed"
LOGS = f"arn:aws:logs:{REGION}:111122223333:log-group"
HOUR = 3600


class CachingAccess(Access):
    """Clients are made once: making one costs more than a call."""

    clients: dict[str, Any]

    def client(self, service: Any, **config: Any) -> Any:
        if service not in self.clients:
            self.clients[service] = super().client(service, **config)
        return self.clients[service]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        logs = running.client("logs")
        logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")
        put_sign_ins(running, TOKYO, OSAKA)
        running.lines(2)
        yield running


@pytest.fixture(scope="module")
def access(endpoint: Endpoint) -> Access:
    found = CachingAccess(endpoint.url, REGION)
    object.__setattr__(found, "clients", {})
    return found


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")


def put_sign_ins(endpoint: Endpoint, *messages: str) -> None:
    now = int(time.time() * 1000)
    log_events = [{"timestamp": now, "message": message} for message in messages]
    logs = endpoint.client("logs")
    logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=log_events)


def examined(access: Access, **keys: Any) -> dict[str, Result]:
    results = doctor.examine(access, STACK, **keys)
    assert [result.check for result in results] == list(CHECKS)
    return {result.check: result for result in results}


def only_finding(access: Access, check: str, **keys: Any) -> Finding:
    """Return the one finding of a check, where no other check finds anything."""
    results = examined(access, **keys)
    (finding,) = results.pop(check).findings
    assert [each for each in results.values() if each.status != OK] == []
    return finding


def found_by(check: str, access: Any) -> list[Finding]:
    return CHECKS[check](Subject(access, STACK, 24, time.time()))


# All is well -------------------------------------------------------------------------------------


def test_a_healthy_stack_is_well(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    command = ["console-login", "doctor", "--endpoint-url", endpoint.url, "--stack", STACK]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert not raised.value.code
    out = capsys.readouterr().out
    assert [line.rsplit(maxsplit=1) for line in out.splitlines()] == [[c, OK] for c in CHECKS]


def test_json_for_machines_and_exit_status_1(
    endpoint: Endpoint,
    access: Access,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["console-login", "doctor", "--endpoint-url", endpoint.url, "--region", REGION]
    monkeypatch.setattr(sys, "argv", [*command, "--stack", STACK, "--json"])
    cloudtrail = access.client("cloudtrail")
    cloudtrail.stop_logging(Name="management-events")
    try:
        with pytest.raises(SystemExit) as raised:
            cli.main()
    finally:
        cloudtrail.start_logging(Name="management-events")
    assert raised.value.code == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["stack"], document["is_well"]) == (STACK, False)
    statuses = {each["check"]: each["status"] for each in document["checks"]}
    assert statuses == {check: FINDING if check == "trail" else OK for check in CHECKS}


def test_a_stack_that_is_not_there_is_one_line_and_exit_status_2(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["console-login", "doctor", "--endpoint-url", endpoint.url, "--region", REGION]
    monkeypatch.setattr(sys, "argv", [*command, "--stack", "none"])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("console-login: DescribeStacks: ValidationError")
    assert len(printed.err.splitlines()) == 1


# The filter --------------------------------------------------------------------------------------


@contextlib.contextmanager
def without_filter(access: Access) -> Iterator[dict[str, Any]]:
    """Yield the filter's settings, for a while in which there is none."""
    logs = access.client("logs")
    (found,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
    logs.delete_subscription_filter(logGroupName=GROUP, filterName=found["filterName"])
    names = ("logGroupName", "filterName", "filterPattern", "destinationArn", "roleArn")
    settings = {name: found[name] for name in names}
    try:
        yield settings
    finally:
        logs.put_subscription_filter(**settings)


def test_the_filter_is_missing(access: Access) -> None:
    with without_filter(access):
        finding = only_finding(access, "subscription filter")
    assert "has no subscription filter to the stream" in finding.problem
    # To be copied as it is.
    assert finding.remedy.endswith(f" --role-arn arn:aws:iam::111122223333:role/{ROLE}")
    assert """--filter-pattern '{ ($.eventName = "ConsoleLogin") }'""" in finding.remedy


def test_the_filter_has_another_pattern(access: Access) -> None:
    other = '{ $.eventName = "CheckMfa" }'
    with without_filter(access) as settings:
        access.client("logs").put_subscription_filter(**settings | {"filterPattern": other})
        finding = only_finding(access, "subscription filter")
    assert f"has the pattern {other}; EventNames ConsoleLogin means" in finding.problem
    assert "aws logs put-subscription-filter" in finding.remedy


def test_the_filter_has_another_role(access: Access) -> None:
    iam = access.client("iam")
    ours = iam.get_role(RoleName=ROLE)["Role"]
    trust = json.dumps(ours["AssumeRolePolicyDocument"])
    arn = iam.create_role(RoleName="other", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    policy = iam.get_role_policy(RoleName=ROLE, PolicyName="PutIntoStream")["PolicyDocument"]
    place = {"RoleName": "other", "PolicyName": "any"}
    iam.put_role_policy(PolicyDocument=json.dumps(policy), **place)
    with without_filter(access) as settings:
        access.client("logs").put_subscription_filter(**settings | {"roleArn": arn})
        finding = only_finding(access, "subscription filter")
    assert f"has the role {arn}, and the stack's is" in finding.problem


def test_two_filters_go_to_the_stream(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.filters.append(subject.filters[0] | {"filterName": "second"})
    (finding,) = CHECKS["subscription filter"](subject)
    assert "2 filters go to the stream" in finding.problem
    assert "second" in finding.problem


def test_a_filter_that_goes_elsewhere_is_named(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.filters[0] = subject.filters[0] | {"destinationArn": STREAM_ARN + "-2"}
    (finding,) = CHECKS["subscription filter"](subject)
    assert "what it has goes elsewhere: " in finding.problem


# The stream --------------------------------------------------------------------------------------


class OtherStream(Access):
    """The stack's stream, with something else in its description."""

    def __init__(self, access: Access, change: Callable[[Any], None]) -> None:
        self.__dict__.update(access=access, change=change)

    def client(self, service: Any, **config: Any) -> Any:
        return self if service == "firehose" else self.__dict__["access"].client(service, **config)

    def describe_delivery_stream(self, **arguments: Any) -> Any:
        found = self.__dict__["access"].client("firehose").describe_delivery_stream(**arguments)
        self.__dict__["change"](found["DeliveryStreamDescription"])
        return found


def processing(stream: Any) -> Any:
    s3 = stream["Destinations"][0]["ExtendedS3DestinationDescription"]
    return s3["ProcessingConfiguration"]


def native(stream: Any) -> None:
    parameter = {"ParameterName": "CompressionFormat", "ParameterValue": "GZIP"}
    processing(stream)["Processors"].insert(0, {"Type": "Decompression", "Parameters": [parameter]})


def extraction(stream: Any) -> None:
    parameter = {"ParameterName": "DataMessageExtraction", "ParameterValue": "true"}
    processor = {"Type": "CloudWatchLogProcessing", "Parameters": [parameter]}
    processing(stream)["Processors"].append(processor)


def other_function(stream: Any) -> None:
    for parameter in processing(stream)["Processors"][0]["Parameters"]:
        if parameter["ParameterName"] == "LambdaArn":
            parameter["ParameterValue"] += "-2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (native, "paid processing on: Decompression;"),
        (extraction, "paid processing on: CloudWatchLogProcessing;"),
        (lambda stream: processing(stream).update(Enabled=False), "has no Lambda processor"),
        (lambda stream: processing(stream).update(Processors=[]), "has no Lambda processor"),
        (other_function, "firehose-transform-2, and the stack's is "),
        (
            lambda stream: stream.update(
                DeliveryStreamStatus="CREATING_FAILED", FailureDescription={"Details": "no grant"}
            ),
            "is CREATING_FAILED no grant",
        ),
    ],
    ids=["decompression", "extraction", "off", "none", "another", "not active"],
)
def test_the_stream_is_not_as_it_should_be(
    change: Callable[[Any], None], words: str, access: Access
) -> None:
    (finding,) = found_by("stream", OtherStream(access, change))
    assert words in finding.problem


def test_the_stacks_function_may_be_named_with_its_version(access: Access) -> None:
    def version(stream: Any) -> None:
        for parameter in processing(stream)["Processors"][0]["Parameters"]:
            if parameter["ParameterName"] == "LambdaArn":
                parameter["ParameterValue"] += ":$LATEST"

    assert found_by("stream", OtherStream(access, version)) == []


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
    assert f"1 error object waits under {folder}, from 20" in finding.problem
    assert "aws logs tail" in finding.remedy
    assert "console-login redrive" in finding.remedy


@pytest.mark.parametrize(
    ("tag", "waits"),
    [
        (f"redriven%3A{STREAM}=all", False),
        (f"redriven%3A{STREAM}=1-500", True),
        ("redriven%3Aanother-stream=all", True),
        ("other=done", True),
    ],
)
def test_what_redrive_has_sent_again_does_not_wait(
    tag: str, waits: bool, access: Access, error_object: Callable[[str], None]
) -> None:
    error_object(tag)
    assert bool(found_by("error objects", access)) == waits


def test_error_objects_whose_tags_cannot_be_read_wait(
    access: Access, error_object: Callable[[str], None]
) -> None:
    error_object(f"redriven%3A{STREAM}=all")
    (finding,) = found_by("error objects", Refusing(access, "get_object_tagging"))
    assert "1 error object waits" in finding.problem
    assert "is not known: GetObjectTagging: AccessDenied: no" in finding.problem


# The trail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "fixed", "words", "remedy"),
    [
        (
            {"IsMultiRegionTrail": False},
            {"IsMultiRegionTrail": True},
            "is not multi-Region",
            "--is-multi-region-trail",
        ),
        (
            {"IncludeGlobalServiceEvents": False},
            {"IncludeGlobalServiceEvents": True},
            "leaves global services' events out",
            "--include-global-service-events",
        ),
        (
            {"CloudWatchLogsLogGroupArn": f"{LOGS}:/x:*"},
            {"CloudWatchLogsLogGroupArn": f"{LOGS}:{GROUP}:*"},
            "no trail sends its events to log group",
            "--cloud-watch-logs-log-group-arn",
        ),
    ],
    ids=["one Region", "no global events", "another log group"],
)
def test_the_trail_is_not_as_it_should_be(
    broken: Any, fixed: Any, words: str, remedy: str, access: Access
) -> None:
    cloudtrail = access.client("cloudtrail")
    cloudtrail.update_trail(Name="management-events", **broken)
    try:
        finding = only_finding(access, "trail")
    finally:
        cloudtrail.update_trail(Name="management-events", **fixed)
    assert words in finding.problem
    assert finding.remedy.startswith("aws cloudtrail update-trail ")
    assert remedy in finding.remedy


def test_the_trail_is_stopped(access: Access) -> None:
    cloudtrail = access.client("cloudtrail")
    cloudtrail.stop_logging(Name="management-events")
    try:
        (finding,) = found_by("trail", access)
    finally:
        cloudtrail.start_logging(Name="management-events")
    assert "is stopped" in finding.problem
    assert "aws cloudtrail start-logging --name arn:aws:cloudtrail:" in finding.remedy


def test_the_trail_cannot_write_to_the_log_group(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    # moto knows no such error.
    status = {"IsLogging": True, "LatestCloudWatchLogsDeliveryError": "AccessDenied"}
    monkeypatch.setattr(access.client("cloudtrail"), "get_trail_status", lambda **_: status)
    (finding,) = found_by("trail", access)
    assert "cannot write to the log group: AccessDenied" in finding.problem


def test_one_trail_that_is_in_order_is_enough(access: Access) -> None:
    cloudtrail = access.client("cloudtrail")
    (trail,) = cloudtrail.describe_trails()["trailList"]
    keys = ("CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn", "S3BucketName")
    cloudtrail.create_trail(Name="second", **{key: trail[key] for key in keys})
    try:
        assert found_by("trail", access) == []
    finally:
        cloudtrail.delete_trail(Name="second")


# Delivery ----------------------------------------------------------------------------------------


def test_events_are_seen_and_no_object_follows(
    endpoint: Endpoint, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = access.client("s3")
    later = time.time() + HOUR
    # Other tests have made the filter anew, and what came before it does not count.
    before = len(endpoint.lines(0))
    put_sign_ins(endpoint, TOKYO)
    endpoint.lines(before + 1)
    assert examined(access, now=later)["delivery"].status == OK
    keys = endpoint.keys()
    for key in keys:
        s3.delete_object(Bucket=BUCKET, Key=key)
    # They may be on their way yet.
    assert examined(access, now=time.time() + 60)["delivery"].status == OK
    finding = only_finding(access, "delivery", now=later)
    assert "there is none of 24 hours" in finding.problem
    assert "aws logs tail /aws/kinesisfirehose/console-login-firehose" in finding.remedy
    # Longer ago than was asked for, or before the filter.
    assert examined(access, now=later + 2 * HOUR, hours=1)["delivery"].status == OK
    with without_filter(access):
        pass
    assert examined(access, now=later)["delivery"].status == OK
    # An object that came long enough before does not count.
    put_sign_ins(endpoint, TOKYO)
    endpoint.lines(1)
    assert examined(access, now=later)["delivery"].status == OK
    newest = doctor._newest_object
    an_hour = timedelta(hours=1)
    monkeypatch.setattr(doctor, "_newest_object", lambda *asked: newest(*asked) - an_hour)
    assert "the last is of 20" in only_finding(access, "delivery", now=later).problem


# What cannot be checked --------------------------------------------------------------------------


class Refusing(Access):
    """Clients one operation of which is refused."""

    def __init__(self, access: Access, operation: str) -> None:
        self.__dict__.update(access=access, operation=operation)

    def client(self, service: Any, **config: Any) -> Any:
        return _RefusingClient(self.__dict__["access"].client(service, **config), self.__dict__)


class _RefusingClient:
    def __init__(self, client: Any, refused: Any) -> None:
        self._client, self._operation = client, refused["operation"]

    def __getattr__(self, name: str) -> Any:
        return self._refuse if name == self._operation else getattr(self._client, name)

    def get_paginator(self, operation: str) -> Any:
        if operation == self._operation:
            return self
        return self._client.get_paginator(operation)

    def _refuse(self, **_: Any) -> Any:
        name = self._client.meta.method_to_api_mapping[self._operation]
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)

    paginate = _refuse


@pytest.mark.parametrize(
    ("operation", "checks"),
    [
        (
            "describe_subscription_filters",
            {"subscription filter", "role of the filter", "delivery"},
        ),
        ("get_role", {"role of the filter"}),
        ("get_role_policy", {"role of the filter", "role of the function"}),
        ("get_key_policy", {"key policy"}),
        ("describe_delivery_stream", {"stream"}),
        ("list_objects_v2", {"error objects", "delivery"}),
        ("describe_trails", {"trail"}),
        ("get_trail_status", {"trail"}),
        ("filter_log_events", {"delivery"}),
        ("describe_stack_resources", {"subscription filter", "role of the function"}),
    ],
)
def test_what_is_refused_ends_no_other_check(
    operation: str, checks: set[str], access: Access
) -> None:
    results = examined(Refusing(access, operation), now=time.time() + HOUR)
    refused = {name for name, result in results.items() if result.status == UNCHECKED}
    assert refused == checks
    assert {each.status for name, each in results.items() if name not in refused} == {OK}
    for name in refused:
        assert "AccessDenied: no" in (results[name].why or "")
    assert not doctor.is_well(list(results.values()))
    lines = doctor.words(list(results.values()))
    assert sum(": " in line for line in lines) == len(checks)


def test_nothing_of_an_event_is_printed(access: Access) -> None:
    results = list(examined(access).values())
    text = json.dumps(doctor.report(STACK, results)) + "\n".join(doctor.words(results))
    for secret in ("userIdentity", json.loads(TOKYO)["eventID"], "203.0.113"):
        assert secret not in text
