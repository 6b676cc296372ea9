"""Runs every command of docs/tutorial.md against moto, with the tutorial's resources and ours."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto_endpoint import serving_moto
from shell import blocks, run
from support import OSAKA, ROOT, TOKYO, envelope, gz

from console_login.local import moto_state as state
from console_login.stack import template
from console_login.stack.place import ACCOUNT_ID, REGION

DAY = "2026/11/24"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:blueprint"
ROLES = {"filter": "my-filter-role", "stream": "my-stream-role", "function": "my-function-role"}
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "firehose:PutRecord", "Resource": "*"}],
    }
)
PROCESSORS = {
    "without processing": None,
    "blueprint": {
        "Type": "Lambda",
        "Parameters": [
            {"ParameterName": "NumberOfRetries", "ParameterValue": "3"},
            {"ParameterName": "LambdaArn", "ParameterValue": f"{FUNCTION}:$LATEST"},
        ],
    },
}


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT_ID}:role/service-role/{ROLES[name]}"


def prepare(started: state.State, processor: Any) -> None:
    """Create the tutorial's resources as the console does, and a day of both pipelines' objects."""
    s3, firehose, iam = (state.client(each) for each in ("s3", "firehose", "iam"))
    for name in ROLES.values():
        iam.create_role(RoleName=name, Path="/service-role/", AssumeRolePolicyDocument="{}")
        policy = iam.create_policy(PolicyName=f"{name}-policy", PolicyDocument=POLICY)["Policy"]
        iam.attach_role_policy(RoleName=name, PolicyArn=policy["Arn"])
        iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=POLICY)
    location = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket="amzn-s3-demo-bucket", CreateBucketConfiguration=location)
    processors = [processor] if processor else []
    stream = firehose.create_delivery_stream(
        DeliveryStreamName="my-stream",
        ExtendedS3DestinationConfiguration={
            "RoleARN": role("stream"),
            "BucketARN": "arn:aws:s3:::amzn-s3-demo-bucket",
        }
        | (
            {"ProcessingConfiguration": {"Enabled": True, "Processors": processors}}
            if processor
            else {}
        ),
    )
    state.client("logs").put_subscription_filter(
        logGroupName=started.stack.outputs["LogGroupName"],
        filterName="my-filter",
        filterPattern='{ $.eventName = "ConsoleLogin" }',
        destinationArn=stream["DeliveryStreamARN"],
        roleArn=role("filter"),
    )
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "")
    state.client("lambda").create_function(
        FunctionName="blueprint",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role("function"),
        Code={"ZipFile": code.getvalue()},
    )
    # As an unchanged blueprint returns them, or as CloudWatch Logs sends them.
    texts = [envelope([TOKYO]), envelope([OSAKA])]
    body = b"".join(texts if processor else map(gz, texts))
    key = f"consolelogin/{DAY}/my-stream-1"
    s3.put_object(Bucket="amzn-s3-demo-bucket", Key=key, Body=body)
    started.put(f"sign-ins/{DAY}/console-login-firehose-1.json", f"{OSAKA}\n{TOKYO}\n".encode())


@pytest.fixture(params=PROCESSORS)
def made(request: Any) -> Iterator[tuple[str, str]]:
    """Yield an endpoint's URL and the name of the processing in the tutorial's stream."""
    with state.started(template.load(), {}) as started:
        prepare(started, PROCESSORS[request.param])
        with serving_moto(started.stack) as url:
            yield url, request.param


def test_every_command_runs_and_only_the_named_resources_are_deleted(
    made: tuple[str, str], tmp_path: Path
) -> None:
    url, processing = made
    texts = blocks(ROOT / "docs" / "tutorial.md")
    script = "\n".join(f"echo '### {number}'\n{text}" for number, text in enumerate(texts))
    done = run(script, tmp_path, {"AWS_ENDPOINT_URL": url})
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    printed = [part.split("\n", 1)[1] for part in done.stdout.split("### ")[1:]]
    assert printed[1].splitlines()[-1] == "both sides have the same events"
    gone = {"filter", "stream"} | ({"function"} if processing == "blueprint" else set())
    assert printed[2].split()[:2] == [role("filter"), role("stream")]

    iam, logs, firehose = (state.client(each) for each in ("iam", "logs", "firehose"))
    left = {each["RoleName"] for each in iam.list_roles()["Roles"]}
    assert left & set(ROLES.values()) == {ROLES[name] for name in ROLES.keys() - gone}
    # The loop does not delete the policies, and the last block lists them.
    names = {line.split("\t")[0] for line in printed[-1].splitlines() if line.startswith("my-")}
    assert names == {f"{ROLES[name]}-policy" for name in gone}
    filters = logs.describe_subscription_filters(logGroupName="/aws/cloudtrail/management-event")
    assert "my-filter" not in {each["filterName"] for each in filters["subscriptionFilters"]}
    assert "my-stream" not in firehose.list_delivery_streams()["DeliveryStreamNames"]
    functions = state.client("lambda").list_functions()["Functions"]
    assert ("blueprint" in {each["FunctionName"] for each in functions}) == ("function" not in gone)
    objects = state.client("s3").list_objects_v2(Bucket="amzn-s3-demo-bucket")["Contents"]
    assert [each["Key"] for each in objects] == [f"consolelogin/{DAY}/my-stream-1"]
