"""`console-login compare`: two folders of objects, by eventID and content."""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws
from support import CONTROL_MESSAGE, OSAKA, TOKYO, b64, envelope, gz

from console_login.cli import cli
from console_login.errors import SourceError, UserError

OTHER = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
NO_ID = json.dumps({"eventName": "ConsoleLogin", "n": 1})


ID = json.loads(TOKYO)["eventID"]
CUT = OSAKA[:-300]


def run(tmp_path: Path, old: bytes | str, new: bytes | str, *options: str) -> tuple[int, list[str]]:
    for name, body in (("old", old), ("new", new)):
        # Native extraction writes objects without an extension.
        path = tmp_path / name / "2026" / "stream-1-2026"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
    paths = [str(tmp_path / "old"), str(tmp_path / "new")]
    done = CliRunner().invoke(cli, ["compare", *paths, *options])
    return done.exit_code, done.output.splitlines()


def test_the_same_sign_ins_are_the_same_whatever_else_one_side_has(tmp_path: Path) -> None:
    new = gzip.compress(f"{OSAKA}\n{TOKYO}\n{TOKYO}\n{NO_ID}\n".encode())
    status, lines = run(tmp_path, f"{TOKYO}\n{OTHER}\n{OSAKA}\n{NO_ID}\n", new)
    assert (status, lines) == (
        0,
        [
            "old  3 events, and 0 extra copies",
            "new  3 events, and 1 extra copy",
            "both sides have the same events",
        ],
    )


def test_events_that_one_side_lacks_are_named_and_the_exit_status_is_1(tmp_path: Path) -> None:
    status, lines = run(tmp_path, f"{TOKYO}\n", f"{OSAKA}\n{NO_ID}\n")
    assert status == 1
    assert lines[2] == f"only in old (1): {json.loads(TOKYO)['eventID']}"
    assert lines[3].startswith(f"only in new (2): {json.loads(OSAKA)['eventID']}, sha256:")


@pytest.mark.parametrize("name", [[], {}, None, 1, ["ConsoleLogin"]], ids=str)
def test_an_event_whose_name_is_not_a_string_is_not_selected(name: Any, tmp_path: Path) -> None:
    line = json.dumps(json.loads(OSAKA) | {"eventName": name})
    status, lines = run(tmp_path, f"{TOKYO}\n", f"{line}\n{TOKYO}\n")
    assert (status, lines[-1]) == (0, "both sides have the same events")


def test_other_events_count_if_they_are_selected(tmp_path: Path) -> None:
    line = f"{TOKYO.replace('eventID', 'id')}\n"
    assert run(tmp_path, line + f"{OTHER}\n", line, "--event-names", "*")[0] == 1


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    done = CliRunner().invoke(cli, ["compare", str(tmp_path / "old"), str(tmp_path / "new")])
    assert isinstance(done.exception, SourceError)
    assert str(done.exception).startswith(f"{tmp_path / 'old'}: the folder has no files: copy")


def test_without_events_on_both_sides_the_exit_status_is_1(tmp_path: Path) -> None:
    status, lines = run(tmp_path, f"{OTHER}\n", f"{OTHER}\n")
    assert (status, lines[2:]) == (1, ["neither side has a selected event"])


def test_an_invalid_id_is_not_printed(tmp_path: Path) -> None:
    odd = json.dumps({"eventName": "ConsoleLogin", "eventID": "a b\nalice@example.com"})
    status, lines = run(tmp_path, f"{odd}\n", f"{TOKYO}\n")
    assert status == 1
    assert "alice" not in "".join(lines)


# Lines that are not events -----------------------------------------------------------------------


@pytest.mark.parametrize("damaged", ["old", "new"])
def test_a_cut_line_is_counted_and_named_on_its_side(damaged: str, tmp_path: Path) -> None:
    # Both sides have the same other events, but one side may lack the event of the cut line.
    sides = {"old": f"{TOKYO}\n", "new": f"{TOKYO}\n"} | {damaged: f"{TOKYO}\n{CUT}\n{TOKYO}\n"}
    status, lines = run(tmp_path, **sides)
    place = tmp_path / damaged / "2026" / "stream-1-2026"
    assert (status, lines[2:]) == (
        1,
        [
            f"{damaged} has 1 unreadable line:",
            f"  {place} line 2: the line is not JSON, or is cut off",
        ],
    )


def test_sign_ins_joined_on_one_line_are_each_compared(tmp_path: Path) -> None:
    status, lines = run(tmp_path, f"{NO_ID}\n{TOKYO}{OSAKA}\n", f"{NO_ID}\n")
    assert (status, lines[0]) == (1, "old  3 events, and 0 extra copies")
    assert lines[2] == f"only in old (2): {', '.join(sorted([ID, json.loads(OSAKA)['eventID']]))}"


def test_at_most_ten_places_are_named_and_no_text_is_printed(tmp_path: Path) -> None:
    status, lines = run(tmp_path, f"{TOKYO}\n" + "alice\n" * 12, f"{TOKYO}\n")
    assert (status, lines[2], len(lines[3:])) == (1, "old has 12 unreadable lines:", 11)
    assert lines[-1] == "  and 2 more"
    assert "alice" not in "".join(lines)


def test_a_failed_record_does_not_count_as_delivered(tmp_path: Path) -> None:
    failed = json.dumps({"errorCode": "x", "rawData": b64(gz(envelope([TOKYO])))})
    status, lines = run(tmp_path, f"{TOKYO}\n", f"{TOKYO}\n{failed}\n")
    assert status == 1
    assert "this is a record that failed in Firehose: use console-login redrive" in lines[-1]


def test_control_characters_in_names_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J").write_text("x\n")
    done = CliRunner().invoke(cli, ["compare", str(tmp_path), str(tmp_path)])
    assert (done.exit_code, "\x1b" in done.output) == (1, False)
    assert "\\x1b[2J line 1" in done.output


def test_objects_of_every_kind_of_processing_are_compared(tmp_path: Path) -> None:
    # Decompression alone joins envelopes without a separator; without processing they are gzip.
    old = CONTROL_MESSAGE.encode() + envelope([TOKYO, OTHER]) + envelope([OSAKA])
    new = b"".join(map(gz, (envelope([TOKYO]), envelope([OSAKA, OTHER]))))
    status, lines = run(tmp_path, old, new)
    assert (status, lines[0]) == (0, "old  2 events, and 0 extra copies")


# Content --------------------------------------------------------------------------------


def test_one_id_with_two_contents_is_named(tmp_path: Path) -> None:
    changed = TOKYO.replace("Success", "Failure")
    status, lines = run(tmp_path, f"{TOKYO}\n", f"{changed}\n")
    named = f"same eventID with different content (1): {ID}"
    assert (status, lines[2:]) == (1, [named])


def test_one_id_with_two_contents_on_both_sides_is_not_a_copy(tmp_path: Path) -> None:
    both = f"{TOKYO}\n{TOKYO.replace('Success', 'Failure')}\n{TOKYO}\n"
    status, lines = run(tmp_path, both, both)
    named = f"same eventID with different content (1): {ID}"
    assert (status, lines[1:]) == (1, ["new  1 event, and 1 extra copy", named])


@pytest.mark.parametrize(
    "forged",
    [
        TOKYO.replace('"sourceIPAddress":"', '"sourceIPAddress":"192.0.2.1","sourceIPAddress":"'),
        TOKYO.replace('"eventVersion":"1.08"', '"eventVersion":1.08'),
    ],
    ids=["a name twice", "a number instead of a string"],
)
def test_a_forged_copy_is_never_the_same(forged: str, tmp_path: Path) -> None:
    assert forged != TOKYO
    for old, new in ((TOKYO, forged), (TOKYO, f"{TOKYO}\n{forged}")):
        status, lines = run(tmp_path, old, new)
        assert status == 1
        assert lines[-1].startswith("same eventID with different content (1): ")


def test_many_contents_of_one_id_take_linear_time(tmp_path: Path) -> None:
    forged = "\n".join(
        f'{{"eventName":"ConsoleLogin","eventID":"1","n":{n}}}' for n in range(80_000)
    )
    began = time.process_time()
    assert run(tmp_path, forged, TOKYO)[0] == 1
    assert time.process_time() - began < 10


def test_too_many_events_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console_login.operate.compare.MAX_EVENTS", 1)
    # Copies do not count.
    assert run(tmp_path, f"{TOKYO}\n{TOKYO}", TOKYO)[0] == 0
    (tmp_path / "new" / "another").write_text(OSAKA)
    status, (line,) = compared(str(tmp_path / "old"), str(tmp_path / "new"))
    assert (status, line) == (2, "one side has more than 1 events: compare fewer days or files")


def test_a_deep_event_is_compared(tmp_path: Path) -> None:
    deep = TOKYO[:-1] + ',"a":' + '{"a":' * 3000 + "1" + "}" * 3000 + "}"
    assert run(tmp_path, deep, deep)[1][-1] == "both sides have the same events"
    _, lines = run(tmp_path, deep, TOKYO)
    assert lines[-1] == f"same eventID with different content (1): {ID}"


def test_the_same_json_in_another_format_is_the_same(tmp_path: Path) -> None:
    pretty = json.dumps(json.loads(TOKYO), indent=2, sort_keys=True)
    assert run(tmp_path, f"{TOKYO}\n", pretty)[0] == 0


# S3 --------------------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="amzn-s3-demo-bucket")

        def put(key: str, body: bytes) -> None:
            s3.put_object(Bucket="amzn-s3-demo-bucket", Key=key, Body=body)

        yield put


def compared(old: str, new: str, *options: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(cli, ["compare", old, new, *options])
    if isinstance(done.exception, UserError):
        return 2, [str(done.exception)]
    return done.exit_code, done.output.splitlines()


def test_a_copy_of_a_trails_files_is_compared_with_objects(bucket: Any, tmp_path: Path) -> None:
    # docs/security.md: a trail has a folder for each Region, above those of the days.
    for region, day, line in (("us-east-1", 23, TOKYO), ("ap-northeast-1", 24, OSAKA)):
        path = tmp_path / "trail" / region / f"2026/11/{day}" / "x.json.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(f'{{"Records":[{line}]}}'.encode()))
    forged = TOKYO.replace(ID, "forged")
    bucket("new/2026/11/24/x", f"{TOKYO}\n{OSAKA}\n{forged}\n".encode())
    new = "s3://amzn-s3-demo-bucket/new/"
    status, lines = compared(str(tmp_path / "trail"), new, "--start", "2026-11-24")
    assert (status, lines[2:]) == (1, ["only in new (1): forged"])


def test_the_days_of_both_sides_are_read_in_s3(bucket: Any, tmp_path: Path) -> None:
    bucket("old/2026/11/23/13/s-1", b"no event\n")
    bucket("old/2026/11/24/13/s-1", envelope([TOKYO]))
    bucket("old/2026/11/25/s-2.gz", gzip.compress(f"{OSAKA}\n".encode()))
    bucket("old/2026/11/26/s-3", b"no event\n")
    bucket("old/processing-failed/2026/11/24/s-1", b"no event\n")
    bucket("new/2026/11/25/", b"")
    bucket("new/2026/11/25/n.json", f"{OSAKA}\n{TOKYO}\n".encode())
    old, new = "s3://amzn-s3-demo-bucket/old/", "s3://amzn-s3-demo-bucket/new/"
    range_of_days = ("--start", "2026-11-24", "--end", "2026-11-25")
    status, lines = compared(old, new, *range_of_days)
    assert (status, lines[-1]) == (0, "both sides have the same events"), lines
    (tmp_path / "new").write_text(f"{OSAKA}\n")
    status, lines = compared(old, str(tmp_path / "new"), "--start", "2026-11-25")
    assert (status, lines[-1]) == (0, "both sides have the same events"), lines
    status, lines = compared(old, new, "--start", "2026-11-24")
    missing = "s3://amzn-s3-demo-bucket/new/2026/11/24/ and the chosen days after it have no obj"
    assert (status, lines[0].startswith(missing)) == (2, True)
    status, lines = compared(old, new, "--start", "2026-11-23", "--end", "2026-11-25")
    named = "  s3://amzn-s3-demo-bucket/old/2026/11/23/13/s-1 line 1: the line is not JSON, or"
    assert (status, lines[3].startswith(named)) == (1, True), lines


def test_the_rest_is_compared_if_an_object_cannot_be_read(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console_login.events.sources.MAX_DECOMPRESSED_BYTES", 2_000_000)
    monkeypatch.setattr("console_login.operate.error_objects.MAX_OBJECT_BYTES", 1024 * 1024)
    bucket("2026/11/24/bomb.gz", gzip.compress(f"{TOKYO}\n".encode() + b"\n" * 4_000_000))
    bucket("2026/11/24/damaged.gz", gzip.compress(TOKYO.encode())[:-9])
    bucket("2026/11/24/large", b"x" * 1024 * 1025)
    bucket("2026/11/24/plain", OSAKA.encode())
    (tmp_path / "new").write_text(f"{TOKYO}\n{OSAKA}\n")
    status, lines = compared(
        "s3://amzn-s3-demo-bucket/", str(tmp_path / "new"), "--start", "2026-11-24"
    )
    assert status == 1
    assert lines[0].startswith("old  2 events")
    folder = "  s3://amzn-s3-demo-bucket/2026/11/24/"
    assert lines[3:] == [
        f"{folder}bomb.gz: more than 1 MiB of gzip content: split the file;"
        " the rest of the file is not read",
        f"{folder}damaged.gz: Compressed file ended before the end-of-stream marker was reached;"
        " the rest of the file is not read",
        f"{folder}large: it is larger than 1 MiB",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["s3://b-1/x", "."], "needs the first day"),
        ([".", ".", "--start", "2026-11-24"], "--start is for s3://"),
        (["s3://b-1/x", ".", "--end", "2026-11-24"], "--end needs --start"),
        (["s3://b-1/x", ".", "--start", "1d"], "--start 1d is not a day, such as 2026-11-24"),
        (["s3://b-1/x", ".", "--start", "2026-02-30"], "--start 2026-02-30 is not a day"),
        (["s3://b-1", "s3://b-1", "--start", "2026-11-24", "--end", "2026-11-23"], "--end 2026-11"),
        (
            ["s3://b-1", "s3://b-1", "--start", "2024-01-01", "--end", "2026-11-23"],
            "399 days after",
        ),
        (["s3://B!/x", ".", "--start", "2026-11-24"], "s3://B!/x is not an S3 prefix, such as"),
        (["s3://", "."], "s3:// is not an S3 prefix, such as"),
        (["https://b-1/x", "."], "https://b-1/x is not an S3 prefix, such as"),
        (["s3://no-bucket/", ".", "--start", "2026-11-24"], "NoSuchBucket"),
    ],
)
def test_sides_and_days_that_cannot_be_read_are_errors(
    arguments: list[str], words: str, bucket: Any
) -> None:
    status, (line,) = compared(*arguments)
    assert status == 2
    assert words in line
