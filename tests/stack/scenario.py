"""The policies of the templates, and the requests that they must allow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks import COMBINATIONS, DOCUMENT, TRAIL, TRAIL_COMBINATIONS
from support import ROOT

from console_login.stack import policies, requests, template
from console_login.stack.key_policy import key_policy
from console_login.stack.policies import Answer, Request

# Names as CloudFormation generates them. The patterns in the printed key policy must match them.
ROLES = ("TrailRole", "SubscriptionRole", "DeliveryRole", "TransformRole")
PHYSICAL_IDS = {role: f"console-login-firehose-{role}-1A2B3C4D5E6F" for role in ROLES}

EVERYTHING = {"everything": {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}


def trusting(principal: str, *statements: Any) -> dict[str, Any]:
    """Return a key policy with an administrator and these statements."""
    first = {
        "Sid": "Administrator",
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "kms:*",
        "Resource": "*",
    }
    return {"Version": "2012-10-17", "Statement": [first, *statements]}


@dataclass
class Scenario:
    """A stack's policies, and the requests that they must allow.

    identities: the policies of roles and others, by ARN and name.
    resources: the policies of resources, by ARN.
    """

    stack: template.Stack
    needs: list[requests.Need]
    key_arn: str
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in self.stack.of_type("AWS::IAM::Role").values():
            arn = f"arn:aws:iam::{self.stack.account_id}:role/{role.physical_id}"
            found = role.properties["Policies"]
            self.identities[arn] = {each["PolicyName"]: each["PolicyDocument"] for each in found}
            self.resources[arn] = role.properties["AssumeRolePolicyDocument"]
        for policy in self.stack.of_type("AWS::S3::BucketPolicy").values():
            arn = f"arn:aws:s3:::{policy.properties['Bucket']}"
            self.resources[arn] = policy.properties["PolicyDocument"]
        for policy in self.stack.of_type("AWS::SNS::TopicPolicy").values():
            for arn in policy.properties["Topics"]:
                self.resources[arn] = policy.properties["PolicyDocument"]
        for destination in self.stack.of_type("AWS::Logs::Destination").values():
            arn = self.stack.outputs["DestinationArn"]
            self.resources[arn] = json.loads(destination.properties["DestinationPolicy"])
            # The deployer's own account allows everything, so the destination's policy decides.
            self.identities[requests.MEMBERS_DEPLOYER] = EVERYTHING
        for key in self.stack.of_type("AWS::KMS::Key").values():
            self.resources[self.key_arn] = key.properties["KeyPolicy"]

    def policies_for(
        self, request: Request, extra: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], Any]:
        """Return the identity policies and the resource policy that apply to a request."""
        identity = self.identities.get(request.who, {}) | dict(extra or {})
        service = request.resource.split(":")[2]
        arn = request.resource.split("/")[0] if service == "s3" else request.resource
        return identity, self.resources.get(arn)

    def answer(self, request: Request, extra: Mapping[str, Any] | None = None) -> Answer:
        identity, resource = self.policies_for(request, extra)
        return policies.evaluate(request, identity, resource)


def pipeline(name: str, *, key_trusts_iam: bool = True) -> Scenario:
    """Return a combination's stack; an existing key has the policy that `key-policy` prints."""
    parameters = COMBINATIONS[name]
    stack = template.resolve(DOCUMENT, parameters, physical_ids=PHYSICAL_IDS)
    arn = stack.outputs["KeyArn"]
    scenario = Scenario(stack, requests.of_pipeline(stack), arn)
    if arn not in scenario.resources:
        place: dict[str, Any] = {
            "stack_name": stack.name,
            "region": stack.region,
            "account_id": stack.account_id,
        }
        statements = key_policy(DOCUMENT, parameters, **place)["Statement"]
        end = "root" if key_trusts_iam else "role/key-administrator"
        scenario.resources[arn] = trusting(f"arn:aws:iam::{arn.split(':')[4]}:{end}", *statements)
    if stack.parameters["ExistingBucketOwner"]:
        scenario.resources[f"arn:aws:s3:::{stack.outputs['BucketName']}"] = central_bucket(stack)
    return scenario


def central_bucket(stack: template.Stack) -> dict[str, Any]:
    """Return the bucket policy in docs/deploy.md for a bucket of another account."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    block = text.split("## Into a central bucket")[1].split("```json\n")[1].split("```")[0]
    prefix = str(stack.parameters["Prefix"])
    block = block.replace("consolelogin/111122223333/", prefix)
    return {"Version": "2012-10-17", "Statement": json.loads(block)}


def trail(name: str) -> Scenario:
    stack = template.resolve(TRAIL, TRAIL_COMBINATIONS[name], physical_ids=PHYSICAL_IDS)
    needs = requests.of_trail(stack)
    (key,) = {each.request.resource for each in needs if ":kms:" in each.request.resource}
    return Scenario(stack, needs, key)
