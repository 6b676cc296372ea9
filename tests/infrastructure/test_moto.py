"""The resolved template's S3, KMS, Logs and Firehose parts, taken by moto's own API checks.

This finds what the schemas miss: a policy that is no JSON, a name or a value out of range. moto
enforces no permission, runs no processor and matches every filter pattern: nothing of that is
asserted here.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.model import Shape
from moto import mock_aws
from stacks import COMBINATIONS, stack

from console_login.template import Stack


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "111122223333")
    with mock_aws():
        yield


def client(name: str) -> Any:
    return boto3.client(name, region_name="ap-northeast-1")


def as_api(shape: Shape | None, value: Any) -> Any:
    """Return a CloudFormation value in the types of an API's shape: parameters are strings."""
    kind = shape.type_name if shape else None
    if kind == "structure":
        assert set(value) <= set(shape.members), f"unknown to the API: {set(value)}"  # type: ignore
        return {key: as_api(shape.members[key], each) for key, each in value.items()}  # type: ignore
    if kind == "list":
        return [as_api(shape.member, each) for each in value]  # type: ignore[union-attr]
    return {"integer": int, "long": int, "double": float}.get(kind or "", lambda same: same)(value)


def call(service: str, operation: str, **arguments: Any) -> Any:
    api = client(service)
    method = api.meta.method_to_api_mapping[operation]
    shape = api.meta.service_model.operation_model(method).input_shape
    return getattr(api, operation)(**as_api(shape, arguments))


def create(resolved: Stack) -> None:
    """Create through the APIs what CloudFormation would."""
    for key in resolved.of_type("AWS::KMS::Key").values():
        call("kms", "create_key", Policy=json.dumps(key.properties["KeyPolicy"]))
    for group in resolved.of_type("AWS::Logs::LogGroup").values():
        name, days = group.properties["LogGroupName"], group.properties["RetentionInDays"]
        key_id = group.properties["KmsKeyId"]
        call("logs", "create_log_group", logGroupName=name, kmsKeyId=key_id)
        call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
    for stream in resolved.of_type("AWS::Logs::LogStream").values():
        call(
            "logs",
            "create_log_stream",
            logGroupName=stream.properties["LogGroupName"],
            logStreamName=stream.properties["LogStreamName"],
        )
    for logical_id, bucket in resolved.of_type("AWS::S3::Bucket").items():
        create_bucket(f"{resolved.name}-{logical_id}".lower(), bucket.properties)
    for policy in resolved.of_type("AWS::S3::BucketPolicy").values():
        document = json.dumps(policy.properties["PolicyDocument"])
        call("s3", "put_bucket_policy", Bucket=policy.properties["Bucket"], Policy=document)
    for stream in resolved.of_type("AWS::KinesisFirehose::DeliveryStream").values():
        call("firehose", "create_delivery_stream", DeliveryStreamName="stream", **stream.properties)


def create_bucket(name: str, properties: dict[str, Any]) -> None:
    location = {"LocationConstraint": "ap-northeast-1"}
    call("s3", "create_bucket", Bucket=name, CreateBucketConfiguration=location)
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": {
                "SSEAlgorithm": rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"],
                "KMSMasterKeyID": rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"],
            },
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        for rule in properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    ]
    lifecycle = [lifecycle_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
    versioning = properties["VersioningConfiguration"]
    encryption = {"Rules": rules}
    ownership = properties["OwnershipControls"]
    access = properties["PublicAccessBlockConfiguration"]
    for operation, arguments in {
        "put_bucket_encryption": {"ServerSideEncryptionConfiguration": encryption},
        "put_bucket_versioning": {"VersioningConfiguration": versioning},
        "put_bucket_ownership_controls": {"OwnershipControls": ownership},
        "put_public_access_block": {"PublicAccessBlockConfiguration": access},
        "put_bucket_lifecycle_configuration": {"LifecycleConfiguration": {"Rules": lifecycle}},
    }.items():
        call("s3", operation, Bucket=name, **arguments)


def lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Return CloudFormation's lifecycle rule as the API spells it."""
    api = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": ""}}
    for key in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if key in rule:
            api[key] = rule[key]
    if "ExpirationInDays" in rule:
        api["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    elif "ExpiredObjectDeleteMarker" in rule:
        api["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    return api


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_apis_take_what_the_template_says(name: str) -> None:
    resolved = stack(name)
    create(resolved)
    described = client("firehose").describe_delivery_stream(DeliveryStreamName="stream")
    (destination,) = described["DeliveryStreamDescription"]["Destinations"]
    found = destination["ExtendedS3DestinationDescription"]
    (stream,) = resolved.of_type("AWS::KinesisFirehose::DeliveryStream").values()
    asked = stream.properties["ExtendedS3DestinationConfiguration"]
    for key in ("BucketARN", "Prefix", "ErrorOutputPrefix", "FileExtension", "CustomTimeZone"):
        assert found[key] == asked[key]
    groups = client("logs").describe_log_groups()["logGroups"]
    assert {group["kmsKeyId"] for group in groups} == {resolved.outputs["KeyArn"]}


def test_a_writer_without_the_header_gets_the_key() -> None:
    resolved = stack()
    create(resolved)
    bucket = resolved.outputs["BucketName"]
    # moto takes every Deny as it stands, without its condition.
    client("s3").delete_bucket_policy(Bucket=bucket)
    client("s3").put_object(Bucket=bucket, Key="consolelogin/x", Body=b"{}\n")
    head = client("s3").head_object(Bucket=bucket, Key="consolelogin/x")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == resolved.outputs["KeyArn"]
