"""`console-login backfill` from a log group: it sends every event and leaves none out."""

import gzip
import io
import json
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from serving import GROUP, REGION, STREAM, Endpoint, serving
from support import ROOT, TIMEOUT, TOKYO, FakeFirehose, Killed, MortalFirehose, client_error

from console_login import cli
from console_login.events.envelope import compress
from console_login.operate import backfill
from console_login.operate.access import Access
from console_login.operate.backfill import Backfill, BackfillError, Options
from console_login.operate.backfill_state import Progress, text
from console_login.operate.sender import Sender

# 2024-03-30 09:48:22.369 UTC.
NOW = 1711792102.369
HOUR_MS = 3600 * 1000
ARN = f"arn:aws:logs:{REGION}:111122223333:log-group:{GROUP}"
START, END = "2024-03-30T05:00:00Z", "2024-03-30T09:00:00Z"
START_MS, END_MS = 1711774800000, 1711789200000


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


def sign_in(event_id: str, **keys: Any) -> str:
    return json.dumps(json.loads(TOKYO) | {"eventID": event_id} | keys, separators=(",", ":"))


def found(event_id: str, timestamp: int, log_stream: str = "a", message: str | None = None) -> Any:
    """Return an event as FilterLogEvents does."""
    return {
        "eventId": f"id of {event_id}",
        "timestamp": timestamp,
        "logStreamName": log_stream,
        "message": sign_in(event_id) if message is None else message,
    }


class FakeAccess(Access):
    """A stream, and a log group with some events, in pages.

    The order of the events is random, and every other page is empty.
    """

    def __init__(self, events: list[Any], firehose: FakeFirehose | None = None) -> None:
        super().__init__()
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "firehose", firehose or FakeFirehose())
        object.__setattr__(self, "calls", [])

    def client(self, service: Any, **_: Any) -> Any:
        return self.firehose if service == "firehose" else self

    def get_paginator(self, operation: str) -> Any:
        return _Pages(self, operation)


class _Pages:
    def __init__(self, access: Any, operation: str) -> None:
        self.access, self.operation = access, operation

    def paginate(self, **arguments: Any) -> Iterator[Any]:
        if self.operation == "describe_log_groups":
            names = (f"{GROUP}-2", GROUP)
            arns = (f"{ARN}-2:*", f"{ARN}:*")
            yield {
                "logGroups": [
                    {"logGroupName": name, "arn": arn, "creationTime": START_MS}
                    for name, arn in zip(names, arns, strict=True)
                ]
            }
            return
        self.access.calls.append(arguments)
        events = self.access.events
        events = [
            e for e in events if arguments["startTime"] <= e["timestamp"] <= arguments["endTime"]
        ]
        random.Random(len(events)).shuffle(events)
        for first in range(0, len(events), 3):
            yield {"events": []}
            yield {"events": events[first : first + 3]}


OPTIONS = {"log_group": GROUP, "stream": STREAM, "start": START, "end": END}


def options(**keys: Any) -> Options:
    return Options(**{**OPTIONS, **keys})


def sender(access: Any, **keys: Any) -> Sender:
    return Sender(access, STREAM, sleep=access.firehose.sleep, **keys)


def prepared(access: Any, now: float = NOW, **keys: Any) -> Progress:
    return backfill.prepare(access, options(**keys), now)[1]


def filled(access: Any, **keys: Any) -> tuple[Progress, backfill.Totals]:
    job = ready(access, sender(access), **keys)
    return job.progress, job.run()


def ready(access: Any, sender: Sender | None, now: float = NOW, **keys: Any) -> Backfill:
    source, progress = backfill.prepare(access, options(**keys), now)
    return Backfill(source, progress, sender)


def envelopes(firehose: FakeFirehose) -> list[Any]:
    return [json.loads(gzip.decompress(record)) for record in firehose.accepted]


def event_ids(firehose: FakeFirehose) -> list[str]:
    return [
        json.loads(log_event["message"])["eventID"]
        for envelope in envelopes(firehose)
        for log_event in envelope["logEvents"]
    ]


# Over the endpoint -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        running.client("logs").create_log_stream(logGroupName=GROUP, logStreamName="trail")
        yield running


def put(endpoint: Endpoint, *messages: str, minutes_ago: int = 0) -> None:
    timestamp = int(time.time() * 1000) - minutes_ago * 60 * 1000
    log_events = [{"timestamp": timestamp, "message": message} for message in messages]
    logs = endpoint.client("logs")
    logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=log_events)


def console_login(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["console-login", *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    return int(raised.value.code or 0)


def iso(hours_ago: float) -> str:
    return text(int((time.time() - hours_ago * 3600) * 1000))


def without_duplicates(lines: list[str], folder: Path) -> tuple[list[str], list[str]]:
    """Return the lines that remain after the SQL, and after the Python, of docs/architecture.md."""
    document = (ROOT / "docs" / "architecture.md").read_text()
    (query,) = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    (program,) = re.findall(r"python3 -c '\n(.*?)' ", document, re.DOTALL)
    database = sqlite3.connect(":memory:")
    database.create_function(
        "json_extract_scalar", 2, lambda line, path: json.loads(line)[path.removeprefix("$.")]
    )
    database.execute("CREATE TABLE sign_ins (line TEXT)")
    database.executemany("INSERT INTO sign_ins VALUES (?)", [(line,) for line in lines])
    by_sql = [line for (line,) in database.execute(query)]
    database.close()
    file = folder / "lines"
    file.write_text("".join(f"{line}\n" for line in lines))
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return by_sql, done.stdout.splitlines()


def test_events_from_before_the_filter_arrive_and_repeated_events_have_the_same_event_id(
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs = endpoint.client("logs")
    (filter_,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
    logs.delete_subscription_filter(logGroupName=GROUP, filterName=filter_["filterName"])
    early = [sign_in(f"early-{number}") for number in range(7)]
    for number, message in enumerate(early):
        other = sign_in(f"other-{number}", eventName="CheckMfa")
        put(endpoint, other, message, "no JSON", minutes_ago=200 - 20 * number)
    keys = ("logGroupName", "filterName", "filterPattern", "destinationArn", "roleArn")
    logs.put_subscription_filter(**{key: filter_[key] for key in keys})
    live = [sign_in(f"live-{number}") for number in range(3)]
    put(endpoint, *live)
    assert Counter(endpoint.lines(3)) == Counter(live)

    arguments = ["backfill", "--endpoint-url", endpoint.url, "--stack", "console-login-firehose"]
    arguments += ["--start", iso(5), "--end", iso(0)]
    # Neither a dry run nor a run without a yes sends anything.
    assert console_login(*arguments, "--dry-run", monkeypatch=monkeypatch) == 0
    assert "10 events in 8 records" in capsys.readouterr().out
    for answer, status in (("n\n", 1), ("", 2)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert console_login(*arguments, monkeypatch=monkeypatch) == status
    capsys.readouterr()
    assert len(endpoint.lines(3)) == 3

    state = tmp_path / "state.json"
    kept = [*arguments, "--state", str(state), "--yes"]
    assert console_login(*kept, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr()
    lines = endpoint.lines(13)
    assert Counter(lines) == Counter([*early, *live, *live])
    expected = Counter([*early, *live])
    for left in without_duplicates(lines, tmp_path):
        assert Counter(left) == expected
    # No content of an event is printed or saved.
    for secret in ("early-", "live-", "userIdentity", "203.0.113", "no JSON"):
        assert secret not in shown.out + shown.err + state.read_text()
    # A run that is done sends nothing again.
    assert console_login(*kept, "--json", monkeypatch=monkeypatch) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["events"], report["is_complete"]) == (0, True)
    assert report["position"] == report["end"]
    time.sleep(0.5)
    assert len(endpoint.lines(13)) == 13


def test_events_that_are_not_in_the_log_group_are_read_from_the_trails_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    with serving() as running:
        logs = running.client("logs")
        logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")
        (filter_,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
        logs.delete_subscription_filter(logGroupName=GROUP, filterName=filter_["filterName"])
        time_ = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        lost = [sign_in(f"lost-{number}", eventTime=time_) for number in range(3)]
        other = sign_in("other", eventName="CheckMfa", eventTime=time_)
        put(running, *lost, other, sign_in("old", eventTime="2024-03-30T00:00:00Z"))
        # As if the retention had ended: only CloudTrail's file has the events.
        logs.delete_log_group(logGroupName=GROUP)
        (trail,) = running.client("cloudtrail").describe_trails()["trailList"]
        url = f"s3://{trail['S3BucketName']}/AWSLogs/"
        arguments = ["backfill", "--endpoint-url", running.url, "--from", url, "--start", "2h"]
        arguments += ["--stack", "console-login-firehose"]
        assert console_login(*arguments, "--dry-run", monkeypatch=monkeypatch) == 0
        out = capsys.readouterr().out
        assert re.search(rf"^files      {url}$", out, re.M)
        assert re.search(r"^3 events in 1 file in 1 record, \d+ bytes: would take", out, re.M)
        # Beside it, an object that is not a log file.
        key = f"AWSLogs/111122223333/CloudTrail/us-east-1/{now:%Y/%m/%d}/zzz.json.gz"
        s3 = running.client("s3")
        s3.put_object(Bucket=trail["S3BucketName"], Key=key, Body=b"junk")
        kept = [*arguments, "--state", str(tmp_path / "state"), "--yes"]
        assert console_login(*kept, monkeypatch=monkeypatch) == 1
        out = capsys.readouterr().out
        assert f"{key}: it is not a CloudTrail log file\n1 file not read to the end" in out
        assert Counter(running.lines(3)) == Counter(lost)
        chosen = ["--account", "111122223333", "--from-region", "us-east-1", "--yes", "--json"]
        assert console_login(*arguments, *chosen, monkeypatch=monkeypatch) == 1
        report = json.loads(capsys.readouterr().out)
        assert report["named"] == [{"key": key, "reason": "it is not a CloudTrail log file"}]
        assert (report["unreadable"], report["is_complete"]) == (1, False)
        assert report["from"] == url
    for secret in ("lost-", "userIdentity", "203.0.113"):
        assert secret not in out + (tmp_path / "state").read_text()


def test_records_that_the_stream_rejects_exit_with_1_and_its_error(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(endpoint, sign_in("refused"), minutes_ago=30)
    arguments = ["backfill", "--endpoint-url", endpoint.url, "--log-group", GROUP, "--start"]
    arguments += [iso(1), "--stream", "nowhere", "--yes"]
    assert console_login(*arguments, monkeypatch=monkeypatch) == 1
    out = capsys.readouterr().out
    error = r"^stopped: \d records? may not have been accepted: .*ResourceNotFound"
    assert re.search(error, out, re.M)
    assert re.search(r"^everything before \S+Z is done: continue with --start \S+Z$", out, re.M)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--start", END, "--end", START], "is not before --end"),
        (["--start", END, "--end", END], "is not before --end"),
        (
            ["--start", "2999-01-01"],
            "--start 2999-01-01 (2999-01-01T00:00:00.000Z) is not before now",
        ),
        (["--start", START, "--end", "2999-01-01T00:00:00Z"], "is in the future"),
        (["--start", START, "--mib-per-second", "1e-300"], "--mib-per-second 1e-300 must be "),
        (["--start", "noon"], "--start noon is not a time: write 72h, 3d, 2026-11-24 or "),
        (["--start", "-3d"], "not a time"),
        (["--start", "999999w"], "too long ago"),
        (["--start", START, "--end", "soon"], "--end soon is not a time"),
        (["--start", START], "name --stack, or --log-group and --stream"),
        (["--start", START, "--stack", "s", "--stream", "s"], "--stack cannot be combined with"),
        (["--start", START, "--mib-per-second", "5.1"], "from 0.001 to 5"),
        (["--start", START, "--mib-per-second", "0"], "from 0.001 to 5"),
        (["--start", START, "--mib-per-second", "nan"], "from 0.001 to 5"),
        (["--start", START, "--json"], "needs --yes or --dry-run"),
        (["--start", START, "--state", str(ROOT / "Makefile")], "is not a state file"),
        (["--start", START, "--state", str(ROOT)], "Is a directory"),
        (["--start", START, "--stack", "none"], "DescribeStacks: ValidationError"),
        (
            ["--start", START, "--log-group", "/none", "--stream", "s"],
            "log group /none does not exist",
        ),
        (
            ["--start", START, "--log-group", GROUP, "--stream", "s", "--event-names", "a b"],
            "must be 1 to 25 plain event names",
        ),
        (
            ["--start", START, "--stack", "s", "--endpoint-url", "here"],
            "Invalid endpoint: here; check --endpoint-url",
        ),
        (["--start", START, "--stack", "s", "--region", "a b"], "format; check --region"),
        (["--start", START, "--stack", "s", "--profile", "none"], "profile (none)"),
    ],
)
def test_a_users_error_is_one_line_and_exit_status_2(
    arguments: list[str],
    words: str,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["backfill", "--endpoint-url", endpoint.url, *arguments]
    assert console_login(*command, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("console-login: ")
    assert words in line


# Slices, pages and envelopes ---------------------------------------------------------------------


def test_the_start_is_included_and_the_end_is_not() -> None:
    edges = {"before": START_MS - 1, "start": START_MS, "last": END_MS - 1, "end": END_MS}
    edges |= {"of a slice": START_MS + HOUR_MS, "before it": START_MS + HOUR_MS - 1}
    access: Any = FakeAccess([found(name, timestamp) for name, timestamp in edges.items()])
    progress, totals = filled(access)
    assert Counter(event_ids(access.firehose)) == Counter(
        ["start", "before it", "of a slice", "last"]
    )
    assert (totals.events, totals.is_complete, progress.position) == (4, True, text(END_MS))
    assert [each["startTime"] for each in access.calls] == [
        START_MS + hour * HOUR_MS for hour in range(4)
    ]
    assert {each["filterPattern"] for each in access.calls} == {
        '{ ($.eventName = "ConsoleLogin") }'
    }


def test_a_time_within_a_millisecond_leaves_nothing_out() -> None:
    times = {"start": "2024-03-30T05:00:00.0001Z", "end": "2024-03-30T05:00:00.0021Z"}
    progress = prepared(FakeAccess([]), **times)
    # The first milliseconds that are not before these times.
    assert (progress.plan.start, progress.plan.end) == (START_MS + 1, START_MS + 3)


def test_the_end_is_now_and_no_time_before_the_log_group_is_requested() -> None:
    access: Any = FakeAccess([])
    progress = prepared(access, start="1999-01-01T00:00:00Z", end=None)
    assert progress.plan.end == int(NOW * 1000)
    assert progress.position == text(START_MS - 14 * 24 * HOUR_MS)


def test_every_event_is_requested_without_a_pattern() -> None:
    access: Any = FakeAccess([])
    filled(access, event_names="*")
    assert all("filterPattern" not in each for each in access.calls)


def test_envelopes_are_like_those_of_cloudwatch_logs() -> None:
    randomness = random.Random(0)
    events = [
        found(str(number), randomness.randrange(START_MS, START_MS + HOUR_MS), stream)
        for number, stream in enumerate("ab" * 100)
    ]
    access: Any = FakeAccess(events)
    filled(access)
    assert sorted(event_ids(access.firehose), key=int) == [str(number) for number in range(200)]
    by_id = {event["eventId"]: event for event in events}
    for record, envelope in zip(access.firehose.accepted, envelopes(access.firehose), strict=True):
        log_events = envelope.pop("logEvents")
        assert {
            "messageType": "DATA_MESSAGE",
            "owner": "111122223333",
            "logGroup": GROUP,
            "logStream": envelope["logStream"],
            "subscriptionFilters": ["console-login-backfill"],
        } == envelope
        for log_event in log_events:
            event = by_id[log_event["id"]]
            assert log_event == {
                "id": event["eventId"],
                "timestamp": event["timestamp"],
                "message": event["message"],
            }
            assert event["logStreamName"] == envelope["logStream"]
        timestamps = [log_event["timestamp"] for log_event in log_events]
        assert max(timestamps) - min(timestamps) <= 10 * 60 * 1000
        assert record == compress(gzip.decompress(record).decode())


def test_envelopes_stay_small_and_an_event_too_large_for_a_record_is_counted() -> None:
    randomness = random.Random(0)
    # Nearly incompressible, and each quotation mark doubles in the envelope.
    texts = ["".join(chr(randomness.randrange(0x4E00, 0x9FFF)) for _ in range(60_000))] * 9
    huge = "".join(chr(randomness.randrange(0x10000, 0x1FFFF)) for _ in range(400_000))
    events = [
        found(str(number), START_MS + number, message=json.dumps({"eventID": str(number), "x": x}))
        for number, x in enumerate([*texts, '"' * 300_000])
    ]
    access: Any = FakeAccess([*events, found("huge", START_MS + 4, message=json.dumps(huge))])
    _, totals = filled(access)
    assert sorted(event_ids(access.firehose), key=int) == [str(number) for number in range(10)]
    for record in access.firehose.accepted:
        assert len(record) < 1000 * 1024
    sizes = [len(gzip.decompress(record)) for record in access.firehose.accepted]
    assert sorted(sizes)[-2] < 513 * 1024
    # The envelope with only the event of quotation marks.
    assert max(sizes) < 1300 * 1024
    assert (totals.events, totals.too_large, totals.is_complete) == (10, 1, False)


def test_pages_are_read_to_the_end_empty_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = boto3.client("logs", region_name=REGION)
    first, second = found("1", START_MS), found("2", START_MS + 1)
    with Stubber(logs) as stubber:
        group = {"logGroupName": GROUP, "arn": f"{ARN}:*", "creationTime": START_MS}
        stubber.add_response("describe_log_groups", {"logGroups": [], "nextToken": "more"})
        stubber.add_response("describe_log_groups", {"logGroups": [group]})
        stubber.add_response("filter_log_events", {"events": [first], "nextToken": "1"})
        stubber.add_response("filter_log_events", {"events": [], "nextToken": "2"})
        stubber.add_response("filter_log_events", {"events": [second]})
        access: Any = FakeAccess([])
        clients = {"logs": logs, "firehose": access.firehose}
        monkeypatch.setattr(FakeAccess, "client", lambda _, service, **__: clients[service])
        filled(access, end="2024-03-30T06:00:00Z")
        stubber.assert_no_pending_responses()
    assert sorted(event_ids(access.firehose)) == ["1", "2"]


# Interrupted and resumed -------------------------------------------------------------------------


EVENTS = [found(str(number), START_MS + number * 100_000) for number in range(144)]


def small_calls(access: Any) -> Sender:
    # A few records per second, so several calls per slice.
    return sender(access, bytes_per_second=3000)


def test_a_run_killed_at_any_call_and_resumed_loses_nothing(tmp_path: Path) -> None:
    access: Any = FakeAccess(EVENTS)
    ready(access, small_calls(access)).run()
    calls = len(access.firehose.calls)
    assert calls > 8
    for after in (False, True):
        for at in range(1, calls + 1):
            state = tmp_path / f"{after} {at}"
            access = FakeAccess(EVENTS, MortalFirehose(at, after=after))
            killed = ready(access, small_calls(access), state=state)
            with pytest.raises(Killed):
                killed.run()
            job = ready(access, small_calls(access), NOW + 1, state=state, end=None)
            saved = job.progress
            assert saved.position == killed.progress.position
            assert saved.plan.end == END_MS
            totals = job.run()
            assert totals.is_complete
            arrived = Counter(event_ids(access.firehose))
            assert set(arrived) == {str(number) for number in range(144)}
            # At most the events of one slice are sent twice.
            assert arrived.total() - 144 <= 36
            assert max(arrived.values()) <= 2


def test_a_run_killed_while_it_writes_the_state_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    access: Any = FakeAccess(EVENTS)
    progress = prepared(access, state=state)
    progress.save(text(START_MS + HOUR_MS))

    def kill(_: int) -> None:
        raise Killed

    monkeypatch.setattr("os.fsync", kill)
    with pytest.raises(Killed):
        progress.save(text(START_MS + 2 * HOUR_MS))
    assert prepared(access, state=state).position == text(START_MS + HOUR_MS)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (client_error("InvalidSourceException"), "InvalidSourceException"),
        ({0: "InternalFailure"}, ""),
        (TIMEOUT, "Read timeout"),
    ],
    ids=["refused", "refused in part", "unknown"],
)
def test_a_record_that_may_not_be_accepted_stops_the_run_before_its_slice(
    answer: Any, words: str, tmp_path: Path
) -> None:
    firehose = FakeFirehose({}, answer)
    access: Any = FakeAccess(EVENTS, firehose)
    if isinstance(answer, dict):
        # The retry is rejected too.
        firehose.answers += [client_error("AccessDeniedException")]
    progress, totals = filled(access, state=tmp_path / "state")
    assert totals.problem is not None
    assert words in totals.problem
    assert not totals.is_complete
    assert progress.position == text(START_MS + HOUR_MS)
    progress, totals = filled(access, state=tmp_path / "state")
    assert totals.is_complete
    assert set(event_ids(firehose)) == {str(number) for number in range(144)}


def test_an_error_of_the_log_group_stops_the_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    access: Any = FakeAccess(EVENTS)
    paginate = _Pages.paginate

    def fails_in_the_second_slice(self: Any, **arguments: Any) -> Iterator[Any]:
        yield from paginate(self, **arguments)
        if arguments.get("startTime") == START_MS + HOUR_MS:
            raise client_error("ThrottlingException")

    monkeypatch.setattr(_Pages, "paginate", fails_in_the_second_slice)
    progress, totals = filled(access)
    assert totals.problem == "PutRecordBatch: ThrottlingException: x"
    assert progress.position == text(START_MS + HOUR_MS)


def test_a_state_belongs_to_one_backfill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    access: Any = FakeAccess(EVENTS)
    filled(access, state=state)
    before = state.read_bytes()
    assert set(json.loads(before)) == {
        *("log_group_arn", "stream", "pattern", "start", "end", "position"),
        *("start_ago", "end_ago", "left_out"),
    }
    for name, value in {
        "start": "2024-03-30T05:00:01Z",
        "end": "2024-03-30T08:00:00Z",
        "stream": "other",
        "log_group": f"{GROUP}-2",
        "event_names": "CheckMfa",
    }.items():
        with pytest.raises(BackfillError, match="belongs to another backfill"):
            prepared(access, state=state, **{name: value})
    for junk in (b"", b"{}", b"[]", b"\xff", before.replace(b"Z", b""), before[:-3]):
        state.write_bytes(junk)
        with pytest.raises(BackfillError, match="is not a state file of a backfill"):
            prepared(access, state=state)
        assert state.read_bytes() == junk


def test_the_same_age_continues_the_first_run_and_never_starts_a_new_one(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    access: Any = FakeAccess(EVENTS)
    first = prepared(access, state=state, start="3h", end=None)
    first.save(text(first.plan.start + HOUR_MS))
    later = prepared(access, NOW + 3600, state=state, start="3h", end=None)
    assert (later.plan, later.position) == (first.plan, text(first.plan.start + HOUR_MS))
    for other in ({"start": "2h"}, {"start": "3h", "end": "1h"}):
        with pytest.raises(BackfillError, match="belongs to another backfill"):
            prepared(access, **{"state": state, "end": None} | other)
    first.save(text(first.plan.end))
    with pytest.raises(BackfillError, match=r"belongs to another backfill \(stream was"):
        prepared(access, state=state, start="3h", end=None, stream="x")
    with pytest.raises(BackfillError, match=r"this backfill is done .*use another file"):
        prepared(access, NOW + 7 * 86400, state=state, start="3h", end=None)


def test_a_time_without_an_offset_is_in_the_stacks_zone(endpoint: Endpoint) -> None:
    access = Access(endpoint.url, "ap-northeast-1", None)
    wanted = Options(
        start="2024-03-30", end="2024-03-30T09:00+09:00", stack="console-login-firehose"
    )
    plan = backfill.prepare(access, wanted)[1].plan
    assert text(plan.start) == "2024-03-29T15:00:00.000Z"
    assert text(plan.end) == "2024-03-30T00:00:00.000Z"


def test_without_a_stack_a_time_without_an_offset_is_in_utc() -> None:
    plan = prepared(FakeAccess(EVENTS), start="2024-03-30").plan
    assert text(plan.start) == "2024-03-30T00:00:00.000Z"


def test_a_state_that_cannot_be_saved_fails_before_anything_is_sent(tmp_path: Path) -> None:
    access: Any = FakeAccess(EVENTS)
    with pytest.raises(BackfillError, match="No such file or directory"):
        filled(access, state=tmp_path / "none" / "state")
    assert access.firehose.calls == []


def test_a_dry_run_sends_and_saves_nothing(tmp_path: Path) -> None:
    access: Any = FakeAccess(EVENTS)
    totals = ready(access, None, state=tmp_path / "state").run()
    assert (access.firehose.calls, list(tmp_path.iterdir())) == ([], [])
    assert totals.events == 144
    _, sent = filled(access)
    assert totals == sent


# The rate ----------------------------------------------------------------------------------------


def test_the_rate_is_kept_and_no_call_sends_more_than_in_a_second() -> None:
    access: Any = FakeAccess([found(str(n), START_MS + n, str(n)) for n in range(1100)])
    rate = 50_000
    totals = ready(access, sender(access, bytes_per_second=rate)).run()
    # The slice has more records than are collected at once, and none of them is sent twice.
    assert totals.events == 1100
    assert sorted(event_ids(access.firehose), key=int) == [str(n) for n in range(1100)]
    for call in access.firehose.calls:
        assert sum(map(len, call)) <= rate
    last = sum(map(len, access.firehose.calls[-1]))
    # The fake clock does not advance, so each wait is the time of all calls before it.
    assert max(access.firehose.slept) == pytest.approx((totals.bytes - last) / rate, rel=0.2)
