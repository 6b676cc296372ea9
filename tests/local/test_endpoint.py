"""`console-login local --serve`: one endpoint for any AWS client, tested with boto3 over HTTP."""

import gzip
import json
import re
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from serving import BUCKET, GROUP, STREAM, Endpoint, serving
from support import OSAKA, ROOT, TOKYO, envelope, gz

from console_login.operate.access import Access, AccessError, deployed


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        yield running


def test_put_log_events_goes_through_the_filter_to_the_bucket(endpoint: Endpoint) -> None:
    logs = endpoint.client("logs")
    logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")
    now = int(time.time() * 1000)
    other = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
    logs.put_log_events(
        logGroupName=GROUP,
        logStreamName="trail",
        logEvents=[{"timestamp": now, "message": each} for each in (other, TOKYO, other)],
    )
    before = endpoint.lines(1)
    assert before == [TOKYO]
    # moto stores the events too.
    stored = logs.get_log_events(logGroupName=GROUP, logStreamName="trail")["events"]
    assert [each["message"] for each in stored] == [other, TOKYO, other]


def test_put_record_and_put_record_batch_reach_the_bucket(endpoint: Endpoint) -> None:
    before = Counter(endpoint.lines(0))
    firehose = endpoint.client("firehose")
    answer = firehose.put_record(DeliveryStreamName=STREAM, Record={"Data": gz(envelope([TOKYO]))})
    assert answer["RecordId"]
    answer = firehose.put_record_batch(
        DeliveryStreamName=STREAM,
        Records=[{"Data": gz(envelope([OSAKA]))}, {"Data": envelope([OSAKA])}],
    )
    assert answer["FailedPutCount"] == 0
    assert len({each["RecordId"] for each in answer["RequestResponses"]}) == 2
    arrived = Counter(endpoint.lines(before.total() + 3)) - before
    assert arrived == Counter([TOKYO, OSAKA, OSAKA])


def test_a_record_that_fails_is_written_to_the_error_prefix(endpoint: Endpoint) -> None:
    endpoint.client("firehose").put_record(DeliveryStreamName=STREAM, Record={"Data": b"x"})
    for _ in range(100):
        keys = endpoint.keys("consolelogin/processing-failed/")
        if keys:
            break
        time.sleep(0.1)
    (key,) = keys
    body = endpoint.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert json.loads(body)["errorCode"] == "Lambda.ProcessingFailedStatus"
    endpoint.client("s3").delete_object(Bucket=BUCKET, Key=key)


def test_the_stream_can_be_described(endpoint: Endpoint) -> None:
    firehose = endpoint.client("firehose")
    described = firehose.describe_delivery_stream(DeliveryStreamName=STREAM)
    stream = described["DeliveryStreamDescription"]
    assert stream["DeliveryStreamStatus"] == "ACTIVE"
    assert stream["DeliveryStreamARN"].endswith(f":deliverystream/{STREAM}")
    (destination,) = stream["Destinations"]
    s3 = destination["ExtendedS3DestinationDescription"]
    assert s3["BufferingHints"] == {"SizeInMBs": 1, "IntervalInSeconds": 0}
    assert s3["BucketARN"] == f"arn:aws:s3:::{BUCKET}"
    assert s3["ProcessingConfiguration"]["Processors"][0]["Type"] == "Lambda"


def test_the_bucket_and_the_key_exist(endpoint: Endpoint) -> None:
    encryption = endpoint.client("s3").get_bucket_encryption(Bucket=BUCKET)
    (rule,) = encryption["ServerSideEncryptionConfiguration"]["Rules"]
    key_arn = rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    key = endpoint.client("kms").describe_key(KeyId=key_arn)["KeyMetadata"]
    assert key["Arn"] == key_arn
    assert ":111122223333:" in key_arn


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (
            lambda client: client.put_record(DeliveryStreamName="x", Record={"Data": b""}),
            "ResourceNotFoundException",
        ),
        (
            lambda client: client.put_record(
                DeliveryStreamName=STREAM, Record={"Data": b"x" * 1024001}
            ),
            "ValidationException",
        ),
        (
            lambda client: client.put_record_batch(
                DeliveryStreamName=STREAM, Records=[{"Data": b"x" * 1000 * 1024}] * 5
            ),
            "InvalidArgumentException",
        ),
        (
            lambda client: client.put_record_batch(
                DeliveryStreamName=STREAM, Records=[{"Data": b"x"}] * 501
            ),
            "ValidationException",
        ),
        (lambda client: client.list_delivery_streams(), "UnknownOperationException"),
    ],
    ids=["no stream", "fact 7: record", "fact 7: batch bytes", "fact 7: records", "operation"],
)
def test_calls_that_firehose_rejects_are_rejected(call: Any, code: str, endpoint: Endpoint) -> None:
    firehose = endpoint.client("firehose")
    with pytest.raises(ClientError) as raised:
        call(firehose)
    assert raised.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("Firehose_20150804.PutRecord", b"{"),
        ("Firehose_20150804.PutRecord", b"null"),
        ("Firehose_20150804.PutRecord", b"[" * 100_000),
        ("Firehose_20150804.PutRecord", b'{"DeliveryStreamName":"x"}'),
        ("Firehose_20150804.PutRecordBatch", b'{"DeliveryStreamName":"x","Records":[1]}'),
        ("Logs_20140328.PutLogEvents", b"{"),
        ("Logs_20140328.PutLogEvents", b"null"),
        ("Logs_20140328.PutLogEvents", b"[" * 100_000),
    ],
)
def test_a_malformed_request_is_answered_400(target: str, body: bytes, endpoint: Endpoint) -> None:
    request = urllib.request.Request(endpoint.url, body, {"X-Amz-Target": target})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=20)
    with raised.value as error:
        assert error.code == 400
        assert json.loads(error.read())["__type"] == "SerializationException"


def test_a_batch_with_a_record_that_is_too_large_is_refused_completely(endpoint: Endpoint) -> None:
    before = len(endpoint.lines(0))
    records = [{"Data": gz(envelope([TOKYO]))}, {"Data": b"x" * 1024001}]
    with pytest.raises(ClientError):
        endpoint.client("firehose").put_record_batch(DeliveryStreamName=STREAM, Records=records)
    time.sleep(0.5)
    assert len(endpoint.lines(0)) == before


def test_an_event_that_cloudwatch_logs_rejects_does_not_pass(endpoint: Endpoint) -> None:
    logs = endpoint.client("logs")
    before = Counter(endpoint.lines(0))
    logs.create_log_stream(logGroupName=GROUP, logStreamName="old")
    now = int(time.time() * 1000)
    events = [{"timestamp": now - 30 * 24 * 3600 * 1000, "message": TOKYO}]
    events += [{"timestamp": now, "message": OSAKA}]
    logs.put_log_events(logGroupName=GROUP, logStreamName="old", logEvents=events)
    assert Counter(endpoint.lines(before.total() + 1)) - before == Counter([OSAKA])


def test_the_stream_survives_a_bucket_that_does_not_exist_for_a_while(endpoint: Endpoint) -> None:
    s3, firehose = endpoint.client("s3"), endpoint.client("firehose")
    record = {"Data": gz(envelope([TOKYO]))}
    count = len(endpoint.lines(0)) + 1
    firehose.put_record(DeliveryStreamName=STREAM, Record=record)
    before = endpoint.lines(count)
    versions = s3.list_object_versions(Bucket=BUCKET)
    for each in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)
    firehose.put_record(DeliveryStreamName=STREAM, Record=record)
    time.sleep(1)
    location = {"LocationConstraint": "ap-northeast-1"}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    assert len(before) == count
    assert endpoint.lines(1) == [TOKYO]


def test_each_concurrent_request_for_the_oldest_age_gets_one_data_point() -> None:
    now = datetime.now(UTC)
    query = {
        "Namespace": "AWS/Firehose",
        "MetricName": "DeliveryToS3.DataFreshness",
        "Dimensions": [{"Name": "DeliveryStreamName", "Value": STREAM}],
        "StartTime": now - timedelta(hours=1),
        "EndTime": now + timedelta(hours=1),
        "Period": 7200,
        "Statistics": ["SampleCount"],
    }
    with serving("--fail", "s3:1") as endpoint:
        endpoint.client("firehose").put_record(DeliveryStreamName=STREAM, Record={"Data": b"x"})
        cloudwatch = endpoint.client("cloudwatch")
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(cloudwatch.get_metric_statistics, **query) for _ in range(8)]
    found = [point["SampleCount"] for each in asked for point in each.result()["Datapoints"]]
    assert found == [1] * 8


def test_the_events_of_files_are_sent_before_it_serves_and_ctrl_c_stops_it() -> None:
    source = str(ROOT / "events" / "src" / "tokyo.jsonl")
    with serving(source, "--parameter", "Compression=GZIP") as running:
        s3 = running.client("s3")
        for _ in range(100):
            keys = running.keys()
            if keys:
                break
            time.sleep(0.1)
        (key,) = keys
        body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert gzip.decompress(body).decode() == f"{TOKYO}\n"
        running.process.send_signal(signal.SIGINT)
        output, errors = running.process.communicate(timeout=20)
        assert running.process.returncode == 130
        assert re.search(r"^records delivered +1 *$", output, re.MULTILINE)
        assert errors == "console-login: interrupted\n"


def test_the_filter_can_be_read_changed_and_deleted() -> None:
    other = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
    with serving() as running:
        logs = running.client("logs")
        logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")

        def put(*messages: str) -> None:
            log_events = [{"timestamp": int(time.time() * 1000), "message": m} for m in messages]
            logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=log_events)

        (found,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
        assert found["filterPattern"] == '{ ($.eventName = "ConsoleLogin") }'
        assert found["destinationArn"].endswith(f":deliverystream/{STREAM}")
        keys = ("logGroupName", "filterName", "destinationArn", "roleArn")
        filter_ = {key: found[key] for key in keys}
        logs.delete_subscription_filter(logGroupName=GROUP, filterName=found["filterName"])
        assert logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"] == []
        put(TOKYO)
        logs.put_subscription_filter(**filter_, filterPattern='{ $.eventName = "CheckMfa" }')
        # The filter selects the event, but the function drops it: its list of names is separate.
        put(TOKYO, other)
        logs.put_subscription_filter(**filter_, filterPattern=found["filterPattern"])
        put(OSAKA, other)
        assert running.lines(1) == [OSAKA]
        with pytest.raises(ClientError, match="InvalidParameterException"):
            logs.put_subscription_filter(**filter_, filterPattern="{ $.a ~ 1 }")
        elsewhere = filter_ | {"destinationArn": "arn:aws:firehose:x:1:deliverystream/other"}
        with pytest.raises(ClientError, match="InvalidParameterException"):
            logs.put_subscription_filter(**elsewhere, filterPattern="")
        with pytest.raises(ClientError, match="LimitExceededException"):
            logs.put_subscription_filter(**filter_ | {"filterName": "second"}, filterPattern="")
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            logs.delete_subscription_filter(logGroupName=GROUP, filterName="second")


def test_filter_log_events_evaluates_the_pattern(endpoint: Endpoint) -> None:
    logs = endpoint.client("logs")
    logs.create_log_stream(logGroupName=GROUP, logStreamName="filtered")
    now = int(time.time() * 1000)
    other = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
    log_events = [{"timestamp": now, "message": each} for each in (other, TOKYO)]
    logs.put_log_events(logGroupName=GROUP, logStreamName="filtered", logEvents=log_events)
    streams = {"logGroupName": GROUP, "logStreamNames": ["filtered"]}
    pattern = '{ ($.eventName = "ConsoleLogin") }'
    found = logs.filter_log_events(**streams, filterPattern=pattern)["events"]
    assert [each["message"] for each in found] == [TOKYO]
    assert len(logs.filter_log_events(**streams)["events"]) == 2
    with pytest.raises(ClientError, match="InvalidParameterException"):
        logs.filter_log_events(**streams, filterPattern="{ $.a ~ 1 }")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.filter_log_events(logGroupName="/none", filterPattern=pattern)


def test_the_stack_can_be_described(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    access = Access(endpoint.url, "ap-northeast-1")
    stack = deployed(access, "console-login-firehose")
    assert stack.parameters["EventNames"] == "ConsoleLogin"
    assert stack.outputs["BucketName"] == BUCKET
    assert stack.outputs["LogGroupName"] == GROUP
    assert stack.outputs["DeliveryStreamArn"].endswith(f":deliverystream/{STREAM}")
    with pytest.raises(AccessError, match=r"DescribeStacks: ValidationError: .*none"):
        deployed(access, "none")


def test_the_roles_and_the_trail_exist(endpoint: Endpoint) -> None:
    iam = endpoint.client("iam")
    name = "console-login-firehose-SubscriptionRole"
    policy = iam.get_role_policy(RoleName=name, PolicyName="PutIntoStream")["PolicyDocument"]
    assert "firehose:PutRecord" in policy["Statement"][0]["Action"]
    (trail,) = endpoint.client("cloudtrail").describe_trails()["trailList"]
    assert trail["IsMultiRegionTrail"]
    assert f":log-group:{GROUP}:" in trail["CloudWatchLogsLogGroupArn"]


def test_the_trail_writes_the_log_groups_events_to_its_bucket_too() -> None:
    with serving() as running:
        logs, s3 = running.client("logs"), running.client("s3")
        (trail,) = running.client("cloudtrail").describe_trails()["trailList"]
        for group in (GROUP, "/other"):
            if group != GROUP:
                logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName="trail")
            elsewhere = json.dumps(
                {"awsRegion": "eu-north-1", "recipientAccountId": "444455556666"}
            )
            messages = [TOKYO, OSAKA, "no JSON", "[1]", '{"awsRegion":"../x"}', elsewhere]
            now = int(time.time() * 1000)
            log_events = [{"timestamp": now, "message": each} for each in messages]
            logs.put_log_events(logGroupName=group, logStreamName="trail", logEvents=log_events)
        listed = s3.list_objects_v2(Bucket=trail["S3BucketName"])["Contents"]
        found = {}
        for each in listed:
            path = re.fullmatch(
                r"AWSLogs/(\d{12})/CloudTrail/([a-z0-9-]+)/\d{4}/\d\d/\d\d/"
                r"\1_CloudTrail_\2_\d{8}T\d{4}Z_[0-9a-f]{16}\.json\.gz",
                each["Key"],
            )
            assert path, each["Key"]
            body = s3.get_object(Bucket=trail["S3BucketName"], Key=each["Key"])["Body"].read()
            found[path.groups()] = gzip.decompress(body).decode()
    assert found.pop(("444455556666", "eu-north-1")) == f'{{"Records":[{elsewhere}]}}'
    # The files contain every event that is a JSON object, byte for byte, and nothing else.
    records = [
        json.dumps(each, separators=(",", ":"), ensure_ascii=False)
        for text in found.values()
        for each in json.loads(text)["Records"]
    ]
    assert sorted(records) == sorted([TOKYO, OSAKA, '{"awsRegion":"../x"}'])
