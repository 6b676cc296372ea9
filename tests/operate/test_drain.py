"""`console-login drain`: no event is in transit any more before a stack is deleted."""

import base64
import gzip
import io
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import forked
import pytest
from botocore.exceptions import ClientError
from serving import BUCKET, GROUP, REGION, STREAM, Endpoint, serving
from shell import run
from support import OSAKA, ROOT, TOKYO, envelope, gz

from console_login import cli
from console_login.operate import drain, drain_report
from console_login.operate.access import Access, AccessError
from console_login.operate.drain import Drain, DrainError, Options, Outcome

STACK = "console-login-firehose"
SLOW = ("--parameter", "BufferSeconds=2", "--parameter", "LambdaBufferSeconds=2")
TOKYO_ID = json.loads(TOKYO)["eventID"]
OSAKA_ID = json.loads(OSAKA)["eventID"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setattr(drain, "MARGIN_SECONDS", 1)
    monkeypatch.setattr(drain, "POLL_SECONDS", 0.2)


def put(endpoint: Endpoint, *messages: str) -> None:
    logs = endpoint.client("logs")
    streams = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    if "trail" not in [each["logStreamName"] for each in streams]:
        logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": each} for each in messages]
    logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=events)


def filters(endpoint: Endpoint) -> list[Any]:
    found = endpoint.client("logs").describe_subscription_filters(logGroupName=GROUP)
    return list(found["subscriptionFilters"])


class Ran:
    """The exit status and output of a run."""

    def __init__(self, status: int, printed: Any) -> None:
        self.status, self.out, self.err = status, printed.out, printed.err


@pytest.fixture
def drained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    def run(endpoint: Endpoint, *arguments: str, answer: str = "") -> Ran:
        place = ("--stack", STACK, "--endpoint-url", endpoint.url, "--region", REGION)
        monkeypatch.setattr(sys, "argv", ["console-login", "drain", *place, *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        capsys.readouterr()
        with pytest.raises(SystemExit) as raised:
            cli.main()
        return Ran(int(raised.value.code or 0), capsys.readouterr())

    return run


# Over the endpoint -------------------------------------------------------------------------------


def test_it_waits_for_events_in_transit(drained: Callable[..., Ran]) -> None:
    with serving(*SLOW, "--parameter", "Compression=GZIP", "--parameter", "Prefix=") as endpoint:
        put(endpoint, TOKYO, OSAKA, TOKYO.replace('"ConsoleLogin"', '"CheckMfa"', 1))
        planned = drained(endpoint, "--dry-run")
        assert planned.status == 0
        assert "2 events, of which 0 have arrived" in planned.out
        assert planned.out.endswith("nothing was deleted\n")
        assert len(filters(endpoint)) == 1
        # The undo is printed before the question.
        refused = drained(endpoint, answer="n\n")
        assert refused.status == 1
        assert "\nto undo:\n  aws " in refused.out
        assert refused.out.endswith("nothing was deleted\n")
        assert "use --yes to delete without asking" in drained(endpoint).err
        assert len(filters(endpoint)) == 1
        done = drained(endpoint, answer="y\n")
        assert done.status == 0, done.out
        assert "all 2 events have arrived\n" in done.out
        assert done.out.endswith(
            f"`sam delete --stack-name {STACK} --region {REGION}` is safe: the bucket stays\n"
        )
        assert filters(endpoint) == []
        (key,) = endpoint.keys("")
        body = endpoint.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert gzip.decompress(body).decode() == f"{TOKYO}\n{OSAKA}\n"


def test_the_commands_that_undo_it_run(
    drained: Callable[..., Ran], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with serving() as endpoint:
        (before,) = filters(endpoint)
        put(endpoint, TOKYO)
        done = drained(endpoint, "--yes")
        assert done.status == 0
        put(endpoint, OSAKA)
        undo = done.out.split("to undo:\n")[1].splitlines()[:2]
        assert [shlex.split(each)[0] for each in undo] == ["aws", "console-login"]
        ran = run("\n".join([undo[0], f"{undo[1]} --yes"]), tmp_path, {})
        assert ran.returncode == 0, ran.stderr
        (after,) = filters(endpoint)
        for found in (before, after):
            del found["creationTime"]
        assert after == before
        assert set(endpoint.lines(2)) == {TOKYO, OSAKA}
        # A second time, with the restored filter.
        again = drained(endpoint, "--yes", "--json")
        assert again.status == 0
        assert json.loads(again.out)["filters"] == [before["filterName"]]
        assert again.err.startswith("to undo:\n  aws ")


def test_a_deleted_filter_and_an_event_after_its_deletion(drained: Callable[..., Ran]) -> None:
    with serving() as endpoint:
        put(endpoint, TOKYO)
        endpoint.lines(1)
        name = filters(endpoint)[0]["filterName"]
        logs = endpoint.client("logs")
        logs.delete_subscription_filter(logGroupName=GROUP, filterName=name)
        time.sleep(0.1)
        gone = drain.text(datetime.now(UTC))
        time.sleep(0.1)
        put(endpoint, OSAKA)
        # The event never passed the filter: only the user knows that.
        unknown = drained(endpoint, "--yes", "--wait", "0")
        assert unknown.status == 1
        assert "filter     already deleted" in unknown.out
        assert "set --end to the time of the deletion" in unknown.out
        assert f"1 of 2 events has not arrived: {OSAKA_ID}\n" in unknown.out
        assert "do not delete the stack" in unknown.out
        known = drained(endpoint, "--end", gone, "--json", "--yes")
        assert known.status == 0
        report = json.loads(known.out)
        assert (report["filter_was_gone"], report["end"], report["filters"]) == (True, gone, [])
        assert (report["events"], report["arrived"], report["is_safe"]) == (1, 1, True)


def test_no_events_are_not_reported_as_all_events(drained: Callable[..., Ran]) -> None:
    with serving() as endpoint:
        done = drained(endpoint, "--yes")
    assert done.status == 0
    assert "nothing was compared; Firehose reports no waiting record\n" in done.out
    assert "all " not in done.out.split("to undo")[1]
    assert "is safe" in done.out


def test_failed_events_are_in_the_error_prefix_and_wait_for_redrive(
    drained: Callable[..., Ran],
) -> None:
    with serving("--fail", "lambda:1") as endpoint:
        put(endpoint, TOKYO, OSAKA)
        done = drained(endpoint, "--yes")
        assert done.status == 1, done.out
        assert "all 2 events have arrived (2 in the error output prefix)" in done.out
        assert "1 error object was not redriven" in done.out
        (key,) = endpoint.keys("consolelogin/processing-failed/")
        assert f"\n  s3://{BUCKET}/{key}\n" in done.out
        assert f"console-login redrive --stack {STACK} --endpoint-url" in done.out
        assert "is safe" not in done.out
        report = json.loads(drained(endpoint, "--yes", "--wait", "0", "--json").out)
        assert (report["is_safe"], report["error_objects_waiting"]) == (False, 1)
        # Redrive has sent the record again: its events are in transit, and here in no object yet.
        tag = {"Key": f"redriven:{STREAM}", "Value": "all"}
        endpoint.client("s3").put_object_tagging(Bucket=BUCKET, Key=key, Tagging={"TagSet": [tag]})
        again = drained(endpoint, "--yes", "--wait", "0", "--json")
        assert again.status == 1
        report = json.loads(again.out)
        assert (report["missing"], report["error_objects_waiting"]) == (2, 0)
        assert sorted(report["missing_events"]) == sorted([TOKYO_ID, OSAKA_ID])


def test_a_bucket_that_refuses_for_a_while(drained: Callable[..., Ran]) -> None:
    # With this seed, the first write is refused; the second follows five seconds later.
    with serving("--fail", "s3:0.5", "--seed", "3") as endpoint:
        put(endpoint, TOKYO)
        time.sleep(1)
        assert endpoint.keys() == []
        short = drained(endpoint, "--yes", "--wait", "0")
        assert short.status == 1
        assert f"1 of 1 event has not arrived: {TOKYO_ID}\n" in short.out
        assert "deletes the stream with the records that Firehose has not written" in short.out
        (again,) = (
            line.removeprefix("to check again: ")
            for line in short.out.splitlines()
            if line.startswith("to check again: ")
        )
        arguments = shlex.split(again)
        at = arguments.index("--start")
        long = drained(endpoint, *arguments[at : at + 4], "--yes", "--wait", "2")
        assert long.status == 0, long.out
        assert "the 1 event has arrived\n" in long.out


def test_a_bucket_that_always_refuses_ends_in_time(drained: Callable[..., Ran]) -> None:
    with serving("--fail", "s3:1") as endpoint:
        put(endpoint, TOKYO)
        (before,) = filters(endpoint)
        started = time.monotonic()
        done = drained(endpoint, "--yes", "--wait", "0")
        assert time.monotonic() - started < 20
        assert done.status == 1
        assert "is safe" not in done.out
        # The undo is on stderr too, because stdout may be a pipe that nobody reads to its end.
        assert done.err == f"to undo:\n{done.out.split('to undo:')[1].split('deleted')[0][1:]}"
        # A restored filter does not hide the missing event.
        for name in ("creationTime", "applyOnTransformedLogs"):
            before.pop(name, None)
        endpoint.client("logs").put_subscription_filter(**before)
        again = drained(endpoint, "--yes", "--wait", "0")
        assert f"1 of 1 event has not arrived: {TOKYO_ID}" in again.out


def test_a_record_of_backfill_that_firehose_has_not_written(drained: Callable[..., Ran]) -> None:
    with serving("--fail", "s3:1") as endpoint:
        record = {"Data": gz(envelope([TOKYO]))}
        endpoint.client("firehose").put_record(DeliveryStreamName=STREAM, Record=record)
        done = drained(endpoint, "--yes", "--wait", "0")
    assert done.status == 1
    assert "Firehose still has a record that is " in done.out
    assert "is safe" not in done.out


def test_a_closed_pipe_leaves_the_undo_on_stderr() -> None:
    with serving() as endpoint:
        command = shlex.join(
            [
                str(forked.command(1)),
                *("drain", "--stack", STACK, "--yes"),
                *("--endpoint-url", endpoint.url, "--region", REGION),
            ]
        )
        ran = subprocess.run(
            ["sh", "-c", f"{command} | head -1"], cwd=ROOT, capture_output=True, text=True
        )
    assert ran.stdout.startswith("log group ")
    assert ran.stderr.startswith("to undo:\n  aws ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_that_events_may_be_in_transit(number: int) -> None:
    with serving("--fail", "s3:1") as endpoint:
        put(endpoint, TOKYO)
        command = [forked.command(1), "drain", "--stack", STACK, "--yes"]
        command += ["--endpoint-url", endpoint.url, "--region", REGION]
        with subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process:
            for _ in range(200):
                if not filters(endpoint):
                    break
                time.sleep(0.1)
            time.sleep(0.5)
            process.send_signal(number)
            output, errors = process.communicate(timeout=20)
        printed = output.split("\nthe filter is deleted; ")[1]
        assert printed.startswith("1 of 1 event has not arrived, and more events may be in transit")
        assert "\nto continue: console-login drain --stack " in printed
        undo = printed.split("to undo:\n")[1]
        assert [line.split()[0] for line in undo.splitlines()] == ["aws", "console-login"]
        assert process.returncode == 128 + number
        assert errors.startswith("to undo:\n  aws ")
        assert errors.endswith("console-login: interrupted\n") is (number == signal.SIGINT)


def test_the_undo_is_printed_before_anything_is_deleted() -> None:
    with serving("--fail", "s3:1") as endpoint:
        put(endpoint, TOKYO)
        command = [forked.command(1), "drain", "--stack", STACK, "--yes"]
        command += ["--endpoint-url", endpoint.url, "--region", REGION]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            for _ in range(200):
                if not filters(endpoint):
                    break
                time.sleep(0.1)
            process.kill()
            output, _ = process.communicate(timeout=20)
    undo = output.split("to undo:\n")[1].splitlines()
    assert [line.split()[0] for line in undo[:2]] == ["aws", "console-login"]


def test_an_interruption_before_the_deletion_says_that_nothing_is_deleted(
    drained: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as endpoint:

        def interrupt(_self: Any) -> None:
            raise SystemExit(130)

        monkeypatch.setattr(Drain, "delete", interrupt)
        done = drained(endpoint, "--yes")
        assert (done.status, len(filters(endpoint))) == (130, 1)
    assert done.out.endswith("nothing was deleted\n")


# Bounds and refusals ------------------------------------------------------------------------------


class FakeAccess(Access):
    """A stack, its log group and its bucket.

    events: messages, or events as FilterLogEvents returns them. objects: by key.
    refused: how many more calls of an operation are denied.
    """

    def __init__(self, events: Any = (), objects: Any = None, filters: int = 1) -> None:
        super().__init__()
        self.__dict__.update(
            events=list(events), objects=dict(objects or {}), refused={}, filters=filters, calls=[]
        )
        self.__dict__["time"] = 1711792102.0
        self.__dict__["created"] = 0.0
        self.__dict__["zone"] = "Asia/Tokyo"
        self.__dict__["stack_created"] = 0.0
        # How far AWS's clock is ahead of this machine's; None: responses have no Date.
        self.__dict__["ahead"] = 0.0
        self.__dict__["written"] = 0.0
        self.__dict__["redriven"] = ()
        self.__dict__["datapoints"] = []
        self.__dict__["queries"] = []
        self.__dict__["pattern"] = '{ ($.eventName = "ConsoleLogin") }'

    def __getattr__(self, name: str) -> Any:
        return self.__dict__[name]

    def client(self, service: Any, **_: Any) -> Any:
        return self

    def now(self) -> float:
        return float(self.time)

    def sleep(self, seconds: float) -> None:
        self.__dict__["time"] += seconds

    def dated(self) -> dict[str, Any]:
        if self.ahead is None:
            return {}
        date = format_datetime(datetime.fromtimestamp(self.time + self.ahead, UTC), usegmt=True)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def check(self, operation: str) -> None:
        self.calls.append(operation)
        left = self.refused.get(operation, 0)
        if left:
            self.refused[operation] = left - 1
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    def describe_stacks(self, **_: Any) -> Any:
        arn = f"arn:aws:firehose:{REGION}:111122223333:deliverystream/{STREAM}"
        outputs = {"DeliveryStreamArn": arn, "BucketName": BUCKET, "LogGroupName": GROUP}
        parameters = {
            "TimeZone": self.zone,
            "Prefix": "p/",
            "EventNames": "ConsoleLogin",
            "BufferSeconds": "10",
            "LambdaBufferSeconds": "10",
        }
        return {
            "Stacks": [
                {
                    "CreationTime": datetime.fromtimestamp(self.stack_created, UTC),
                    "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()],
                    "Parameters": [
                        {"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()
                    ],
                }
            ]
        }

    def delete_subscription_filter(self, **_: Any) -> Any:
        self.check("delete_subscription_filter")
        return self.dated()

    def get_object_tagging(self, Key: str, **_: Any) -> Any:  # noqa: N803
        self.check("get_object_tagging")
        tag = {"Key": f"redriven:{STREAM}", "Value": "all"}
        return {"TagSet": [tag] if Key in self.redriven else []}

    def get_metric_statistics(self, **request: Any) -> Any:
        self.check("get_metric_statistics")
        self.queries.append(request)
        return {
            "Datapoints": [
                {"Timestamp": datetime.fromtimestamp(self.time - age, UTC), "Maximum": value}
                for age, value in self.datapoints
            ]
        }

    def get_object(self, Key: str, **_: Any) -> Any:  # noqa: N803
        self.check("get_object")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, operation: str) -> Any:
        return _Pages(self, operation)


class _Pages:
    def __init__(self, access: FakeAccess, operation: str) -> None:
        self.access, self.operation = access, operation

    def paginate(self, **request: Any) -> Iterator[Any]:
        self.access.check(self.operation)
        if self.operation == "describe_subscription_filters":
            arn = f"arn:aws:firehose:{REGION}:111122223333:deliverystream/{STREAM}"
            ours = {"destinationArn": arn, "roleArn": "r", "logGroupName": GROUP}
            ours |= {"filterPattern": self.access.pattern}
            ours |= {"creationTime": int(self.access.created * 1000)}
            found = [ours | {"filterName": f"f{n}"} for n in range(self.access.filters)]
            yield {"subscriptionFilters": [{"destinationArn": "other"}, *found]} | (
                self.access.dated()
            )
        elif self.operation == "filter_log_events":
            for message in self.access.events:
                timestamp = int(self.access.time * 1000) - 1000
                event = {"timestamp": timestamp, "message": message}
                event = message if isinstance(message, dict) else event
                if request["startTime"] <= event["timestamp"] <= request["endTime"]:
                    yield {"events": [event]}
        else:
            written = datetime.fromtimestamp(self.access.time - self.access.written, UTC)
            keys = [key for key in self.access.objects if key.startswith(request["Prefix"])]
            yield {
                "Contents": [
                    {
                        "Key": key,
                        "Size": len(self.access.objects[key]),
                        "ETag": "e",
                        "LastModified": written,
                    }
                    for key in keys
                ]
            }


# 2024-03-30 18:48:22 in Tokyo.
DAY = "2024/03/30"
BOTH = {f"p/{DAY}/a": f"{TOKYO}\n{OSAKA}\n".encode()}


def made(access: FakeAccess, **options: Any) -> Drain:
    return Drain(access, Options(STACK, **options), access.now, access.sleep)


def completed(access: FakeAccess, **options: Any) -> tuple[Drain, Outcome]:
    job = made(access, **options)
    job.look()
    job.delete()
    return job, job.wait()


def test_both_buffers_and_a_margin_are_waited_for_even_if_everything_is_there() -> None:
    access = FakeAccess([TOKYO, OSAKA], BOTH)
    started = access.now()
    _, found = completed(access)
    assert (found.events, found.arrived, found.is_safe) == (2, 2, True)
    assert access.now() - started >= 21
    # Each object is read once.
    assert access.calls.count("get_object") == 1


def test_the_commands_that_undo_it_do_not_change_with_time() -> None:
    access = FakeAccess([TOKYO], {})
    job = made(access)
    job.look()
    first = job.undo()
    access.sleep(3)
    assert job.undo() == first


def test_the_wait_for_missing_events_ends_in_time() -> None:
    access = FakeAccess([TOKYO, OSAKA], {f"p/{DAY}/a": f"{TOKYO}\n".encode()})
    started = access.now()
    job, found = completed(access, wait_minutes=5)
    assert found.missing == [OSAKA_ID]
    assert 321 <= access.now() - started < 322
    assert "would" not in "".join(drain_report.words(job, found))


def test_at_most_ten_events_are_named_and_those_without_an_id_by_digest() -> None:
    messages = [json.dumps({"eventName": "ConsoleLogin", "n": n}) for n in range(12)]
    job, found = completed(FakeAccess(messages), wait_minutes=0)
    (line,) = (each for each in drain_report.words(job, found) if "not arrived" in each)
    assert line.startswith("12 of 12 events have not arrived: sha256:")
    assert line.count("sha256:") == 10
    assert line.endswith(" and 2 more")


@pytest.mark.parametrize(
    ("bound", "value", "words"),
    [
        ("MAX_EVENTS", 1, "more than 1 events passed the filter"),
        ("MAX_OBJECTS", 0, "these days have more than 0 objects"),
        ("MAX_READ_BYTES", 100, "the objects are larger than 0 MiB"),
        ("MAX_LINES", 1, "the objects have more than 1 lines"),
        ("MAX_READ_SECONDS", -1, "reading the log group took more than"),
    ],
)
def test_an_exceeded_limit_is_named_before_anything_is_deleted(
    bound: str, value: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, bound, value)
    access = FakeAccess([TOKYO, OSAKA], BOTH)
    found = made(access).look()
    assert found.problem is not None
    assert words in found.problem
    assert "use a later --start to read less" in found.problem
    assert not found.is_safe
    job, found = completed(access)
    assert not found.is_safe
    assert drain_report.words(job, found)[0].startswith("the stack could not be checked: ")


def test_error_objects_beyond_the_limit_count_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "MAX_TAGS_READ", 2)
    keys = [f"p/processing-failed/2020/01/01/{n}" for n in range(4)]
    access = FakeAccess([], dict.fromkeys(keys, b"x"))
    access.__dict__["redriven"] = keys
    job, found = completed(access, start="1h")
    assert (found.problem, found.waiting, found.tags_unread) == (None, keys[2:], 2)
    assert not found.is_safe
    printed = "\n".join(drain_report.words(job, found))
    assert "at least 0 error objects were not redriven" in printed
    assert "the tags of the first 2 were read, and the other 2 count as not redriven" in printed
    assert "--start does not change that" in printed
    del access.objects[keys[0]], access.objects[keys[1]]
    assert completed(access)[1].is_safe


def test_a_record_that_did_not_pass_the_filter_is_seen_in_the_streams_freshness() -> None:
    for datapoints, is_safe in (
        ([], True),
        ([(30, 20.5), (90, 500.0)], True),
        ([(30, 21.5), (90, 0.0)], False),
    ):
        access = FakeAccess([TOKYO, OSAKA], BOTH)
        access.datapoints.extend(datapoints)
        job, found = completed(access, wait_minutes=1)
        assert found.is_safe is is_safe
        printed = "\n".join(drain_report.words(job, found))
        assert ("Firehose still has a record that is 21.5 s old" in printed) is not is_safe
        assert ("is safe" in printed) is is_safe
    request = access.queries[-1]
    assert request["Dimensions"] == [{"Name": "DeliveryStreamName", "Value": STREAM}]
    assert (request["Statistics"], request["Period"]) == (["Maximum"], 60)
    assert job.end is not None
    assert request["StartTime"].timestamp() == job.end.timestamp() + 20
    assert drain_report.document(job, found, dry_run=False)["oldest_record_seconds"] == 21.5


def test_without_events_the_report_names_firehoses_metric() -> None:
    job, found = completed(FakeAccess())
    assert found.is_safe
    assert "Firehose reports no waiting record" in "\n".join(drain_report.words(job, found))


def test_if_the_freshness_cannot_be_read_the_stack_is_not_safe() -> None:
    access = FakeAccess([TOKYO, OSAKA], BOTH)
    access.refused["get_metric_statistics"] = 1000
    job, found = completed(access, wait_minutes=0)
    assert not found.is_safe
    expected = "the stack could not be checked: get_metric_stat"
    assert drain_report.words(job, found)[0].startswith(expected)


def test_the_time_of_the_deletion_is_of_awss_clock() -> None:
    access = FakeAccess([], filters=1)
    access.__dict__["ahead"] = 180.0
    ingested = int((access.now() + 179) * 1000)
    access.events.append({"timestamp": ingested, "ingestionTime": ingested, "message": TOKYO})
    started = access.now()
    job, found = completed(access, start="1h", wait_minutes=0)
    assert found.missing == [TOKYO_ID]
    # The wait uses this machine's clock.
    assert 21 <= access.now() - started < 22
    access = FakeAccess()
    access.__dict__["ahead"] = None
    job = made(access)
    job.delete()
    assert job.end is not None
    assert job.end.timestamp() == access.now() + 60


def test_an_event_that_arrives_late_between_look_and_deletion() -> None:
    access = FakeAccess()
    job = made(access, wait_minutes=0)
    job.look()
    now = int(access.now() * 1000)
    event = {"timestamp": now - 17 * 60_000, "ingestionTime": now - 1, "message": TOKYO}
    access.events.append(event)
    job.delete()
    found = job.wait()
    assert found.missing == [TOKYO_ID]


def test_the_backfill_begins_before_the_oldest_missing_event() -> None:
    now = int(1711792102.0 * 1000)
    event = {"timestamp": now - 20 * 3600_000, "message": TOKYO}
    job, found = completed(FakeAccess([event, OSAKA]), wait_minutes=0)
    printed = drain_report.words(job, found)
    (line,) = {each.strip() for each in printed if "console-login backfill" in each}
    start = shlex.split(line)[shlex.split(line).index("--start") + 1]
    assert datetime.fromisoformat(start).timestamp() * 1000 == now - 20 * 3600_000 - 1000
    # Without a missing event, it sends those after the deletion; their timestamps are earlier.
    job = made(FakeAccess())
    job.delete()
    start = shlex.split(job.undo()[1])[-1]
    assert datetime.fromisoformat(start).timestamp() * 1000 == now + 1000 - 15 * 60_000


def test_timestamps_around_the_window() -> None:
    now = int(1711792102.0 * 1000)
    for timestamp, ingested in (
        (now - 3600_000 - 10 * 60_000, now - 3590_000),
        (now + 10 * 60_000, now - 1),
    ):
        event = {"timestamp": timestamp, "ingestionTime": ingested, "message": TOKYO}
        assert completed(FakeAccess([event]), start="1h", wait_minutes=0)[1].events == 1


def test_an_object_that_was_written_just_before_the_window_is_read() -> None:
    access = FakeAccess([TOKYO, OSAKA], BOTH)
    # The listing's times move with the clock; the window does not.
    access.__dict__["written"] = 3600.0 + 30
    assert made(access, start="1h").look().arrived == 2
    access.__dict__["written"] = 3600.0 + 90
    assert made(access, start="1h").look().arrived == 0


def test_names_from_aws_are_printed_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "p/processing-failed/2020/01/01/\x1b[31mx\n`sam delete` is safe"
    access = FakeAccess([], {key: b"x"})
    access.__dict__["pattern"] = "{ $.a = 'it' }\n\x1b"
    job, found = completed(access)
    monkeypatch.setattr(Drain, "wait", lambda *_: found)
    monkeypatch.setattr("console_login.cli.options.access", lambda *_: access)
    monkeypatch.setattr(sys, "argv", ["console-login", "drain", "--stack", STACK, "--yes"])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 1
    printed = capsys.readouterr()
    assert f"  s3://{BUCKET}/p/processing-failed/2020/01/01/\\x1b[31mx\\n`sam" in printed.out
    assert "\x1b" not in printed.out + printed.err
    # The command still passes the pattern unchanged.
    script = job.undo()[0].replace("aws ", "printf %s\\\\0 ", 1)
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert access.pattern in ran.stdout.split("\0")


@pytest.mark.parametrize("operation", ["filter_log_events", "list_objects_v2", "get_object"])
def test_if_a_call_is_refused_nothing_is_deleted(
    operation: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = f"p/{datetime.now(ZoneInfo('Asia/Tokyo')):%Y/%m/%d}/a"
    access = FakeAccess([TOKYO, OSAKA], {key: BOTH[f"p/{DAY}/a"]})
    access.__dict__["time"] = time.time()
    access.refused[operation] = 1
    monkeypatch.setattr("console_login.cli.options.access", lambda *_: access)
    monkeypatch.setattr(sys, "argv", ["console-login", "drain", "--stack", STACK, "--yes"])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 1
    printed = capsys.readouterr().out
    assert f"{operation}: AccessDenied: no" in printed
    assert printed.endswith("nothing was deleted\n")
    assert "delete_subscription_filter" not in access.calls


def test_a_refusal_during_the_wait_is_retried_and_then_reported() -> None:
    for count, is_safe in ((2, True), (3, False)):
        access = FakeAccess([TOKYO, OSAKA], BOTH)
        job = made(access)
        job.look()
        job.delete()
        access.refused["list_objects_v2"] = count
        found = job.wait()
        assert found.is_safe is is_safe
        assert (found.problem is None) is is_safe


def test_the_deletion_is_refused() -> None:
    access = FakeAccess([], filters=2)
    access.refused["delete_subscription_filter"] = 1
    job = made(access)
    with pytest.raises(AccessError, match="AccessDenied"):
        job.delete()
    assert drain_report.interrupted(job) == ["nothing was deleted"]
    job.delete()
    assert access.calls.count("delete_subscription_filter") == 3
    assert len(job.undo()) == 3


def test_events_from_before_and_after_the_filter_never_passed_it() -> None:
    now = int(1711792102.0 * 1000)

    def event(message: str, ingested: int) -> Any:
        # CloudTrail's events arrive late, so their timestamps do not count.
        return {"timestamp": now - 60_000, "ingestionTime": ingested, "message": message}

    early = event(TOKYO, now - 7200_000)
    late = event(OSAKA, now + 10_000)
    _, found = completed(FakeAccess([early, late]), start="1h")
    assert (found.events, found.is_safe) == (0, True)
    _, found = completed(FakeAccess([event(TOKYO, now - 1)]), start="1h")
    assert found.events == 1


def test_events_that_the_function_drops_are_not_waited_for() -> None:
    for message in ("plain text", "[]", '{"eventName": "Other"}', '{"eventName": 1}'):
        access = FakeAccess([message])
        access.__dict__["pattern"] = ""
        _, found = completed(access)
        assert found.events == 0, message
    damaged = '{"eventName": "ConsoleLogin", '
    _, found = completed(FakeAccess([damaged]), wait_minutes=0)
    assert found.events == 1


def failed(*records: bytes) -> bytes:
    lines = [{"errorCode": "x", "rawData": base64.b64encode(each).decode()} for each in records]
    return "".join(f"{json.dumps(each)}\n" for each in lines).encode()


def test_failed_records_are_read_in_any_form() -> None:
    both = envelope([TOKYO]) + b"\n" + envelope([OSAKA])
    for body in (
        failed(both),
        failed(gz(envelope([TOKYO])) + gz(envelope([OSAKA]))),
        gz(failed(envelope([TOKYO]), gz(envelope([OSAKA])))),
    ):
        _, found = completed(FakeAccess([TOKYO, OSAKA], {f"p/processing-failed/{DAY}/e": body}))
        assert (found.in_error_prefix, found.missing, found.unread) == (2, [], 0)
        assert len(found.waiting) == 1
    for damaged in (gz(envelope([TOKYO]))[:-20], b"x", b"[1]", b'{"messageType":"DATA_MESSAGE",'):
        body = failed(damaged)
        access = FakeAccess([TOKYO], {f"p/processing-failed/{DAY}/e": body})
        job, found = completed(access, wait_minutes=0)
        assert (found.missing, found.unread) == ([TOKYO_ID], 1)
        assert "1 object could not be read in full" in "\n".join(drain_report.words(job, found))


def test_a_record_is_decompressed_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    record = gz(envelope([TOKYO]))
    monkeypatch.setattr("transformer.codec.MAX_DECOMPRESSED_BYTES", len(envelope([TOKYO])))
    access = FakeAccess([TOKYO], {f"p/processing-failed/{DAY}/e": failed(record)})
    assert completed(access)[1].unread == 0
    for body in (failed(record + gz(b" ")), failed(record + gz(b" " * 100_000))):
        access = FakeAccess([TOKYO], {f"p/processing-failed/{DAY}/e": body})
        assert completed(access, wait_minutes=0)[1].unread == 1


def test_the_window_begins_a_day_ago_or_with_the_stack_and_ends_with_the_filter() -> None:
    access = FakeAccess([])
    access.__dict__["stack_created"] = access.now() - 60
    assert made(access).start.timestamp() == access.now() - 60
    # The creation of a restored filter does not count.
    access.__dict__.update(stack_created=0.0, created=access.now() - 60)
    # A Date has whole seconds: the end of its second counts.
    assert made(access).start.timestamp() == access.now() + 1 - 24 * 3600
    job = made(access)
    assert job.end is None
    access.sleep(5)
    job.delete()
    assert job.end is not None
    assert job.end.timestamp() == access.now() + 1
    gone = made(FakeAccess([], filters=0))
    assert gone.end is not None
    assert gone.end.timestamp() == access.now() + 1 - 5
    assert "console-login doctor --stack" in "\n".join(drain_report.planned(gone, Outcome()))


def test_printed_commands_are_quoted_and_have_the_options_of_this_run() -> None:
    access = FakeAccess()
    access.__dict__.update(profile="my profile", region=REGION)
    job = made(access)
    given = ["--region", REGION, "--profile", "my profile"]
    put_filter, backfill = map(shlex.split, job.undo())
    assert put_filter[:5] == ["aws", *given]
    assert put_filter[put_filter.index("--filter-pattern") + 1] == access.pattern
    assert backfill[-4:] == given
    assert shlex.split(job.again())[-4:] == given
    assert shlex.split(job.sam_delete())[-4:] == given


def test_folders_are_in_the_stacks_time_zone() -> None:
    access = FakeAccess([TOKYO], {"p/2024/03/30/a": f"{TOKYO}\n".encode()})
    access.__dict__["zone"] = "America/Los_Angeles"
    # 05:30 UTC of the next day.
    access.__dict__["time"] = 1711863000.0
    assert completed(access, start="1h", wait_minutes=0)[1].arrived == 1


def test_invalid_options() -> None:
    for options, words in (
        ({"end": "1h"}, "--end is for a deleted filter, but the filter exists"),
        ({"start": "2030-01-01"}, "is not before"),
    ):
        with pytest.raises(DrainError, match=words):
            made(FakeAccess(), **options)
    with pytest.raises(DrainError, match="is in the future"):
        made(FakeAccess(filters=0), end="2030-01-01")
