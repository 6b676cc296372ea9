"""A stack's resources on AWS: keys, log groups, buckets and others, created in moto by API calls.

moto enforces no permissions, with one exception: it applies a Deny of a bucket policy, but ignores
the condition. Therefore bucket policies are not created.
"""

import contextlib
import functools
import gzip
import json
import os
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError
from botocore.model import ListShape, Shape, StructureShape
from moto import mock_aws
from moto.cloudwatch.models import cloudwatch_backends

from console_login.function import restored_environment
from console_login.local.stream import StorageFailure
from console_login.stack import template
from console_login.stack.place import ACCOUNT_ID, REGION
from console_login.stack.template import Stack, whole_number

# The user's AWS configuration is never read.
_ISOLATION = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

_TRAIL_BUCKET = "management-events-bucket"

# An empty zip file: only the end-of-central-directory record.
_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)

_FRESHNESS = "DeliveryToS3.DataFreshness"


class State:
    """A stack that exists in moto."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._s3 = client("s3")
        self._bucket = stack.outputs["BucketName"]
        stream = stack.only("AWS::KinesisFirehose::DeliveryStream").properties
        encryption = stream["ExtendedS3DestinationConfiguration"]["EncryptionConfiguration"]
        self._key_arn = encryption["KMSEncryptionConfig"]["AWSKMSKeyARN"]

    def put(self, key: str, body: bytes) -> None:
        """Write an object as Firehose does, encrypted with the KMS key of the stream.

        Raises StorageFailure if the bucket rejects the write.
        """
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=self._key_arn,
            )
        except ClientError as error:
            raise StorageFailure from error

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def head(self, key: str) -> dict[str, Any]:
        """Return an object's headers."""
        headers: dict[str, Any] = self._s3.head_object(Bucket=self._bucket, Key=key)
        return headers


@contextlib.contextmanager
def started(document: Mapping[str, Any], parameters: Mapping[str, str]) -> Iterator[State]:
    """Start moto with a template's stack in it. Raises TemplateError for a wrong parameter."""
    # Reject invalid parameters before anything starts.
    template.resolve(document, parameters)
    with _isolated(), mock_aws():
        key_id = client("kms").create_key()["KeyMetadata"]["KeyId"]
        stack = template.resolve(document, parameters, physical_ids={"EncryptionKey": key_id})
        create(stack)
        yield State(stack)


def show_age(stack: Stack, age: float | None) -> None:
    """Make `age` the only data point of Firehose's DataFreshness; None: no data point."""
    metrics = cloudwatch_backends[ACCOUNT_ID][stack.region]
    metrics.metric_data = [each for each in metrics.metric_data if each.name != _FRESHNESS]
    if age is not None:
        name = stack.outputs["DeliveryStreamArn"].rsplit("/", 1)[1]
        dimension = {"Name": "DeliveryStreamName", "Value": name}
        datum = {"MetricName": _FRESHNESS, "Value": age, "Dimensions": [dimension]}
        client("cloudwatch").put_metric_data(
            Namespace="AWS/Firehose", MetricData=[datum | {"Unit": "Seconds"}]
        )


def write_trail_files(stack: Stack, messages: Iterable[str]) -> None:
    """Write the log group's events to the trail's bucket too, as CloudTrail does.

    Each account and Region has its own file. A message that is not a JSON object is not a
    CloudTrail event, and is skipped.
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html
    """
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for message in messages:
        try:
            event = json.loads(message)
            account, region = event.get("recipientAccountId"), event.get("awsRegion")
        except (ValueError, RecursionError, AttributeError):
            continue
        account = account if re.fullmatch(r"\d{12}", str(account)) else stack.account_id
        region = region if re.fullmatch(r"[a-z0-9-]{9,25}", str(region)) else stack.region
        files[account, region].append(message)
    now = datetime.now(UTC)
    for (account, region), found in files.items():
        name = f"{account}_CloudTrail_{region}_{now:%Y%m%dT%H%MZ}_{uuid.uuid4().hex[:16]}.json.gz"
        client("s3").put_object(
            Bucket=_TRAIL_BUCKET,
            Key=f"AWSLogs/{account}/CloudTrail/{region}/{now:%Y/%m/%d}/{name}",
            Body=gzip.compress(f'{{"Records":[{",".join(found)}]}}'.encode()),
        )


@functools.cache
def client(service: Any) -> Any:
    """Return a boto3 client, which calls moto."""
    return boto3.client(service, region_name=REGION)


@contextlib.contextmanager
def _isolated() -> Iterator[None]:
    with restored_environment():
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(_ISOLATION, MOTO_ACCOUNT_ID=ACCOUNT_ID)
        yield


def create(stack: Stack) -> None:
    """Create the stack's resources by API calls: keys, roles, log groups, bucket, topic and others.

    The resources that the stack expects to exist (the trail, its log group, an existing bucket or
    topic) are created too, with default settings.
    """
    for role in stack.of_type("AWS::IAM::Role").values():
        _create_role(role.physical_id, role.properties)
    for function in stack.of_type("AWS::Lambda::Function").values():
        _create_function(function.properties)
    for key in stack.of_type("AWS::KMS::Key").values():
        key_id = stack.outputs["KeyArn"].rsplit("/", 1)[1]
        key_policy = json.dumps(key.properties["KeyPolicy"])
        call("kms", "put_key_policy", KeyId=key_id, PolicyName="default", Policy=key_policy)
    for alias in stack.of_type("AWS::KMS::Alias").values():
        call("kms", "create_alias", **alias.properties)
    for group in stack.of_type("AWS::Logs::LogGroup").values():
        name, days = group.properties["LogGroupName"], group.properties["RetentionInDays"]
        call("logs", "create_log_group", logGroupName=name, kmsKeyId=group.properties["KmsKeyId"])
        call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
    call("logs", "create_log_group", logGroupName=stack.outputs["LogGroupName"])
    for stream in stack.of_type("AWS::Logs::LogStream").values():
        call(
            "logs",
            "create_log_stream",
            logGroupName=stream.properties["LogGroupName"],
            logStreamName=stream.properties["LogStreamName"],
        )
    for bucket in stack.of_type("AWS::S3::Bucket").values():
        _create_bucket(bucket.physical_id, bucket.properties)
    if "DeliveryBucket" not in stack.resources:
        _create_bucket(stack.outputs["BucketName"], {})
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        name = alarm.physical_id
        call("cloudwatch", "put_metric_alarm", AlarmName=name, **alarm.properties)
    _create_topics(stack)
    _create_trail(stack)


def _create_topics(stack: Stack) -> None:
    for topic in stack.of_type("AWS::SNS::Topic").values():
        name = topic.physical_id.rsplit(":", 1)[-1]
        call("sns", "create_topic", Name=name, Attributes=topic.properties)
    for policy in stack.of_type("AWS::SNS::TopicPolicy").values():
        value = json.dumps(policy.properties["PolicyDocument"])
        for arn in policy.properties["Topics"]:
            attribute = {"AttributeName": "Policy", "AttributeValue": value}
            call("sns", "set_topic_attributes", TopicArn=arn, **attribute)
    for subscription in stack.of_type("AWS::SNS::Subscription").values():
        # moto confirms the subscription at once.
        call("sns", "subscribe", **subscription.properties)
    given = str(stack.parameters["AlarmTopicArn"])
    if given.split(":")[3:5] == [stack.region, stack.account_id]:
        call("sns", "create_topic", Name=given.rsplit(":", 1)[-1])


def _create_role(name: str, properties: dict[str, Any]) -> None:
    trust = json.dumps(properties["AssumeRolePolicyDocument"])
    call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=trust)
    for policy in properties["Policies"]:
        _put_role_policy(name, policy)


def _create_function(properties: dict[str, Any]) -> None:
    """Create only a function's configuration: the code runs in the pipeline, not in moto."""
    names = ("FunctionName", "Runtime", "Role", "Handler", "Environment", "MemorySize", "Timeout")
    configuration = {name: properties[name] for name in names}
    code = {"ZipFile": _EMPTY_ZIP}
    call("lambda", "create_function", Code=code, Publish=False, **configuration)


def _put_role_policy(role_name: str, policy: dict[str, Any]) -> None:
    document = json.dumps(policy["PolicyDocument"])
    name = policy["PolicyName"]
    call("iam", "put_role_policy", RoleName=role_name, PolicyName=name, PolicyDocument=document)


def _create_trail(stack: Stack) -> None:
    name = "management-events"
    _create_bucket(_TRAIL_BUCKET, {})
    group = f"log-group:{stack.outputs['LogGroupName']}:*"
    role_arn = f"arn:aws:iam::{stack.account_id}:role/{name}"
    call(
        "cloudtrail",
        "create_trail",
        Name=name,
        S3BucketName=_TRAIL_BUCKET,
        IsMultiRegionTrail=True,
        CloudWatchLogsLogGroupArn=f"arn:aws:logs:{stack.region}:{stack.account_id}:{group}",
        CloudWatchLogsRoleArn=role_arn,
    )
    call("cloudtrail", "start_logging", Name=name)


def _create_bucket(name: str, properties: dict[str, Any]) -> None:
    location = {"LocationConstraint": REGION}
    lock = properties.get("ObjectLockConfiguration")
    call(
        "s3",
        "create_bucket",
        Bucket=name,
        CreateBucketConfiguration=location,
        ObjectLockEnabledForBucket=lock is not None,
    )
    if not properties:
        return
    if lock:
        call("s3", "put_object_lock_configuration", Bucket=name, ObjectLockConfiguration=lock)
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        for rule in properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    ]
    lifecycle = [_lifecycle_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
    for operation, arguments in {
        "put_bucket_encryption": {"ServerSideEncryptionConfiguration": {"Rules": rules}},
        "put_bucket_lifecycle_configuration": {"LifecycleConfiguration": {"Rules": lifecycle}},
        "put_bucket_ownership_controls": {"OwnershipControls": properties["OwnershipControls"]},
        "put_bucket_versioning": {"VersioningConfiguration": properties["VersioningConfiguration"]},
        "put_public_access_block": {
            "PublicAccessBlockConfiguration": properties["PublicAccessBlockConfiguration"]
        },
    }.items():
        call("s3", operation, Bucket=name, **arguments)


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Convert a lifecycle rule from CloudFormation's form to that of the S3 API."""
    prefix = rule.get("Prefix", "")
    api = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": prefix}}
    for key in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if key in rule:
            api[key] = rule[key]
    if "ExpirationInDays" in rule:
        api["Expiration"] = {"Days": rule["ExpirationInDays"]}
    elif "ExpiredObjectDeleteMarker" in rule:
        api["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    return api


def call(service: str, operation: str, **arguments: Any) -> Any:
    """Call an API with values from a template, in which numbers are strings."""
    api = client(service)
    method = api.meta.method_to_api_mapping[operation]
    shape = api.meta.service_model.operation_model(method).input_shape
    return getattr(api, operation)(**_as_api(shape, arguments))


def _as_api(shape: Shape | None, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        members = shape.members
        return {key: _as_api(members.get(key), each) for key, each in value.items()}
    if isinstance(shape, ListShape):
        return [_as_api(shape.member, each) for each in value]
    if shape is not None and shape.type_name in ("integer", "long"):
        return whole_number(value)
    return value
