"""CloudTrail events as people have them."""

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from support import EVENTS, OSAKA, TOKYO

from console_login.errors import SourceError
from console_login.events.sources import Sources

RECORDS = json.dumps({"Records": [json.loads(TOKYO), json.loads(OSAKA)]}, indent=1)
RECORDS_LINE = json.dumps(json.loads(RECORDS))


def read(path: Path) -> list[str]:
    return list(Sources([path]))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("lines.jsonl", f"{TOKYO}\n{OSAKA}\n".encode(), [TOKYO, OSAKA]),
        ("no-last-break.jsonl", f"\n{TOKYO}\n\n{OSAKA}".encode(), [TOKYO, OSAKA]),
        ("gzip.jsonl.gz", gzip.compress(f"{TOKYO}\n{OSAKA}\n".encode()), [TOKYO, OSAKA]),
        ("records.json", RECORDS.encode(), [TOKYO, OSAKA]),
        ("records.json.gz", gzip.compress(RECORDS.encode()), [TOKYO, OSAKA]),
        ("records-in-a-line.json", json.dumps(json.loads(RECORDS)).encode(), [TOKYO, OSAKA]),
        ("array.json", f"[{TOKYO},\n{OSAKA}]".encode(), [TOKYO, OSAKA]),
        ("one.json", json.dumps(json.loads(TOKYO), indent=2).encode(), [TOKYO]),
        ("blanks.jsonl", b'{"a": 1 }  \r\n{"b":2}', ['{"a": 1 }  \r', '{"b":2}']),
        ("records-a-line.ndjson", f"{TOKYO}\n{RECORDS_LINE}\n".encode(), [TOKYO, TOKYO, OSAKA]),
        ("records-only.ndjson", f"{RECORDS_LINE}\n".encode() * 2, [TOKYO, OSAKA] * 2),
        ("surrogate.json", b'{"Records": [{"a":"\\ud800"}]}', ['{"a":"\\ud800"}']),
        ("damaged.jsonl", b'{"a":1}\n{"b":\n', ['{"a":1}', '{"b":']),
        ("no-records.json", b'{"Records": []}', []),
        ("empty.jsonl", b"", []),
        ("japanese.json", '{"Records": [{"a":"日本"}]}'.encode(), ['{"a":"日本"}']),
    ],
)
def test_a_file(name: str, content: bytes, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert read(path) == expected


def test_a_folder_is_read_whole_in_order(tmp_path: Path) -> None:
    (tmp_path / "2024" / "03").mkdir(parents=True)
    (tmp_path / "2024" / "03" / "b.json.gz").write_bytes(gzip.compress(RECORDS.encode()))
    (tmp_path / "2024" / "a.jsonl").write_text(f"{OSAKA}\n")
    (tmp_path / "2024" / "notes.txt").write_text("not an event")
    assert read(tmp_path) == [TOKYO, OSAKA, OSAKA]


def test_the_projects_own_sources_are_read() -> None:
    paths = sorted((EVENTS / "src").glob("*.jsonl"))
    assert len(list(Sources(paths))) > 20


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", None, "No such file"),
        ("x.json", b"\xff\xfe", "not UTF-8"),
        ("x.json.gz", b"\x1f\x8b\x08\x00 damaged", "x.json.gz"),
        ("x.json.gz", gzip.compress(TOKYO.encode())[:-9], "x.json.gz"),
        ("README.md", b"# Not an event\n", "neither JSON lines nor"),
        ("x.json", b'{"Records": {}}', None),
        ("x.json", b'{"Records": [1]}', "neither JSON lines nor"),
        ("x.json", b"[1, 2]", "neither JSON lines nor"),
        ("x.jsonl", b'{"a":"' + b"x" * 1024 * 1024 + b'"}', "event 1 is larger"),
    ],
)
def test_a_wrong_file_is_named(name: str, content: Any, words: str | None, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    if words is None:
        assert read(path) == [content.decode()]
        return
    with pytest.raises(SourceError, match=words) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = f"{TOKYO}\n" * 500
    writer = threading.Thread(target=pipe.write_text, args=[text])
    writer.start()
    assert read(pipe) == [TOKYO] * 500
    writer.join()


def test_how_far_it_has_read_is_known(tmp_path: Path) -> None:
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


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file in it"):
        read(tmp_path)
