"""Check that the policies of a stack of trail.yaml allow CloudTrail's requests."""

import json
from collections.abc import Mapping
from typing import Any

from console_login import shipped
from console_login.operate import permissions, role_permissions
from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Unchecked
from console_login.operate.subject import Reader
from console_login.stack import requests, template


def check_policies(reader: Reader, trail: Mapping[str, Any]) -> Checked:
    """Check that the policies of a stack of trail.yaml allow CloudTrail's requests.

    trail: as described by DescribeTrails. Yields nothing for a trail that no stack of trail.yaml
    created: its owner maintains its policies, and CloudTrail reports delivery errors itself.
    """
    try:
        stack = _trail_stack(reader, trail)
        if stack is None:
            return
        (key_id,) = (each.physical_id for each in stack.of_type("AWS::KMS::Key").values())
        bucket = stack.only("AWS::S3::Bucket").physical_id
        key_policy = permissions.key_policy(reader, key_id)
        bucket_policy = permissions.bucket_policy(reader, bucket)
        needs = requests.of_trail(stack)
        policies = {"kms": key_policy, "s3": bucket_policy}
        yield from role_permissions.check_role(reader, stack, needs, "TrailRole", policies)
    except AccessError as error:
        yield Unchecked(f"the policies of trail {trail['Name']}: {error}")
        return
    wanted_of_bucket = stack.only("AWS::S3::BucketPolicy").properties["PolicyDocument"]
    wanted_of_key = stack.only("AWS::KMS::Key").properties["KeyPolicy"]
    for service, what, wanted in (
        ("s3", f"bucket {bucket}", wanted_of_bucket),
        ("kms", f"key {key_id}", wanted_of_key),
    ):
        yield from permissions.check_resource_policy(
            reader,
            stack,
            what,
            [need for need in needs if need.request.action.startswith(f"{service}:")],
            policies[service],
            permissions.printed(json.dumps(wanted)),
            needed="requests that the trail needs",
        )


def _trail_stack(reader: Reader, trail: Mapping[str, Any]) -> template.Stack | None:
    """Return the stack of trail.yaml that created a trail, or None; may raise AccessError."""
    name, region = trail["Name"], trail["HomeRegion"]
    try:
        found = reader.call(
            "cloudformation", "describe_stack_resources", PhysicalResourceId=name, region=region
        )
    except AccessError as error:
        if "does not exist" not in str(error):
            raise
        return None
    stacks = {
        each["StackName"]
        for each in found["StackResources"]
        if (each["ResourceType"], each["PhysicalResourceId"]) == ("AWS::CloudTrail::Trail", name)
    }
    document = template.load(shipped.TRAIL)
    for stack_name in stacks:
        where: dict[str, Any] = {"region": region, "StackName": stack_name}
        (stack,) = reader.call("cloudformation", "describe_stacks", **where)["Stacks"]
        has = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
        physical_ids = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in found["StackResources"]
        }
        if document["Resources"].keys() <= physical_ids.keys():
            return template.resolve(
                document,
                {key: value for key, value in has.items() if key in document["Parameters"]},
                stack_name=stack_name,
                region=region,
                account_id=trail["TrailARN"].split(":")[4],
                physical_ids=physical_ids,
            )
    return None
