"""Tests docs/operations.md's commands for trail.yaml's stack, which `local --serve` lacks."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import programs
import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from moto import mock_aws
from shell import run
from support import ROOT

from console_login.stack import template

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
SECTION = DOCUMENT.split("\n## The trail's stack\n")[1].split("\n## ")[0]
BEGIN, IMPORT, REMOVE = re.findall(r"^```text\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
NAMES = {
    "TRAIL": "management-event",
    "TRAIL_STACK": "console-login-trail",
    "PIPELINE": "console-login-firehose",
    "TRAIL_BUCKET": "amzn-s3-demo-bucket",
    "TRAIL_KEY": "11112222-3333-4444-5555-666677778888",
    "TRAIL_ROLE": "console-login-trail-TrailRole-1",
}


@pytest.fixture
def typed(tmp_path: Path) -> list[list[str]]:
    """Run the import's commands in a folder with stubs; return the calls of aws and make."""
    (tmp_path / "trail.yaml").write_bytes((ROOT / "trail.yaml").read_bytes())
    for name in ("aws", "make"):
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        text = "import json, sys\nwith open('typed', 'a') as file:\n"
        programs.write(stub, text + "    print(json.dumps(sys.argv), file=file)\n", "-SE")
    environment = NAMES | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    subprocess.run(["sh", "-euc", IMPORT], cwd=tmp_path, env=environment, check=True)
    return [json.loads(line) for line in (tmp_path / "typed").read_text().splitlines()]


def test_the_import_template_has_what_is_retained_and_nothing_else(
    typed: list[list[str]], tmp_path: Path
) -> None:
    whole = template.load(ROOT / "trail.yaml")
    cut = template.load(tmp_path / "import.yaml")
    assert cut.pop("Resources") == {
        logical_id: each
        for logical_id, each in whole.pop("Resources").items()
        if "DeletionPolicy" in each
    }
    # An import refuses outputs, new or changed.
    assert set(whole) - set(cut) == {"Outputs"}


def test_each_retained_resource_is_identified_as_its_schema_says(
    typed: list[list[str]], tmp_path: Path
) -> None:
    resources = template.load(tmp_path / "import.yaml")["Resources"]
    wanted = json.loads((tmp_path / "import.json").read_text())
    types = {each["LogicalResourceId"]: each["ResourceType"] for each in wanted}
    assert types == {logical_id: each["Type"] for logical_id, each in resources.items()}
    for each in wanted:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", each["ResourceType"])
        identifiers = {path.split("/")[-1] for path in schema.schema["primaryIdentifier"]}
        assert set(each["ResourceIdentifier"]) == identifiers
        # CloudFormation can import only types with a read handler.
        assert "read" in schema.schema["handlers"]
        assert "" not in each["ResourceIdentifier"].values()


def test_the_import_gives_parameters_that_the_template_has(typed: list[list[str]]) -> None:
    create = next(each for each in typed if "create-change-set" in each)
    given = [each for each in create if each.startswith("ParameterKey=")]
    names = {re.split("[=,]", each)[1] for each in given}
    parameters = template.load(ROOT / "trail.yaml")["Parameters"]
    assert names == set(parameters) - {"LogRetentionDays"}
    assert parameters["LogRetentionDays"]["Default"] == 30
    operations = [each[2] for each in typed if each[0].endswith("aws")]
    assert operations == ["create-change-set", "wait", "execute-change-set", "wait"]
    model = boto3.client("cloudformation", region_name="us-east-1").meta.service_model
    shape = model.operation_model("CreateChangeSet").input_shape
    assert shape is not None
    options = {each[2:].replace("-", "").lower() for each in create if each.startswith("--")}
    assert options <= {name.lower() for name in shape.members}
    assert Path(typed[-1][0]).name == "make"
    assert typed[-1][1:] == ["deploy-trail"]


def test_removing_the_trail_for_good_leaves_nothing_but_a_key_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = REMOVE.splitlines()
    assert lines.pop(0) == 'sam delete --stack-name "$TRAIL_STACK"'
    (python,) = (number for number, line in enumerate(lines) if line.startswith(".venv"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    with mock_aws():
        key = made()
        # The shell's `aws` sends its requests to this process, where moto answers them.
        names = run(f"{BEGIN}\nenv", tmp_path, {})
        assert names.returncode == 0, names.stderr
        begun = dict(line.split("=", 1) for line in names.stdout.splitlines() if "=" in line)
        assert {name: begun[name] for name in NAMES} == NAMES | {"TRAIL_KEY": key}
        bucket = boto3.resource("s3").Bucket(NAMES["TRAIL_BUCKET"])
        assert len(list(bucket.object_versions.all())) == 2
        done = run("\n".join([BEGIN, *lines[:python]]), tmp_path, {})
        assert done.returncode == 0, done.stderr
        _, _, code, _ = shlex.split(lines[python])
        monkeypatch.setattr(sys, "argv", ["-c", NAMES["TRAIL_BUCKET"]])
        exec(code, {})
        done = run("\n".join(lines[python + 1 :]), tmp_path, {name: begun[name] for name in NAMES})
        assert done.returncode == 0, done.stderr
        assert not boto3.client("cloudtrail").list_trails()["Trails"]
        assert not boto3.client("s3").list_buckets()["Buckets"]
        assert not boto3.client("logs").describe_log_groups()["logGroups"]
        assert not boto3.client("iam").list_roles()["Roles"]
        described = boto3.client("kms").describe_key(KeyId=key)["KeyMetadata"]
        assert described["KeyState"] == "PendingDeletion"


def made() -> str:
    """Create the resources that trail.yaml retains; return the key's id."""
    (policy,) = template.load(ROOT / "trail.yaml")["Resources"]["TrailRole"]["Properties"][
        "Policies"
    ]
    key = boto3.client("kms").create_key()["KeyMetadata"]
    s3 = boto3.client("s3")
    where: Any = {"LocationConstraint": "ap-northeast-1"}
    s3.create_bucket(Bucket=NAMES["TRAIL_BUCKET"], CreateBucketConfiguration=where)
    s3.put_bucket_versioning(
        Bucket=NAMES["TRAIL_BUCKET"], VersioningConfiguration={"Status": "Enabled"}
    )
    for body in (b"1", b"2"):
        s3.put_object(Bucket=NAMES["TRAIL_BUCKET"], Key="AWSLogs/1", Body=body)
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName=f"/aws/cloudtrail/{NAMES['TRAIL']}")
    (group,) = logs.describe_log_groups()["logGroups"]
    iam = boto3.client("iam")
    role = iam.create_role(RoleName=NAMES["TRAIL_ROLE"], AssumeRolePolicyDocument="{}")["Role"]
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}],
    }
    iam.put_role_policy(
        RoleName=NAMES["TRAIL_ROLE"],
        PolicyName=policy["PolicyName"],
        PolicyDocument=json.dumps(document),
    )
    boto3.client("cloudtrail").create_trail(
        Name=NAMES["TRAIL"],
        S3BucketName=NAMES["TRAIL_BUCKET"],
        KmsKeyId=key["Arn"],
        CloudWatchLogsLogGroupArn=group["arn"],
        CloudWatchLogsRoleArn=role["Arn"],
    )
    return str(key["KeyId"])
