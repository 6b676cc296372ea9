"""`console-login doctor` on the policies of a stack of trail.yaml."""

import copy
import json
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from doctored import STACK, result_of
from serving import REGION
from stacks import TRAIL as DOCUMENT

from console_login.operate import trail_permissions
from console_login.operate.access import Access, AccessError
from console_login.operate.checks import FINDING, OK, Checked, Finding, Unchecked
from console_login.operate.subject import Reader, Subject
from console_login.stack import template

ACCOUNT, NAME = "111122223333", "management-event"
ROLE = "trail-TrailRole-1A2B3C4D5E6F"
TRAIL = {
    "Name": NAME,
    "HomeRegion": REGION,
    "TrailARN": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{NAME}",
}


def refused(operation: str, code: str = "AccessDenied", message: str = "no") -> AccessError:
    error = AccessError(f"{operation}: {code}: {message}")
    error.__cause__ = ClientError({"Error": {"Code": code, "Message": message}}, operation)
    return error


class Deployed(Reader):
    """An account with a stack of trail.yaml, as AWS's APIs describe it; tests change its parts."""

    def __init__(self) -> None:
        super().__init__(Access(None, REGION))
        self.stack = template.resolve(
            DOCUMENT, stack_name="trail", physical_ids={"TrailRole": ROLE}
        )
        properties = {key: copy.deepcopy(r.properties) for key, r in self.stack.resources.items()}
        role = properties["TrailRole"]
        self.identity = {each["PolicyName"]: each["PolicyDocument"] for each in role["Policies"]}
        self.role: dict[str, Any] = {"AssumeRolePolicyDocument": role["AssumeRolePolicyDocument"]}
        self.key = properties["EncryptionKey"]["KeyPolicy"]
        self.bucket = properties["TrailBucketPolicy"]["PolicyDocument"]
        self.resources = [
            {
                "StackName": "trail",
                "LogicalResourceId": key,
                "PhysicalResourceId": NAME if key == "Trail" else resource.physical_id,
                "ResourceType": resource.type,
            }
            for key, resource in self.stack.resources.items()
        ]
        self.refuses: dict[str, AccessError] = {}

    def call(self, service: str, operation: str, *, region: str | None = None, **args: Any) -> Any:
        if operation in self.refuses:
            raise self.refuses[operation]
        match operation:
            case "describe_stack_resources":
                assert args == {"PhysicalResourceId": NAME}
                return {"StackResources": self.resources}
            case "describe_stacks":
                given = [
                    {"ParameterKey": key, "ParameterValue": str(value)}
                    for key, value in self.stack.parameters.items()
                ]
                return {"Stacks": [{"Parameters": given}]}
            case "get_role":
                assert args == {"RoleName": ROLE}
                return {"Role": self.role}
            case "get_role_policy":
                return {"PolicyDocument": self.identity[args["PolicyName"]]}
            case "get_key_policy":
                return {"Policy": json.dumps(self.key)}
            case "get_bucket_policy":
                return {"Policy": json.dumps(self.bucket)}
        raise AssertionError(operation)

    def pages(self, service: str, operation: str, key: str) -> Any:
        return lambda **_: iter(self.identity if operation == "list_role_policies" else ())


def found(deployed: Deployed) -> list[Any]:
    return list(trail_permissions.check_policies(deployed, TRAIL))


def test_an_unchanged_stack_of_trail_yaml_has_no_finding() -> None:
    said = found(Deployed())
    assert all(isinstance(each, str) for each in said)
    assert f"role {ROLE}: 7 requests, and its trust policy" in said
    assert len(said) == 3


def no_bucket_write(deployed: Deployed) -> None:
    deployed.bucket["Statement"] = deployed.bucket["Statement"][:1]


def deny_in_bucket(deployed: Deployed) -> None:
    deny = {"Sid": "Never", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject"}
    deployed.bucket["Statement"].append(deny | {"Resource": "*"})


def another_trail_in_key(deployed: Deployed) -> None:
    text = json.dumps(deployed.key).replace(f":trail/{NAME}", ":trail/other")
    deployed.key = json.loads(text)


def no_logs_in_key(deployed: Deployed) -> None:
    deployed.key["Statement"] = [
        each for each in deployed.key["Statement"] if each["Sid"] != "CloudWatchLogsEncrypts"
    ]


def no_role_policy(deployed: Deployed) -> None:
    deployed.identity = {}


def deny_in_role(deployed: Deployed) -> None:
    deployed.identity["Other"] = {
        "Statement": {"Effect": "Deny", "Action": "logs:*", "Resource": "*"}
    }


def no_trust(deployed: Deployed) -> None:
    statement = deployed.role["AssumeRolePolicyDocument"]["Statement"][0]
    statement["Principal"] = {"Service": "ec2.amazonaws.com"}


@pytest.mark.parametrize(
    ("damage", "words", "remedy"),
    [
        (no_bucket_write, "cloudtrail.amazonaws.com: s3:PutObject of CloudTrail", "put-bucket-"),
        (deny_in_bucket, "denied by Never", "put-bucket-policy"),
        (another_trail_in_key, "kms:GenerateDataKey for events of us-east-1", "put-key-policy"),
        (no_logs_in_key, f"logs.{REGION}.amazonaws.com: kms:Encrypt for", "put-key-policy"),
        (no_role_policy, "TrailRole: logs:PutLogEvents of stream", "put-role-policy"),
        (
            deny_in_role,
            "denied by statement 1 of Other",
            "remove or narrow the Deny: statement 1 of",
        ),
        (no_trust, "cannot be assumed: cloudtrail.amazonaws.com", "update-assume-role-policy"),
    ],
)
def test_a_denied_request_of_cloudtrail_is_a_finding(
    damage: Callable[[Deployed], None], words: str, remedy: str
) -> None:
    deployed = Deployed()
    damage(deployed)
    (finding,) = (each for each in found(deployed) if isinstance(each, Finding))
    assert words in finding.problem
    assert any(remedy in line for line in finding.remedy)
    assert all(shlex.split(line, comments=True) or line.startswith("#") for line in finding.remedy)


def test_a_bucket_without_a_policy_gets_one(tmp_path: Path) -> None:
    deployed = Deployed()
    deployed.refuses["get_bucket_policy"] = refused("GetBucketPolicy", "NoSuchBucketPolicy")
    (finding,) = (each for each in found(deployed) if isinstance(each, Finding))
    *lines, put = finding.remedy
    # None of these lines calls AWS, because there is no policy to print.
    for line in lines:
        subprocess.run(["sh", "-ec", line], cwd=tmp_path, check=True)
    assert " put-bucket-policy " in put
    assert put.endswith(" file://policy.json")
    assert json.loads((tmp_path / "policy.json").read_text()) == deployed.bucket


@pytest.mark.parametrize(
    "operation",
    [
        *("describe_stack_resources", "describe_stacks", "get_role", "get_role_policy"),
        *("get_key_policy", "get_bucket_policy"),
    ],
)
def test_a_denied_call_is_not_reported_as_ok(operation: str) -> None:
    deployed = Deployed()
    deployed.refuses[operation] = refused(operation)
    said = found(deployed)
    assert not [each for each in said if isinstance(each, Finding)]
    assert any(isinstance(each, Unchecked) for each in said)


def test_a_trail_of_no_stack_of_trail_yaml_is_not_checked() -> None:
    deployed = Deployed()
    deployed.refuses["describe_stack_resources"] = refused(
        "DescribeStackResources", "ValidationError", f"Stack for {NAME} does not exist"
    )
    assert found(deployed) == []
    # A stack of another template created the trail.
    deployed = Deployed()
    deployed.resources = [each for each in deployed.resources if each["StackName"] == "trail"][:1]
    assert found(deployed) == []


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("is_in_order", [True, False])
def test_doctor_checks_the_policies_of_the_log_groups_trail(
    is_in_order: bool, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_policies(_: Reader, trail: Any) -> Checked:
        yield "7 requests" if is_in_order else Finding(f"refuses {trail['Name']}", ["# look"])

    monkeypatch.setattr(trail_permissions, "check_policies", check_policies)
    result = result_of("trail", Subject(access, STACK, 24, time.time()))
    assert result.status == (OK if is_in_order else FINDING)
    assert [each.problem for each in result.findings] == (
        [] if is_in_order else ["refuses management-events"]
    )
