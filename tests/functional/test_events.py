"""Tests that events/*.json match their sources, and that the answers match tests/golden."""

import base64
import gzip
import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from support import CONTEXT, EVENTS, ROOT, lines_of

from console_login import function
from console_login.events import pack

GOLDEN = ROOT / "tests" / "golden"
EVENT_FILES = sorted(EVENTS.glob("*.json"))


def _repack(folder: Path) -> None:
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["sh", str(EVENTS / "pack.sh"), str(folder)]
    subprocess.run(command, env=os.environ | {"PATH": path}, check=True)


def _opened(event_file: Path) -> Any:
    """Return an event with decompressed records, because another zlib writes other bytes."""
    event = json.loads(event_file.read_text())
    for record in event["records"]:
        try:
            record["data"] = gzip.decompress(base64.b64decode(record["data"], validate=True))
        except (OSError, EOFError, ValueError, zlib.error):
            continue
    return event


def test_events_are_in_step_with_their_sources(tmp_path: Path) -> None:
    _repack(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [path.name for path in EVENT_FILES]
    for event_file in EVENT_FILES:
        assert _opened(tmp_path / event_file.name) == _opened(event_file), event_file.name


def test_packing_gives_the_same_bytes_every_time() -> None:
    sources = [EVENTS / "src" / name for name in ("control-message.json", "tokyo.jsonl")]
    first, second = (pack.pack(sources, plain=False, lines=False) for _ in range(2))
    assert first == second


def test_every_event_file_has_its_expected_answer() -> None:
    assert [path.stem for path in EVENT_FILES] == sorted(path.stem for path in GOLDEN.iterdir())


@pytest.mark.parametrize("event_file", EVENT_FILES, ids=lambda path: path.stem)
def test_event_is_answered_as_expected(event_file: Path, request: pytest.FixtureRequest) -> None:
    answer, outcomes = function.InProcess().handle(json.loads(event_file.read_text()))
    got = [
        {
            "recordId": record["recordId"],
            "result": record["result"],
            "reason": outcome.reason.value,
            "lines": lines_of(outcome),
        }
        for record, outcome in zip(answer["records"], outcomes, strict=True)
    ]
    golden = GOLDEN / event_file.name
    if request.config.getoption("--renew-golden"):
        golden.write_text(json.dumps(got, indent=1, ensure_ascii=False) + "\n")
    assert got == json.loads(golden.read_text())


def test_poison_shows_every_failing_reason() -> None:
    golden = json.loads((GOLDEN / "poison.json").read_text())
    failed = {record["reason"] for record in golden if record["result"] == "ProcessingFailed"}
    assert failed == {"undecodable", "corrupt_gzip", "too_large", "malformed_event"}
    assert [golden[0]["result"], golden[-1]["result"]] == ["Ok", "Ok"]


def test_the_handler_gives_what_the_command_line_shows() -> None:
    import app

    event = json.loads((EVENTS / "article.json").read_text())
    assert app.lambda_handler(event, CONTEXT) == function.InProcess().handle(event)[0]
