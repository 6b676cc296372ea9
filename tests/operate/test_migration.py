"""Runs every command of docs/migration.md against moto and a stream with native decompression.

moto stores a stream's configuration, but processes no records.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto_endpoint import serving_moto
from shell import blocks, run
from support import OSAKA, ROOT, TOKYO

from console_login.local import moto_state as state
from console_login.stack import template
from console_login.stack.place import ACCOUNT_ID, REGION

DAY = "2026/11/24"
FUNCTION = "console-login-firehose-transform"
FUNCTION_ROLE = "console-login-firehose-TransformRole"
POLICY = """\
aws iam get-role-policy --role-name {} --policy-name {} --query PolicyDocument
echo ---
"""
NATIVE = [
    {
        "Type": "Decompression",
        "Parameters": [{"ParameterName": "CompressionFormat", "ParameterValue": "GZIP"}],
    },
    {
        "Type": "CloudWatchLogProcessing",
        "Parameters": [{"ParameterName": "DataMessageExtraction", "ParameterValue": "true"}],
    },
]


@pytest.fixture
def endpoint_url() -> Iterator[str]:
    with state.started(template.load(), {}) as started:
        prepare(started)
        with serving_moto(started.stack) as url:
            yield url


def prepare(started: state.State) -> None:
    s3, firehose, iam = (state.client(each) for each in ("s3", "firehose", "iam"))
    location = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="amzn-s3-demo-bucket", CreateBucketConfiguration=location)
    iam.create_role(RoleName="old", AssumeRolePolicyDocument="{}")
    firehose.create_delivery_stream(
        DeliveryStreamName="my-stream",
        ExtendedS3DestinationConfiguration={
            "RoleARN": f"arn:aws:iam::{ACCOUNT_ID}:role/old",
            "BucketARN": "arn:aws:s3:::amzn-s3-demo-bucket",
            "ProcessingConfiguration": {"Enabled": True, "Processors": NATIVE},
        },
    )
    arn = firehose.describe_delivery_stream(DeliveryStreamName="my-stream")
    state.client("logs").put_subscription_filter(
        logGroupName=started.stack.outputs["LogGroupName"],
        filterName="my-filter",
        filterPattern="",
        destinationArn=arn["DeliveryStreamDescription"]["DeliveryStreamARN"],
        roleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/old",
    )
    s3.put_object(
        Bucket="amzn-s3-demo-bucket",
        Key=f"sign-ins/{DAY}/my-stream-1",
        Body=f"{TOKYO}\n{OSAKA}\n".encode(),
    )
    started.put(f"consolelogin/{DAY}/new-stream-1.json", f"{OSAKA}\n{TOKYO}\n".encode())


def test_every_command_runs(endpoint_url: str, tmp_path: Path) -> None:
    texts = blocks(ROOT / "docs" / "migration.md")
    assert len(texts) == 8
    policies = {"old": "InvokeConsoleLoginTransform", FUNCTION_ROLE: "PutBackIntoOldStream"}
    # Read the policies before the rollback deletes them.
    texts.insert(7, "".join(POLICY.format(role, name) for role, name in policies.items()))
    script = "\n".join(f"echo '### {number}'\n{text}" for number, text in enumerate(texts))
    done = run(script, tmp_path, {"AWS_ENDPOINT_URL": endpoint_url})
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    printed = [part.split("\n", 1)[1] for part in done.stdout.split("### ")[1:]]
    assert printed[1].startswith("my-filter\t")
    assert printed[2].splitlines()[-1] == "both sides have the same events"
    assert printed[6].split() == ["Lambda"]
    invoke, put_back = (json.loads(text) for text in printed[7].split("---\n")[:2])
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{FUNCTION}"
    assert invoke["Statement"][0]["Resource"] == [arn, f"{arn}:*"]
    assert put_back["Statement"][0]["Resource"].endswith(":deliverystream/my-stream")
    # The rollback.
    assert printed[8].split()[-2:] == ["Decompression", "CloudWatchLogProcessing"]
    for role, name in policies.items():
        assert name not in state.client("iam").list_role_policies(RoleName=role)["PolicyNames"]
    filters = state.client("logs").describe_subscription_filters(
        logGroupName="/aws/cloudtrail/management-event"
    )
    assert filters["subscriptionFilters"] == []


def test_the_documented_native_processors_match_the_api() -> None:
    text = (ROOT / "docs" / "migration.md").read_text()
    written = text.split("NATIVE='")[1].split("'\n")[0]
    assert json.loads(f"[{written}]") == NATIVE
