"""The resolved template's S3, KMS, Logs and Firehose parts, taken by moto's own API checks.

This finds what the schemas miss: a policy that is no JSON, a name or a value out of range. moto
enforces no permission, runs no processor and matches every filter pattern: nothing of that is
asserted here.
"""

import json

import pytest
from stacks import COMBINATIONS, DOCUMENT, stack

from console_login.local import moto_state as state


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_apis_take_what_the_template_says(name: str) -> None:
    with state.started(DOCUMENT, COMBINATIONS[name]) as started:
        resolved = started.stack
        for policy in resolved.of_type("AWS::S3::BucketPolicy").values():
            document = json.dumps(policy.properties["PolicyDocument"])
            bucket = policy.properties["Bucket"]
            state.call("s3", "put_bucket_policy", Bucket=bucket, Policy=document)
        (stream,) = resolved.of_type("AWS::KinesisFirehose::DeliveryStream").values()
        arguments = {"DeliveryStreamName": "stream", **stream.properties}
        state.call("firehose", "create_delivery_stream", **arguments)
        firehose = state.client("firehose")
        described = firehose.describe_delivery_stream(DeliveryStreamName="stream")
        (destination,) = described["DeliveryStreamDescription"]["Destinations"]
        found = destination["ExtendedS3DestinationDescription"]
        asked = stream.properties["ExtendedS3DestinationConfiguration"]
        for key in ("BucketARN", "Prefix", "ErrorOutputPrefix", "FileExtension", "CustomTimeZone"):
            assert found[key] == asked[key]
        groups = state.client("logs").describe_log_groups()["logGroups"]
        key_arns = {group["kmsKeyId"] for group in groups if "kmsKeyId" in group}
        assert key_arns == {resolved.outputs["KeyArn"]}


def test_a_writer_without_the_header_gets_the_key() -> None:
    with state.started(DOCUMENT, {}) as started:
        bucket = started.stack.outputs["BucketName"]
        state.client("s3").put_object(Bucket=bucket, Key="consolelogin/x", Body=b"{}\n")
        head = started.head("consolelogin/x")
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == started.stack.outputs["KeyArn"]


def test_the_key_has_the_templates_policy_and_alias() -> None:
    with state.started(DOCUMENT, {}) as started:
        key_arn = started.stack.outputs["KeyArn"]
        policy = state.client("kms").get_key_policy(KeyId=key_arn, PolicyName="default")
        (key,) = started.stack.of_type("AWS::KMS::Key").values()
        assert json.loads(policy["Policy"]) == key.properties["KeyPolicy"]
        alias = state.client("kms").describe_key(KeyId=f"alias/{started.stack.name}")
        assert alias["KeyMetadata"]["Arn"] == key_arn


def test_the_stack_in_moto_is_the_stack_of_the_resolver() -> None:
    with state.started(DOCUMENT, COMBINATIONS["everything given"]) as started:
        assert started.stack == stack("everything given")
