"""`console-login preflight`: each finding, by putting its cause into a simulated account."""

import functools
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from serving import serving
from stacks import DOCUMENT, KEY_ARN, OTHER_ACCOUNT
from support import ROOT

from console_login import cli
from console_login.operate import preflight
from console_login.operate.access import Access
from console_login.operate.checks import FINDING, OK, UNCHECKED, Finding, Result, words
from console_login.operate.preflight import CHECKS
from console_login.stack import samconfig
from console_login.stack.key_policy import key_policy

STACK = NAME = "console-login-firehose"
GROUP = "/aws/cloudtrail/management-event"
REGION, ACCOUNT = "ap-northeast-1", "111122223333"
CONFIG = (ROOT / "samconfig.toml").read_text()
ARM64, X86_64 = (b"\x7fELF" + bytes(14) + machine for machine in (b"\xb7\x00", b"\x3e\x00"))


class Stacks:
    """CloudFormation with a test's stacks: moto's needs a package that is not installed."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.resources: dict[str, str] = {}

    def describe_stacks(self, StackName: str) -> Any:  # noqa: N803
        if StackName not in self.found:
            why = {
                "Code": "ValidationError",
                "Message": f"Stack with id {StackName} does not exist",
            }
            raise ClientError({"Error": why}, "DescribeStacks")
        return {"Stacks": [self.found[StackName]]}

    def describe_stack_resources(self, StackName: str) -> Any:  # noqa: N803
        assert StackName in self.found
        return {
            "StackResources": [
                {"LogicalResourceId": key, "PhysicalResourceId": value}
                for key, value in self.resources.items()
            ]
        }


@functools.cache
def client(service: Any, region: str = REGION) -> Any:
    """Return a client of moto; cached, because creating one takes longer than a call."""
    with mock_aws():
        return boto3.client(service, region, aws_access_key_id="any", aws_secret_access_key="any")


@dataclass(frozen=True)
class World(Access):
    """An account in moto; `answers` replace responses, by operation."""

    stacks: Stacks = field(default_factory=Stacks)
    answers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)

    def client(self, service: Any, **config: Any) -> Any:
        if service == "cloudformation":
            return self.stacks
        return _Client(client(service, config.get("region_name", self.region)), self.answers)


class _Client:
    def __init__(self, client: Any, answers: dict[str, Any]) -> None:
        self._client, self._answers = client, answers

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)
        if name not in self._answers:
            return operation
        return lambda **arguments: self._answers[name](lambda: operation(**arguments))

    def get_paginator(self, name: str) -> Any:
        if name not in self._answers:
            return self._client.get_paginator(name)
        pages = self._client.get_paginator(name)
        self._paged = lambda **arguments: [
            self._answers[name](lambda page=page: page) for page in pages.paginate(**arguments)
        ]
        return type("Pages", (), {"paginate": staticmethod(self._paged)})()


def with_class(name: str | None) -> Callable[[Any], Any]:
    """Let DescribeLogGroups return a class, which moto does not."""

    def answer(ask: Any) -> Any:
        page = ask()
        groups = [each | ({"logGroupClass": name} if name else {}) for each in page["logGroups"]]
        return page | {"logGroups": groups}

    return answer


def refused(_: Any) -> Any:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Any")


def not_found(_: Any) -> Any:
    raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "Any")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield an account that is ready for the first deploy: it has a trail and its log group."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
        ("MOTO_ACCOUNT_ID", ACCOUNT),
    ):
        monkeypatch.setenv(name, value)
    with mock_aws():
        made = World(None, REGION)
        made.answers["describe_log_groups"] = with_class("STANDARD")
        # moto's Lambda functions also need a package that is not installed.
        made.answers["get_function_configuration"] = not_found
        client("logs").create_log_group(logGroupName=GROUP)
        bucket("amzn-s3-demo-trail")
        cloudtrail = client("cloudtrail")
        cloudtrail.create_trail(
            Name="trail",
            S3BucketName="amzn-s3-demo-trail",
            IsMultiRegionTrail=True,
            CloudWatchLogsLogGroupArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*",
            CloudWatchLogsRoleArn=f"arn:aws:iam::{ACCOUNT}:role/trail",
        )
        cloudtrail.start_logging(Name="trail")
        yield made


def bucket(name: str, region: str = REGION) -> None:
    place: Any = {"LocationConstraint": region}
    client("s3", region).create_bucket(Bucket=name, CreateBucketConfiguration=place)


def deployed(world: World, status: str = "UPDATE_COMPLETE", **parameters: str) -> None:
    """Let the stack exist, with its resources."""
    given = {name: str(each["Default"]) for name, each in DOCUMENT["Parameters"].items()}
    world.stacks.found[STACK] = {
        "StackName": STACK,
        "StackStatus": status,
        "Outputs": [{"OutputKey": "DeliveryStreamArn", "OutputValue": "any"}],
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in (given | parameters).items()
        ],
    }
    world.stacks.resources = {"DeliveryStream": NAME, "SubscriptionFilter": f"{NAME}|{GROUP}"}


def config(folder: Path, *changes: tuple[str, str], built: bytes | None = ARM64) -> Path:
    """Write a samconfig.toml with changes, and the build result beside it."""
    text = CONFIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "samconfig.toml"
    path.write_text(text)
    if built is not None:
        library = folder / ".aws-sam" / "build" / "TransformFunction" / "package" / "library.so"
        library.parent.mkdir(parents=True, exist_ok=True)
        library.write_bytes(built)
    return path


def line(name: str, value: str) -> tuple[str, str]:
    """Return a parameter's line in the file, and its replacement with a value."""
    (old,) = (
        each for each in CONFIG.splitlines() if each.strip().strip("'\"").startswith(f"{name}=")
    )
    return old, f'  "{name}={value}",'


def examined(world: World, path: Path) -> dict[str, Result]:
    name, results = preflight.examine(world, path, "default")
    assert name == STACK
    assert all(each.isprintable() for each in words(results))
    return {result.check: result for result in results}


def only_finding(world: World, check: str, path: Path) -> Finding:
    """Return the only finding, which must be this check's."""
    results = examined(world, path)
    assert {name for name, each in results.items() if each.status == FINDING} == {check}
    (finding,) = results[check].findings
    return finding


def commands(finding: Finding) -> list[list[str]]:
    """Return the words of a finding's commands, including those in comments."""
    lines = [each.split("needs it: ")[-1] for each in finding.remedy]
    return [shlex.split(each) for each in lines if not each.startswith("# ")]


def test_an_account_that_is_ready_has_no_finding(world: World, tmp_path: Path) -> None:
    results = examined(world, config(tmp_path))
    assert list(results) == list(CHECKS)
    assert {name: each.status for name, each in results.items()} == dict.fromkeys(CHECKS, OK)
    assert all(each.looked_at for each in results.values())
    said = " ".join(text for each in results.values() for text in each.looked_at)
    assert f"stack {STACK} does not exist in {REGION}: it would be created" in said
    assert f"log group {GROUP}, class STANDARD" in said
    assert f"stream {NAME}" in said


# Settings ----------------------------------------------------------------------------------------


def test_a_value_that_sam_cuts_at_a_blank_is_named(world: World, tmp_path: Path) -> None:
    text = (
        "EventNames=ConsoleLogin, UserAuthentication LogGroupName=aws-controltower/CloudTrailLogs"
    )
    path = tmp_path / "samconfig.toml"
    path.write_text(
        "version = 0.1\n[default.global.parameters]\n"
        f'stack_name = "{STACK}"\nparameter_overrides = "{text}"\n'
    )
    results = examined(world, path)
    cut, pattern = results["settings"].findings
    assert "drops 'UserAuthentication'" in cut.problem
    assert text in cut.problem
    # The template refuses the rest of the value.
    assert "EventNames" in pattern.problem
    assert preflight.stops(list(results.values()))
    # Nothing in AWS is reported as ok.
    assert results["AWS"].status == UNCHECKED


def test_a_cut_value_that_the_template_accepts_is_named_too(world: World, tmp_path: Path) -> None:
    path = config(tmp_path, line("EventNames", "ConsoleLogin ,CheckMfa"))
    finding = only_finding(world, "settings", path)
    assert "drops ',CheckMfa'" in finding.problem


def test_a_value_that_the_template_refuses_is_named(world: World, tmp_path: Path) -> None:
    results = examined(world, config(tmp_path, line("BufferSeconds", "901")))
    (finding,) = results["settings"].findings
    assert "parameter BufferSeconds: '901' must be from 0 to 900 seconds" in finding.problem


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "not valid TOML"),
        ("a" * 10, "not valid TOML"),
        ("[other]", "no environment default (available: other)"),
        ("[default.deploy]", "has no stack_name"),
        ("[default.deploy.parameters]\nstack_name = 1", "has no stack_name"),
        ("[default]\ndeploy = 1", "deploy.parameters is not a table"),
        (
            '[default.deploy.parameters]\ntemplate_file = "trail.yaml"',
            "deploys trail.yaml, not template.yaml",
        ),
        (
            '[default.deploy.parameters]\nstack_name = "a"\nparameter_overrides = "file://a"',
            "is not supported here",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "samconfig.toml"
    path.write_text(text)
    with pytest.raises(samconfig.ConfigError) as raised:
        samconfig.read(path, "default")
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


# The build ---------------------------------------------------------------------------------------


def test_a_build_for_another_processor_is_a_finding(world: World, tmp_path: Path) -> None:
    finding = only_finding(world, "build", config(tmp_path, built=X86_64))
    assert "is built for x86_64, but Architecture is arm64" in finding.problem
    assert finding.remedy == ["sam build"]
    other = config(tmp_path, line("Architecture", "x86_64"), built=X86_64)
    assert examined(world, other)["build"].status == OK


@pytest.mark.parametrize("built", [None, b"", b"\x7fELF", bytes(20)])
def test_a_missing_build_could_not_be_checked(
    built: bytes | None, world: World, tmp_path: Path
) -> None:
    results = examined(world, config(tmp_path, built=built))
    assert results["build"].status == UNCHECKED
    assert not preflight.stops(list(results.values()))


# The stack ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("ROLLBACK_COMPLETE", f"sam delete --stack-name {STACK} --region {REGION}"),
        ("ROLLBACK_FAILED", f"sam delete --stack-name {STACK} --region {REGION}"),
        (
            "UPDATE_ROLLBACK_FAILED",
            f"aws --region {REGION} cloudformation continue-update-rollback --stack-name {STACK}",
        ),
        (
            "UPDATE_IN_PROGRESS",
            f"aws --region {REGION} cloudformation describe-stacks --stack-name {STACK}",
        ),
    ],
)
def test_a_stack_that_cannot_be_updated_is_a_finding(
    status: str, remedy: str, world: World, tmp_path: Path
) -> None:
    deployed(world, status)
    finding = only_finding(world, "stack", config(tmp_path))
    assert f"stack {STACK} is {status}" in finding.problem
    assert commands(finding) == [remedy.split()]


def test_a_stack_of_another_template_is_a_finding(world: World, tmp_path: Path) -> None:
    deployed(world)
    world.stacks.found[STACK]["Outputs"] = []
    assert "has another template" in only_finding(world, "stack", config(tmp_path)).problem


def test_a_change_set_that_was_never_executed_is_not_a_stack(world: World, tmp_path: Path) -> None:
    deployed(world, "REVIEW_IN_PROGRESS")
    assert examined(world, config(tmp_path))["stack"].status == OK


def test_a_parameter_without_a_line_that_keeps_its_deployed_value_is_a_finding(
    world: World, tmp_path: Path
) -> None:
    deployed(world, Dashboard="true", TimeZone="UTC")
    gone = [(f"{line(name, '')[0]}\n", "") for name in ("Dashboard", "BufferSeconds")]
    path = config(tmp_path, *gone)
    finding = only_finding(world, "kept parameters", path)
    assert "Dashboard has no line" in finding.problem
    assert "keeps the deployed value 'true' instead of the default 'false'" in finding.problem
    assert [each.split(": ", 1)[1] for each in finding.remedy] == [
        '"Dashboard=true",',
        '"Dashboard=false", (the default)',
    ]


# Names -------------------------------------------------------------------------------------------


def make_stream(_: World) -> None:
    client("firehose").create_delivery_stream(
        DeliveryStreamName=NAME,
        S3DestinationConfiguration={
            "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/any",
            "BucketARN": "arn:aws:s3:::amzn-s3-demo-trail",
        },
    )


def make_function(world: World) -> None:
    world.answers["get_function_configuration"] = lambda _: {}


def make_log_group(_: World) -> None:
    client("logs").create_log_group(logGroupName=f"/aws/lambda/{NAME}-transform")


def make_alias(_: World) -> None:
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=f"alias/{NAME}", TargetKeyId=key)


@pytest.mark.parametrize(
    ("make", "what", "delete"),
    [
        (
            make_stream,
            f"stream {NAME}",
            f"firehose delete-delivery-stream --delivery-stream-name {NAME}",
        ),
        (
            make_function,
            f"function {NAME}-transform",
            f"lambda delete-function --function-name {NAME}-transform",
        ),
        (
            make_log_group,
            f"log group /aws/lambda/{NAME}-transform",
            f"logs delete-log-group --log-group-name /aws/lambda/{NAME}-transform",
        ),
        (make_alias, f"key alias alias/{NAME}", f"kms delete-alias --alias-name alias/{NAME}"),
    ],
)
def test_a_name_that_is_taken_is_a_finding(
    make: Callable[[World], None], what: str, delete: str, world: World, tmp_path: Path
) -> None:
    make(world)
    finding = only_finding(world, "names", config(tmp_path))
    assert finding.problem == f"{what} already exists, and does not belong to stack {STACK}"
    # Nothing that deletes runs when the lines are pasted.
    assert all(each.startswith("# ") for each in finding.remedy)
    assert commands(finding) == [["aws", "--region", REGION, *delete.split()]]
    if make is not make_function:
        another = config(tmp_path, line("Name", "another"))
        assert examined(world, another)["names"].status == OK


def test_the_stacks_own_resources_are_no_finding(world: World, tmp_path: Path) -> None:
    deployed(world)
    make_stream(world)
    assert examined(world, config(tmp_path))["names"].status == OK


def test_a_name_that_cannot_be_looked_up_is_not_reported_as_free(
    world: World, tmp_path: Path
) -> None:
    world.answers["get_function_configuration"] = refused
    make_stream(world)
    result = examined(world, config(tmp_path))["names"]
    assert len(result.findings) == 1
    assert f"function {NAME}-transform: " in result.unchecked[0]
    assert not any("function" in each for each in result.looked_at)


# The log group -----------------------------------------------------------------------------------


def test_a_missing_log_group_is_a_finding(world: World, tmp_path: Path) -> None:
    client("logs").delete_log_group(logGroupName=GROUP)
    # The name of another log group begins with the same text.
    client("logs").create_log_group(logGroupName=f"{GROUP}-2")
    finding = only_finding(world, "log group", config(tmp_path))
    assert finding.problem == f"log group {GROUP} does not exist in {REGION}"
    assert "describe-trails" in commands(finding)[0]
    assert finding.remedy[-1] == "make deploy-trail"


@pytest.mark.parametrize(
    ("class_", "status"), [("INFREQUENT_ACCESS", FINDING), ("DELIVERY", FINDING), (None, UNCHECKED)]
)
def test_a_log_group_of_another_class_is_a_finding(
    class_: str | None, status: str, world: World, tmp_path: Path
) -> None:
    world.answers["describe_log_groups"] = with_class(class_)
    assert examined(world, config(tmp_path))["log group"].status == status


@pytest.mark.parametrize(
    ("count", "status"), [(1, OK), (2, UNCHECKED), (4, UNCHECKED), (5, FINDING)]
)
def test_a_log_group_must_allow_one_more_filter(
    count: int, status: str, world: World, tmp_path: Path
) -> None:
    def filters(_: Any) -> Any:
        return {"subscriptionFilters": [{"filterName": f"other-{each}"} for each in range(count)]}

    world.answers["describe_subscription_filters"] = filters
    result = examined(world, config(tmp_path))["log group"]
    assert result.status == status
    for finding in result.findings:
        assert len(commands(finding)) == count
    # The stack's own filter does not count as another one.
    deployed(world)
    own = {"filterName": NAME}
    world.answers["describe_subscription_filters"] = lambda _: {
        "subscriptionFilters": [*filters(_)["subscriptionFilters"], own]
    }
    assert examined(world, config(tmp_path))["log group"].status == status


def test_a_filter_of_the_same_name_is_a_finding(world: World, tmp_path: Path) -> None:
    world.answers["describe_subscription_filters"] = lambda _: {
        "subscriptionFilters": [{"filterName": NAME}]
    }
    finding = only_finding(world, "log group", config(tmp_path))
    assert f"already has a subscription filter {NAME}" in finding.problem


def test_a_trail_of_one_region_is_a_finding(world: World, tmp_path: Path) -> None:
    client("cloudtrail").update_trail(Name="trail", IsMultiRegionTrail=False)
    assert "is not multi-Region" in only_finding(world, "trail", config(tmp_path)).problem


def test_a_trail_of_read_events_is_a_finding(world: World, tmp_path: Path) -> None:
    selector: Any = {"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}
    client("cloudtrail").put_event_selectors(TrailName="trail", EventSelectors=[selector])
    assert "does not record ConsoleLogin" in only_finding(world, "trail", config(tmp_path)).problem


# The key -----------------------------------------------------------------------------------------


def make_key(*, lacking: bool = False, **options: Any) -> str:
    kms = client("kms")
    arn: str = kms.create_key(**options)["KeyMetadata"]["Arn"]
    place = {"stack_name": STACK, "region": REGION, "account_id": ACCOUNT}
    policy = key_policy(DOCUMENT, {"ExistingKeyArn": arn}, **place)
    administrators = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    statements = [administrators, *(() if lacking else policy["Statement"])]
    document = json.dumps(policy | {"Statement": statements})
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=document)
    return arn


def with_key(folder: Path, arn: str) -> Path:
    return config(folder, line("ExistingKeyArn", arn))


def test_a_key_with_the_statements_of_key_policy_is_ok(world: World, tmp_path: Path) -> None:
    result = examined(world, with_key(tmp_path, make_key()))["key"]
    assert (result.status, result.findings, result.unchecked) == (OK, [], [])


def test_a_key_whose_policy_allows_no_service_is_a_finding(world: World, tmp_path: Path) -> None:
    finding = only_finding(world, "key", with_key(tmp_path, make_key(lacking=True)))
    assert "logs" in finding.problem
    assert finding.remedy[0].startswith(f"console-login key-policy --stack {STACK} ")


def test_a_key_that_is_not_symmetric_is_a_finding(world: World, tmp_path: Path) -> None:
    arn = make_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    finding = only_finding(world, "key", with_key(tmp_path, arn))
    assert "has the spec RSA_2048 and the usage ENCRYPT_DECRYPT; it must be" in finding.problem


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("Disabled", ["enable-key"]),
        ("PendingDeletion", ["cancel-key-deletion", "enable-key"]),
        ("PendingImport", ["create-key"]),
    ],
)
def test_a_key_that_is_not_enabled_is_a_finding(
    state: str, remedy: list[str], world: World, tmp_path: Path
) -> None:
    arn = make_key()

    def answer(ask: Any) -> Any:
        return {"KeyMetadata": ask()["KeyMetadata"] | {"KeyState": state}}

    path = with_key(tmp_path, arn)
    world.answers["describe_key"] = answer
    findings = examined(world, path)["key"].findings
    assert findings[0].problem == f"key {arn} is {state}"
    assert [each[4] for each in commands(findings[0])] == remedy


def test_a_key_of_another_region_is_a_finding(world: World, tmp_path: Path) -> None:
    arn = KEY_ARN.replace(REGION, "eu-west-1")
    finding = only_finding(world, "key", with_key(tmp_path, arn))
    assert "is in eu-west-1, but the stack is in ap-northeast-1" in finding.problem


def test_a_missing_key_is_a_finding(world: World, tmp_path: Path) -> None:
    finding = only_finding(world, "key", with_key(tmp_path, KEY_ARN))
    assert "NotFoundException" in finding.problem


def test_another_accounts_key_could_not_be_checked(world: World, tmp_path: Path) -> None:
    arn = KEY_ARN.replace(ACCOUNT, OTHER_ACCOUNT)
    results = examined(world, with_key(tmp_path, arn))
    assert results["key"].status == UNCHECKED
    assert OTHER_ACCOUNT in results["key"].unchecked[0]
    assert not preflight.stops(list(results.values()))


# The bucket --------------------------------------------------------------------------------------


def with_bucket(folder: Path, name: str, owner: str = "") -> Path:
    changes = [line("ExistingBucketName", name)]
    return config(folder, *changes, *([line("ExistingBucketOwner", owner)] if owner else []))


def test_an_existing_bucket_in_the_region_is_ok(world: World, tmp_path: Path) -> None:
    bucket("amzn-s3-demo-bucket")
    assert examined(world, with_bucket(tmp_path, "amzn-s3-demo-bucket"))["bucket"].status == OK


def test_a_bucket_of_another_region_is_a_finding(world: World, tmp_path: Path) -> None:
    bucket("amzn-s3-demo-bucket", "eu-west-1")
    finding = only_finding(world, "bucket", with_bucket(tmp_path, "amzn-s3-demo-bucket"))
    assert "is in eu-west-1, but the stack is in ap-northeast-1" in finding.problem


def test_a_missing_bucket_is_a_finding(world: World, tmp_path: Path) -> None:
    finding = only_finding(world, "bucket", with_bucket(tmp_path, "amzn-s3-demo-bucket"))
    assert commands(finding) == [
        ["aws", "--region", REGION, "s3", "mb", "s3://amzn-s3-demo-bucket"]
    ]


def test_a_bucket_with_a_denied_call_could_not_be_checked(world: World, tmp_path: Path) -> None:
    bucket("amzn-s3-demo-bucket")
    world.answers["head_bucket"] = refused
    result = examined(world, with_bucket(tmp_path, "amzn-s3-demo-bucket"))["bucket"]
    assert result.status == UNCHECKED
    assert "if ExistingBucketOwner is missing" in result.unchecked[0]


def guarded(policy: Any) -> None:
    """Create a bucket whose policy is one Deny."""
    bucket("amzn-s3-demo-bucket")
    arn = "arn:aws:s3:::amzn-s3-demo-bucket"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{arn}/*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [deny | policy]})
    client("s3").put_bucket_policy(Bucket="amzn-s3-demo-bucket", Policy=text)


def unless(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


SSE = "s3:x-amz-server-side-encryption"


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ({"Action": "s3:*", **unless("Bool", "aws:SecureTransport", "false")}, OK),
        (unless("ArnNotLike", "aws:PrincipalArn", f"arn:aws:iam::*:role/{STACK}-*"), OK),
        ({"Action": "s3:DeleteObject"}, OK),
        ({}, FINDING),
        ({"Resource": "arn:aws:s3:::amzn-s3-demo-bucket/consolelogin/*"}, FINDING),
        (unless("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:role/admin"), FINDING),
        (unless("StringNotEquals", SSE, "AES256"), FINDING),
        (unless("StringNotEqualsIfExists", f"{SSE}-aws-kms-key-id", KEY_ARN), FINDING),
        # Not documented: whether a part of an upload counts as encrypted, and Firehose's addresses.
        (unless("Null", SSE, "true"), UNCHECKED),
        (unless("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"), UNCHECKED),
    ],
)
def test_an_existing_buckets_policy_must_allow_firehose_to_write(
    policy: Any, status: str, world: World, tmp_path: Path
) -> None:
    guarded(policy)
    result = examined(world, with_bucket(tmp_path, "amzn-s3-demo-bucket"))["bucket"]
    assert result.status == status
    if status == FINDING:
        (finding,) = result.findings
        assert "denies requests that Firehose needs: DeliveryRole: s3:PutObject of lines" in (
            finding.problem
        )
        get, remove, put = finding.remedy
        assert " s3api get-bucket-policy " in get
        assert remove.startswith("# in policy.json, remove or narrow the Deny: statement 1 of ")
        assert put.endswith(" --policy file://policy.json")


def test_a_bucket_that_requires_the_key_of_the_deployed_stack_is_ok(
    world: World, tmp_path: Path
) -> None:
    deployed(world)
    key = KEY_ARN.rsplit("/")[-1]
    world.stacks.resources["EncryptionKey"] = key
    other = {"StringNotLike": {f"{SSE}-aws-kms-key-id": f"*/{key}"}}
    guarded({"Condition": other | {"Null": {f"{SSE}-aws-kms-key-id": "false"}}})
    result = examined(world, with_bucket(tmp_path, "amzn-s3-demo-bucket"))["bucket"]
    assert (result.status, result.findings) == (OK, [])


def test_a_buckets_unreadable_policy_could_not_be_checked(world: World, tmp_path: Path) -> None:
    bucket("amzn-s3-demo-bucket")
    world.answers["get_bucket_policy"] = refused
    result = examined(world, with_bucket(tmp_path, "amzn-s3-demo-bucket"))["bucket"]
    assert result.status == UNCHECKED


def test_a_dashboard_with_the_stacks_name_is_a_finding(world: World, tmp_path: Path) -> None:
    path = config(tmp_path, line("Dashboard", "true"))
    assert examined(world, path)["names"].status == OK
    name = f"{NAME}-{REGION}"
    client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody='{"widgets": []}')
    finding = only_finding(world, "names", path)
    assert finding.problem.startswith(f"dashboard {name} already exists")
    assert commands(finding)[-1][-3:] == ["delete-dashboards", "--dashboard-names", name]
    deployed(world, Dashboard="true")
    world.stacks.resources["OperationsDashboard"] = name
    assert examined(world, path)["names"].status == OK


def test_another_accounts_buckets_policy_could_not_be_checked(world: World, tmp_path: Path) -> None:
    bucket("amzn-s3-demo-bucket")
    path = with_bucket(tmp_path, "amzn-s3-demo-bucket", OTHER_ACCOUNT)
    result = examined(world, path)["bucket"]
    assert (result.status, result.findings) == (UNCHECKED, [])
    assert f"which only account {OTHER_ACCOUNT} can read" in result.unchecked[0]


# The command -------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["console-login", "preflight", *options])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    printed = capsys.readouterr()
    return raised.value.code or 0, printed.out, printed.err


def test_unchecked_items_stop_no_deploy_and_are_never_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody is signed in.
    for name, value in (
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    path = str(config(tmp_path))
    status, out, err = run(capsys, monkeypatch, "--config-file", path, "--region", REGION)
    assert (status, err) == (0, "")
    settings, build, aws = out.splitlines()
    assert settings.startswith("settings             ok: ")
    assert build.startswith("build                ok: ")
    assert aws.startswith("AWS                  could not be checked: ")
    assert " ok" not in aws
    assert "log group, trail, key, bucket" in aws


def test_a_finding_exits_with_1_and_a_missing_file_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    path = config(tmp_path, built=X86_64)
    options = ("--config-file", str(path), "--region", REGION)
    status, out, _ = run(capsys, monkeypatch, *options)
    assert status == 1
    assert "\n    sam build\n" in out
    status, out, _ = run(capsys, monkeypatch, *options, "--json")
    assert status == 1
    document = json.loads(out)
    assert (document["stack"], document["is_well"]) == (STACK, False)
    build = document["checks"][1]
    assert (build["check"], build["findings"][0]["remedy"]) == ("build", ["sam build"])
    status, out, err = run(capsys, monkeypatch, "--config-file", str(tmp_path / "none.toml"))
    assert (status, out) == (2, "")
    assert err.startswith("console-login: ")
    assert len(err.splitlines()) == 1


def test_a_served_pipeline_is_ready_for_its_next_deploy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    path = str(config(tmp_path))
    with serving() as endpoint:
        options = ("--config-file", path, "--region", REGION, "--endpoint-url", endpoint.url)
        status, out, _ = run(capsys, monkeypatch, *options, "--json")
    checks = {each["check"]: each for each in json.loads(out)["checks"]}
    assert status == 0
    # moto's log groups have no class.
    unchecked = {name for name, each in checks.items() if each["status"] != OK}
    assert (list(checks), unchecked) == (list(CHECKS), {"log group"})
    assert "all names belong to the stack already" in checks["names"]["looked_at"]


def test_region_and_profile_are_the_files_unless_given_as_options(tmp_path: Path) -> None:
    deploy = "[default.deploy.parameters]\n"
    path = config(tmp_path, (deploy, f'{deploy}region = "eu-west-1"\nprofile = "theirs"\n'))
    of_file = preflight.Plan(Access(), path, "default").access
    assert (of_file.region, of_file.profile) == ("eu-west-1", "theirs")
    given = preflight.Plan(Access(None, REGION, "mine"), path, "default").access
    assert (given.region, given.profile) == (REGION, "mine")
