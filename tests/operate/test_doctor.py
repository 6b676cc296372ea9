"""`console-login doctor`: each finding, by breaking what is deployed through its API."""

import contextlib
import copy
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
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
from stacks import KEY_ARN, OTHER_ACCOUNT
from support import TOKYO

from console_login import cli
from console_login.operate import checks
from console_login.operate.access import Access
from console_login.operate.checks import FINDING, OK, UNCHECKED
from console_login.operate.doctor import CHECKS
from console_login.operate.subject import Subject
from console_login.stack import template
from console_login.stack.key_policy import key_policy
from console_login.stack.permissions import is_covered

ROLE = f"{STACK}-SubscriptionRole"
FUNCTION_ROLE = f"{STACK}-TransformRole"
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
    # Each says what its ok rests on, but those about policies.
    said = {name.rstrip(): rest for name, _, rest in (line.partition(f" {OK}") for line in lines)}
    assert list(said) == list(CHECKS)
    assert said["subscription filter"] == f": filter {STACK} of log group {GROUP}"
    assert said["stream"] == f": stream {STREAM} is ACTIVE; processors: Lambda"
    assert said["error objects"].startswith(": 0 error objects under s3://")
    assert said["alarms"] == ": the stack has none (AlarmEmail and AlarmTopicArn are empty)"


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


def test_the_filter_is_missing(access: Access) -> None:
    with without_filter(access):
        finding = only_finding(access, "subscription filter")
    assert "has no subscription filter to the stream" in finding.problem
    # To be copied as it is.
    put, _, look, send = finding.remedy
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
    assert f"has the pattern {other}; EventNames ConsoleLogin means" in finding.problem
    assert " logs put-subscription-filter " in finding.remedy[0]


def test_the_filter_has_another_role(access: Access) -> None:
    iam = access.client("iam")
    role = {"RoleName": "other"}
    ours = iam.get_role(RoleName=ROLE)["Role"]
    trust = json.dumps(ours["AssumeRolePolicyDocument"])
    arn = iam.create_role(AssumeRolePolicyDocument=trust, **role)["Role"]["Arn"]
    # Of a managed policy, and by wildcards.
    policy = allowing("FIREHOSE:PutRecord*", "arn:aws:firehose:*:*:deliverystream/console-login-?*")
    managed = iam.create_policy(PolicyName="managed", PolicyDocument=policy)["Policy"]["Arn"]
    iam.attach_role_policy(PolicyArn=managed, **role)
    with without_filter(access) as settings:
        access.client("logs").put_subscription_filter(**settings | {"roleArn": arn})
        finding = only_finding(access, "subscription filter")
        assert f"has the role {arn}, and the stack's is" in finding.problem
        iam.detach_role_policy(PolicyArn=managed, **role)
        (finding,) = found_by("role of the filter", access)
        assert "role other cannot put" in finding.problem


def test_two_filters_go_to_the_stream(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.filters.append(subject.filters[0] | {"filterName": "second"})
    (finding,) = result_of("subscription filter", subject).findings
    assert "2 filters go to the stream" in finding.problem
    assert "second" in finding.problem
    # Never the stack's own.
    (remedy,) = finding.remedy
    assert remedy.endswith(
        f" delete-subscription-filter --log-group-name {GROUP} --filter-name second"
    )


def test_a_filter_that_goes_elsewhere_is_named(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.filters[0] = subject.filters[0] | {"destinationArn": STREAM_ARN + "-2"}
    (finding,) = result_of("subscription filter", subject).findings
    assert "what it has goes elsewhere: " in finding.problem


def test_a_filter_that_selects_accounts_leaves_sign_ins_out(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    accounts = '@aws.account IN ["444455556666"]'
    subject.filters[0] = subject.filters[0] | {"fieldSelectionCriteria": accounts}
    (finding,) = result_of("subscription filter", subject).findings
    assert f"has fieldSelectionCriteria {accounts}, which leaves events out" in finding.problem


def test_a_name_from_aws_is_quoted_in_commands_and_escaped_in_texts(access: Access) -> None:
    hostile = "x $(touch y) \x1b[2J"
    subject = Subject(access, STACK, 24, time.time())
    subject.filters[0] = subject.filters[0] | {"filterName": hostile, "filterPattern": "other"}
    result = result_of("subscription filter", subject)
    for line in checks.words([result]):
        assert line.isprintable()
    (remedy,) = result.findings[0].remedy
    bash = f"set -- {remedy}; for each; do printf '%s\\0' \"$each\"; done"
    typed = subprocess.run(["bash", "-c", bash], check=True, capture_output=True, text=True)
    assert hostile in typed.stdout.split("\0")


def test_commands_have_the_region_and_the_profile_that_were_given(access: Access) -> None:
    given = CachingAccess(access.endpoint_url, REGION)
    object.__setattr__(given, "clients", access.clients)  # type: ignore[attr-defined]
    object.__setattr__(given, "profile", "my profile")
    with without_filter(access):
        (finding,) = found_by("subscription filter", given)
    for line in finding.remedy:
        words = shlex.split(line, comments=True)
        if words:
            assert words[words.index("--region") + 1] == REGION
            assert words[words.index("--profile") + 1] == "my profile"
            assert words[words.index("--endpoint-url") + 1] == access.endpoint_url


# Roles -------------------------------------------------------------------------------------------


def allowing(action: Any, resource: Any = STREAM_ARN, **keys: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource} | keys
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@contextlib.contextmanager
def role_policy(
    access: Access, name: str, document: str | None, role: str = ROLE
) -> Iterator[None]:
    """Put a policy into a role for a while, or take one away."""
    iam = access.client("iam")
    place = {"RoleName": role, "PolicyName": name}
    before = None
    with contextlib.suppress(ClientError):
        before = iam.get_role_policy(**place)["PolicyDocument"]
    if document is None:
        iam.delete_role_policy(**place)
    else:
        iam.put_role_policy(PolicyDocument=document, **place)
    try:
        yield
    finally:
        if before is None:
            iam.delete_role_policy(**place)
        else:
            iam.put_role_policy(PolicyDocument=json.dumps(before), **place)


BOTH = ["firehose:PutRecord", "firehose:PutRecordBatch"]


@pytest.mark.parametrize(
    ("name", "document", "words"),
    [
        ("PutIntoStream", None, "PutRecord (no statement allows it), firehose:PutRecordBatch (no"),
        ("PutIntoStream", allowing(BOTH[0]), ": firehose:PutRecordBatch (no statement allows it)"),
        ("PutIntoStream", allowing(BOTH, f"{STREAM_ARN}-2"), "PutRecord (no statement allows it)"),
        (
            "PutIntoStream",
            allowing(BOTH, STREAM_ARN.replace("ap-", "a[p]-")),
            "PutRecord (no statement allows it)",
        ),
        (
            "PutIntoStream",
            allowing(BOTH, Condition={"Bool": {}}),
            "(allowed only under a condition",
        ),
        (
            "Other",
            allowing("*", "*", Effect="Deny"),
            "firehose:PutRecord (a Deny), firehose:PutRec",
        ),
        ("Other", allowing("s3:*", "*", Effect="Deny"), ""),
        ("Other", allowing("*", "*", Effect="Deny", Condition={"Bool": {}}), ""),
        (
            "Other",
            json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": {
                        "Effect": "Deny",
                        "NotAction": "s3:*",
                        "NotResource": "arn:aws:s3:::*",
                    },
                }
            ),
            "(a Deny)",
        ),
    ],
)
def test_the_filters_role_cannot_put(
    name: str, document: str | None, words: str, access: Access
) -> None:
    with role_policy(access, name, document):
        if not words:
            assert found_by("role of the filter", access) == []
            return
        (finding,) = found_by("role of the filter", access)
    assert f"role {ROLE} cannot put into the stream: " in finding.problem
    assert words in finding.problem
    (remedy,) = finding.remedy
    assert f" iam put-role-policy --role-name {ROLE} --policy-name PutIntoStream" in remedy
    assert STREAM_ARN in remedy


def test_the_filters_role_is_not_trusted_to_cloudwatch_logs(access: Access) -> None:
    iam = access.client("iam")
    before = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
    other = copy.deepcopy(before)
    other["Statement"][0]["Principal"] = {"Service": ["firehose.amazonaws.com"]}
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(other))
    try:
        finding = only_finding(access, "role of the filter")
    finally:
        iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(before))
    assert "does not trust CloudWatch Logs" in finding.problem


def test_the_function_cannot_put_back(access: Access) -> None:
    with role_policy(access, "PutBackIntoStream", None, FUNCTION_ROLE):
        finding = only_finding(access, "role of the function")
    assert f"role {FUNCTION_ROLE} cannot put into the stream" in finding.problem
    assert "--policy-name PutBackIntoStream" in finding.remedy[0]


def test_a_role_that_is_gone_is_a_finding(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.resources["TransformRole"] = "gone"
    result = result_of("role of the function", subject)
    assert result.status == FINDING
    assert "NoSuchEntity" in result.findings[0].problem
    # A deploy would repair nothing.
    assert "detect-stack-drift" in result.findings[0].remedy[0]


# The key -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sid", ["CloudWatchLogsEncrypts", "CloudWatchAlarmsPublish"])
def test_the_key_lacks_a_statement(sid: str, access: Access) -> None:
    kms = access.client("kms")
    key = {"KeyId": Subject(access, STACK, 24, 0).key_arn, "PolicyName": "default"}
    before = kms.get_key_policy(**key)["Policy"]
    document = json.loads(before)
    document["Statement"] = [each for each in document["Statement"] if each["Sid"] != sid]
    kms.put_key_policy(Policy=json.dumps(document), **key)
    try:
        finding = only_finding(access, "key policy")
    finally:
        kms.put_key_policy(Policy=before, **key)
    assert finding.problem.endswith(f" lacks {sid}")
    assert finding.remedy[-1].endswith(
        f"console-login key-policy --stack {STACK} --region {REGION} --account 111122223333"
    )


class ExistingKey(Access):
    """A stack with a key of another owner, and the key's policy."""

    def __init__(self, policy: Any, **parameters: str) -> None:
        super().__init__()
        self.__dict__.update(policy=policy, parameters={"ExistingKeyArn": KEY_ARN} | parameters)

    def client(self, service: Any, **_: Any) -> Any:
        return self

    def describe_stacks(self, **_: Any) -> Any:
        stack = template.resolve(template.load(), self.__dict__["parameters"])
        outputs = [{"OutputKey": k, "OutputValue": v} for k, v in stack.outputs.items()]
        parameters = [
            {"ParameterKey": k, "ParameterValue": ",".join(v) if isinstance(v, list) else v}
            for k, v in stack.parameters.items()
        ]
        # One of a template to come.
        parameters.append({"ParameterKey": "Unheard", "ParameterValue": "of"})
        return {"Stacks": [{"Outputs": outputs, "Parameters": parameters}]}

    def get_key_policy(self, KeyId: str, PolicyName: str) -> Any:  # noqa: N803
        assert (KeyId, PolicyName) == (KEY_ARN, "default")
        return {"Policy": json.dumps(self.__dict__["policy"])}


def printed(**parameters: str) -> Any:
    place = {"stack_name": STACK, "region": REGION, "account_id": "111122223333"}
    return key_policy(template.load(), {"ExistingKeyArn": KEY_ARN} | parameters, **place)


def lacking(policy: Any, **parameters: str) -> str:
    found = found_by("key policy", ExistingKey(policy, **parameters))
    return found[0].problem.split(" lacks ")[1] if found else ""


ALL = "CloudWatchLogsEncrypts, CloudWatchAlarmsPublish, RolesThroughLogs, RolesThroughS3"
ADMINISTRATOR = {
    "Effect": "Allow",
    "Principal": {"AWS": "111122223333"},
    "Action": "kms:*",
    "Resource": "*",
}


def test_an_existing_key_has_what_key_policy_prints_in_whatever_words() -> None:
    policy = printed()
    assert lacking(policy) == ""
    assert lacking({"Statement": []}) == ALL
    for number, statement in enumerate(policy["Statement"]):
        others = [*policy["Statement"][:number], *policy["Statement"][number + 1 :]]
        assert lacking({"Statement": others}) == statement["Sid"]
    reworded = json.loads(json.dumps(policy))
    for statement in reworded["Statement"]:
        del statement["Sid"]
        statement["Action"] = list(reversed(statement["Action"]))
        statement["Resource"] = [KEY_ARN]
        for kind, principal in statement["Principal"].items():
            statement["Principal"][kind] = [principal, "other"]
    reworded["Statement"].reverse()
    assert lacking(reworded) == ""
    # IAM decides, for what is this account's own.
    services = [each for each in policy["Statement"] if "Service" in each["Principal"]]
    assert lacking({"Statement": [*services, ADMINISTRATOR]}) == ""
    foreign = ADMINISTRATOR | {"Principal": {"AWS": OTHER_ACCOUNT}}
    assert lacking({"Statement": [*services, foreign]}) == "RolesThroughLogs, RolesThroughS3"


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Deny"},
        {"Action": ["kms:Encrypt", "kms:Decrypt"]},
        {"Resource": "arn:aws:kms:ap-northeast-1:111122223333:key/other"},
        {"Principal": {"Service": f"logs.{REGION}.amazonaws.com.cn"}},
        {"Principal": {"AWS": "*"}},
        {"Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:*:*:x"}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": "*"}}},
        {"Condition": {"StringNotLike": {"kms:EncryptionContext:aws:logs:arn": "*"}}},
    ],
)
def test_a_narrower_statement_is_not_enough(change: Any) -> None:
    policy = printed()
    policy["Statement"][0] |= change
    assert lacking(policy) == "CloudWatchLogsEncrypts"


def test_a_negative_condition_is_not_compared() -> None:
    statement = ADMINISTRATOR | {
        "Condition": {"StringNotEquals": {"aws:PrincipalType": ["a", "b"]}}
    }
    wanted = ADMINISTRATOR | {"Condition": {"StringNotEquals": {"aws:PrincipalType": "a"}}}
    assert not is_covered(wanted, {"Statement": statement}, KEY_ARN)


def test_a_wider_condition_is_enough_and_another_name_is_said() -> None:
    policy = printed()
    policy["Statement"][0]["Condition"] = {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:111122223333:*"}
    }
    assert lacking(policy) == ""
    (finding,) = found_by("key policy", ExistingKey(printed(), Name="other"))
    assert finding.problem.endswith(" lacks CloudWatchLogsEncrypts")
    assert finding.remedy[-1].endswith(" --parameter Name=other")
    assert lacking(printed(Name="other"), Name="other") == ""


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
    if "CREATING_FAILED" in words:
        return
    # What CloudFormation would not do: nothing has changed in the template.
    (remedy,) = finding.remedy
    command = shlex.split(remedy)
    update = command[command.index("--extended-s3-destination-update") + 1]
    expected = Subject(access, STACK, 24, 0).destination["ProcessingConfiguration"]
    assert json.loads(update) == {"ProcessingConfiguration": expected}
    assert command[command.index("--destination-id") + 1] == "destinationId-000000000001"


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
        ("get_role", {"role of the filter"}),
        ("get_role_policy", {"role of the filter", "role of the function"}),
        ("get_key_policy", {"key policy"}),
        ("describe_delivery_stream", {"stream"}),
        ("list_objects_v2", {"error objects", "delivery"}),
        ("describe_trails", {"trail"}),
        ("get_trail_status", {"trail"}),
        ("get_event_selectors", {"trail"}),
        ("filter_log_events", {"delivery"}),
        ("describe_stack_resources", {"subscription filter", "role of the function"}),
    ],
)
def test_what_is_refused_ends_no_other_check(
    operation: str, names: set[str], access: Access
) -> None:
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
