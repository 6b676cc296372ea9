"""`console-login backfill --from`: it sends every event of CloudTrail's files, leaving none out."""

import functools
import gzip
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from support import (
    TIMEOUT,
    TOKYO,
    FakeFirehose,
    Killed,
    MortalFirehose,
    client_error,
    envelope,
    gz,
    result_of,
)

from console_login import cli
from console_login.errors import UserError
from console_login.operate import backfill, trail_source
from console_login.operate.access import Access
from console_login.operate.backfill import Backfill, BackfillError, Options, Totals
from console_login.operate.backfill_state import Progress
from console_login.operate.sender import Sender

BUCKET = "amzn-s3-demo-bucket"
ROOT_URL = f"s3://{BUCKET}/AWSLogs/"
STREAM = "console-login"
ORGANIZATION = "o-exampleorgid"
FIRST, SECOND = "111122223333", "444455556666"
# 2024-03-31 12:00:00 UTC.
NOW = 1711886400.0
START, END = "2024-03-28T12:00:00Z", "2024-03-30T00:00:00Z"


class FakeAccess(Access):
    """A fake stream, and moto's S3."""

    def __init__(self, firehose: FakeFirehose) -> None:
        super().__init__()
        object.__setattr__(self, "firehose", firehose)

    def client(self, service: Any, **_: Any) -> Any:
        if service == "firehose":
            return self.firehose  # type: ignore[attr-defined]
        return s3_client()


@functools.cache
def s3_client() -> Any:
    return boto3.client("s3", "us-east-1")


class Trail:
    """The bucket of a trail, with files like those of CloudTrail."""

    def __init__(self) -> None:
        self.s3 = s3_client()
        self.s3.create_bucket(Bucket=BUCKET)
        self.number = 0

    def put(
        self,
        *records: str,
        day: str = "2024/03/29",
        account: str = FIRST,
        region: str = "us-east-1",
        root: str = "AWSLogs/",
        body: bytes | None = None,
    ) -> str:
        self.number += 1
        name = f"{account}_CloudTrail_{region}_{day.replace('/', '')}T0000Z_{self.number:016}"
        key = f"{root}{account}/CloudTrail/{region}/{day}/{name}.json.gz"
        if body is None:
            body = gzip.compress(f'{{"Records":[{",".join(records)}]}}'.encode())
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return key


@pytest.fixture
def trail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trail]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Trail()


def sign_in(event_id: str, time: str = "2024-03-29T00:00:00Z", **keys: Any) -> str:
    event = json.loads(TOKYO) | {"eventID": event_id, "eventTime": time} | keys
    return json.dumps(event, separators=(",", ":"))


def ready(
    firehose: FakeFirehose, *, dry: bool = False, rate: float | None = None, **keys: Any
) -> Backfill:
    access = FakeAccess(firehose)
    options = Options(**{"url": ROOT_URL, "stream": STREAM, "start": START, "end": END} | keys)
    source, progress = backfill.prepare(access, options, NOW)
    sender = None if dry else Sender(access, STREAM, rate, firehose.sleep)
    return Backfill(source, progress, sender)


def sent(**keys: Any) -> tuple[list[str], Totals]:
    """Return the eventIDs that the stream has accepted."""
    firehose = FakeFirehose()
    totals = ready(firehose, **keys).run()
    return event_ids(firehose), totals


def log_events(firehose: FakeFirehose) -> list[Any]:
    documents = [json.loads(gzip.decompress(record)) for record in firehose.accepted]
    return [each for document in documents for each in document["logEvents"]]


def event_ids(firehose: FakeFirehose) -> list[str]:
    return sorted(json.loads(each["message"])["eventID"] for each in log_events(firehose))


# What is read ------------------------------------------------------------------------------------


def test_sign_ins_of_all_accounts_and_regions_are_sent_as_cloudwatch_logs_would(
    trail: Trail,
) -> None:
    other = sign_in("other", eventName="CheckMfa")
    spaced = sign_in("spaced").replace('","', '", "')
    broken = sign_in("broken").replace('","', '",\n"', 1)
    trail.put(other, sign_in("one"), spaced, broken)
    trail.put(sign_in("two"), account=SECOND, region="ap-northeast-1")
    # Other files in the bucket: digests, Insights, and those of other services.
    for folder in ("CloudTrail-Digest", "CloudTrail-Insight", "Config"):
        key = f"AWSLogs/{FIRST}/{folder}/us-east-1/2024/03/29/x.json.gz"
        trail.s3.put_object(Bucket=BUCKET, Key=key, Body=gz(sign_in("no").encode()))
    firehose = FakeFirehose()
    totals = ready(firehose).run()
    assert totals == Totals(
        files=2, events=4, records=2, bytes=sum(map(len, firehose.accepted)), left_out_before=0
    )
    first, second = (json.loads(gzip.decompress(record)) for record in firehose.accepted)
    messages = [each["message"] for each in first.pop("logEvents")]
    # As in the file, except that line breaks are removed.
    assert messages == [sign_in("one"), spaced, sign_in("broken")]
    assert first == {
        "messageType": "DATA_MESSAGE",
        "owner": FIRST,
        "logGroup": ROOT_URL,
        "logStream": f"{FIRST}_CloudTrail_us-east-1",
        "subscriptionFilters": ["console-login-backfill"],
    }
    assert second["owner"] == SECOND
    assert second["logEvents"] == [
        {"id": "two", "timestamp": 1711670400000, "message": sign_in("two")}
    ]
    # The function delivers the whole record.
    assert result_of(firehose.accepted[0])[:2] == ("Ok", "delivered")


@pytest.mark.parametrize("root", ["AWSLogs/", f"AWSLogs/{ORGANIZATION}/"])
@pytest.mark.parametrize("prefix", ["", "a/b c/", f"{ORGANIZATION}/"])
def test_a_trail_of_an_organization_or_with_a_prefix(prefix: str, root: str, trail: Trail) -> None:
    trail.put(sign_in("one"), root=prefix + root)
    trail.put(sign_in("two"), root=prefix + root, account=SECOND, region="us-gov-east-1")
    for url, expected in {
        f"{prefix}AWSLogs": ["one", "two"],
        f"{prefix}{root}": ["one", "two"],
        f"{prefix}{root}{SECOND}": ["two"],
        f"{prefix}{root}{SECOND}/CloudTrail/": ["two"],
        f"{prefix}{root}{FIRST}/CloudTrail/us-east-1": ["one"],
    }.items():
        assert sent(url=f"s3://{BUCKET}/{url}")[0] == expected


def test_accounts_and_regions_can_be_chosen(trail: Trail) -> None:
    regions = ("us-east-1", "eu-north-1")
    for account in (FIRST, SECOND):
        for region in regions:
            trail.put(sign_in(f"{account} {region}"), account=account, region=region)
    assert sent(accounts=(SECOND,))[0] == [f"{SECOND} {each}" for each in sorted(regions)]
    assert sent(regions=("eu-north-1",))[0] == [f"{FIRST} eu-north-1", f"{SECOND} eu-north-1"]
    assert sent(accounts=(FIRST, FIRST), regions=regions)[0] == [
        f"{FIRST} eu-north-1",
        f"{FIRST} us-east-1",
    ]


def test_events_are_selected_by_their_time_from_files_up_to_a_day_later(trail: Trail) -> None:
    trail.put(
        sign_in("too early", "2024-03-28T11:59:59Z"),
        sign_in("first", "2024-03-28T12:00:00Z"),
        day="2024/03/28",
    )
    trail.put(sign_in("last", "2024-03-29T23:59:59Z"), sign_in("too late", "2024-03-30T00:00:00Z"))
    trail.put(sign_in("a day late", "2024-03-29T23:59:59Z"), day="2024/03/31")
    trail.put(sign_in("held up", "2024-03-29T12:00:00Z"), day="2024/04/01")
    trail.put(sign_in("of the day before", "2024-03-29T12:00:00Z"), day="2024/03/27")
    trail.put(sign_in("no time", "soon"), sign_in("none").replace('"eventTime"', '"time"'))
    found, totals = sent()
    assert found == ["a day late", "first", "last", "no time", "none"]
    # Files that cannot have events of the time range are not read.
    assert (totals.files, totals.is_complete) == (4, True)


def test_event_names_select_events(trail: Trail) -> None:
    trail.put(sign_in("one"), sign_in("mfa", eventName="CheckMfa"), sign_in("x", eventName=None))
    assert sent(event_names="CheckMfa")[0] == ["mfa"]
    assert sent(event_names="*")[0] == ["mfa", "one", "x"]


def test_an_event_too_large_for_cloudwatch_logs_is_sent_too(trail: Trail) -> None:
    # CloudTrail sends events of at most 256 KB to CloudWatch Logs.
    large = sign_in("large", requestParameters={"x": os.urandom(200_000).hex()})
    huge = sign_in("huge", requestParameters={"x": os.urandom(1_200_000).hex()})
    trail.put(large)
    assert sent()[0] == ["large"]
    trail.put(huge, sign_in("small"))
    found, totals = sent()
    # The huge event does not fit into a Firehose record.
    assert found == ["large", "small"]
    assert (totals.too_large, totals.is_complete) == (1, False)


def test_more_files_than_a_page_and_a_slice(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
    monkeypatch.setattr(trail_source, "FILES_PER_SLICE", 3)
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        trail.put(sign_in(name), day=f"2024/03/{28 + int(name) % 2}")
    watched: list[float] = []
    firehose = FakeFirehose()
    job = ready(firehose)
    job.watch = watched.append
    assert job.run().files == 20
    assert event_ids(firehose) == names
    assert watched == sorted(watched)
    assert 0 < watched[0] < watched[-1] <= 1


# Damaged -----------------------------------------------------------------------------------------


def whole(*records: str) -> bytes:
    return f'{{"Records":[{",".join(records)}]}}'.encode()


@pytest.mark.parametrize(
    ("body", "before", "reason"),
    [
        (gz(whole(sign_in("in it")))[:-9], [], "its gzip is damaged"),
        (gz(whole(sign_in("in it")))[:-8] + b"12345678", [], "its gzip is damaged"),
        (whole(sign_in("in it"))[:-3], [], "its JSON is damaged"),
        (whole(sign_in("in it"), "[1]"), ["in it"], "its JSON is damaged"),
        (whole(sign_in("in it"), "[" * 100_000), ["in it"], "its JSON is damaged"),
        (whole(sign_in("in it")) + b"x", ["in it"], "its JSON is damaged"),
        (whole(sign_in("in it") + " " + sign_in("glued")), [], "its JSON is damaged"),
        (b"\xff" + whole(sign_in("in it")), [], "it is not UTF-8"),
        (sign_in("in it").encode(), [], "it is not a CloudTrail log file"),
        (envelope([sign_in("in it")]), [], "it is not a CloudTrail log file"),
        (b"[]", [], "it is not a CloudTrail log file"),
        (gz(b"[" * 100_000), [], "it is not a CloudTrail log file"),
    ],
)
def test_a_damaged_file_is_named_and_does_not_end_the_run(
    body: bytes, before: list[str], reason: str, trail: Trail
) -> None:
    trail.put(sign_in("a"))
    key = trail.put(body=body)
    trail.put(sign_in("z"))
    found, totals = sent()
    assert found == sorted(["a", *before, "z"])
    assert totals.named == [(key, reason)]
    assert (totals.unreadable, totals.is_complete) == (1, False)


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + whole(sign_in("one")),
        b' {\n "Records" : [ ' + sign_in("one").encode() + b" ] } \n",
        gz(whole(sign_in("one"))[:50]) + gz(whole(sign_in("one"))[50:]),
        whole(sign_in("one", userAgent="\ud800")),
    ],
    ids=["byte order mark", "pretty", "gzip members", "lone surrogate"],
)
def test_files_in_other_formats_are_read(body: bytes, trail: Trail) -> None:
    trail.put(body=body)
    trail.put(body=whole())
    found, totals = sent()
    assert (found, totals.is_complete) == (["one"], True)


def test_an_archived_file_is_named(trail: Trail) -> None:
    key = trail.put(sign_in("cold"))
    source = {"Bucket": BUCKET, "Key": key}
    trail.s3.copy_object(Bucket=BUCKET, Key=key, CopySource=source, StorageClass="GLACIER")
    found, totals = sent()
    assert found == []
    assert totals.named == [(key, "it is archived, and must be restored first")]


def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, trail: Trail) -> None:
    with gzip.open(tmp_path / "bomb", "wb", compresslevel=1) as file:
        file.write(b'{"Records":[')
        for _ in range(1024):
            file.write(b" " * 1024 * 1024)
    key = trail.put(body=(tmp_path / "bomb").read_bytes())
    trail.put(sign_in("z"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, totals = sent()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 400
    assert found == ["z"]
    assert totals.named == [(key, "it is larger than any CloudTrail log file")]


def test_an_object_too_large_is_not_fetched(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_source, "_MAX_OBJECT_BYTES", 10)
    trail.put(sign_in("one"))
    assert sent()[1].named[0].reason == "it is larger than any CloudTrail log file"


# Interrupted and resumed -------------------------------------------------------------------------


def several(trail: Trail, *accounts: str) -> list[str]:
    """Put files of accounts, with two Regions and two days each; return the names of the events."""
    names = []
    for account in accounts or (FIRST, SECOND):
        for region in ("ap-northeast-1", "us-east-1"):
            for number in range(3):
                name = f"{account} {region} {number}"
                pair = [f"{name} a", f"{name} b"]
                day = f"2024/03/{28 + number // 2}"
                times = ("2024-03-28T13:00:00Z", "2024-03-28T14:00:00Z")
                trail.put(
                    *(sign_in(each, time) for each, time in zip(pair, times, strict=True)),
                    day=day,
                    account=account,
                    region=region,
                )
                names += pair
    return sorted(names)


def test_a_run_killed_at_any_call_and_resumed_loses_nothing(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_source, "FILES_PER_SLICE", 2)
    names = several(trail, FIRST)
    firehose = FakeFirehose()
    # One record per second, so several calls per slice.
    ready(firehose, rate=600).run()
    calls = len(firehose.calls)
    assert calls > 6
    for after in (False, True):
        for at in range(1, calls + 1):
            state = tmp_path / f"{after} {at}"
            firehose = MortalFirehose(at, after=after)
            with pytest.raises(Killed):
                ready(firehose, state=state, rate=600).run()
            job = ready(firehose, state=state, rate=600)
            assert job.run().is_complete
            assert job.progress.is_done
            arrived = Counter(event_ids(firehose))
            assert sorted(arrived) == names
            # At most the events of one slice are sent twice.
            assert arrived.total() - len(names) <= 4
            assert max(arrived.values()) <= 2
            # A run that is done sends nothing again.
            assert ready(firehose, state=state).run() == Totals()


@pytest.mark.parametrize("answer", [client_error("InvalidSourceException"), TIMEOUT])
def test_a_record_that_may_not_be_accepted_stops_the_run_before_its_slice(
    answer: Any, trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_source, "FILES_PER_SLICE", 1)
    names = several(trail)
    firehose = FakeFirehose({}, answer)
    state = tmp_path / "state"
    job = ready(firehose, state=state)
    assert not job.run().is_complete
    assert job.progress.position.endswith("_0000000000000001.json.gz")
    assert ready(firehose, state=state).run().is_complete
    assert sorted(set(event_ids(firehose))) == names


def test_an_error_of_s3_stops_the_run_and_the_next_run_continues(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_source, "FILES_PER_SLICE", 1)
    names = several(trail)
    read = trail_source.error_objects.read
    calls = 0

    def refused(*arguments: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise trail_source.error_objects.ObjectError("it no longer exists")
        if calls == 8:
            with trail_source.one_line():
                raise client_error("AccessDenied")
        return read(*arguments)

    monkeypatch.setattr(trail_source.error_objects, "read", refused)
    firehose, state = FakeFirehose(), tmp_path / "state"
    totals = ready(firehose, state=state).run()
    assert totals.problem == "PutRecordBatch: AccessDenied: x"
    assert (totals.files, totals.unreadable) == (7, 1)
    totals = ready(firehose, state=state).run()
    # A later run still reports the events that an earlier run left out.
    assert (totals.problem, totals.unreadable, totals.left_out_before) == (None, 0, 1)
    assert not totals.is_complete
    assert not ready(firehose, state=state).run().is_complete
    assert len(event_ids(firehose)) == len(names) - 2


def test_a_dry_run_sends_and_saves_nothing(trail: Trail, tmp_path: Path) -> None:
    several(trail)
    firehose = FakeFirehose()
    totals = ready(firehose, dry=True, state=tmp_path / "state").run()
    assert (firehose.calls, list(tmp_path.iterdir())) == ([], [])
    assert totals == ready(firehose).run()
    assert (totals.files, totals.events) == (12, 24)


def test_a_state_belongs_to_one_backfill(trail: Trail, tmp_path: Path) -> None:
    several(trail)
    state = tmp_path / "state"
    ready(FakeFirehose(), state=state).run()
    assert json.loads(state.read_text()) == {
        "from": ROOT_URL,
        "accounts": "all",
        "regions": "all",
        "event_names": "ConsoleLogin",
        "stream": STREAM,
        "start_ago": None,
        "end_ago": None,
        "start": "2024-03-28T12:00:00.000Z",
        "end": "2024-03-30T00:00:00.000Z",
        "position": "2024-03-30T00:00:00.000Z",
        "left_out": 0,
    }
    for keys in (
        {"accounts": (FIRST,)},
        {"regions": ("us-east-1",)},
        {"event_names": "*"},
        {"url": f"{ROOT_URL}{FIRST}"},
    ):
        with pytest.raises(BackfillError, match="belongs to another backfill"):
            ready(FakeFirehose(), state=state, **keys)


# The state file ----------------------------------------------------------------------------------


def state_of(**keys: Any) -> bytes:
    whole = {
        "from": ROOT_URL,
        "stream": STREAM,
        "start_ago": None,
        "end_ago": None,
        "start": "2024-03-28T12:00:00Z",
        "end": "2024-03-30T00:00:00Z",
        "position": "2024-03-28T12:00:00Z",
        "left_out": 0,
    }
    return json.dumps(whole | keys).encode()


DAMAGED = [
    b"",
    b"\x00\xff\x1f\x8b",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"null",
    b"[]",
    b'"x"',
    b"{}",
    b"1" * 5000,
    b" " * 100_000 + state_of(),
    *(
        state_of(**{key: value})
        for key in ("from", "stream", "start", "end", "position", "left_out", "start_ago", "other")
        for value in (1, True, -1, 1e400, [], {}, [[]], "\x1b[2J")
        if (key, value) not in (("left_out", 1),)
    ),
    state_of(start="0001-01-01T00:00:00+23:59"),
    state_of(end="9999-12-31T23:59:59-23:59"),
    state_of(start="2024-03-28T12:00:00"),
    state_of(position="2024-03-31T00:00:00Z"),
    state_of(position="2024-03-28T00:00:00Z"),
    state_of(position=None),
    state_of(stream=None),
]


def test_any_damaged_state_is_one_line_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    arguments = ["backfill", "--start", START, "--stream", STREAM, "--log-group", "g", "--yes"]
    monkeypatch.setattr(sys, "argv", ["console-login", *arguments, "--state", str(state)])
    for content in DAMAGED:
        state.write_bytes(content)
        with pytest.raises(SystemExit) as raised:
            cli.main()
        assert raised.value.code == 2, content[:200]
        printed = capsys.readouterr()
        (line,) = printed.err.splitlines()
        assert printed.out == ""
        assert line == (
            f"console-login: --state {state} is not a state file of a backfill: use another file"
        )
        assert state.read_bytes() == content


def test_a_valid_state_is_read(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(state_of(position="AWSLogs/1/x", left_out=1))
    from console_login.operate.backfill_state import saved

    progress = saved(state)
    assert isinstance(progress, Progress)
    assert (progress.position, progress.left_out) == ("AWSLogs/1/x", 1)


# The options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"url": "AWSLogs/"}, "--from AWSLogs/: name the AWSLogs folder"),
        ({"url": f"s3://{BUCKET}"}, "name the AWSLogs folder"),
        ({"url": f"s3://{BUCKET}/AWSLogs/{FIRST}/CloudTrail/us-east-1/2024/03/29"}, "for days$"),
        ({"url": f"s3://{BUCKET}/AWSLogs/{FIRST}/Config/"}, "name the AWSLogs folder"),
        ({"url": f"s3://{BUCKET}/\x1b[2J/AWSLogs/"}, "--from s3://amzn-s3-demo-bucket/\x1b\\[2J"),
        ({"url": f"s3://{BUCKET}/none/AWSLogs/"}, "no CloudTrail log files under .*: check --from"),
        ({"accounts": (SECOND,)}, f"--account {SECOND}: --from has no such folder, only {FIRST}"),
        ({"regions": ("ap-south-1",)}, "--from-region ap-south-1: --from has no such folder"),
        ({"url": f"{ROOT_URL}{SECOND}"}, f"--account {SECOND}: --from has no such folder"),
        ({"url": None, "log_group": "g", "accounts": (FIRST,)}, "so they need --from"),
        ({"log_group": "g"}, "--from cannot be combined with --log-group"),
        ({"stream": None}, "name --stack, or --from and --stream"),
        ({"event_names": "a b"}, "--event-names: .*'a b' is not an event name"),
        ({"url": "s3://amzn-s3-demo-bucket1/AWSLogs/"}, "NoSuchBucket"),
    ],
)
def test_invalid_options_are_rejected(keys: Any, words: str, trail: Trail) -> None:
    trail.put(sign_in("one"))
    with pytest.raises(UserError, match=words):
        ready(FakeFirehose(), **keys)
