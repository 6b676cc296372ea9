"""The S3, KMS, Logs, Firehose and CloudTrail parts of the resolved templates, checked by moto.

moto finds faults that the schemas miss: a policy that is not JSON, or a name or value out of range.
It enforces no permissions, runs no processor and matches every filter pattern, so these are not
tested here.
"""

import json

import pytest
from botocore.exceptions import ClientError
from stacks import COMBINATIONS, DOCUMENT, TRAIL_COMBINATIONS, stack, trail

from console_login.local import moto_state as state


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_apis_accept_the_resources_of_the_template(name: str) -> None:
    with state.started(DOCUMENT, COMBINATIONS[name]) as started:
        resolved = started.stack
        for policy in resolved.of_type("AWS::S3::BucketPolicy").values():
            document = json.dumps(policy.properties["PolicyDocument"])
            bucket = policy.properties["Bucket"]
            state.call("s3", "put_bucket_policy", Bucket=bucket, Policy=document)
        (stream,) = resolved.of_type("AWS::KinesisFirehose::DeliveryStream").values()
        state.call("firehose", "create_delivery_stream", **stream.properties)
        firehose = state.client("firehose")
        described = firehose.describe_delivery_stream(DeliveryStreamName=stream.physical_id)
        (destination,) = described["DeliveryStreamDescription"]["Destinations"]
        found = destination["ExtendedS3DestinationDescription"]
        wanted = stream.properties["ExtendedS3DestinationConfiguration"]
        for key in ("BucketARN", "Prefix", "ErrorOutputPrefix", "FileExtension", "CustomTimeZone"):
            assert found[key] == wanted[key]
        groups = state.client("logs").describe_log_groups()["logGroups"]
        key_arns = {group["kmsKeyId"] for group in groups if "kmsKeyId" in group}
        assert key_arns == {resolved.outputs["KeyArn"]}


def test_an_object_written_without_the_header_is_encrypted_with_the_key() -> None:
    with state.started(DOCUMENT, {}) as started:
        bucket = started.stack.outputs["BucketName"]
        state.client("s3").put_object(Bucket=bucket, Key="consolelogin/x", Body=b"{}\n")
        head = started.head("consolelogin/x")
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == started.stack.outputs["KeyArn"]


def test_delivered_objects_are_locked_and_can_still_be_tagged() -> None:
    with state.started(DOCUMENT, COMBINATIONS["objects are locked"]) as started:
        s3, there = state.client("s3"), {"Bucket": started.stack.outputs["BucketName"], "Key": "x"}
        version = s3.put_object(**there, Body=b"{}\n")["VersionId"]
        assert s3.head_object(**there)["ObjectLockMode"] == "COMPLIANCE"
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(**there, VersionId=version, BypassGovernanceRetention=True)
        # The tag of redrive.
        s3.put_object_tagging(**there, Tagging={"TagSet": [{"Key": "redriven:x", "Value": "all"}]})


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


@pytest.mark.parametrize("name", TRAIL_COMBINATIONS)
def test_the_apis_accept_the_resources_of_the_trails_template(name: str) -> None:
    resolved = trail(name)
    with state.started(DOCUMENT, {}):
        (bucket,) = resolved.of_type("AWS::S3::Bucket").values()
        location = {"LocationConstraint": resolved.region}
        state.call(
            "s3",
            "create_bucket",
            Bucket=bucket.physical_id,
            CreateBucketConfiguration=location,
        )
        policy = resolved.only("AWS::S3::BucketPolicy").properties
        document = json.dumps(policy["PolicyDocument"])
        state.call("s3", "put_bucket_policy", Bucket=policy["Bucket"], Policy=document)
        key_policy = json.dumps(resolved.only("AWS::KMS::Key").properties["KeyPolicy"])
        key_id = state.call("kms", "create_key", Policy=key_policy)["KeyMetadata"]["KeyId"]
        alias = resolved.only("AWS::KMS::Alias").properties | {"TargetKeyId": key_id}
        state.call("kms", "create_alias", **alias)
        role = resolved.only("AWS::IAM::Role")
        trust = json.dumps(role.properties["AssumeRolePolicyDocument"])
        made = state.call(
            "iam", "create_role", RoleName=role.physical_id, AssumeRolePolicyDocument=trust
        )
        (inline,) = role.properties["Policies"]
        state.call(
            "iam",
            "put_role_policy",
            RoleName=role.physical_id,
            PolicyName=inline["PolicyName"],
            PolicyDocument=json.dumps(inline["PolicyDocument"]),
        )
        group = resolved.only("AWS::Logs::LogGroup").properties
        if group["LogGroupName"] != DOCUMENT["Parameters"]["LogGroupName"]["Default"]:
            # The stack in moto already has a log group with the default name.
            state.call("logs", "create_log_group", logGroupName=group["LogGroupName"])
        wanted = resolved.only("AWS::CloudTrail::Trail").properties
        assert wanted["CloudWatchLogsRoleArn"] == made["Role"]["Arn"]
        state.call(
            "cloudtrail",
            "create_trail",
            Name=wanted["TrailName"],
            S3BucketName=wanted["S3BucketName"],
            IsMultiRegionTrail=wanted["IsMultiRegionTrail"],
            CloudWatchLogsLogGroupArn=wanted["CloudWatchLogsLogGroupArn"],
            CloudWatchLogsRoleArn=wanted["CloudWatchLogsRoleArn"],
        )
        trails = state.client("cloudtrail").describe_trails()["trailList"]
        (found,) = (each for each in trails if each["Name"] == wanted["TrailName"])
        assert found["S3BucketName"] == bucket.physical_id
        assert found["CloudWatchLogsLogGroupArn"] == wanted["CloudWatchLogsLogGroupArn"]
