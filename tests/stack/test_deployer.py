"""docs/deployer-policy.json: the actions of a deploy, from the resource schemas in cfn-lint."""

import inspect
import json
from unittest import mock

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from samcli.cli.main import cli
from samcli.commands.deploy import command
from samcli.lib.bootstrap import bootstrap
from stacks import EVERY, stack
from support import ROOT

from console_login.stack import template
from console_login.stack.place import ACCOUNT_ID, REGION
from console_login.stack.policies import Decision, Request, evaluate

POLICY = json.loads((ROOT / "docs" / "deployer-policy.json").read_text())
DEPLOYER = f"arn:aws:iam::{ACCOUNT_ID}:role/deployer"

# Actions of resource handlers for properties that no template here sets.
NOT_NEEDED = {
    "s3": (
        *("PutBucketAbac", "PutObjectAcl", "DeleteObject", "REST.PUT.OBJECT"),
        *("CreateBucketMetadata", "UpdateBucketMetadata", "GetBucketMetadata"),
    ),
    "s3tables": ("",),
    "s3files": ("",),
    "ec2": ("",),
    "elasticfilesystem": ("",),
    # Only for an account that Lake Formation manages: docs/operations.md, "Queries".
    "lakeformation": ("",),
    "glue": tuple(f"{each}Connection" for each in ("Create", "Delete", "Get", "Pass", "Update")),
    "kms": ("CreateGrant", "RevokeGrant"),
    "iam": (
        # The roles here have no managed policies and no permissions boundaries.
        *("AttachRolePolicy", "DetachRolePolicy"),
        *("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
        "CreateServiceLinkedRole",
    ),
    "lambda": ("PassCapacityProvider", "AssociateRuntimeAlias"),
    "logs": ("CreateLogDelivery", "PutBearerTokenAuthentication"),
    "organizations": ("",),
}

_ARNS = {
    "AWS::Athena::NamedQuery": "athena:{region}:{account}:workgroup/console-login",
    "AWS::Athena::WorkGroup": "athena:{region}:{account}:workgroup/{name}",
    "AWS::CloudTrail::Trail": "cloudtrail:{region}:{account}:trail/{name}",
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::CloudWatch::Dashboard": "cloudwatch::{account}:dashboard/{name}",
    "AWS::Glue::Database": "glue:{region}:{account}:database/signinsdatabase-1a2b3c",
    "AWS::Glue::Table": "glue:{region}:{account}:table/signinsdatabase-1a2b3c/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::KMS::Alias": "kms:{region}:{account}:{name}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/{name}",
    "AWS::KinesisFirehose::DeliveryStream": "firehose:{region}:{account}:deliverystream/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Logs::Destination": "logs:{region}:{account}:destination:{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{topic}",
}
# Resources whose actions are authorized on another resource, which a property names.
_OF = {
    "AWS::Logs::LogStream": ("AWS::Logs::LogGroup", "LogGroupName"),
    "AWS::Logs::MetricFilter": ("AWS::Logs::LogGroup", "LogGroupName"),
    "AWS::Logs::SubscriptionFilter": ("AWS::Logs::LogGroup", "LogGroupName"),
    "AWS::S3::BucketPolicy": ("AWS::S3::Bucket", "Bucket"),
    "AWS::SNS::Subscription": ("AWS::SNS::Topic", "TopicArn"),
    "AWS::SNS::TopicPolicy": ("AWS::SNS::Topic", "Topics"),
}
# Resources of other services that handlers use.
_OTHERS = {
    "iam": f"arn:aws:iam::{ACCOUNT_ID}:role/console-login-firehose-DeliveryRole-1A2B3C",
    "kms": f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/11112222-3333-4444-5555-666677778888",
    "s3": "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a2b3c/0123",
    "firehose": f"arn:aws:firehose:{REGION}:{ACCOUNT_ID}:deliverystream/console-login-firehose",
}
# Together these combinations have every resource type.
DEFAULTS = ("everything optional", "an organization", "the trail", "queries", "a filter")


def stacks() -> list[template.Stack]:
    names = {"the trail": "console-login-trail", "queries": "console-login-athena"}
    return [
        template.resolve(
            EVERY[name][0],
            EVERY[name][1] | ({"Name": "console-login-fleet"} if "organ" in name else {}),
            stack_name=names.get(name, "console-login-firehose"),
        )
        for name in DEFAULTS
    ]


def arn_of(type_: str, resource: template.Resource) -> str:
    name = resource.physical_id
    if type_ in _OF:
        type_, key = _OF[type_]
        found = resource.properties[key]
        name = found if isinstance(found, str) else found[0]
    words = {"region": REGION, "account": ACCOUNT_ID, "name": name, "topic": name.split(":")[-1]}
    return f"arn:aws:{_ARNS[type_].format(**words)}"


def handlers(type_: str) -> set[str]:
    """Return the actions that create, read, update and delete a resource."""
    found = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, type_).schema["handlers"]
    kinds = ("create", "update", "delete", "read")
    return {each for kind in kinds for each in found.get(kind, {}).get("permissions", ())}


def is_needed(action: str) -> bool:
    service, name = action.split(":")
    return not name.startswith(NOT_NEEDED.get(service.lower(), "!"))


def allows(action: str, resource: str, passed_to: str = "firehose.amazonaws.com") -> bool:
    context = {"iam:PassedToService": passed_to} if action == "iam:PassRole" else {}
    # The resource's policy delegates to IAM, as the policy of the key does.
    account = f"arn:aws:iam::{ACCOUNT_ID}:root"
    open_ = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "*", "Resource": "*"}
    request = Request(DEPLOYER, action, resource, ACCOUNT_ID, context)
    return (
        evaluate(request, {"deployer": POLICY}, {"Statement": open_}).decision == Decision.ALLOWED
    )


@pytest.mark.parametrize("resolved", stacks(), ids=DEFAULTS)
def test_the_policy_allows_the_actions_of_every_resource(resolved: template.Stack) -> None:
    lacking = set()
    for resource in resolved.resources.values():
        own = resource.type.split("::")[1].lower().replace("kinesis", "")
        for action in filter(is_needed, handlers(resource.type)):
            service = action.split(":")[0].lower()
            arn = arn_of(resource.type, resource) if service == own else _OTHERS.get(service)
            assert arn, action
            # The user who runs a query writes the results, not the deployer.
            if service == "s3" and own == "athena":
                continue
            if not allows(action, arn):
                lacking.add((resource.type, action, arn))
    assert lacking == set()


def test_every_resource_type_is_covered() -> None:
    types = {each.type for name in EVERY for each in stack(name).resources.values()}
    assert types == {each.type for resolved in stacks() for each in resolved.resources.values()}


def test_the_bucket_of_the_sam_cli_can_be_created() -> None:
    bucket = "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1a2b3c"
    resources = json.loads(bootstrap._get_stack_template())["Resources"].values()
    assert {each["Type"] for each in resources} == {"AWS::S3::Bucket", "AWS::S3::BucketPolicy"}
    actions = {action for each in resources for action in handlers(each["Type"])}
    needed = [each for each in actions if each.startswith("s3:") and is_needed(each)]
    assert len(needed) > 20
    assert [each for each in needed if not allows(each, bucket)] == []
    for action in ("s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"):
        assert allows(action, f"{bucket}/0123456789abcdef.template")
    of_stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack"
    for name in ("aws-sam-cli-managed-default", "console-login-firehose", "console-login-trail"):
        for action in ("CreateChangeSet", "ExecuteChangeSet", "DescribeStacks", "DeleteStack"):
            assert allows(f"cloudformation:{action}", f"{of_stack}/{name}/1a2b")
    transform = f"arn:aws:cloudformation:{REGION}:aws:transform/Serverless-2016-10-31"
    assert allows("cloudformation:CreateChangeSet", transform)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:AttachRolePolicy", "iam::{account}:role/console-login-firehose-DeliveryRole-1"),
        ("iam:PutRolePolicy", "iam::{account}:role/administrator"),
        ("iam:PassRole", "iam::{account}:role/administrator"),
        ("iam:CreateUser", "iam::{account}:user/x"),
        ("sts:AssumeRole", "iam::{account}:role/console-login-firehose-DeliveryRole-1"),
        ("s3:GetObject", "s3:::console-login-firehose-deliverybucket-1/consolelogin/x.json"),
        ("s3:DeleteObjectVersion", "s3:::console-login-firehose-deliverybucket-1/x"),
        ("s3:DeleteBucket", "s3:::amzn-s3-demo-bucket"),
        ("lambda:InvokeFunction", "lambda:{region}:{account}:function:console-login-firehose"),
        ("lambda:UpdateFunctionCode", "lambda:{region}:{account}:function:other"),
        ("logs:FilterLogEvents", "logs:{region}:{account}:log-group:/aws/cloudtrail/x"),
        ("logs:PutLogEvents", "logs:{region}:{account}:log-group:/aws/cloudtrail/x"),
        ("cloudtrail:StopLogging", "cloudtrail:{region}:{account}:trail/other"),
        ("cloudformation:DeleteStack", "cloudformation:{region}:{account}:stack/other/1"),
    ],
)
def test_the_policy_allows_nothing_else(action: str, resource: str) -> None:
    arn = f"arn:aws:{resource.format(region=REGION, account=ACCOUNT_ID)}"
    assert not allows(action, arn)


def test_a_role_can_be_passed_to_no_other_service() -> None:
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/console-login-firehose-DeliveryRole-1A2B3C"
    assert allows("iam:PassRole", role)
    assert not allows("iam:PassRole", role, "ec2.amazonaws.com")


def test_the_policy_fits_a_managed_policy() -> None:
    # IAM quotas: 6,144 characters, without white space.
    assert len("".join(json.dumps(POLICY).split())) <= 6144


def test_a_deploy_from_ci_does_not_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    fleet = (ROOT / "docs" / "fleet.md").read_text()
    (line,) = [each for each in fleet.splitlines() if each.startswith("sam deploy --no-confirm")]
    signature = inspect.signature(command.do_cli)
    with mock.patch.object(command, "do_cli") as do_cli:
        cli(line.split()[1:], standalone_mode=False)
    given = signature.bind(*do_cli.call_args.args).arguments
    assert given["confirm_changeset"] is False
    assert given["fail_on_empty_changeset"] is False
    assert given["guided"] is False
    assert given["stack_name"] == "console-login-firehose"
