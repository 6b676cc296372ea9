"""Who may do what, in the resolved template: one test a rule."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from stacks import COMBINATIONS, DOCUMENT, KEY_ARN, only, stack
from support import ROOT

from console_login.stack import place, template
from console_login.stack.key_policy import key_policy

REGION, ACCOUNT, STACK = place.REGION, place.ACCOUNT_ID, place.STACK_NAME
BUCKET_ARN = f"arn:aws:s3:::{STACK}-deliverybucket"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-TransformFunction"
STREAM_ARN = f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{STACK}-DeliveryStream"
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


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def roles(resolved: template.Stack) -> dict[str, dict[str, Any]]:
    found = resolved.of_type("AWS::IAM::Role")
    return {key: resource.properties for key, resource in found.items()}


def grants(resolved: template.Stack) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each statement of the roles, with its role and its policy's name."""
    for role, properties in roles(resolved).items():
        for policy in properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role, policy["PolicyName"], statement
    names = {role: resolved.resources[role].physical_id for role in roles(resolved)}
    for policy in resolved.of_type("AWS::IAM::Policy").values():
        (name,) = policy.properties["Roles"]
        (role,) = [role for role, physical_id in names.items() if physical_id == name]
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            yield role, policy.properties["PolicyName"], statement


def trust(role: str, name: str = "trail") -> dict[str, Any]:
    (statement,) = roles(stack(name))[role]["AssumeRolePolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
    return statement


def key_statements(resolved: template.Stack) -> dict[str, dict[str, Any]]:
    found = only(resolved, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    return {statement["Sid"]: statement for statement in found}


# Roles ----------------------------------------------------------------------------------------


@every_combination
def test_no_wildcard_action(name: str) -> None:
    for role, policy, statement in grants(stack(name)):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            assert "*" not in action, (role, policy)


@every_combination
def test_no_wildcard_resource_where_an_arn_exists(name: str) -> None:
    for role, policy, statement in grants(stack(name)):
        for resource in as_list(statement["Resource"]):
            # A wildcard may only stand at the end: versions, objects, numbered log streams.
            assert resource.count(":") >= 5, (role, policy, resource)
            assert "*" not in resource[:-1], (role, policy, resource)
            assert resource not in ("arn:aws:s3:::*", "*")


@every_combination
def test_no_managed_policy_and_one_named_policy_a_purpose(name: str) -> None:
    resolved = stack(name)
    for properties in roles(resolved).values():
        assert "ManagedPolicyArns" not in properties
        assert properties["Description"]
        names = [policy["PolicyName"] for policy in properties["Policies"]]
        assert len(names) == len(set(names))
    types = {resource.type for resource in resolved.resources.values()}
    assert "AWS::IAM::ManagedPolicy" not in types


@every_combination
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
                [f"{BUCKET_ARN}/consolelogin/*"],
            ),
        ],
        ("DeliveryRole", "EncryptObjects"): [(["kms:Decrypt", "kms:GenerateDataKey"], ["KEY"])],
        ("DeliveryRole", "LogDeliveryErrors"): [
            (
                ["logs:PutLogEvents"],
                [f"{LOGS}:/aws/kinesisfirehose/{STACK}:log-stream:DestinationDelivery"],
            ),
            (LOGS_KEY_ACTIONS, ["KEY"]),
        ],
        ("SubscriptionRole", "PutIntoStream"): [
            (["firehose:PutRecord", "firehose:PutRecordBatch"], [STREAM_ARN])
        ],
        ("TransformRole", "WriteLog"): [
            (
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [f"{LOGS}:/aws/lambda/{STACK}-transform:*"],
            ),
            (LOGS_KEY_ACTIONS, ["KEY"]),
        ],
        # On exactly this stream.
        ("TransformRole", "PutBackIntoStream"): [(["firehose:PutRecordBatch"], [STREAM_ARN])],
        ("TrailRole", "WriteEventsToLogGroup"): [
            (
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [f"{LOGS}:/aws/cloudtrail/{STACK}:log-stream:{ACCOUNT}_CloudTrail_{REGION}*"],
            ),
            (LOGS_KEY_ACTIONS, ["KEY"]),
        ],
    }
    resolved = stack("trail")
    found: dict[tuple[str, str], list[Any]] = {}
    for role, policy, statement in grants(resolved):
        resources = [
            "KEY" if each == resolved.outputs["KeyArn"] else each
            for each in as_list(statement["Resource"])
        ]
        found.setdefault((role, policy), []).append(
            (sorted(as_list(statement["Action"])), resources)
        )
    assert found == expected


def test_another_accounts_bucket_gets_full_control_of_its_objects() -> None:
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
        ("nothing given", BUCKET_ARN, "consolelogin/"),
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
        for role, _, statement in grants(stack("trail"))
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
    statement = trust("TrailRole")
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
    assert only(stack(), "AWS::KMS::Alias")["AliasName"] == f"alias/{STACK}"


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
    found = key_statements(stack("trail"))
    source = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{STACK}"
    assert (
        source
        == f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/"
        + (only(stack("trail"), "AWS::CloudTrail::Trail")["TrailName"])
    )
    assert found["CloudTrailEncrypts"]["Action"] == "kms:GenerateDataKey*"
    assert found["CloudTrailDescribesTheKey"]["Action"] == "kms:DescribeKey"
    for sid in ("CloudTrailEncrypts", "CloudTrailDescribesTheKey"):
        assert found[sid]["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert found[sid]["Condition"]["StringEquals"] == {"aws:SourceArn": source}
    assert found["CloudTrailEncrypts"]["Condition"]["StringLike"] == {
        "kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"
    }


def test_the_account_keeps_the_key() -> None:
    statement = key_statements(stack())["AccountAdministersTheKey"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert statement["Action"] == "kms:*"


# What the owner of an existing key must add ---------------------------------------------------


def printed(**parameters: str) -> list[dict[str, Any]]:
    place = {"stack_name": STACK, "region": REGION, "account_id": ACCOUNT}
    statements: list[dict[str, Any]] = key_policy(DOCUMENT, parameters, **place)["Statement"]
    return statements


@pytest.mark.parametrize("create_trail", ["false", "true"])
def test_key_policy_prints_what_the_template_gives_its_own_key(create_trail: str) -> None:
    own = key_statements(template.resolve(DOCUMENT, {"CreateTrail": create_trail}))
    del own["AccountAdministersTheKey"]
    statements = printed(CreateTrail=create_trail, ExistingKeyArn=KEY_ARN)
    assert statements[: len(own)] == list(own.values())


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
    for statement in printed(CreateTrail="true"):
        assert statement["Condition"]
        assert statement["Effect"] == "Allow"
        assert statement["Principal"] != "*"
        assert "kms:*" not in as_list(statement["Action"])
        if "AWS" in statement["Principal"]:
            assert set(statement["Condition"]) == {"StringEquals", "ArnLike"}


def test_key_policy_covers_role_names_that_cloudformation_cuts() -> None:
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
    command += ["--region", REGION, "--account", ACCOUNT, "--parameter", "CreateTrail=true"]
    # The user's AWS configuration has no say in it.
    environment = os.environ | {"AWS_PROFILE": "nowhere", "AWS_CONFIG_FILE": str(ROOT / "Makefile")}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["Statement"] == printed(CreateTrail="true")
    assert done.stderr == ""


# Buckets --------------------------------------------------------------------------------------


def bucket_policy(logical_id: str) -> dict[str, dict[str, Any]]:
    statements = stack("trail").resources[logical_id].properties["PolicyDocument"]["Statement"]
    return {statement["Sid"]: statement for statement in statements}


def matches(condition: dict[str, dict[str, Any]], request: dict[str, str]) -> bool:
    """Whether a condition block matches, by the IAM user guide's rules.

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
        # Firehose, and whoever else names the key.
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "OWN"}, False),
        # No header: the bucket's default, which is the key.
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
    own = stack("trail").outputs["KeyArn"]
    statement = bucket_policy("DeliveryBucketPolicy")["DenyTheWrongKey"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert (statement["Action"], statement["Resource"]) == ("s3:PutObject", f"{BUCKET_ARN}/*")
    request = {key: own if value == "OWN" else value for key, value in headers.items()}
    assert matches(statement["Condition"], request) is denied


@pytest.mark.parametrize(
    ("logical_id", "bucket"),
    [
        ("DeliveryBucketPolicy", BUCKET_ARN),
        ("TrailBucketPolicy", f"arn:aws:s3:::{STACK}-trailbucket"),
    ],
)
def test_plain_http_is_denied(logical_id: str, bucket: str) -> None:
    statement = bucket_policy(logical_id)["DenyPlainHttp"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Action"] == "s3:*"
    assert statement["Resource"] == [bucket, f"{bucket}/*"]
    assert matches(statement["Condition"], {"aws:SecureTransport": "false"})
    assert not matches(statement["Condition"], {"aws:SecureTransport": "true"})


def test_cloudtrail_may_write_this_accounts_files_of_this_trail() -> None:
    policy = bucket_policy("TrailBucketPolicy")
    source = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{STACK}"
    bucket = f"arn:aws:s3:::{STACK}-trailbucket"
    check, write = policy["CloudTrailChecksTheBucket"], policy["CloudTrailWrites"]
    assert (check["Action"], check["Resource"]) == ("s3:GetBucketAcl", bucket)
    assert check["Condition"] == {"StringEquals": {"aws:SourceArn": source}}
    assert write["Resource"] == f"{bucket}/AWSLogs/{ACCOUNT}/*"
    assert write["Condition"] == {
        "StringEquals": {"aws:SourceArn": source, "s3:x-amz-acl": "bucket-owner-full-control"}
    }
