"""`console-login redrive`: failed records are sent to the stream again; nothing is lost."""

import contextlib
import functools
import gzip
import io
import json
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import forked
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from support import (
    CONTROL_MESSAGE,
    OSAKA,
    ROOT,
    TIMEOUT,
    TOKYO,
    FakeFirehose,
    b64,
    client_error,
    envelope,
    gz,
)

from console_login import cli
from console_login.local import generate
from console_login.local import pipeline as local
from console_login.local.faults import Faults
from console_login.local.firehose_api import FirehoseClient
from console_login.operate import error_objects, redrive
from console_login.operate.access import Access, AccessError, Deployed
from console_login.operate.error_objects import MAX_LINE_BYTES
from console_login.operate.sent_lines import Lines, ProgressTags, is_finished
from transformer import put_back

START = 1711792102.0
BUCKET = "amzn-s3-demo-bucket"
FOLDER = "consolelogin/processing-failed/"
STREAM = "console-login"
TAG = f"redriven:{STREAM}"
TARGET = redrive.Target(BUCKET, FOLDER, STREAM, "ConsoleLogin")
OTHER = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
DAMAGED = TOKYO[:-9]


@functools.cache
def s3_client() -> Any:
    return boto3.client("s3", "ap-northeast-1")


class Clients:
    """Access to moto's S3 and a fake Firehose; `intercept(operation, call)` runs each call."""

    endpoint_url, region, profile = None, "ap-northeast-1", "audit"

    def __init__(self, firehose: Any) -> None:
        self.firehose = firehose
        self.calls: list[str] = []
        self.intercept: Callable[[str, Callable[[], Any]], Any] = lambda _, call: call()

    def client(self, service: str, **config: Any) -> Any:
        client = self.firehose if service == "firehose" else s3_client()
        return _Watched(client, self)


class _Watched:
    def __init__(self, client: Any, clients: Clients) -> None:
        self._client = client
        self._clients = clients

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        operations = ("put_record_batch", "put_object_tagging", "get_object", "delete_object")
        if name not in (*operations, "get_object_tagging"):
            return method

        def call(**arguments: Any) -> Any:
            if name in operations:
                self._clients.calls.append(name)
            return self._clients.intercept(name, lambda: method(**arguments))

        return call


class Bucket:
    """A bucket in moto, written and read as by its owner."""

    def __init__(self) -> None:
        self.s3 = s3_client()
        location = {"LocationConstraint": "ap-northeast-1"}
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)

    def put(self, name: str, *lines: bytes, **arguments: Any) -> str:
        body = b"".join(line + b"\n" for line in lines)
        return self.put_body(name, body, **arguments)

    def put_body(self, name: str, body: bytes, **arguments: Any) -> str:
        key = FOLDER + name
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, **arguments)
        return key

    def tags(self, key: str) -> dict[str, str]:
        tags = self.s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        return {each["Key"]: each["Value"] for each in tags}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield Bucket()


def sign_in(event_id: str) -> str:
    return TOKYO.replace(json.loads(TOKYO)["eventID"], event_id)


def failed(data: bytes | str, arn: str = "lambdaARN", **fields: Any) -> bytes:
    """Return a line of an error object; bytes are a record, gzipped unless they are already."""
    if isinstance(data, bytes):
        data = b64(data)
    return json.dumps(
        {
            "attemptsMade": 4,
            "arrivalTimestamp": 1711792102369,
            "errorCode": "Lambda.FunctionError",
            "errorMessage": "The function raised.",
            "attemptEndingTimestamp": 1711792112369,
            "rawData": data,
            arn: "arn:aws:lambda:ap-northeast-1:111122223333:function:f:$LATEST",
        }
        | fields
    ).encode()


def one(event_id: str) -> bytes:
    return failed(gz(envelope([sign_in(event_id)])))


def ids(records: list[bytes]) -> Counter[str]:
    found: Counter[str] = Counter()
    for record in records:
        text = gzip.decompress(record) if record.startswith(b"\x1f\x8b") else record
        for log_event in json.loads(text)["logEvents"]:
            with contextlib.suppress(ValueError):
                found[json.loads(log_event["message"])["eventID"]] += 1
    return found


def job(
    clients: Clients | FakeFirehose, target: redrive.Target = TARGET, sleep: Any = lambda _: None
) -> redrive.Redrive:
    clients = Clients(clients) if isinstance(clients, FakeFirehose) else clients
    return redrive.Redrive(clients, target, sleep)  # type: ignore[arg-type]


def run_once(clients: Clients | FakeFirehose) -> redrive.Result:
    doing = job(clients)
    return doing.send(doing.plan())


# Every fault of the local pipeline ---------------------------------------------------------------


def made_up(count: int) -> list[str]:
    return list(generate.events(count, 0.5, random.Random(13), START))


class ExplainedApi:
    """The stream's API; records that are sent again explain copies, as error objects stay."""

    def __init__(self, pipeline: local.Pipeline) -> None:
        self.pipeline = pipeline

    def put_record_batch(self, stream_name: str, records: list[bytes]) -> Any:
        for record in records:
            self.pipeline._ledger.explain(record)
        return self.pipeline.api.put_record_batch(stream_name, records)


def redriven(pipeline: local.Pipeline, *faults: str) -> list[redrive.Result]:
    """Fix the pipeline, then redrive, with `faults`, until there is nothing to send."""
    pipeline._faults._shares.clear()
    client = FirehoseClient(Faults(faults, 5))
    client.api = ExplainedApi(pipeline)  # type: ignore[assignment]
    configuration = pipeline.stream.configuration
    target = redrive.target(
        Access(),
        bucket=configuration.bucket,
        prefix=FOLDER,
        stream=configuration.name,
    )
    results: list[redrive.Result] = []
    while True:
        doing = job(Clients(client), target)
        plan = doing.plan()
        if not plan.to_send:
            return results
        results.append(doing.send(plan))
        assert len(results) < 30


def drained(pipeline: local.Pipeline) -> Any:
    local.run(pipeline, pipeline._clock, [], lambda: None)  # type: ignore[arg-type]
    return pipeline.account()


@pytest.mark.parametrize(
    ("fault", "small"),
    [
        ("lambda:0.8", None),
        ("lambda-timeout:0.8", None),
        ("put-record-batch:throttle:1", 50_000),
        ("put-record-batch:partial:1", 50_000),
        ("put-record-batch:outage", 50_000),
        ("put-record-batch:timeout:0.5", 50_000),
    ],
)
def test_after_any_failure_everything_is_delivered(
    fault: str, small: int | None, run: Callable[..., Any]
) -> None:
    events = made_up(800)
    done = run(events, faults=[fault], max_response_bytes=small, seed=2)
    assert done.error_keys
    before = {key: done.pipeline.state.get(key) for key in done.error_keys}
    if "timeout" not in fault:
        assert done.account.in_error_prefix > 0
    (result,) = redriven(done.pipeline)
    assert result.is_complete
    account = drained(done.pipeline)
    assert account.is_balanced
    assert account.in_error_prefix == 0
    assert account.delivered == sum(
        json.loads(each)["eventName"] == "ConsoleLogin" for each in events
    )
    # The objects are unchanged, and a second run has nothing to do.
    assert {key: done.pipeline.state.get(key) for key in before} == before
    assert redriven(done.pipeline) == []


@pytest.mark.parametrize(
    "fault",
    ["throttle:0.5", "partial:0.5", "outage:0.5", "timeout:0.5"],
)
def test_the_next_run_finishes_a_redrive_that_failed(
    fault: str, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_back, "MAX_BATCH_RECORDS", 5)
    done = run(made_up(1500), faults=["lambda:1"])
    assert done.account.delivered == 0
    results = redriven(done.pipeline, f"put-record-batch:{fault}")
    account = drained(done.pipeline)
    assert account.is_balanced
    assert account.in_error_prefix == 0
    assert results[-1].is_complete
    delivered = Counter(
        line
        for key in done.pipeline.stream.keys
        for line in done.pipeline.state.get(key).splitlines()
    )
    if fault.startswith("timeout"):
        # There are copies, but only of records without a response.
        assert sum(each.unknown for each in results) > 0
        assert delivered.total() > len(delivered)
    else:
        assert delivered.total() == len(delivered)


def test_damaged_events_stay_and_are_not_sent_forever(run: Callable[..., Any]) -> None:
    # The filter passes only JSON: damaged events come from another producer.
    done = run([TOKYO], faults=["lambda:1"], EventNames="*")
    record = gz(envelope([OSAKA, DAMAGED]))
    done.stream.put(record)
    done.stream.put(gz(envelope([DAMAGED])))
    drained_before = done.pipeline
    local.run(drained_before, drained_before._clock, [], lambda: None)  # type: ignore[arg-type]
    (result,) = redriven(done.pipeline)
    # The sign-in and the partly damaged record, but not the completely damaged one.
    assert (result.to_send, result.sent) == (2, 2)
    local.run(done.pipeline, done.pipeline._clock, [], lambda: None)  # type: ignore[arg-type]
    lines = [line for key in done.stream.keys for line in done.pipeline.state.get(key).splitlines()]
    assert sorted(lines) == sorted([TOKYO.encode(), OSAKA.encode()])
    assert redriven(done.pipeline) == []


# Killed anywhere ---------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: the program must not handle it."""


def five_batches(bucket: Bucket) -> set[str]:
    names = [f"e{number}" for number in range(9)]
    bucket.put("a", *map(one, names[:5]), failed(gz(envelope([OTHER]))))
    bucket.put("b", one(names[5]))
    bucket.put("c", b"junk", *map(one, names[6:]))
    return set(names)


def killing(clients: Clients, when: int, *, after: bool) -> None:
    count = 0

    def intercept(name: str, call: Callable[[], Any]) -> Any:
        nonlocal count
        if name not in ("put_record_batch", "put_object_tagging"):
            return call()
        count += 1
        if count == when and not after:
            raise Killed
        response = call()
        if count == when:
            raise Killed
        return response

    clients.intercept = intercept


def test_killed_before_or_after_any_call_and_run_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_back, "MAX_BATCH_RECORDS", 2)
    monkeypatch.setattr(redrive, "MAX_BATCH_RECORDS", 2)
    kills = 0
    for after in (False, True):
        for when in range(1, 100):
            for each in bucket.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
                bucket.s3.delete_object(Bucket=BUCKET, Key=each["Key"])
            expected = five_batches(bucket)
            firehose = FakeFirehose()
            first = Clients(firehose)
            killing(first, when, after=after)
            try:
                run_once(first)
            except Killed:
                kills += 1
            else:
                break
            # Whether the run was killed after a batch was sent and before its tag was written.
            calls = [name for name in first.calls if name != "get_object"]
            last_batch = ids(firehose.calls[-1]) if firehose.calls else Counter[str]()
            put_without_tag = (calls[-1] == "put_record_batch" and after) or (
                calls[-1] == "put_object_tagging" and not after and len(calls) > 1
            )
            run_once(Clients(firehose))
            found = ids(firehose.accepted)
            assert set(found) == expected
            twice = {name for name, count in found.items() if count == 2}
            assert max(found.values()) <= 2
            assert twice == (set(last_batch) if put_without_tag else set())
            assert run_once(Clients(firehose)).to_send == 0
    # The check, then the put and the tag of each of the six batches.
    assert kills == 2 * (1 + 2 * 6)


def test_each_batch_is_recorded_before_the_next_is_sent(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_back, "MAX_BATCH_RECORDS", 2)
    five_batches(bucket)
    clients = Clients(FakeFirehose())
    run_once(clients)
    puts = [name for name in clients.calls if name != "get_object"]
    assert puts == ["put_object_tagging", *["put_record_batch", "put_object_tagging"] * 6]
    assert "delete_object" not in clients.calls


# Reading error objects ---------------------------------------------------------------------------


@pytest.mark.parametrize("arn", ["lambdaARN", "lambdaArn"])
@pytest.mark.parametrize(
    "form",
    [
        lambda body: body,
        gz,
        lambda body: gz(body[:100]) + gz(body[100:]),
    ],
    ids=["plain", "gzip", "gzip members"],
)
def test_objects_of_every_form(form: Any, arn: str, bucket: Bucket) -> None:
    extra = {"EncryptedData": "x", "subsequence": 1}
    lines = [failed(gz(envelope([sign_in(n)])), arn, **extra) for n in ("e1", "e2")]
    plain = failed(envelope([sign_in("e3")]), arn)
    key = bucket.put_body("a", form(b"\n".join([*lines, plain])))
    firehose = FakeFirehose()
    assert run_once(firehose).is_complete
    assert ids(firehose.accepted) == Counter(["e1", "e2", "e3"])
    assert bucket.tags(key) == {TAG: "all"}


def test_the_plan_previews_each_record(bucket: Bucket) -> None:
    key = bucket.put(
        "a",
        failed(gz(envelope([sign_in("e1"), OTHER, sign_in("e2")]))),
        failed(gz(envelope([OTHER])), errorCode="Lambda.FunctionTimedOut"),
        failed(gz(envelope([TOKYO]))[:-20]),
        failed(gz(envelope([DAMAGED]))),
        failed(gz(envelope([sign_in("e3"), DAMAGED, DAMAGED]))),
        failed(b"\xff", errorCode={"eventName": "secret"}),
    )
    firehose = FakeFirehose()
    plan = job(firehose).plan()
    assert [(each.line, each.preview) for each in plan.named] == [
        (1, ("delivered", 2, 0)),
        (2, ("no_match", 0, 0)),
        (3, ("corrupt_gzip", 0, 0)),
        (4, ("malformed_event", 0, 0)),
        (5, ("delivered", 1, 2)),
        (6, ("undecodable", 0, 0)),
    ]
    assert plan.by_error_code == {
        "Lambda.FunctionError": 4,
        "Lambda.FunctionTimedOut": 1,
        "unknown": 1,
    }
    assert (plan.objects, plan.records, plan.records_to_send) == (1, 6, 2)
    assert (plan.events_to_deliver, plan.events_damaged) == (3, 2)
    assert job(firehose).send(plan).sent == 2
    assert bucket.tags(key) == {TAG: "1 5"}
    assert ids(firehose.accepted) == Counter(["e1", "e2", "e3", json.loads(OTHER)["eventID"]])


def test_every_event_counts_of_a_record_larger_than_a_response(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", failed(gz(envelope([*(sign_in(f"e{n}") for n in range(5000)), DAMAGED]))))
    plan = job(FakeFirehose()).plan()
    (record,) = plan.named
    assert len(TOKYO) * 5000 > 4_500_000
    assert record.preview == ("delivered", 5000, 1)


def test_junk_lines_are_named_and_the_other_records_are_sent(bucket: Bucket) -> None:
    bucket.put("empty-folder/")
    junk = bucket.put(
        "a",
        b"junk",
        b"[1]",
        b'{"rawData": 1}',
        failed("no base64!"),
        b"[" * 100_000,
        b"x" * (2 * MAX_LINE_BYTES),
        b"",
        TOKYO.encode(),
        failed(b"x" * 1_024_001),
        b"\xff\xfe",
        one("e1"),
    )
    cut = bucket.put_body("b", gz(one("e2") + b"\n")[:-4])
    damaged = bucket.put_body("c", gz(one("e2"))[:-8] + b"12345678")
    tail = bucket.put_body("d", gz(one("e2")) + b"tail")
    broken = bucket.put_body("e", gz(one("e2"))[:20] + b"\xff" * 100)
    bucket.put("f", one("e3"))
    firehose = FakeFirehose()
    plan = job(firehose).plan()
    # The folder does not count.
    assert plan.objects == 6
    assert [tuple(each) for each in plan.unusable] == [
        (junk, 1, "the line is not JSON"),
        (junk, 2, "the line has no rawData"),
        (junk, 3, "the line has no rawData"),
        (junk, 4, "rawData is not base64"),
        (junk, 5, "the line is not JSON"),
        (junk, 6, "the line is too long"),
        (junk, 8, "the line has no rawData"),
        (junk, 9, "rawData is larger than any record"),
        (junk, 10, "the line is not JSON"),
        (cut, None, "its gzip is damaged"),
        (damaged, None, "its gzip is damaged"),
        (tail, None, "its gzip is damaged"),
        (broken, None, "its gzip is damaged"),
    ]
    assert job(firehose).send(plan).is_complete
    assert ids(firehose.accepted) == Counter(["e1", "e3"])
    assert bucket.tags(junk) == {TAG: "11"}
    assert bucket.tags(cut) == {}


def test_an_object_too_large_for_an_error_object_is_not_read(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_objects, "MAX_OBJECT_BYTES", 1024 * 1024)
    bucket.put_body("a", b"x" * (1024 * 1024 + 1))
    clients = Clients(FakeFirehose())
    (unusable,) = job(clients).plan().unusable
    assert unusable.reason == "it is larger than 1 MiB"
    assert clients.calls == []


def test_names_are_counted_and_limited(bucket: Bucket) -> None:
    bucket.put("a", *[b"junk"] * 50, *(one(f"e{n}") for n in range(50)))
    plan = job(FakeFirehose()).plan()
    assert (len(plan.unusable), plan.unusable_count) == (redrive.MAX_NAMED, 50)
    assert (len(plan.named), plan.records) == (redrive.MAX_NAMED, 50)
    assert len(job(FakeFirehose()).plan(max_named=None).named) == 50


def test_a_listing_of_more_than_a_page(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    for number in range(10):
        bucket.put(f"{number:04}", b"")
    bucket.put("last", one("e1"))
    assert len(bucket.s3.list_objects_v2(Bucket=BUCKET)["Contents"]) == 3
    firehose = FakeFirehose()
    assert run_once(firehose).sent == 1
    assert ids(firehose.accepted) == Counter(["e1"])


def test_an_object_that_changes_after_the_plan_is_not_sent(bucket: Bucket) -> None:
    for name in ("a", "b", "c"):
        bucket.put(name, one(name))
    firehose = FakeFirehose()
    doing = job(firehose)
    plan = doing.plan()
    bucket.put("a", one("other"))
    bucket.s3.delete_object(Bucket=BUCKET, Key=FOLDER + "b")
    result = doing.send(plan)
    assert ids(firehose.accepted) == Counter(["c"])
    assert (result.sent, result.not_tried, result.is_complete) == (1, 2, False)
    assert [each.reason for each in result.unusable] == [
        "it was overwritten in the meantime",
        "it no longer exists",
    ]


def test_a_batch_is_cut_by_bytes_too(bucket: Bucket) -> None:
    records = [envelope([sign_in(f"e{n}")], pad="x" * 900_000) for n in range(6)]
    bucket.put("a", *map(failed, records))
    firehose = FakeFirehose()
    assert run_once(firehose).is_complete
    # No call has more than a second's share of the quota.
    assert [len(call) for call in firehose.calls] == [1] * 6
    assert firehose.accepted == records


# Recording what was sent -------------------------------------------------------------------------


def test_the_owners_tags_are_kept(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"), Tagging="team=security&cost center=a/b")
    assert run_once(FakeFirehose()).is_complete
    assert bucket.tags(key) == {"team": "security", "cost center": "a/b", TAG: "all"}


def test_an_object_with_ten_tags_is_unusable(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"), Tagging="&".join(f"t{n}=v" for n in range(10)))
    nine = bucket.put("b", one("e2"), Tagging="&".join(f"t{n}=v" for n in range(9)))
    firehose = FakeFirehose()
    plan = job(firehose).plan()
    ((named, line, reason),) = plan.unusable
    assert (named, line) == (key, None)
    assert "10 tags" in reason
    assert job(firehose).send(plan).sent == 1
    assert ids(firehose.accepted) == Counter(["e2"])
    assert len(bucket.tags(nine)) == 10


def test_a_damaged_tag_is_reported(bucket: Bucket) -> None:
    for number, value in enumerate(["x", "1-", "0", "2-1-3", "1_2", "9" * 40]):
        bucket.s3.put_object(
            Bucket=BUCKET, Key=f"{FOLDER}{number}", Body=one("e1"), Tagging=f"{TAG}={value}"
        )
    plan = job(FakeFirehose()).plan()
    assert plan.unusable_count == 6
    assert plan.to_send == []
    assert all("is damaged: remove the tag" in each.reason for each in plan.unusable)


def test_a_huge_range_is_cheap(bucket: Bucket) -> None:
    bucket.put("a", one("e1"), Tagging=f"{TAG}=1-999999999999")
    assert job(FakeFirehose()).plan().sent_before == 1


def test_each_stream_has_its_own_progress(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"))
    assert run_once(FakeFirehose()).sent == 1
    trial = redrive.Target(BUCKET, FOLDER, "trial", "ConsoleLogin")
    doing = job(FakeFirehose(), trial)
    assert doing.send(doing.plan()).sent == 1
    assert bucket.tags(key) == {TAG: "all", "redriven:trial": "all"}


def test_records_that_do_not_fit_in_the_tag_are_counted_and_sent_again(
    bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only every other line is sent, so no two lines form a range.
    damaged = failed(gz(envelope(['{"eventName":"ConsoleLogin"'])))
    lines = [each for n in range(200) for each in (one(f"e{n}"), damaged)]
    key = bucket.put("a", *lines)
    firehose = FakeFirehose()
    result = run_once(firehose)
    value = bucket.tags(key)[TAG]
    assert 250 < len(value) <= 256
    recorded = len(value.split())
    assert value.split()[:3] == ["1", "3", "5"]
    assert (result.sent, result.not_recorded) == (200, 200 - recorded)
    assert run_once(firehose).sent == 200 - recorded
    assert set(ids(firehose.accepted)) == {f"e{n}" for n in range(200)}
    # The next run sends them again, so the run is not a success.
    assert not run_once(firehose).is_complete
    main(monkeypatch, Clients(firehose), "--yes", code=1)
    expected = f"{200 - recorded:,} records were sent but could not be recorded"
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "1", "1-500 502", "2 4-5 9"])
def test_lines_are_written_as_they_are_read(text: str) -> None:
    assert str(Lines.parse(text)) == text


def test_lines_are_a_set() -> None:
    randomness = random.Random(1)
    for _ in range(200):
        left = {randomness.randrange(1, 60) for _ in range(randomness.randrange(30))}
        right = {randomness.randrange(1, 60) for _ in range(randomness.randrange(30))}
        both = Lines(left) | Lines.parse(str(Lines(right)))
        assert {line for line in range(70) if line in both} == left | right
        assert len(both) == len(left | right)
        limit = randomness.randrange(0, 60)
        leading = both.leading(limit)
        assert len(str(leading)) <= limit
        assert str(both).startswith(str(leading))
        if len(str(both)) <= limit:
            assert len(leading) == len(both)


def test_with_another_run_in_between_nothing_is_sent_twice(bucket: Bucket) -> None:
    bucket.put("a", one("e1"), one("e2"))
    firehose = FakeFirehose()
    slow = job(firehose)
    plan = slow.plan()
    assert run_once(firehose).sent == 2
    result = slow.send(plan)
    assert (result.sent, result.sent_meanwhile, result.is_complete) == (0, 2, True)
    assert ids(firehose.accepted) == Counter(["e1", "e2"])


def meeting(clients: Clients, operation: str, other: Callable[[], Any], at: int = 1) -> None:
    """Run `other` right before the call number `at` of an operation."""
    calls = 0

    def intercept(name: str, call: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += name == operation
        if name == operation and calls == at:
            other()
        return call()

    clients.intercept = intercept


def test_a_finished_object_stays_finished_when_two_runs_meet(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"), one("e2"))
    for at in range(1, 9):
        firehose = FakeFirehose()
        bucket.put("a", one("e1"), one("e2"))
        slow = Clients(firehose)
        meeting(slow, "get_object_tagging", lambda: run_once(firehose), at)  # noqa: B023
        run_once(slow)
        assert bucket.tags(key) == {TAG: "all"}, at
        assert set(ids(firehose.accepted)) == {"e1", "e2"}
        assert run_once(firehose).to_send == 0


def test_a_finished_object_stays_finished_when_fewer_lines_are_recorded(bucket: Bucket) -> None:
    tags = ProgressTags(bucket.s3, BUCKET, STREAM)
    for value in ("all", "- all", "1-3 all"):
        key = bucket.put("a", one("e1"), Tagging=f"{TAG}={value}")
        tags.check_writable(key)
        tags.record(key, Lines([2]))
        assert bucket.tags(key)[TAG].split()[-1] == "all"


def test_a_tag_that_another_run_overwrites_is_written_again(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"))
    clients = Clients(FakeFirehose())
    tags = ProgressTags(clients.client("s3"), BUCKET, STREAM)

    def overwrite(values: dict[str, str]) -> None:
        tag_set = [{"Key": name, "Value": value} for name, value in values.items()]
        bucket.s3.put_object_tagging(Bucket=BUCKET, Key=key, Tagging={"TagSet": tag_set})

    # Each call reads, writes and reads: the other run writes before the last read.
    meeting(clients, "get_object_tagging", lambda: overwrite({TAG: "7"}), at=2)
    tags.record(key, Lines([1, 2]))
    assert bucket.tags(key) == {TAG: "1-2 7"}
    meeting(clients, "get_object_tagging", lambda: overwrite({TAG: "7", "team": "a"}), at=2)
    tags.record(key, Lines(), is_complete=True)
    assert bucket.tags(key) == {TAG: "7 all", "team": "a"}
    meeting(clients, "get_object_tagging", lambda: overwrite({"team": "a"}), at=2)
    tags.settle(key, datetime.now(UTC))
    assert set(bucket.tags(key)) == {"team", f"settled:{STREAM}"}


def test_tags_that_others_keep_overwriting_stop_the_run(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"))
    clients = Clients(FakeFirehose())

    def delete_tags(name: str, call: Callable[[], Any]) -> Any:
        response = call()
        if name == "put_object_tagging" and clients.firehose.accepted:
            bucket.s3.delete_object_tagging(Bucket=BUCKET, Key=key)
        return response

    clients.intercept = delete_tags
    result = run_once(clients)
    assert not result.is_complete
    assert "something else keeps overwriting its tags" in (result.stopped or "")


# Nothing to send ---------------------------------------------------------------------------------

# A new filter sends a control message, which fails while Firehose may not invoke the function yet.
CONTROL_ONLY = failed(gz(CONTROL_MESSAGE.encode()), errorCode="Lambda.InvokeAccessDenied")


def test_an_object_with_nothing_to_send_is_marked_once(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control = bucket.put_body("control", CONTROL_ONLY)
    other = bucket.put("other", failed(gz(envelope([OTHER]))), b"", Tagging="team=a")
    damaged = bucket.put("damaged", failed(gz(envelope([DAMAGED]))), failed(gz(envelope([OTHER]))))
    main(monkeypatch, Clients(FakeFirehose()), "--dry-run", code=0)
    assert bucket.tags(control) == {}
    assert "objects to mark" in capsys.readouterr().out
    main(monkeypatch, Clients(FakeFirehose()), code=1, answer="n\n")
    assert bucket.tags(control) == {}
    assert "Mark 2 objects with nothing to send? [y/N]" in capsys.readouterr().err
    firehose = FakeFirehose()
    main(monkeypatch, Clients(firehose), "--yes", code=0)
    out = capsys.readouterr().out
    assert out.endswith("\nnothing to send\n2 of 2 objects marked as having nothing to send\n")
    assert firehose.calls == []
    assert bucket.tags(control) == {TAG: "- all"}
    assert bucket.tags(other) == {TAG: "- all", "team": "a"}
    assert bucket.tags(damaged) == {}
    assert is_finished(bucket.tags(control), STREAM)
    clients = Clients(FakeFirehose())
    main(monkeypatch, clients, "--yes", code=0)
    assert capsys.readouterr().out.endswith("\nnothing to send\n")
    assert "put_object_tagging" not in clients.calls


def test_a_control_message_never_shows_as_sent_before(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = bucket.put("a", one("e1"), CONTROL_ONLY)
    for value in (None, "all", "1 all"):
        if value is not None:
            bucket.put("a", one("e1"), CONTROL_ONLY, Tagging=f"{TAG}={value}")
        main(monkeypatch, Clients(FakeFirehose()), "--yes", code=0)
        assert bucket.tags(key) == {TAG: value or "1 all"}
        capsys.readouterr()
        main(monkeypatch, Clients(FakeFirehose()), "--dry-run", code=0)
        out = capsys.readouterr().out
        assert "line 1: sent before\n  line 2: control_message, not sent\n" in out
        assert re.search(r"^  sent before +1 *$", out, re.MULTILINE)


def test_events_that_are_selected_later_are_sent_later(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"), failed(gz(envelope([OTHER]))))
    marked = bucket.put("b", failed(gz(envelope([OTHER]))))
    assert run_once(FakeFirehose()).is_complete
    assert bucket.tags(key) == {TAG: "1 all"}
    firehose = FakeFirehose()
    doing = job(firehose, redrive.Target(BUCKET, FOLDER, STREAM, "ConsoleLogin,CheckMfa"))
    assert doing.send(doing.plan()).sent == 2
    assert ids(firehose.accepted) == {json.loads(OTHER)["eventID"]: 2}
    assert is_finished(bucket.tags(key), STREAM)
    assert is_finished(bucket.tags(marked), STREAM)


def test_the_tag_is_all_if_the_ranges_of_a_finished_object_do_not_fit(bucket: Bucket) -> None:
    other = failed(gz(envelope([OTHER])))
    key = bucket.put("a", *(each for n in range(120) for each in (one(f"e{n}"), other)))
    firehose = FakeFirehose()
    assert run_once(firehose).is_complete
    assert bucket.tags(key) == {TAG: "all"}
    assert run_once(firehose).to_send == 0


def test_an_object_that_changes_after_the_plan_is_not_marked(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put_body("a", CONTROL_ONLY)
    gone = bucket.put_body("b", CONTROL_ONLY)
    doing = job(FakeFirehose())
    plan = doing.plan()
    key = bucket.put("a", one("e1"))
    bucket.s3.delete_object(Bucket=BUCKET, Key=gone)
    result = doing.send(plan)
    assert (result.marked, result.is_complete) == (0, False)
    assert [each.reason for each in result.unusable] == [
        "it was overwritten in the meantime",
        "it no longer exists",
    ]
    assert bucket.tags(key) == {}


def test_without_permission_to_mark_the_run_is_not_a_success(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put_body("a", CONTROL_ONLY)
    clients = Clients(FakeFirehose())
    denying(clients, "put_object_tagging")
    main(monkeypatch, clients, "--yes", code=1)
    assert "stopped: PutObjectTagging: AccessDenied: no\n" in capsys.readouterr().out


# Settled objects ---------------------------------------------------------------------------------


def settle(*keys: str) -> list[str]:
    return [word for key in keys for word in ("--settle", key)]


def test_settled_objects_are_shown_tagged_and_left_out(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = bucket.put("a", failed(gz(envelope([DAMAGED]))), one("e1"), Tagging="team=a b")
    junk = bucket.put("b", b"junk")
    bucket.put("b-longer", one("e2"))
    options = settle(damaged, f"s3://{BUCKET}/{junk}", damaged)
    main(monkeypatch, Clients(FakeFirehose()), *options, "--dry-run", code=0)
    out = capsys.readouterr().out
    assert f"{damaged}\n  line 1: malformed_event, not sent\n  line 2: would deliver 1\n" in out
    assert f"{junk} line 1: the line is not JSON, not sent\n" in out
    assert out.endswith("\ndry run: nothing settled\n")
    main(monkeypatch, Clients(FakeFirehose()), *options, code=1, answer="n\n")
    printed = capsys.readouterr()
    assert "Settle 2 objects? 1 event that could be delivered will not be. [y/N]" in printed.err
    assert printed.out.endswith("\nnothing was settled\n")
    assert bucket.tags(junk) == {}
    main(monkeypatch, Clients(FakeFirehose()), *options, code=2)
    assert "there is no answer: use --yes to settle without asking" in capsys.readouterr().err

    firehose = FakeFirehose()
    main(monkeypatch, Clients(firehose), *options, "--yes", code=0)
    out = capsys.readouterr().out
    assert set(bucket.tags(damaged)) == {"team", f"settled:{STREAM}"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bucket.tags(junk)[f"settled:{STREAM}"])
    for key in (damaged, junk):
        assert is_finished(bucket.tags(key), STREAM)
        assert not is_finished(bucket.tags(key), "another-stream")
        assert f"settled {key} (tag settled:{STREAM})" in out
    assert firehose.calls == []

    # Later runs leave them out and send the rest, and the run is a success.
    main(monkeypatch, Clients(firehose), "--yes", code=0)
    assert ids(firehose.accepted) == Counter(["e2"])
    assert re.search(r"^  settled, not read +2 *$", capsys.readouterr().out, re.MULTILINE)

    # The printed commands undo it.
    for line in out.splitlines():
        if line.startswith("aws "):
            _, *arguments = shlex.split(line)
            assert arguments[:4] == ["--region", "ap-northeast-1", "--profile", "audit"]
            del arguments[:4]
            operation = arguments[1].replace("-", "_")
            names = {"--bucket": "Bucket", "--key": "Key", "--tagging": "Tagging"}
            options = {names[arguments[n]]: arguments[n + 1] for n in range(2, len(arguments), 2)}
            if "Tagging" in options:
                options["Tagging"] = json.loads(options["Tagging"])
            getattr(bucket.s3, operation)(**options)
    assert (bucket.tags(damaged), bucket.tags(junk)) == ({"team": "a b"}, {})
    assert job(firehose).plan().records_to_send == 1


def test_an_object_is_settled_without_a_valid_tag_of_sent_lines(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = bucket.put("full", one("e1"), Tagging="&".join(f"t{n}=v" for n in range(10)))
    nine = bucket.put("nine", one("e1"), Tagging="&".join(f"t{n}=v" for n in range(9)))
    broken = bucket.put("broken", one("e1"), Tagging=f"{TAG}=x")
    main(monkeypatch, Clients(FakeFirehose()), *settle(nine, broken), "--yes", "--json", code=0)
    document = json.loads(capsys.readouterr().out)
    assert [each["key"] for each in document["settled"]] == [nine, broken]
    assert document["settled"][1]["tags_before"] == {TAG: "x"}
    # One of the ten tags is now the settled tag; no other tag is needed.
    plan = job(FakeFirehose()).plan()
    assert (plan.settled, plan.objects, plan.unusable_count) == (1, 3, 2)
    main(monkeypatch, Clients(FakeFirehose()), *settle(full), "--yes", code=2)
    assert f"console-login: --settle {full}: it has 10 tags" in capsys.readouterr().err


@pytest.mark.parametrize("key", [FOLDER, f"{FOLDER}none", "elsewhere/a", f"{FOLDER}\x1b[31m", ""])
def test_a_key_that_is_not_an_error_object_is_refused(
    key: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put("a", one("e1"))
    main(monkeypatch, Clients(FakeFirehose()), *settle(key), "--yes", code=2)
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.endswith(f"there is no such object under s3://{BUCKET}/{FOLDER}")
    assert "\x1b" not in line


# Refused calls -----------------------------------------------------------------------------------


def denying(clients: Clients, operation: str, after: int = 0) -> None:
    calls = 0

    def intercept(name: str, call: Callable[[], Any]) -> Any:
        nonlocal calls
        if name == operation:
            calls += 1
            if calls > after:
                error = {"Error": {"Code": "AccessDenied", "Message": "no"}}
                raise ClientError(error, "PutObjectTagging")  # type: ignore[arg-type]
        return call()

    clients.intercept = intercept


def test_without_permission_to_write_tags_nothing_is_sent(bucket: Bucket) -> None:
    bucket.put("a", one("e1"))
    firehose = FakeFirehose()
    clients = Clients(firehose)
    denying(clients, "put_object_tagging")
    expected = r"nothing was sent, .*PutObjectTagging: AccessDenied: no"
    with pytest.raises(AccessError, match=expected):
        run_once(clients)
    assert firehose.calls == []


def test_a_later_refusal_to_write_a_tag_stops_the_run(bucket: Bucket) -> None:
    keys = [bucket.put(name, one(name)) for name in ("a", "b", "c")]
    firehose = FakeFirehose()
    clients = Clients(firehose)
    denying(clients, "put_object_tagging", after=2)
    result = run_once(clients)
    assert result.stopped is not None
    assert keys[1] in result.stopped
    assert "will be sent again" in result.stopped
    assert len(firehose.calls) == 2
    assert (result.sent, result.not_tried, result.is_complete) == (2, 1, False)


def test_an_object_that_may_not_be_read_stops_the_run(bucket: Bucket) -> None:
    bucket.put("a", one("e1"))
    clients = Clients(FakeFirehose())
    denying(clients, "get_object")
    with pytest.raises(AccessError, match="AccessDenied"):
        job(clients).plan()


def test_a_refusal_during_the_run_is_reported_with_the_records_sent(bucket: Bucket) -> None:
    for name in ("a", "b"):
        bucket.put(name, one(name))
    clients = Clients(FakeFirehose())
    # Two calls to plan, and one to send.
    denying(clients, "get_object", after=3)
    result = run_once(clients)
    assert (result.sent, result.not_tried, result.is_complete) == (1, 1, False)
    assert "AccessDenied" in (result.stopped or "")
    assert run_once(Clients(FakeFirehose())).sent == 1


def test_a_stream_that_accepts_nothing_stops_the_run(bucket: Bucket) -> None:
    for number in range(9):
        bucket.put(str(number), one(f"e{number}"))
    firehose = FakeFirehose(*[client_error("AccessDeniedException")] * 9)
    result = run_once(firehose)
    assert len(firehose.calls) == redrive.MAX_FAILED_BATCHES
    assert (result.sent, result.unknown, result.not_tried) == (0, 3, 6)
    assert "AccessDeniedException" in (result.problem or "")
    assert result.stopped == "the stream does not accept any record"
    assert run_once(FakeFirehose()).sent == 9


def test_a_batch_without_an_answer_is_sent_again(bucket: Bucket) -> None:
    key = bucket.put("a", one("e1"))
    bucket.put("b", one("e2"))
    firehose = FakeFirehose(TIMEOUT)
    result = run_once(firehose)
    assert (result.sent, result.unknown, result.is_complete) == (1, 1, False)
    assert bucket.tags(key) == {TAG: "-"}
    assert run_once(firehose).is_complete
    assert ids(firehose.accepted) == {"e1": 2, "e2": 1}


def test_half_of_the_quota_is_left_for_new_records(bucket: Bucket) -> None:
    record = envelope([sign_in("e1")], pad="x" * 1_000_000)
    bucket.put("a", *[failed(record)] * 8)
    slept: list[float] = []
    doing = job(Clients(FakeFirehose()), sleep=slept.append)
    assert doing.send(doing.plan()).is_complete
    # Time does not pass here, so each wait is for all batches before it.
    assert max(slept) == pytest.approx(7 * len(record) / (512 * 1024), rel=0.05)


# The options -------------------------------------------------------------------------------------


def stack(names: str = "ConsoleLogin", prefix: str = "consolelogin/") -> Deployed:
    arn = "arn:aws:firehose:ap-northeast-1:111122223333:deliverystream/console-login"
    return Deployed(
        "s",
        {"EventNames": names, "Prefix": prefix},
        {"DeliveryStreamArn": arn, "BucketName": BUCKET},
    )


@pytest.mark.parametrize(
    ("names", "prefix", "expected"),
    [
        ("ConsoleLogin", None, TARGET),
        ("A,*", None, redrive.Target(BUCKET, FOLDER, STREAM, "*")),
        ("A,B", FOLDER + "2026/11/", redrive.Target(BUCKET, FOLDER + "2026/11/", STREAM, "A,B")),
    ],
)
def test_the_target_comes_from_the_stack(
    names: str, prefix: str | None, expected: redrive.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "deployed", lambda access, name: stack(names))
    assert redrive.target(Access(), stack="s", prefix=prefix) == expected


def main(
    monkeypatch: pytest.MonkeyPatch, clients: Clients, *arguments: str, code: int, answer: str = ""
) -> None:
    """Run the command on BUCKET with these clients."""
    monkeypatch.setattr(cli.options, "access", lambda *_: clients)
    monkeypatch.setattr(redrive.Sender, "_wait", lambda *_: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    where = ("--bucket", BUCKET, "--prefix", FOLDER, "--stream", STREAM)
    monkeypatch.setattr(sys, "argv", ["console-login", "redrive", *where, *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert (raised.value.code or 0) == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "use --stack, or add --bucket, --prefix, --stream"),
        (["--bucket", "b", "--stream", "s"], "or add --prefix"),
        (["--bucket", "b", "--stream", "s", "--prefix", ""], "or add --prefix"),
        (["--stack", "s", "--bucket", "b"], "--bucket cannot be combined with --stack"),
        (["--stack", "s", "--stream", "b"], "--stream cannot be combined with --stack"),
        (["--stack", "s", "--event-names", "b"], "--event-names cannot be combined with --stack"),
        (["--stack", "s", "--prefix", "consolelogin/2026/"], "must begin with consolelogin/proc"),
        (["--stack", "s", "--json"], "needs --yes or --dry-run"),
        (["--stack", "s", "--yes", "--dry-run"], "--yes cannot be combined with --dry-run"),
        (
            ["--bucket", "b", "--prefix", "p", "--stream", "s", "--event-names", "a b"],
            "--event-names: 'a b' is not an event name",
        ),
        (
            [*["--bucket", "b", "--prefix", "p", "--stream", "s", "--endpoint-url", "nowhere"]],
            "Invalid endpoint: nowhere; check --endpoint-url and AWS_ENDPOINT_URL",
        ),
        (
            [*["--bucket", "b", "--prefix", "p", "--stream", "s", "--profile", "nobody"]],
            "The config profile (nobody) could not be found",
        ),
    ],
)
def test_a_users_error_is_one_line_and_exit_status_2(
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    monkeypatch.setattr(redrive, "deployed", lambda access, name: stack())
    monkeypatch.setattr(sys, "argv", ["console-login", "redrive", *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    printed = capsys.readouterr()
    assert raised.value.code == 2, printed.out
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("console-login: ")
    assert words in line


# The command -------------------------------------------------------------------------------------


def test_an_empty_prefix_has_nothing_to_send(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(monkeypatch, Clients(FakeFirehose()), "--yes", code=0)
    assert capsys.readouterr().out.endswith("\nnothing to send\n")


def test_a_dry_run_sends_and_writes_nothing(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = bucket.put("a", one("e1"))
    clients = Clients(FakeFirehose())
    main(monkeypatch, clients, "--dry-run", code=0)
    assert clients.calls == ["get_object"]
    assert bucket.tags(key) == {}
    printed = capsys.readouterr().out
    assert f"{key}\n  line 1: would deliver 1\n" in printed
    assert printed.endswith("\ndry run: nothing sent\n")
    assert re.search(r"^records to send +1 *$", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("answer", "code", "sent"),
    [("y\n", 0, 1), ("YES\n", 0, 1), ("\n", 1, 0), ("n\n", 1, 0), ("", 2, 0)],
)
def test_it_asks_and_no_is_the_default(
    answer: str,
    code: int,
    sent: int,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bucket.put("a", one("e1"))
    firehose = FakeFirehose()
    main(monkeypatch, Clients(firehose), code=code, answer=answer)
    assert len(firehose.accepted) == sent
    printed = capsys.readouterr()
    assert "at least once" in printed.err
    assert "Send 1 record? [y/N]: " in printed.err
    assert {0: "1 of 1 record sent\n", 1: "nothing was sent\n", 2: ""}[code] in printed.out
    if code == 2:
        assert printed.err.endswith(
            "console-login: there is no answer: use --yes to send without asking\n"
        )


def test_json_for_machines(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = bucket.put("a", b"junk", *[one(f"e{n}") for n in range(30)])
    bucket.put("b", one("e30"))
    main(monkeypatch, Clients(FakeFirehose(TIMEOUT)), "--yes", "--json", code=1)
    document = json.loads(capsys.readouterr().out)
    assert list(document) == [
        *("bucket", "prefix", "stream", "event_names"),
        *("plan", "records", "unusable", "result"),
    ]
    assert document["plan"] == {
        "objects": 2,
        "objects_settled": 0,
        "objects_to_mark": 0,
        "records": 31,
        "records_sent_before": 0,
        "records_to_send": 31,
        "events_to_deliver": 31,
        "events_damaged": 0,
        "by_reason": {"delivered": 31},
        "by_error_code": {"Lambda.FunctionError": 31},
    }
    assert len(document["records"]) == 31
    assert document["records"][0] == {
        "key": key,
        "line": 2,
        "error_code": "Lambda.FunctionError",
        "sent_before": False,
        "to_send": True,
        "reason": "delivered",
        "events_delivered": 1,
        "events_damaged": 0,
    }
    assert document["unusable"] == [{"key": key, "line": 1, "reason": "the line is not JSON"}]
    problem = document["result"].pop("problem")
    assert "timeout" in problem.lower()
    assert document["result"] == {
        "is_complete": False,
        "records_sent": 1,
        "records_sent_meanwhile": 0,
        "records_unknown": 30,
        "records_not_tried": 0,
        "records_not_remembered": 0,
        "objects_marked": 0,
        "stopped": None,
        "unusable": [],
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bar_moves_on_a_terminal(
    as_json: bool,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # This makes rich write as to a terminal.
    monkeypatch.setenv("FORCE_COLOR", "1")
    bucket.put("a", one("e1"))
    clients = Clients(FakeFirehose())
    main(monkeypatch, clients, "--yes", *(["--json"] if as_json else []), code=0)
    printed = capsys.readouterr()
    for word in ("reading", "sending", "100%"):
        assert (word in printed.err) is not as_json


def test_unknown_records_are_reported_and_no_event_content_is_printed(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "wonderland"
    bucket.put("a", one("e1"), failed(gz(envelope([DAMAGED + secret])), errorMessage=secret))
    bucket.put("b", one("e2"), secret.encode(), failed(secret, errorCode=f"<{secret}>"))
    bucket.put("c", failed(gz(envelope([sign_in(secret)])), errorCode=f"a {secret}"))
    main(monkeypatch, Clients(FakeFirehose(TIMEOUT)), "--yes", code=1)
    printed = capsys.readouterr()
    assert "2 of 3 records sent\n" in printed.out
    assert "1 record may not have been accepted (" in printed.out
    assert "the next run sends it again" in printed.out
    assert secret not in printed.out + printed.err


def test_a_key_with_control_characters_is_printed_on_one_line(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put("a\x1b[31m\nb", one("e1"))
    main(monkeypatch, Clients(FakeFirehose()), "--yes", code=0)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert r"a\x1b[31m\nb" in printed


# Over HTTP ---------------------------------------------------------------------------------------


def test_the_command_against_the_local_endpoint(tmp_path: Any) -> None:
    # With this seed, the first four invocations fail, and one of the next four succeeds.
    program = [sys.executable, "-m", "console_login"]
    serve = "local events/src/tokyo.jsonl --serve --port 0 --fail lambda:0.8 --seed 2"
    serve += " --parameter BufferSeconds=0 --parameter LambdaBufferSeconds=0"
    environment = {
        "PATH": "",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }
    with subprocess.Popen(
        [forked.command(), *serve.split()], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"serving at (\S+) ", server.stdout.readline())
            assert found
            options = f"--endpoint-url {found[1]} --region ap-northeast-1"
            command = [*program, "redrive", *options.split(), "--stack", "console-login-firehose"]

            def redrive_once(*arguments: str, answer: str = "") -> Any:
                return subprocess.run(
                    [*command, *arguments],
                    cwd=ROOT,
                    env=environment,
                    input=answer,
                    capture_output=True,
                    text=True,
                    timeout=60,
                )

            s3 = boto3.client(
                "s3",
                endpoint_url=found[1],
                region_name="ap-northeast-1",
                aws_access_key_id="x",
                aws_secret_access_key="x",
            )
            where = "console-login-firehose-deliverybucket"

            def keys() -> list[str]:
                listed = s3.list_objects_v2(Bucket=where, Prefix="consolelogin/")
                return [each["Key"] for each in listed.get("Contents", ())]

            wait_for(lambda: any("processing-failed" in key for key in keys()))
            done = redrive_once(answer="y\n")
            assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 of 1 record sent")
            wait_for(lambda: not all("processing-failed" in key for key in keys()))
            (key,) = [key for key in keys() if "processing-failed" not in key]
            body = s3.get_object(Bucket=where, Key=key)["Body"].read().decode()
            assert body == f"{TOKYO}\n"
            done = redrive_once("--yes", "--json")
            assert done.returncode == 0, done.stderr
            plan = json.loads(done.stdout)["plan"]
            # The filter's control message was never sent.
            assert (plan["records_sent_before"], plan["by_reason"]) == (1, {"control_message": 1})
            assert json.loads(done.stdout)["result"] is None
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def wait_for(is_so: Callable[[], bool]) -> None:
    for _ in range(100):
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail("nothing happened")


@pytest.mark.parametrize("text", ["9-3", "0", "1-", "x", "1 5-4"])
def test_a_damaged_range_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Lines.parse(text)


@pytest.mark.parametrize("options", [["--dry-run"], ["--yes"]])
def test_a_run_with_unreadable_lines_is_not_a_success(
    options: list[str], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", b"junk")
    main(monkeypatch, Clients(FakeFirehose()), *options, code=1)
