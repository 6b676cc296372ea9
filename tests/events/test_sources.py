"""Reads CloudTrail events in the formats that users have, with links to AWS's documentation.

In the comments, `docs` stands for https://docs.aws.amazon.com.
"""

import csv
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from support import CONTROL_MESSAGE, EVENTS, OSAKA, TOKYO, b64, envelope, event

from console_login.errors import SourceError
from console_login.events.sources import Event, Sources, Unreadable

RECORDS = json.dumps({"Records": [json.loads(TOKYO), json.loads(OSAKA)]}, indent=1)
RECORDS_LINE = json.dumps(json.loads(RECORDS))
BOTH = [TOKYO, OSAKA]
ENVELOPE = envelope(BOTH)
ENVELOPES = CONTROL_MESSAGE.encode() + envelope([TOKYO]) + envelope([OSAKA])
ODD = '{"eventName":"ConsoleLogin","a":"%s"}'

# docs/awscloudtrail/latest/userguide/cloudtrail-insights-fields-trails.html
INSIGHT = (
    '{"eventVersion":"1.07","eventType":"AwsCloudTrailInsight","eventCategory":"Insight",'
    '"insightDetails":{"state":"Start","eventName":"ConsoleLogin"}}'
)


def dump(document: Any, indent: int | None = 4) -> bytes:
    return json.dumps(document, indent=indent).encode()


def lake_csv(*columns: str, rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([list(columns), *rows])
    return text.getvalue().encode()


# The AWS CLI's output of lookup-events: docs/cli/latest/reference/cloudtrail/lookup-events.html
LOOKUP = {
    "Events": [
        {
            "EventId": json.loads(each)["eventID"],
            "EventName": "ConsoleLogin",
            "ReadOnly": "false",
            "EventTime": "2024-03-30T18:45:53+09:00",
            "EventSource": "signin.amazonaws.com",
            "Username": "example-user",
            "Resources": [],
            "CloudTrailEvent": each,
        }
        for each in BOTH
    ]
}
# docs/cli/latest/reference/logs/filter-log-events.html and get-log-events.html
FILTERED = {
    "events": [
        {"logStreamName": "s", "timestamp": 1, "message": each, "ingestionTime": 2, "eventId": "3"}
        for each in BOTH
    ],
    "searchedLogStreams": [],
}
GOT = {
    "events": [{"timestamp": 1, "message": each, "ingestionTime": 2} for each in BOTH],
    "nextForwardToken": "f/1/s",
    "nextBackwardToken": "b/1/s",
}
# docs/awscloudtrail/latest/APIReference/API_GetQueryResults.html: rows of one object per column.
# The columns: docs/awscloudtrail/latest/userguide/query-supported-event-schemas.html
LAKE = {
    "QueryStatus": "FINISHED",
    "QueryStatistics": {"ResultsCount": 2, "TotalResultsCount": 2, "BytesScanned": 13287},
    "QueryResultRows": [[{"eventName": "ConsoleLogin"}, {"eventJson": each}] for each in BOTH],
}
# docs/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
BRIDGE = {
    "version": "0",
    "id": "00000000-0000-4000-8000-000000000099",
    "detail-type": "AWS Console Sign In via CloudTrail",
    "source": "aws.signin",
    "account": "111122223333",
    "time": "2024-03-30T09:45:53Z",
    "region": "ap-northeast-1",
    "resources": [],
    "detail": json.loads(TOKYO),
}
# docs/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html
DIGEST = {
    "awsAccountId": "111122223333",
    "digestStartTime": "2015-08-17T14:01:31Z",
    "digestS3Bucket": "amzn-s3-demo-bucket",
    "digestS3Object": "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/17/x.json.gz",
    "logFiles": [{"s3Bucket": "amzn-s3-demo-bucket", "s3Object": "x", "hashValue": "0"}],
}
# docs/awscloudtrail/latest/userguide/cloudtrail-results-file-validation-sign-file-structure.html
SIGN_FILE = {
    "version": "1.0",
    "files": [{"fileHashValue": "de85", "fileName": "result_1.csv.gz"}],
    "hashSignature": "7664",
}
# docs/firehose/latest/dev/data-transformation-failure-handling.html
FAILED = {"attemptsMade": 4, "errorCode": "Lambda.FunctionError", "rawData": b64(ENVELOPE)}
# docs/AmazonS3/latest/userguide/notification-content-structure.html
S3_NOTIFICATION = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}


def read(path: Path) -> list[str]:
    return list(Sources([path]))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("lines.jsonl", f"{TOKYO}\n{OSAKA}\n".encode(), BOTH),
        ("no-last-break.jsonl", f"\n{TOKYO}\n\n{OSAKA}".encode(), BOTH),
        ("gzip.jsonl.gz", gzip.compress(f"{TOKYO}\n{OSAKA}\n".encode()), BOTH),
        ("glued.jsonl", f"{TOKYO}{OSAKA}\n".encode(), BOTH),
        ("tabs.jsonl", f"{TOKYO}\t{OSAKA}\n".encode(), BOTH),
        ("bom.jsonl", f"\ufeff{TOKYO}\n\ufeff{OSAKA}\n".encode(), BOTH),
        ("texts.jsonl", f"{json.dumps(TOKYO)}\n{json.dumps(OSAKA)}\n".encode(), BOTH),
        ("members.gz", gzip.compress(TOKYO.encode()) + gzip.compress(OSAKA.encode()), BOTH),
        # docs/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html
        ("records.json", RECORDS.encode(), BOTH),
        ("records.json.gz", gzip.compress(RECORDS.encode()), BOTH),
        ("records-in-a-line.json", RECORDS_LINE.encode(), BOTH),
        ("records-a-line.ndjson", f"{TOKYO}\n{RECORDS_LINE}\n".encode(), [TOKYO, *BOTH]),
        ("records-only.ndjson", f"{RECORDS_LINE}\n".encode() * 2, BOTH * 2),
        ("no-records.json", b'{"Records": []}', []),
        ("array.json", f"[{TOKYO},\n{OSAKA}]".encode(), BOTH),
        # `--query "Events[].CloudTrailEvent"`
        ("array-of-texts.json", dump(BOTH), BOTH),
        ("one.json", dump(json.loads(TOKYO)), [TOKYO]),
        ("two.json", dump(json.loads(TOKYO)) + b"\n" + dump(json.loads(OSAKA)), BOTH),
        # docs/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
        ("envelope.json", ENVELOPE, BOTH),
        ("envelopes-of-native-decompression", ENVELOPES, BOTH),
        ("envelopes-as-sent", gzip.compress(ENVELOPE) + gzip.compress(ENVELOPE), BOTH * 2),
        ("envelopes-in-gzip.gz", gzip.compress(gzip.compress(ENVELOPE)), BOTH),
        ("lookup-events.json", dump(LOOKUP), BOTH),
        ("filter-log-events.json", dump(FILTERED), BOTH),
        ("get-log-events.json", dump(GOT), BOTH),
        ("lake.json", dump(LAKE), BOTH),
        (
            "result_1.csv.gz",
            gzip.compress(lake_csv("eventID", "eventJson", rows=[["1", TOKYO], ["2", OSAKA]])),
            BOTH,
        ),
        ("eventbridge.json", dump(BRIDGE), [TOKYO]),
        ("insights.json", f'{{"Records": [{INSIGHT}]}}'.encode(), [INSIGHT]),
        (
            "blanks.jsonl",
            (ODD.replace(",", ", ") % "1").encode() + b"  \r\n",
            [ODD.replace(",", ", ") % "1"],
        ),
        ("surrogate.json", (f'{{"Records": [{ODD}]}}' % "\\ud800").encode(), [ODD % "\\ud800"]),
        ("japanese.json", (f'{{"Records": [{ODD}]}}' % "日本").encode(), [ODD % "日本"]),
        ("empty.jsonl", b"", []),
    ],
)
def test_a_file_is_read(name: str, content: bytes, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert read(path) == expected


CUT = TOKYO[:-300]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # The events before and after a truncated line are still read.
        (f"{TOKYO}\n{CUT}\n{OSAKA}\n", [TOKYO, 2, OSAKA]),
        (f"{TOKYO}\n{OSAKA}\n{CUT}", [TOKYO, OSAKA, 3]),
        (f'{TOKYO}\n{{"eventName":\n{OSAKA}\n{{"a":[\n{TOKYO}\n', [TOKYO, 2, OSAKA, 4, TOKYO]),
        (f"{TOKYO}{CUT}\n{OSAKA}\n", [TOKYO, 1, OSAKA]),
        (f"{TOKYO}{CUT[1:]}\n{OSAKA}\n", [TOKYO, 1, OSAKA]),
        (f"START RequestId: 1\n{TOKYO}\n", [1, TOKYO]),
        (f"2024-03-30\n\n{RECORDS}\n", [1, TOKYO, OSAKA]),
        ("[" * 200_000 + f"\n{TOKYO}\n", [1, TOKYO]),
        ('{"eventName":' + "9" * 5000 + f"}}\n{TOKYO}\n", [1, TOKYO]),
        (envelope([TOKYO, CUT, OSAKA]).decode(), [TOKYO, 1, OSAKA]),
        (json.dumps({"Records": [json.loads(TOKYO), 1]}), [TOKYO, 1]),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_read(
    content: str, expected: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    found = [
        each.message if isinstance(each, Event) else int(each.place.split()[2])
        for each in Sources([path]).read()
    ]
    assert found == expected
    with pytest.raises(SourceError, match=r"x line \d+"):
        read(path)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            event(ENVELOPE),
            "line 1: this is a Firehose transformation event: use console-login transform",
        ),
        (FAILED, "a record that failed in Firehose: use console-login redrive"),
        (DIGEST, "a CloudTrail digest"),
        (SIGN_FILE, "a CloudTrail Lake sign file"),
        ({"QueryResultRows": [[{"eventName": "ConsoleLogin"}]]}, "event 1: .*column eventJson"),
        ({**BRIDGE, "detail-type": "Sign-in Anomaly Alert"}, "neither a CloudTrail event"),
        (S3_NOTIFICATION, "event 1: neither a CloudTrail event"),
        ({"messageType": "OTHER", "logEvents": []}, "neither a CloudTrail event"),
        ({"events": [{"text": TOKYO}]}, "event 1: not an event"),
        ({"Events": [{"CloudTrailEvent": ""}]}, "event 1: the text of the event is not JSON"),
        ({"Records": {}}, "neither a CloudTrail event"),
        ({"Records": [1]}, "event 1: not an event"),
        ([1, 2], "event 1: not an event"),
        ({"a": 1}, "neither a CloudTrail event"),
    ],
)
def test_a_document_without_events_is_named_in_the_error(
    document: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    for indent in (None, 2):
        path.write_bytes(dump(document, indent))
        with pytest.raises(SourceError, match=words) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path} line 1")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", None, "No such file"),
        ("x.json", b"\xff\xfe", "not UTF-8"),
        ("x.json.gz", b"\x1f\x8b\x08\x00 damaged", "x.json.gz"),
        ("x.json.gz", gzip.compress(TOKYO.encode())[:-9], "x.json.gz"),
        ("README.md", b"# Not an event\n", "line 1: the line is not JSON"),
        ("x.jsonl", (ODD % ("x" * 1024 * 1024)).encode(), "line 1: the event is larger"),
        ("x.csv", lake_csv("Event ID", "Event time", rows=[["1", "2"]]), "column eventJson"),
        ("x.csv", lake_csv("eventJson", rows=[[TOKYO], [CUT]]), "line 3: the text of the event"),
        ("x.csv", lake_csv("a", "eventJson", rows=[["1"]]), "line 2: not an event"),
        ("x.csv", b'eventJson\n"' + b"x" * 2 * 1024 * 1024, "x.csv line .: field larger"),
    ],
)
def test_a_wrong_file_is_named_in_the_error(
    name: str, content: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=words) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_reading_ends_after_too_many_lines_that_are_not_events(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x\n" * 20_000)
    *lines, last = Sources([path]).read()
    assert len(lines) == 10_000
    assert last == Unreadable(
        f"{path}", "more than 10,000 lines are not events; the rest of the file is not read"
    )


def test_an_escaped_event_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    # An escaped event has none of the characters that are counted to limit a document's values.
    path = tmp_path / "x.json"
    inside = r"{\"eventName\":\"X\",\"a\":[0" + r"\u002c\"éa\"" * 5_300_000 + "]}"
    path.write_text(f'{{"messageType":"DATA_MESSAGE","logEvents":[{{"message":"{inside}"}}]}}')
    done = bounded(path, 384)
    assert done.stdout == "1\n", done.stderr
    assert "line 1 event 1 the event is larger than the 1,048,576 bytes" in done.stderr


def test_a_folder_is_read_completely_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "2024" / "03").mkdir(parents=True)
    (tmp_path / "2024" / "03" / "b.json.gz").write_bytes(gzip.compress(RECORDS.encode()))
    # Firehose's objects have no suffix.
    (tmp_path / "2024" / "stream-1-2024").write_text(f"{OSAKA}\n")
    (tmp_path / ".DS_Store").write_bytes(b"\x00\xff")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("not an event")
    assert read(tmp_path) == [TOKYO, OSAKA, OSAKA]
    (tmp_path / "2024" / "notes.txt").write_text("not an event")
    with pytest.raises(SourceError, match=r"notes\.txt line 1"):
        read(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "broken link", "link to a folder"])
def test_a_pipe_or_broken_link_in_a_folder_is_an_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jsonl").write_text(f"{TOKYO}\n")
    path = tmp_path / "b.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        target = tmp_path if kind == "link to a folder" else tmp_path / "none"
        path.symlink_to(target)
    with pytest.raises(SourceError, match=r"b\.jsonl: not a file, but"):
        read(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "a.jsonl")
    assert read(tmp_path) == [TOKYO, TOKYO]


def test_a_folder_that_may_not_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text(f"{TOKYO}\n")
    (tmp_path / "sub").mkdir()
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        # Root may read every folder, whatever its mode.
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(SourceError, match=r"sub: Permission denied"):
        read(tmp_path)


def test_the_projects_own_sources_are_read() -> None:
    paths = sorted((EVENTS / "src").glob("*.jsonl"))
    assert len(list(Sources(paths))) > 20


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = f"{TOKYO}\n" * 500
    writer = threading.Thread(target=pipe.write_text, args=[text])
    writer.start()
    assert read(pipe) == [TOKYO] * 500
    writer.join()


def test_the_position_grows_to_the_size(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(f"{TOKYO}\n" * 100)
    sources = Sources([tmp_path])
    assert sources.size == 2 * 100 * (len(TOKYO) + 1)
    positions = [sources.position for _ in sources]
    assert positions == sorted(positions)
    assert positions[-1] == sources.size
    assert sources.count == 200
    gzipped = tmp_path / "c.jsonl.gz"
    gzipped.write_bytes(gzip.compress(f"{TOKYO}\n".encode()))
    sources = Sources([gzipped])
    assert (list(sources), sources.position) == ([TOKYO], sources.size)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the folder has no files"):
        read(tmp_path)


# Bounds -----------------------------------------------------------------------------------------


def bomb(path: Path, start: bytes, filling: bytes, mebibytes: int) -> None:
    packer = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        file.write(packer.compress(start))
        piece = filling * (1024 * 1024 // len(filling))
        for _ in range(mebibytes):
            file.write(packer.compress(piece))
        file.write(packer.flush())


READ = """
import sys
from pathlib import Path
from console_login.events import sources
# Less than 1,024 MiB, to save time.
sources.MAX_DECOMPRESSED_BYTES = 100 * 1024 * 1024
count = 0
for count, found in enumerate(sources.Sources([Path(sys.argv[1])]).read(), 1):
    if isinstance(found, sources.Unreadable):
        print(*found, file=sys.stderr)
print(count)
"""


def bounded(path: Path, mebibytes: int = 512) -> subprocess.CompletedProcess[str]:
    limit = mebibytes * 1024 * 1024
    return subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("start", "filling", "words"),
    [
        (b'{"eventName":"', b"x", "line 1 longer than 64 MiB"),
        (b"", b"x", "more than 100 MiB of gzip content"),
        (TOKYO.encode() + b"\n", b"\n", "more than 100 MiB of gzip content"),
        (b'{"eventName":"X","a":[', b"{},", "line 1 more than 4,000,000 values and not complete"),
    ],
    ids=["one document", "one line", "blank lines", "many values"],
)
def test_a_gzip_bomb_is_refused_in_bounded_memory(
    start: bytes, filling: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.gz"
    bomb(path, start, filling, 120)
    done = bounded(path)
    assert done.returncode == 0, done.stderr
    assert f"{path}" in done.stderr
    assert words in done.stderr


def test_many_envelopes_on_one_line_need_the_memory_of_one(tmp_path: Path) -> None:
    # The largest object of a stream that only decompresses: 128 MiB without a line break.
    path = tmp_path / "envelopes"
    one = envelope([TOKYO] * 500)
    path.write_bytes(one * (128 * 1024 * 1024 // len(one)))
    done = bounded(path)
    assert done.stdout.strip() == f"{128 * 1024 * 1024 // len(one) * 500}", done.stderr


def test_reading_nested_gzip_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep.gz"
    content = TOKYO.encode()
    for _ in range(5):
        content = gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not UTF-8"):
        read(path)


def test_unfinished_documents_take_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.write_text(f'["{"x" * 10_000}",\n' * 2000)
    began = time.process_time()
    assert len(list(Sources([path]).read())) == 2000
    assert time.process_time() - began < 5
