"""`console-login doctor`: each finding, after breaking the deployed stack through AWS's APIs."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from doctored import (
    STACK,
    CachingAccess,
    Refusing,
    examined,
    found_by,
    only_finding,
    result_of,
    without_filter,
)
from serving import GROUP, REGION, STREAM, Endpoint
from support import TOKYO

from console_login import cli
from console_login.operate import checks
from console_login.operate.access import Access
from console_login.operate.checks import FINDING, OK, UNCHECKED
from console_login.operate.doctor import CHECKS
from console_login.operate.subject import Subject

ROLE = f"{STACK}-SubscriptionRole"
ROLES = {"role of the filter", "role of the stream", "role of the function"}
STREAM_ARN = f"arn:aws:firehose:{REGION}:111122223333:deliverystream/{STREAM}"
HOUR = 3600

pytestmark = pytest.mark.usefixtures("credentials")


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
    lines = capsys.readouterr().out.splitlines()
    # Checks that are ok print what they checked.
    said = {name.rstrip(): rest for name, _, rest in (line.partition(f" {OK}") for line in lines)}
    assert list(said) == list(CHECKS)
    assert said["subscription filter"] == f": filter {STACK} of log group {GROUP}"
    assert said["stream"] == f": stream {STREAM} is ACTIVE; processors: Lambda"
    assert said["error objects"].startswith(": 0 error objects under s3://")
    assert said["alarms"] == ": the stack has no alarms (AlarmEmail and AlarmTopicArn are empty)"


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


def test_a_missing_stack_prints_one_line_and_exits_with_2(
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


def test_the_filter_is_missing(access: Access) -> None:
    with without_filter(access):
        finding = only_finding(access, "subscription filter")
    assert "has no subscription filter to the stream" in finding.problem
    # The commands can be pasted as they are.
    (put,) = finding.remedy
    _, look, send = finding.after
    assert put.endswith(f" --role-arn arn:aws:iam::111122223333:role/{ROLE}")
    assert """--filter-pattern '{ ($.eventName = "ConsoleLogin") }'""" in put
    backfill = f"console-login backfill --stack {STACK} --start 24h"
    assert look.startswith(f"{backfill} --dry-run ")
    assert send.startswith(f"{backfill} --yes ")


def test_the_filter_has_another_pattern(access: Access) -> None:
    other = '{ $.eventName = "CheckMfa" }'
    with without_filter(access) as settings:
        access.client("logs").put_subscription_filter(**settings | {"filterPattern": other})
        finding = only_finding(access, "subscription filter")
    assert f"has the pattern {other}, but EventNames ConsoleLogin requires" in finding.problem
    # Only a backfill sends the events that the other pattern excluded.
    (put,), (_, look, send) = finding.remedy, finding.after
    assert " logs put-subscription-filter " in put
    assert " backfill --stack " in look
    assert " --yes " in send


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
    assert f"has the role {arn}, not the stack's, " in finding.problem


def test_two_filters_send_to_the_stream(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.filters.append(subject.filters[0] | {"filterName": "second"})
    (finding,) = result_of("subscription filter", subject).findings
    assert "2 filters send to the stream" in finding.problem
    assert "second" in finding.problem
    # Only the other filter is deleted, never the stack's own.
    (remedy,) = finding.remedy
    assert remedy.endswith(
        f" delete-subscription-filter --log-group-name {GROUP} --filter-name second"
    )


def test_a_filter_with_another_destination_is_named(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.filters[0] = subject.filters[0] | {"destinationArn": STREAM_ARN + "-2"}
    (finding,) = result_of("subscription filter", subject).findings
    assert "; its filters send to other destinations: " in finding.problem


def test_a_filter_that_selects_accounts_excludes_sign_ins(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    accounts = '@aws.account IN ["444455556666"]'
    subject.filters[0] = subject.filters[0] | {"fieldSelectionCriteria": accounts}
    (finding,) = result_of("subscription filter", subject).findings
    assert f"has fieldSelectionCriteria {accounts}, which excludes events" in finding.problem


def test_a_name_from_aws_is_quoted_in_commands(access: Access) -> None:
    hostile = "x $(touch y) \x1b[2J"
    subject = Subject(access, STACK, 24, time.time())
    subject.filters[0] = subject.filters[0] | {"filterName": hostile, "filterPattern": "other"}
    result = result_of("subscription filter", subject)
    remedy = result.findings[0].remedy[0]
    assert remedy.isprintable()
    bash = f"set -- {remedy}; for each; do printf '%s\\0' \"$each\"; done"
    typed = subprocess.run(["bash", "-c", bash], check=True, capture_output=True, text=True)
    assert hostile in typed.stdout.split("\0")


def test_commands_have_the_given_region_and_profile(access: Access) -> None:
    given = CachingAccess(access.endpoint_url, REGION)
    object.__setattr__(given, "clients", access.clients)  # type: ignore[attr-defined]
    object.__setattr__(given, "profile", "my profile")
    with without_filter(access):
        # The profile does not exist, so the clients are created before it is set.
        found_by("subscription filter", access)
        (finding,) = found_by("subscription filter", given)
    for line in finding.remedy + finding.after:
        words = shlex.split(line, comments=True)
        if words:
            assert words[words.index("--region") + 1] == REGION
            assert words[words.index("--profile") + 1] == "my profile"
            assert words[words.index("--endpoint-url") + 1] == access.endpoint_url


# The stream --------------------------------------------------------------------------------------


class OtherStream(Access):
    """The stack's stream, with a changed description."""

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
        (native, "paid processing is still on: Decompression;"),
        (extraction, "paid processing is still on: CloudWatchLogProcessing;"),
        (lambda stream: processing(stream).update(Enabled=False), "has no Lambda processor"),
        (lambda stream: processing(stream).update(Processors=[]), "has no Lambda processor"),
        (other_function, "firehose-transform-2, not the stack's, "),
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
    if "CREATING_FAILED" in words:
        return
    # CloudFormation would not do this, because the template has not changed.
    (remedy,) = finding.remedy
    command = shlex.split(remedy)
    update = command[command.index("--extended-s3-destination-update") + 1]
    expected = Subject(access, STACK, 24, 0).destination["ProcessingConfiguration"]
    assert json.loads(update) == {"ProcessingConfiguration": expected}
    assert command[command.index("--destination-id") + 1] == "destinationId-000000000001"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BucketARN", "arn:aws:s3:::amzn-s3-demo-bucket"),
        ("RoleARN", "arn:aws:iam::111122223333:role/other"),
        ("Prefix", "elsewhere/"),
        ("ErrorOutputPrefix", ""),
        ("CustomTimeZone", "UTC"),
        ("CompressionFormat", "Snappy"),
        ("FileExtension", ".log"),
        ("EncryptionConfiguration", {"NoEncryptionConfig": "NoEncryption"}),
    ],
)
def test_the_stream_has_another_setting_of_the_destination(
    key: str, value: Any, access: Access
) -> None:
    def change(stream: Any) -> None:
        s3 = stream["Destinations"][0]["ExtendedS3DestinationDescription"]
        ours.append(s3.pop(key))
        if value:
            s3[key] = value

    ours: list[Any] = []
    (finding,) = found_by("stream", OtherStream(access, change))
    assert f"the stream has {key} {json.dumps(value)}, not the stack's, " in finding.problem
    command = shlex.split(finding.remedy[0])
    update = command[command.index("--extended-s3-destination-update") + 1]
    assert json.loads(update) == {key: ours[0]}
    assert " backfill " in finding.after[-1]


def test_all_problems_of_a_stream_have_one_command(access: Access) -> None:
    def change(stream: Any) -> None:
        native(stream)
        stream["Destinations"][0]["ExtendedS3DestinationDescription"]["Prefix"] = "elsewhere/"

    # A second command would name the stream version that the first one has changed.
    (finding,) = found_by("stream", OtherStream(access, change))
    assert "Firehose's paid processing is still on: " in finding.problem
    assert '; the stream has Prefix "elsewhere/", ' in finding.problem
    command, *others = finding.remedy
    assert all(each.startswith("#") for each in others)
    words = shlex.split(command)
    update = json.loads(words[words.index("--extended-s3-destination-update") + 1])
    assert update.keys() == {"ProcessingConfiguration", "Prefix"}


def test_the_function_is_gone(access: Access) -> None:
    lambda_ = access.client("lambda")
    name = f"{STACK}-transform"
    names = ("FunctionName", "Runtime", "Role", "Handler", "Environment")
    found = lambda_.get_function_configuration(FunctionName=name)
    found["Environment"].pop("Error", None)
    lambda_.delete_function(FunctionName=name)
    try:
        (finding,) = found_by("function", access)
    finally:
        lambda_.create_function(
            Code={"ZipFile": b"PK\x05\x06" + bytes(18)}, **{each: found[each] for each in names}
        )
    assert "GetFunctionConfiguration: ResourceNotFoundException" in finding.problem
    assert " detect-stack-drift " in finding.remedy[0]


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"State": "Failed", "StateReason": "no role"}, FINDING, "is Failed no role"),
        ({"Environment": {"Error": {"Message": "no key"}}}, UNCHECKED, "no key"),
        ({"Environment": {}}, FINDING, "has EVENT_NAMES (none), but "),
    ],
)
def test_the_function_cannot_run(answer: Any, status: str, words: str, access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    call = subject.call

    def changed(service: str, operation: str, **arguments: Any) -> Any:
        found = call(service, operation, **arguments)
        return found | answer if operation == "get_function_configuration" else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "call", changed)
        result = result_of("function", subject)
    assert result.status == status
    assert words in json.dumps(checks.report(STACK, [result]), ensure_ascii=False)


@pytest.mark.parametrize(
    ("state", "operations"),
    [
        ("Disabled", ["enable-key"]),
        ("PendingDeletion", ["cancel-key-deletion", "enable-key"]),
        ("Unavailable", []),
    ],
)
def test_the_key_is_not_enabled(state: str, operations: list[str], access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    call = subject.call

    def changed(service: str, operation: str, **arguments: Any) -> Any:
        found = call(service, operation, **arguments)
        if operation == "describe_key":
            found["KeyMetadata"]["KeyState"] = state
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "call", changed)
        (finding,) = result_of("key policy", subject).findings
    assert finding.problem.endswith(f" is {state}")
    if operations:
        assert [shlex.split(line)[-3] for line in finding.remedy] == operations
    else:
        assert finding.remedy[-1] == "make deploy"


def test_commands_that_send_are_printed_once_and_last(access: Access) -> None:
    with without_filter(access):
        results = list(examined(access).values())
    twice = [*results, *results]
    lines = checks.words(twice)
    after = lines.index("when all problems are fixed, send the missing events")
    assert sum(" backfill " in line for line in lines[:after]) == 0
    assert [" --dry-run " in line for line in lines[after + 2 :]] == [True, False]


def test_the_stacks_function_may_be_named_with_its_version(access: Access) -> None:
    def version(stream: Any) -> None:
        for parameter in processing(stream)["Processors"][0]["Parameters"]:
            if parameter["ParameterName"] == "LambdaArn":
                parameter["ParameterValue"] += ":$LATEST"

    assert found_by("stream", OtherStream(access, version)) == []


# What cannot be checked --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        (
            "describe_subscription_filters",
            {"subscription filter", "role of the filter", "delivery"},
        ),
        ("get_role", ROLES),
        ("get_role_policy", ROLES),
        ("get_key_policy", {"key policy"}),
        ("describe_delivery_stream", {"stream"}),
        ("list_objects_v2", {"error objects", "delivery", "copies"}),
        ("describe_trails", {"trail"}),
        ("get_trail_status", {"trail"}),
        ("get_event_selectors", {"trail"}),
        ("filter_log_events", {"delivery"}),
        (
            "describe_stack_resources",
            {"subscription filter", "key policy", "stream", "trail"} | ROLES,
        ),
        ("describe_key", {"key policy"}),
        ("get_function_configuration", {"function"}),
        ("get_function_concurrency", {"function"}),
    ],
)
def test_a_denied_call_ends_no_other_check(operation: str, names: set[str], access: Access) -> None:
    results = examined(Refusing(access, operation), now=time.time() + HOUR)
    refused = {name for name, result in results.items() if result.status == UNCHECKED}
    assert refused == names
    assert {each.status for name, each in results.items() if name not in refused} == {OK}
    for name in refused:
        assert "AccessDenied: no" in "".join(results[name].unchecked)
    assert not checks.is_well(results.values())
    lines = checks.words(results.values())
    assert sum(f" {UNCHECKED}: " in line for line in lines) == len(names)


def test_nothing_of_an_event_is_printed(access: Access) -> None:
    results = list(examined(access).values())
    text = json.dumps(checks.report(STACK, results)) + "\n".join(checks.words(results))
    for secret in ("userIdentity", json.loads(TOKYO)["eventID"], "203.0.113"):
        assert secret not in text
