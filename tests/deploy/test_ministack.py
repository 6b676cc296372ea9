"""Tests that MiniStack still lacks, or does differently from AWS, everything in the two lists."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from deployed import ACCOUNT_ID, LACKS, REGION, Cloud, without
from support import TOKYO, envelope, gz

ODD = {"Name": "odd", "Compression": "GZIP", "ExpireAfterDays": "30"}
NEEDED = {
    "template.yaml": {
        "Name": "gaps",
        "AlarmEmail": "a@example.com",
        "OrganizationId": "o-a1b2c3d4e5",
    },
    "trail.yaml": {"TrailName": "gaps"},
    "athena.yaml": {
        "BucketName": "gaps",
        "ResultKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/gaps",
    },
}


@pytest.mark.parametrize(
    ("name", "logical_id", "words"),
    [(name, *gap) for name, gaps in LACKS.items() for gap in gaps.items()],
    ids=lambda text: text if text.isalpha() else "",
)
def test_ministack_still_lacks(
    name: str, logical_id: str, words: str, cloud: Cloud, documents: dict[str, Any]
) -> None:
    """If this fails, MiniStack supports the resource: remove it from LACKS."""
    document = without(documents[name], LACKS[name].keys() - {logical_id})
    stack = f"lacks-{logical_id}"
    try:
        status = cloud.deploy(stack, document, **NEEDED[name])
    except ClientError as error:
        assert words in str(error)  # noqa: PT017
        return
    assert status == "ROLLBACK_COMPLETE"
    failures = cloud.failures(stack)
    assert set(failures) == {logical_id}
    assert words in failures[logical_id]
    cloud.delete(stack)


def makes_a_group_and_feeds_no_stream(cloud: Cloud, document: Any) -> bool:
    logs, group = cloud.client("logs"), "/not/there"
    status = cloud.deploy("unfed", document, Name="unfed", LogGroupName=group)
    if status != "CREATE_COMPLETE":
        return False
    logs.create_log_stream(logGroupName=group, logStreamName="any")
    events = [{"timestamp": int(time.time() * 1000), "message": TOKYO}]
    logs.put_log_events(logGroupName=group, logStreamName="any", logEvents=events)
    # MiniStack writes a stream's records to the bucket at once.
    return not cloud.objects(cloud.outputs("unfed")["BucketName"])


def neither_compresses_nor_keeps_failures(cloud: Cloud, document: Any) -> bool:
    s3, bucket = cloud.client("s3"), cloud.outputs("odd")["BucketName"]
    cloud.put("odd", gz(envelope([TOKYO])))
    cloud.put("odd", b"no envelope")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys[0].endswith(".json.gz")
    found = s3.get_object(Bucket=bucket, Key=keys[0])
    plain = found["Body"].read() == f"{TOKYO}\n".encode()
    return len(keys) == 1 and plain and "ServerSideEncryption" not in found


def has_neither_encryption_nor_lifecycle(cloud: Cloud, document: Any) -> bool:
    s3, bucket = cloud.client("s3"), cloud.outputs("odd")["BucketName"]
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    try:
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    except ClientError as error:
        plain = rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        return plain and error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration"
    return False


def takes_over_a_group(cloud: Cloud, document: Any) -> bool:
    cloud.client("logs").create_log_group(logGroupName="/aws/kinesisfirehose/early")
    return cloud.deploy("early", document, Name="early") == "CREATE_COMPLETE"


def trail_keeps_no_log_group(cloud: Cloud, document: Any) -> bool:
    cloudtrail = cloud.client("cloudtrail")
    group = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/aws/cloudtrail/odd:*"
    cloudtrail.create_trail(
        Name="odd",
        S3BucketName=cloud.outputs("odd")["BucketName"],
        IsMultiRegionTrail=True,
        CloudWatchLogsLogGroupArn=group,
        CloudWatchLogsRoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/odd",
    )
    (trail,) = cloudtrail.describe_trails(trailNameList=["odd"])["trailList"]
    cloudtrail.delete_trail(Name="odd")
    return "CloudWatchLogsLogGroupArn" not in trail


def cannot_roll_a_replacement_back(cloud: Cloud, document: Any) -> bool:
    cloud.client("firehose").create_delivery_stream(DeliveryStreamName="occupied")
    assert cloud.deploy("moving", document, Name="moving") == "CREATE_COMPLETE"
    status = cloud.deploy("moving", document, Name="occupied")
    stuck = set(cloud.failures("moving")) == {"DeliveryStream", "DeliveryLogStream", "moving"}
    return status == "UPDATE_ROLLBACK_FAILED" and stuck


def takes_a_long_name(cloud: Cloud, document: Any) -> bool:
    document = json.loads(json.dumps(document))
    del document["Parameters"]["Name"]["AllowedPattern"]
    return cloud.deploy("long", document, Name="a" * 100) == "CREATE_COMPLETE"


# Types that MiniStack treats differently from AWS: the difference, and a check that it remains.
DIFFERS: dict[str, tuple[str, Callable[[Cloud, Any], bool]]] = {
    "AWS::Logs::SubscriptionFilter": (
        "creates a missing log group, which AWS refuses; sends no event to the stream",
        makes_a_group_and_feeds_no_stream,
    ),
    "AWS::KinesisFirehose::DeliveryStream": (
        "ignores GZIP and the key; writes no error objects",
        neither_compresses_nor_keeps_failures,
    ),
    "AWS::S3::Bucket": (
        "ignores BucketEncryption and LifecycleConfiguration",
        has_neither_encryption_nor_lifecycle,
    ),
    "AWS::Logs::LogGroup": (
        "adopts an existing log group, which AWS refuses",
        takes_over_a_group,
    ),
    "AWS::Logs::LogStream": (
        "removes a replaced resource at once, not last, so it cannot roll back the replacement",
        cannot_roll_a_replacement_back,
    ),
    "AWS::Lambda::Function": ("accepts a name of more than 64 characters", takes_a_long_name),
    "AWS::CloudTrail::Trail": (
        "CreateTrail does not store the log group, so doctor never finds a trail",
        trail_keeps_no_log_group,
    ),
}


@pytest.fixture(scope="module")
def odd(cloud: Cloud, possible: dict[str, Any]) -> Cloud:
    status = cloud.deploy("odd", possible["template.yaml"], **ODD)
    assert status == "CREATE_COMPLETE"
    return cloud


@pytest.mark.parametrize("kind", DIFFERS)
def test_ministack_still_differs(
    kind: str, odd: Cloud, possible: dict[str, Any], runs_the_function: None
) -> None:
    reason, still = DIFFERS[kind]
    assert still(odd, possible["template.yaml"]), (
        f"{kind} no longer differs ({reason}): remove it from DIFFERS"
    )
