"""Permissions in the resolved templates: one test for each rule."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from stacks import (
    COMBINATIONS,
    DOCUMENT,
    KEY_ARN,
    TRAIL,
    TRAIL_COMBINATIONS,
    only,
    stack,
    trail,
)
from support import ROOT

from console_login.stack import place, template
from console_login.stack.key_policy import key_policy

REGION, ACCOUNT, STACK = place.REGION, place.ACCOUNT_ID, place.STACK_NAME
NAME = DOCUMENT["Parameters"]["Name"]["Default"]
TRAIL_NAME = TRAIL["Parameters"]["TrailName"]["Default"]
BUCKET_ARN = f"arn:aws:s3:::{STACK}-deliverybucket"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}-transform"
STREAM_ARN = f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{NAME}"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"
LOGS_KEY_ACTIONS = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
]

every_combination = pytest.mark.parametrize("name", COMBINATIONS)
with_a_role = pytest.mark.parametrize("name", COMBINATIONS | TRAIL_COMBINATIONS)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def roles(resolved: template.Stack) -> dict[str, dict[str, Any]]:
    found = resolved.of_type("AWS::IAM::Role")
    return {key: resource.properties for key, resource in found.items()}


def grants(resolved: template.Stack) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each statement of the roles, with the names of its role and policy."""
    for role, properties in roles(resolved).items():
        for policy in properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role, policy["PolicyName"], statement


def trust(role: str, name: str = "nothing given") -> dict[str, Any]:
    (statement,) = roles(stack(name))[role]["AssumeRolePolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
    return statement


def key_statements(resolved: template.Stack) -> dict[str, dict[str, Any]]:
    found = only(resolved, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    return {statement["Sid"]: statement for statement in found}


# Roles ----------------------------------------------------------------------------------------


@with_a_role
def test_no_wildcard_action(name: str) -> None:
    for role, policy, statement in grants(stack(name)):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            assert "*" not in action, (role, policy)


@with_a_role
def test_no_wildcard_resource_where_an_arn_exists(name: str) -> None:
    for role, policy, statement in grants(stack(name)):
        for resource in as_list(statement["Resource"]):
            # A wildcard is allowed only at the end: versions, objects, numbered log streams.
            assert resource.count(":") >= 5, (role, policy, resource)
            assert "*" not in resource[:-1], (role, policy, resource)
            assert resource not in ("arn:aws:s3:::*", "*")


@with_a_role
def test_no_managed_policy_and_one_named_policy_for_each_purpose(name: str) -> None:
    resolved = stack(name)
    for properties in roles(resolved).values():
        assert "ManagedPolicyArns" not in properties
        assert properties["Description"]
        names = [policy["PolicyName"] for policy in properties["Policies"]]
        assert len(names) == len(set(names))
    types = {resource.type for resource in resolved.resources.values()}
    assert not types & {"AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"}


@with_a_role
def test_no_kinesis_for_a_direct_put_stream(name: str) -> None:
    assert not [each for _, _, each in grants(stack(name)) if "kinesis:" in json.dumps(each)]


def test_the_roles_may_do_exactly_this() -> None:
    expected = {
        ("DeliveryRole", "InvokeTransformFunction"): [
            (
                ["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"],
                # Firehose calls the function as ...:$LATEST.
                [FUNCTION_ARN, f"{FUNCTION_ARN}:*"],
            )
        ],
        ("DeliveryRole", "WriteObjects"): [
            (
                ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                [BUCKET_ARN],
            ),
            (
                ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                # Every object in the stack's own bucket: a test below explains why.
                [f"{BUCKET_ARN}/*"],
            ),
        ],
        ("DeliveryRole", "EncryptObjects"): [(["kms:Decrypt", "kms:GenerateDataKey"], ["KEY"])],
        ("DeliveryRole", "LogDeliveryErrors"): [
            (
                ["logs:PutLogEvents"],
                [f"{LOGS}:/aws/kinesisfirehose/{NAME}:log-stream:DestinationDelivery"],
            ),
            (LOGS_KEY_ACTIONS, ["KEY"]),
        ],
        ("SubscriptionRole", "PutIntoStream"): [
            (["firehose:PutRecord", "firehose:PutRecordBatch"], [STREAM_ARN])
        ],
        ("TransformRole", "WriteLog"): [
            (
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [f"{LOGS}:/aws/lambda/{NAME}-transform:*"],
            ),
            (LOGS_KEY_ACTIONS, ["KEY"]),
        ],
        # Only on this stream.
        ("TransformRole", "PutBackIntoStream"): [(["firehose:PutRecordBatch"], [STREAM_ARN])],
    }
    assert granted(stack()) == expected


def test_the_trails_role_may_do_exactly_this() -> None:
    expected = {
        ("TrailRole", "WriteEventsToLogGroup"): [
            (
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [f"{LOGS}:/aws/cloudtrail/{TRAIL_NAME}:log-stream:{ACCOUNT}_CloudTrail_{REGION}*"],
            ),
            (LOGS_KEY_ACTIONS, ["KEY"]),
        ],
    }
    assert granted(trail()) == expected


def granted(resolved: template.Stack) -> dict[tuple[str, str], list[Any]]:
    """Return actions and resources by role and policy; "KEY" is the stack's own key."""
    key_arn = resolved.outputs.get("KeyArn") or only_key_arn(resolved)
    found: dict[tuple[str, str], list[Any]] = {}
    for role, policy, statement in grants(resolved):
        resources = ["KEY" if each == key_arn else each for each in as_list(statement["Resource"])]
        found.setdefault((role, policy), []).append(
            (sorted(as_list(statement["Action"])), resources)
        )
    return found


def only_key_arn(resolved: template.Stack) -> str:
    (key,) = resolved.of_type("AWS::KMS::Key").values()
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key.physical_id}"


def objects_of(resolved: template.Stack) -> tuple[Any, Any]:
    """Return the objects that DeliveryRole may write, and those for which it may use the key."""
    statements = [
        (policy, statement)
        for role, policy, statement in grants(resolved)
        if role == "DeliveryRole"
    ]
    (written,) = (
        each["Resource"] for _, each in statements if "s3:PutObject" in as_list(each["Action"])
    )
    (encrypted,) = (
        each["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
        for policy, each in statements
        if policy == "EncryptObjects"
    )
    return written, encrypted


@pytest.mark.parametrize("prefix", ["", "a/b/", "consolelogin/"])
def test_a_new_prefix_removes_no_permission_if_the_bucket_is_the_stacks_own(prefix: str) -> None:
    # The role changes before the stream, and Firehose still writes buffered data to the old prefix.
    resolved = template.resolve(DOCUMENT, {"Prefix": prefix})
    assert objects_of(resolved) == (f"{BUCKET_ARN}/*", [BUCKET_ARN, f"{BUCKET_ARN}/*"])
    assert roles(resolved)["DeliveryRole"] == roles(stack())["DeliveryRole"]


@pytest.mark.parametrize("prefix", ["", "a/b/", "consolelogin/"])
@pytest.mark.parametrize("name", ["existing bucket", "another account's bucket and key"])
def test_permissions_for_an_existing_bucket_are_limited_to_the_prefix(
    name: str, prefix: str
) -> None:
    resolved = template.resolve(DOCUMENT, COMBINATIONS[name] | {"Prefix": prefix})
    bucket = "arn:aws:s3:::amzn-s3-demo-bucket"
    assert objects_of(resolved) == (f"{bucket}/{prefix}*", [bucket, f"{bucket}/{prefix}*"])


def test_the_owner_of_another_accounts_bucket_gets_full_control_of_its_objects() -> None:
    def s3_actions(name: str) -> set[str]:
        return {
            action
            for _, policy, statement in grants(stack(name))
            if policy == "WriteObjects"
            for action in statement["Action"]
        }

    added = s3_actions("another account's bucket and key") - s3_actions("existing bucket")
    assert added == {"s3:PutObjectAcl"}
    assert "s3:PutObjectAcl" not in s3_actions("nothing given")


@pytest.mark.parametrize(
    ("name", "bucket", "prefix"),
    [
        ("nothing given", BUCKET_ARN, ""),
        ("everything given", "arn:aws:s3:::amzn-s3-demo-bucket", "a/b/"),
        ("no folder, objects expire", BUCKET_ARN, ""),
    ],
)
def test_kms_is_allowed_in_the_bucket_key_form_and_the_object_form(
    name: str, bucket: str, prefix: str
) -> None:
    (statement,) = [each for _, policy, each in grants(stack(name)) if policy == "EncryptObjects"]
    assert statement["Condition"] == {
        "StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": [bucket, f"{bucket}/{prefix}*"]},
    }


def test_writers_of_encrypted_logs_may_use_the_key_through_cloudwatch_logs_alone() -> None:
    through_logs = [
        (role, statement["Condition"])
        for resolved in (stack(), trail())
        for role, _, statement in grants(resolved)
        if sorted(as_list(statement["Action"])) == LOGS_KEY_ACTIONS
    ]
    condition = {"StringEquals": {"kms:ViaService": f"logs.{REGION}.amazonaws.com"}}
    assert sorted(role for role, _ in through_logs) == [
        "DeliveryRole",
        "TrailRole",
        "TransformRole",
    ]
    assert all(found == condition for _, found in through_logs)


# Trust: the confused deputy -------------------------------------------------------------------


def test_firehose_assumes_its_role_with_the_accounts_external_id() -> None:
    statement = trust("DeliveryRole")
    assert statement["Principal"] == {"Service": "firehose.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": ACCOUNT}}


def test_cloudwatch_logs_assumes_its_role_for_this_accounts_log_groups() -> None:
    statement = trust("SubscriptionRole")
    assert statement["Principal"] == {"Service": "logs.amazonaws.com"}
    source = f"arn:aws:logs:{REGION}:{ACCOUNT}:*"
    assert statement["Condition"] == {"StringLike": {"aws:SourceArn": source}}


def test_cloudtrail_assumes_its_role_without_a_source_which_it_does_not_support() -> None:
    # AWS CloudTrail user guide, "Role policy document for CloudTrail to use CloudWatch Logs".
    statement = trust("TrailRole", "the trail")
    assert statement["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
    assert "Condition" not in statement


def test_lambda_assumes_the_functions_role() -> None:
    statement = trust("TransformRole")
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    function = only(stack(), "AWS::Lambda::Function")
    assert function["Role"].endswith(f":role/{STACK}-TransformRole")


# The key --------------------------------------------------------------------------------------


def test_the_key_rotates_and_has_an_alias() -> None:
    assert only(stack(), "AWS::KMS::Key")["EnableKeyRotation"] is True
    assert only(stack(), "AWS::KMS::Alias")["AliasName"] == f"alias/{NAME}"
    assert only(trail(), "AWS::KMS::Key")["EnableKeyRotation"] is True
    assert only(trail(), "AWS::KMS::Alias")["AliasName"] == f"alias/trail-{TRAIL_NAME}"


@every_combination
def test_cloudwatch_logs_may_use_the_key_for_the_stacks_log_groups_alone(name: str) -> None:
    resolved = template.resolve(DOCUMENT, COMBINATIONS[name] | {"ExistingKeyArn": ""})
    statement = key_statements(resolved)["CloudWatchLogsEncrypts"]
    assert statement["Principal"] == {"Service": f"logs.{REGION}.amazonaws.com"}
    assert statement["Action"] == [
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:Describe*",
    ]
    groups = [
        f"{LOGS}:{group.properties['LogGroupName']}"
        for group in resolved.of_type("AWS::Logs::LogGroup").values()
    ]
    ((operator, context),) = statement["Condition"].items()
    assert operator == "ArnLike"
    assert sorted(context["kms:EncryptionContext:aws:logs:arn"]) == sorted(groups)


def test_cloudwatch_alarms_may_publish_to_an_encrypted_topic() -> None:
    statement = key_statements(stack())["CloudWatchAlarmsPublish"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"},
    }


def test_cloudtrail_may_use_the_key_for_the_trail_alone() -> None:
    without = key_statements(stack())
    assert not [sid for sid in without if sid.startswith("CloudTrail")]
    found = key_statements(trail())
    source = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{TRAIL_NAME}"
    assert (
        source
        == f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/"
        + (only(trail(), "AWS::CloudTrail::Trail")["TrailName"])
    )
    assert found["CloudTrailEncrypts"]["Action"] == "kms:GenerateDataKey*"
    assert found["CloudTrailDescribesTheKey"]["Action"] == "kms:DescribeKey"
    for sid in ("CloudTrailEncrypts", "CloudTrailDescribesTheKey"):
        assert found[sid]["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert found[sid]["Condition"]["StringEquals"] == {"aws:SourceArn": source}
    assert found["CloudTrailEncrypts"]["Condition"]["StringLike"] == {
        "kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"
    }


@pytest.mark.parametrize("name", ["nothing given", "the trail"])
def test_the_account_keeps_the_key(name: str) -> None:
    statement = key_statements(stack(name))["AccountAdministersTheKey"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert statement["Action"] == "kms:*"


# What the owner of an existing key must add ---------------------------------------------------


def printed(**parameters: str) -> list[dict[str, Any]]:
    place = {"stack_name": STACK, "region": REGION, "account_id": ACCOUNT}
    statements: list[dict[str, Any]] = key_policy(DOCUMENT, parameters, **place)["Statement"]
    return statements


def test_key_policy_prints_the_statements_of_the_templates_own_key() -> None:
    own = key_statements(stack())
    del own["AccountAdministersTheKey"]
    statements = printed(ExistingKeyArn=KEY_ARN)
    assert statements[: len(own)] == list(own.values())


@pytest.mark.parametrize("name", TRAIL_COMBINATIONS)
def test_the_key_of_the_trail_serves_the_pipeline_that_it_names(name: str) -> None:
    resolved = trail(name)
    own = key_statements(resolved)
    # The pipeline's roles need no statement, because the key policy delegates to IAM.
    assert own["AccountAdministersTheKey"]["Action"] == "kms:*"
    statements = printed(
        Name=str(resolved.parameters["PipelineName"]), ExistingKeyArn=only_key_arn(resolved)
    )
    to_services = [each for each in statements if "Service" in each["Principal"]]
    assert {each["Sid"] for each in to_services} == {
        "CloudWatchLogsEncrypts",
        "CloudWatchAlarmsPublish",
    }
    for wanted in to_services:
        given = own[wanted["Sid"]]
        keys = ("Effect", "Principal", "Action", "Resource")
        assert {key: given[key] for key in keys} == {key: wanted[key] for key in keys}
        assert set(given["Condition"]) == set(wanted["Condition"])
        for operator, wanted_values in wanted["Condition"].items():
            given_values = given["Condition"][operator]
            assert set(given_values) == set(wanted_values)
            for key, values in wanted_values.items():
                assert set(as_list(values)) <= set(as_list(given_values[key])), key


def test_the_key_of_the_trail_is_open_for_three_log_groups() -> None:
    context = key_statements(trail())["CloudWatchLogsEncrypts"]["Condition"]["ArnLike"]
    assert context["kms:EncryptionContext:aws:logs:arn"] == [
        f"{LOGS}:/aws/cloudtrail/{TRAIL_NAME}",
        f"{LOGS}:/aws/lambda/{NAME}-transform",
        f"{LOGS}:/aws/kinesisfirehose/{NAME}",
    ]


@every_combination
def test_key_policy_allows_every_use_of_the_key_by_the_stacks_roles(name: str) -> None:
    statements = printed(**COMBINATIONS[name])
    for role, _, grant in grants(stack(name)):
        if "kms:Decrypt" not in grant["Action"]:
            continue
        service = grant["Condition"]["StringEquals"]["kms:ViaService"]
        (allowed,) = [
            statement
            for statement in statements
            if statement["Condition"].get("StringEquals") == {"kms:ViaService": service}
        ]
        assert (
            f"arn:aws:iam::{ACCOUNT}:role/{STACK}-{role}-*"
            in (allowed["Condition"]["ArnLike"]["aws:PrincipalArn"])
        )
        assert set(grant["Action"]) <= set(allowed["Action"])
        assert allowed["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_key_policy_opens_the_key_to_nobody_else() -> None:
    for statement in printed():
        assert statement["Condition"]
        assert statement["Effect"] == "Allow"
        assert statement["Principal"] != "*"
        assert "kms:*" not in as_list(statement["Action"])
        if "AWS" in statement["Principal"]:
            assert set(statement["Condition"]) == {"StringEquals", "ArnLike"}


def test_key_policy_covers_role_names_that_cloudformation_truncates() -> None:
    long = "a-stack-with-a-name-of-more-than-forty-characters"
    place = {"stack_name": long, "region": REGION, "account_id": ACCOUNT}
    last = key_policy(DOCUMENT, {}, **place)["Statement"][-1]
    assert last["Condition"]["ArnLike"] == {
        "aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/{long[:20]}*"]
    }


@pytest.mark.parametrize("key", ["garbage", KEY_ARN.replace("ap-northeast-1", "us-east-1")])
def test_key_policy_refuses_a_key_that_the_stack_could_not_use(key: str) -> None:
    with pytest.raises(template.TemplateError):
        printed(ExistingKeyArn=key)


def test_key_policy_on_the_command_line() -> None:
    command = [sys.executable, "-m", "console_login", "key-policy", "--stack", STACK]
    command += ["--region", REGION, "--account", ACCOUNT, "--parameter", "Name=sign-ins"]
    # The user's AWS configuration has no effect.
    environment = os.environ | {"AWS_PROFILE": "nowhere", "AWS_CONFIG_FILE": str(ROOT / "Makefile")}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["Statement"] == printed(Name="sign-ins")
    message, *commands = done.stderr.splitlines()
    assert message.startswith(
        "Append these statements to the Statement list of the key's policy; do n"
    )
    assert [shlex.split(each)[:4] for each in commands[::2]] == [
        ["aws", "--region", REGION, "kms"],
        ["aws", "--region", REGION, "kms"],
    ]
    assert "--key-id KEY_ARN" in commands[0]


# Buckets --------------------------------------------------------------------------------------


def bucket_policy(resolved: template.Stack) -> dict[str, dict[str, Any]]:
    statements = only(resolved, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    return {statement["Sid"]: statement for statement in statements}


def matches(condition: dict[str, dict[str, Any]], request: dict[str, str]) -> bool:
    """Whether a condition block matches, by the rules of the IAM user guide.

    A negated operator, with or without IfExists, matches an absent key.
    """
    for operator, keys in condition.items():
        for key, value in keys.items():
            present = key in request
            match operator:
                case "Null":
                    holds = present == (value == "false")
                case "Bool" | "StringEquals":
                    holds = present and request[key] == value
                case "StringNotEquals" | "StringNotEqualsIfExists":
                    holds = not present or request[key] != value
                case _:
                    raise AssertionError(operator)
            if not holds:
                return False
    return True


SSE = "s3:x-amz-server-side-encryption"


@pytest.mark.parametrize(
    ("headers", "denied"),
    [
        # Firehose, and every other writer that names the key.
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "OWN"}, False),
        # Without the header, S3 uses the bucket's default, which is the key.
        ({}, False),
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": KEY_ARN}, True),
        # The AWS-managed key.
        ({SSE: "aws:kms"}, True),
        ({SSE: "AES256"}, True),
        ({SSE: "aws:kms:dsse"}, True),
    ],
)
def test_the_wrong_key_is_denied_and_a_writer_without_the_header_is_not(
    headers: dict[str, str], denied: bool
) -> None:
    own = stack().outputs["KeyArn"]
    statement = bucket_policy(stack())["DenyTheWrongKey"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert (statement["Action"], statement["Resource"]) == ("s3:PutObject", f"{BUCKET_ARN}/*")
    request = {key: own if value == "OWN" else value for key, value in headers.items()}
    assert matches(statement["Condition"], request) is denied


@pytest.mark.parametrize(
    ("headers", "denied"),
    [
        ({f"{SSE}-customer-algorithm": "AES256"}, True),
        ({}, False),
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": KEY_ARN}, False),
    ],
)
def test_a_writers_own_key_is_denied(headers: dict[str, str], denied: bool) -> None:
    statement = bucket_policy(stack())["DenyWritersOwnKeys"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert (statement["Action"], statement["Resource"]) == ("s3:PutObject", f"{BUCKET_ARN}/*")
    assert matches(statement["Condition"], headers) is denied


@pytest.mark.parametrize(
    ("name", "bucket"),
    [("nothing given", BUCKET_ARN), ("the trail", f"arn:aws:s3:::{STACK}-trailbucket")],
)
def test_plain_http_is_denied(name: str, bucket: str) -> None:
    statement = bucket_policy(stack(name))["DenyPlainHttp"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Action"] == "s3:*"
    assert statement["Resource"] == [bucket, f"{bucket}/*"]
    assert matches(statement["Condition"], {"aws:SecureTransport": "false"})
    assert not matches(statement["Condition"], {"aws:SecureTransport": "true"})


def test_cloudtrail_may_write_this_accounts_files_of_this_trail() -> None:
    policy = bucket_policy(trail())
    source = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{TRAIL_NAME}"
    bucket = f"arn:aws:s3:::{STACK}-trailbucket"
    check, write = policy["CloudTrailChecksTheBucket"], policy["CloudTrailWrites"]
    assert (check["Action"], check["Resource"]) == ("s3:GetBucketAcl", bucket)
    assert check["Condition"] == {"StringEquals": {"aws:SourceArn": source}}
    assert write["Resource"] == f"{bucket}/AWSLogs/{ACCOUNT}/*"
    assert write["Condition"] == {
        "StringEquals": {"aws:SourceArn": source, "s3:x-amz-acl": "bucket-owner-full-control"}
    }
