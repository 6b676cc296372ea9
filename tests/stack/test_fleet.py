"""Many accounts: the pipeline's destination, filter.yaml, and docs/fleet.md."""

import json
import re
import shlex
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.model import Shape, StringShape
from stacks import DOCUMENT, FILTER, FILTER_COMBINATIONS, ORGANIZATION, needs, only, stack
from support import ROOT

from console_login.stack import template

FLEET = (ROOT / "docs" / "fleet.md").read_text()
COMMANDS = re.findall(r"^ *aws (.+)$", FLEET, re.MULTILINE)
# Commands of the AWS CLI that are not API operations.
OWN_COMMANDS = {("cloudformation", "deploy"), ("s3", "cp")}


def test_the_destination_feeds_this_stream_with_the_filters_role() -> None:
    resolved = stack("an organization")
    destination = only(resolved, "AWS::Logs::Destination")
    assert destination["TargetArn"] == resolved.outputs["DeliveryStreamArn"]
    # The role is created before the destination, because CloudWatch Logs tests it immediately.
    assert destination["RoleArn"] == only(resolved, "AWS::Logs::SubscriptionFilter")["RoleArn"]
    assert {"SubscriptionRole", "DeliveryStream", "TransformFunction"} <= needs(
        resolved, "Destination"
    )
    assert not stack().of_type("AWS::Logs::Destination")


def test_only_the_organization_may_use_the_destination() -> None:
    resolved = stack("an organization")
    policy = json.loads(only(resolved, "AWS::Logs::Destination")["DestinationPolicy"])
    (statement,) = policy["Statement"]
    assert statement == {
        "Sid": "OrganizationSubscribes",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "logs:PutSubscriptionFilter",
        "Resource": resolved.outputs["DestinationArn"],
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}},
    }


def test_an_organization_adds_nothing_else() -> None:
    without = template.resolve(DOCUMENT, {"Name": "fleet"}).resources
    added = stack("an organization").resources
    assert set(added) - set(without) == {"Destination"}
    changed = {each for each in without if added[each].properties != without[each].properties}
    assert changed == {"SubscriptionRole"}
    # The role may still only put records into this stream.
    policies = [found["SubscriptionRole"].properties["Policies"] for found in (without, added)]
    assert policies[0] == policies[1]


def test_stacksets_can_deploy_the_filters_template() -> None:
    # It has no transform, no nested stack, and no name that accounts or stacks would share.
    assert "Transform" not in FILTER
    types = {logical_id: each["Type"] for logical_id, each in FILTER["Resources"].items()}
    assert types == {
        "SubscriptionFilter": "AWS::Logs::SubscriptionFilter",
        "SenderRole": "AWS::IAM::Role",
    }
    required = [name for name, each in FILTER["Parameters"].items() if "Default" not in each]
    # StackSets use the same values in each account.
    assert required == ["DestinationArn"]


@pytest.mark.parametrize("names", ["ConsoleLogin", "ConsoleLogin,CheckMfa", "*"])
def test_the_filter_selects_the_same_events_as_the_pipelines_filter(names: str) -> None:
    pipeline = template.resolve(DOCUMENT, {"EventNames": names, "OrganizationId": ORGANIZATION})
    given = {"EventNames": names, "DestinationArn": pipeline.outputs["DestinationArn"]}
    theirs = template.resolve(FILTER, given, account_id="444455556666")
    own, other = (only(each, "AWS::Logs::SubscriptionFilter") for each in (pipeline, theirs))
    for key in ("FilterName", "LogGroupName", "FilterPattern"):
        assert own[key] == other[key]
    assert other["DestinationArn"] == pipeline.outputs["DestinationArn"]
    assert other["RoleArn"] == "arn:aws:iam::444455556666:role/console-login-firehose-SenderRole"


@pytest.mark.parametrize("name", FILTER_COMBINATIONS)
def test_the_senders_role_is_the_documented_one(name: str) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CreateSubscriptionFilter-IAMrole.html
    resolved = stack(name)
    role = only(resolved, "AWS::IAM::Role")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Effect": "Allow",
        "Principal": {"Service": "logs.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    ((statement,),) = (each["PolicyDocument"]["Statement"] for each in role["Policies"])
    group = only(resolved, "AWS::Logs::SubscriptionFilter")["LogGroupName"]
    assert statement == {
        "Effect": "Allow",
        "Action": "logs:PutLogEvents",
        "Resource": f"arn:aws:logs:ap-northeast-1:111122223333:log-group:{group}:*",
    }


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "arn:aws:firehose:ap-northeast-1:111122223333:deliverystream/x",
        "arn:aws:logs:ap-northeast-1:111122223333:log-group:x",
        "arn:aws:logs:ap-northeast-1:111122223333:destination:",
    ],
)
def test_only_a_destination_is_accepted(arn: str) -> None:
    with pytest.raises(template.TemplateError, match="ARN of a CloudWatch Logs destination"):
        template.resolve(FILTER, {"DestinationArn": arn})


# docs/fleet.md ----------------------------------------------------------------------------------


def value(shape: Shape, texts: list[str]) -> Any:
    """Parse an option's value as the AWS CLI does; fail if the AWS CLI would reject it."""
    if shape.type_name == "list":
        return [value(shape.member, [text]) for text in texts]  # type: ignore[attr-defined]
    (text,) = texts
    match shape.type_name:
        case "structure":
            # A backslash before a comma makes it part of the value.
            parts = [part.replace("\\,", ",") for part in re.split(r"(?<!\\),", text)]
            pairs = dict(part.split("=", 1) for part in parts)
            members = shape.members  # type: ignore[attr-defined]
            # A list of one item needs no brackets.
            return {key: value(members[key], [each]) for key, each in pairs.items()}
        case "integer":
            return int(text)
        case "boolean":
            return {"true": True, "false": False}[text]
    if isinstance(shape, StringShape) and shape.enum:
        assert text in shape.enum, text
    return text


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: " ".join(line.split()[:2]))
def test_the_aws_cli_accepts_the_command(line: str) -> None:
    service, operation, *words = shlex.split(line)
    if (service, operation) in OWN_COMMANDS:
        return
    client: Any = boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]
    name = client.meta.method_to_api_mapping[operation.replace("-", "_")]
    shape = client.meta.service_model.operation_model(name).input_shape
    members = {xform_name(key, "-"): each for key, each in shape.members.items()}
    given = set()
    for option in " ".join(words).split("--")[1:]:
        key, *texts = option.split()
        given.add(key.removeprefix("no-"))
        if texts:
            value(members[key], texts)
        else:
            assert members[key.removeprefix("no-")].type_name == "boolean"
    assert {xform_name(each, "-") for each in shape.required_members} <= given


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) >= 8


def test_every_version_has_a_row() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.+)$", changes, re.MULTILINE)
    table = FLEET.split("## Upgrade by version\n")[1]
    rows = re.findall(r"^\| (?!version|-)(.+?) \| .+ \| .+ \|$", table, re.MULTILINE)
    assert rows == versions


def test_the_organization_in_the_example_is_accepted() -> None:
    (item,) = re.findall(r"'(OrganizationId=\S+)',", FLEET)
    name, _, given = item.partition("=")
    assert template.resolve(DOCUMENT, {name: given}).parameters[name] == given
