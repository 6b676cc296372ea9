"""`console-login drain`: nothing is on its way any more before a stack is deleted."""

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
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError
from serving import BUCKET, GROUP, REGION, STREAM, Endpoint, serving
from shell import impatient, run
from support import OSAKA, ROOT, TOKYO, envelope, gz

from console_login import cli
from console_login.operate import drain, drain_report
from console_login.operate.access import Access, AccessError
from console_login.operate.drain import Asked, Drain, DrainError, Outcome

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
    """What a run has printed."""

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


def test_it_waits_for_what_is_on_its_way(drained: Callable[..., Ran]) -> None:
    with serving(*SLOW, "--parameter", "Compression=GZIP", "--parameter", "Prefix=") as endpoint:
        put(endpoint, TOKYO, OSAKA, TOKYO.replace('"ConsoleLogin"', '"CheckMfa"', 1))
        planned = drained(endpoint, "--dry-run")
        assert planned.status == 0
        assert "2 events, of which 0 have arrived" in planned.out
        assert planned.out.endswith("nothing is deleted\n")
        assert len(filters(endpoint)) == 1
        # The undo is said before the question.
        refused = drained(endpoint, answer="n\n")
        assert refused.status == 1
        assert "\nto undo:\n  aws " in refused.out
        assert refused.out.endswith("nothing is deleted\n")
        assert "--yes deletes without asking" in drained(endpoint).err
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


def test_the_commands_that_undo_it_are_typed(
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
        # A second time, with the filter that has been put back.
        again = drained(endpoint, "--yes", "--json")
        assert again.status == 0
        assert json.loads(again.out)["filters"] == [before["filterName"]]
        assert again.err.startswith("to undo:\n  aws ")


def test_a_filter_that_is_gone_and_what_came_after_it(drained: Callable[..., Ran]) -> None:
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
        # It never passed the filter: only the user knows.
        unknown = drained(endpoint, "--yes", "--wait", "0")
        assert unknown.status == 1
        assert "filter     gone already" in unknown.out
        assert "--end TIME names when it was deleted" in unknown.out
        assert f"1 of 2 events has not arrived: {OSAKA_ID}\n" in unknown.out
        assert "do not delete the stack" in unknown.out
        known = drained(endpoint, "--end", gone, "--json", "--yes")
        assert known.status == 0
        report = json.loads(known.out)
        assert (report["filter_was_gone"], report["end"], report["filters"]) == (True, gone, [])
        assert (report["events"], report["arrived"], report["is_safe"]) == (1, 1, True)


def test_nothing_to_compare_is_never_all(drained: Callable[..., Ran]) -> None:
    with serving() as endpoint:
        done = drained(endpoint, "--yes")
    assert done.status == 0
    assert "nothing was compared; both buffers and 1 s have passed\n" in done.out
    assert "all " not in done.out.split("to undo")[1]
    assert "is safe" in done.out


def test_what_failed_is_in_the_error_prefix_and_waits_for_redrive(
    drained: Callable[..., Ran],
) -> None:
    with serving("--fail", "lambda:1") as endpoint:
        put(endpoint, TOKYO, OSAKA)
        done = drained(endpoint, "--yes")
        assert done.status == 0, done.out
        assert "all 2 events have arrived (2 in the error prefix: redrive them first)" in done.out
        assert "1 error object was not redriven" in done.out
        (key,) = endpoint.keys("consolelogin/processing-failed/")
        assert f"\n  s3://{BUCKET}/{key}\n" in done.out
        assert f"console-login redrive --stack {STACK} --endpoint-url" in done.out
        assert "\nafter that, `sam delete" in done.out
        # Sent again by redrive, it is on its way again, and here it is nowhere yet.
        tag = {"Key": f"redriven:{STREAM}", "Value": "all"}
        endpoint.client("s3").put_object_tagging(Bucket=BUCKET, Key=key, Tagging={"TagSet": [tag]})
        again = drained(endpoint, "--yes", "--wait", "0", "--json")
        assert again.status == 1
        report = json.loads(again.out)
        assert (report["missing"], report["error_objects_waiting"]) == (2, 0)
        assert sorted(report["missing_events"]) == sorted([TOKYO_ID, OSAKA_ID])


def test_a_bucket_that_refuses_for_a_while(drained: Callable[..., Ran]) -> None:
    # With this seed the first try is refused: the second is five seconds later.
    with serving("--fail", "s3:0.5", "--seed", "3") as endpoint:
        put(endpoint, TOKYO)
        time.sleep(1)
        assert endpoint.keys() == []
        short = drained(endpoint, "--yes", "--wait", "0")
        assert short.status == 1
        assert f"1 of 1 event has not arrived: {TOKYO_ID}\n" in short.out
        assert "`sam delete` deletes what Firehose has not written yet" in short.out
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
        started = time.monotonic()
        done = drained(endpoint, "--yes", "--wait", "0")
        assert time.monotonic() - started < 20
    assert done.status == 1
    assert "is safe" not in done.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_what_may_be_on_its_way(number: int, tmp_path: Any) -> None:
    with serving("--fail", "s3:1") as endpoint:
        put(endpoint, TOKYO)
        command = [impatient(tmp_path) / "console-login", "drain", "--stack", STACK, "--yes"]
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
        said = output.split("\nthe filter is deleted; ")[1]
        assert said.startswith("1 of 1 event has not arrived, and more may still be on its way")
        assert "\nto continue: console-login drain --stack " in said
        undo = said.split("to undo:\n")[1]
        assert [line.split()[0] for line in undo.splitlines()] == ["aws", "console-login"]
        assert process.returncode == 128 + number
        assert errors == ("console-login: interrupted\n" if number == signal.SIGINT else "")


def test_the_undo_is_printed_before_anything_is_deleted(tmp_path: Any) -> None:
    with serving("--fail", "s3:1") as endpoint:
        put(endpoint, TOKYO)
        command = [impatient(tmp_path) / "console-login", "drain", "--stack", STACK, "--yes"]
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


def test_an_interruption_before_says_that_nothing_is_deleted(
    drained: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as endpoint:

        def interrupt(_self: Any) -> None:
            raise SystemExit(130)

        monkeypatch.setattr(Drain, "delete", interrupt)
        done = drained(endpoint, "--yes")
        assert (done.status, len(filters(endpoint))) == (130, 1)
    assert done.out.endswith("nothing is deleted\n")


# Bounds and refusals ------------------------------------------------------------------------------


class FakeAccess(Access):
    """A stack, its log group and its bucket; `refused` operations are denied, as long as they are.

    events: messages, or events as FilterLogEvents returns them. objects: by key.
    """

    def __init__(self, events: Any = (), objects: Any = None, filters: int = 1) -> None:
        super().__init__()
        self.__dict__.update(
            events=list(events), objects=dict(objects or {}), refused={}, filters=filters, asked=[]
        )
        self.__dict__["time"] = 1711792102.0
        self.__dict__["created"] = 0.0
        self.__dict__["zone"] = "Asia/Tokyo"
        self.__dict__["pattern"] = '{ ($.eventName = "ConsoleLogin") }'

    def __getattr__(self, name: str) -> Any:
        return self.__dict__[name]

    def client(self, service: Any, **_: Any) -> Any:
        return self

    def now(self) -> float:
        return float(self.time)

    def sleep(self, seconds: float) -> None:
        self.__dict__["time"] += seconds

    def check(self, operation: str) -> None:
        self.asked.append(operation)
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
                    "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()],
                    "Parameters": [
                        {"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()
                    ],
                }
            ]
        }

    def delete_subscription_filter(self, **_: Any) -> None:
        self.check("delete_subscription_filter")

    def get_object_tagging(self, **_: Any) -> Any:
        self.check("get_object_tagging")
        return {"TagSet": []}

    def get_object(self, Key: str, **_: Any) -> Any:  # noqa: N803
        self.check("get_object")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, operation: str) -> Any:
        return _Pages(self, operation)


class _Pages:
    def __init__(self, access: FakeAccess, operation: str) -> None:
        self.access, self.operation = access, operation

    def paginate(self, **asked: Any) -> Iterator[Any]:
        self.access.check(self.operation)
        if self.operation == "describe_subscription_filters":
            arn = f"arn:aws:firehose:{REGION}:111122223333:deliverystream/{STREAM}"
            ours = {"destinationArn": arn, "roleArn": "r", "logGroupName": GROUP}
            ours |= {"filterPattern": self.access.pattern}
            ours |= {"creationTime": int(self.access.created * 1000)}
            found = [ours | {"filterName": f"f{n}"} for n in range(self.access.filters)]
            yield {"subscriptionFilters": [{"destinationArn": "other"}, *found]}
        elif self.operation == "filter_log_events":
            for message in self.access.events:
                taken = int(self.access.time * 1000) - 1000
                event = {"timestamp": taken, "message": message}
                yield {"events": [message if isinstance(message, dict) else event]}
        else:
            written = datetime.fromtimestamp(self.access.time, UTC)
            keys = [key for key in self.access.objects if key.startswith(asked["Prefix"])]
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


def made(access: FakeAccess, **asked: Any) -> Drain:
    return Drain(access, Asked(STACK, **asked), access.now, access.sleep)


def whole(access: FakeAccess, **asked: Any) -> tuple[Drain, Outcome]:
    job = made(access, **asked)
    job.look()
    job.delete()
    return job, job.wait()


def test_both_buffers_and_a_margin_are_waited_for_even_if_everything_is_there() -> None:
    access = FakeAccess([TOKYO, OSAKA], BOTH)
    started = access.now()
    _, found = whole(access)
    assert (found.events, found.arrived, found.is_safe) == (2, 2, True)
    assert access.now() - started >= 21
    # Each object once.
    assert access.asked.count("get_object") == 1


def test_what_is_missing_is_waited_for_and_no_longer() -> None:
    access = FakeAccess([TOKYO, OSAKA], {f"p/{DAY}/a": f"{TOKYO}\n".encode()})
    started = access.now()
    job, found = whole(access, wait_minutes=5)
    assert found.missing == [OSAKA_ID]
    assert 321 <= access.now() - started < 322
    assert "would" not in "".join(drain_report.words(job, found))


def test_at_most_ten_are_named_and_an_event_without_an_id_by_its_digest() -> None:
    messages = [json.dumps({"eventName": "ConsoleLogin", "n": n}) for n in range(12)]
    job, found = whole(FakeAccess(messages), wait_minutes=0)
    (line,) = (each for each in drain_report.words(job, found) if "not arrived" in each)
    assert line.startswith("12 of 12 events have not arrived: sha256:")
    assert line.count("sha256:") == 10
    assert line.endswith(" and 2 more")


@pytest.mark.parametrize(
    ("bound", "value", "words"),
    [
        ("MAX_EVENTS", 1, "more than 1 events passed the filter"),
        ("MAX_OBJECTS", 0, "more than 0 objects of these days"),
        ("MAX_READ_BYTES", 100, "the objects have more than 0 MiB"),
        ("MAX_LINES", 1, "the objects have more than 1 lines"),
        ("MAX_READ_SECONDS", -1, "to read"),
    ],
)
def test_a_bound_is_named_before_anything_is_deleted(
    bound: str, value: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, bound, value)
    access = FakeAccess([TOKYO, OSAKA], BOTH)
    found = made(access).look()
    assert found.problem is not None
    assert words in found.problem
    assert "--start with a later time reads less" in found.problem
    assert not found.is_safe
    job, found = whole(access)
    assert not found.is_safe
    assert drain_report.words(job, found)[0].startswith("could not be checked: ")


def test_error_objects_beyond_the_bound_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "MAX_TAGS_READ", 1)
    access = FakeAccess([], {f"p/processing-failed/2020/01/01/{n}": b"x" for n in range(2)})
    _, found = whole(access)
    assert found.problem is not None
    assert "more than 1 error objects" in found.problem


@pytest.mark.parametrize("operation", ["filter_log_events", "list_objects_v2", "get_object"])
def test_a_call_that_is_refused_is_no_all_clear(
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
    assert printed.endswith("nothing is deleted\n")
    assert "delete_subscription_filter" not in access.asked


def test_a_refusal_while_it_waits_is_tried_again_and_then_said() -> None:
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
    assert drain_report.interrupted(job) == ["nothing is deleted"]
    job.delete()
    assert access.asked.count("delete_subscription_filter") == 3
    assert len(job.undo()) == 3


def test_events_from_before_and_after_the_filter_never_passed_it() -> None:
    now = int(1711792102.0 * 1000)

    def event(message: str, taken: int) -> Any:
        # CloudTrail's events come late: it is not their timestamp that counts.
        return {"timestamp": now - 60_000, "ingestionTime": taken, "message": message}

    early = event(TOKYO, now - 7200_000)
    late = event(OSAKA, now + 10_000)
    _, found = whole(FakeAccess([early, late]), start="1h")
    assert (found.events, found.is_safe) == (0, True)
    _, found = whole(FakeAccess([event(TOKYO, now - 1)]), start="1h")
    assert found.events == 1


def test_what_the_function_drops_is_not_waited_for() -> None:
    for message in ("plain text", "[]", '{"eventName": "Other"}', '{"eventName": 1}'):
        access = FakeAccess([message])
        access.__dict__["pattern"] = ""
        _, found = whole(access)
        assert found.events == 0, message
    damaged = '{"eventName": "ConsoleLogin", '
    _, found = whole(FakeAccess([damaged]), wait_minutes=0)
    assert found.events == 1


def failed(*records: bytes) -> bytes:
    lines = [{"errorCode": "x", "rawData": base64.b64encode(each).decode()} for each in records]
    return "".join(f"{json.dumps(each)}\n" for each in lines).encode()


def test_records_that_failed_are_read_in_any_form() -> None:
    both = envelope([TOKYO]) + b"\n" + envelope([OSAKA])
    for body in (
        failed(both),
        failed(gz(envelope([TOKYO])) + gz(envelope([OSAKA]))),
        gz(failed(envelope([TOKYO]), gz(envelope([OSAKA])))),
    ):
        _, found = whole(FakeAccess([TOKYO, OSAKA], {f"p/processing-failed/{DAY}/e": body}))
        assert (found.in_error_prefix, found.missing, found.unread) == (2, [], 0)
        assert len(found.waiting) == 1
    for damaged in (gz(envelope([TOKYO]))[:-20], b"x", b"[1]", b'{"messageType":"DATA_MESSAGE",'):
        body = failed(damaged)
        access = FakeAccess([TOKYO], {f"p/processing-failed/{DAY}/e": body})
        job, found = whole(access, wait_minutes=0)
        assert (found.missing, found.unread) == ([TOKYO_ID], 1)
        assert "1 object could not be read in full" in "\n".join(drain_report.words(job, found))


def test_a_record_is_decompressed_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    record = gz(envelope([TOKYO]))
    monkeypatch.setattr(drain, "MAX_DECOMPRESSED_BYTES", len(envelope([TOKYO])))
    access = FakeAccess([TOKYO], {f"p/processing-failed/{DAY}/e": failed(record)})
    assert whole(access)[1].unread == 0
    for body in (failed(record + gz(b" ")), failed(record + gz(b" " * 100_000))):
        access = FakeAccess([TOKYO], {f"p/processing-failed/{DAY}/e": body})
        assert whole(access, wait_minutes=0)[1].unread == 1


def test_the_window_begins_with_the_filter_and_ends_with_it() -> None:
    access = FakeAccess([])
    access.__dict__["created"] = access.now() - 60
    assert made(access).start.timestamp() == access.now() - 60
    access.__dict__["created"] = 0.0
    assert made(access).start.timestamp() == access.now() - 24 * 3600
    job = made(access)
    assert job.end is None
    access.sleep(5)
    job.delete()
    assert job.end is not None
    assert job.end.timestamp() == access.now()
    gone = made(FakeAccess([], filters=0))
    assert gone.end is not None
    assert gone.end.timestamp() == access.now() - 5
    assert "console-login doctor --stack" in "\n".join(drain_report.planned(gone, Outcome()))


def test_what_is_to_be_typed_is_quoted_with_the_options_that_were_given() -> None:
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


def test_folders_are_of_the_stacks_time_zone() -> None:
    access = FakeAccess([TOKYO], {"p/2024/03/30/a": f"{TOKYO}\n".encode()})
    access.__dict__["zone"] = "America/Los_Angeles"
    # 05:30 UTC of the next day.
    access.__dict__["time"] = 1711863000.0
    assert whole(access, start="1h", wait_minutes=0)[1].arrived == 1


def test_options_that_make_no_sense() -> None:
    for asked, words in (
        ({"end": "1h"}, "--end is for a filter that is gone"),
        ({"start": "2030-01-01"}, "is not before"),
    ):
        with pytest.raises(DrainError, match=words):
            made(FakeAccess(), **asked)
    with pytest.raises(DrainError, match="yet to come"):
        made(FakeAccess(filters=0), end="2030-01-01")
