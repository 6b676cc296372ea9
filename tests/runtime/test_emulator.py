"""Tests the x86_64 artifact under the real runtime emulator, with the template's memory."""

import base64
import json
import random
from typing import Any

import pytest
from support import EVENTS, ROOT, TOKYO, envelope, event, gz

CHECK_MFA = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')


def lines(record: dict[str, str]) -> list[str]:
    return base64.b64decode(record["data"]).decode().split("\n")[:-1]


@pytest.mark.parametrize("name", [path.stem for path in sorted(EVENTS.glob("*.json"))])
def test_event_file(name: str, emulator: Any) -> None:
    status, answer = emulator.post(json.loads((EVENTS / f"{name}.json").read_text()))
    assert status == 200
    golden = json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text())
    assert [(record["recordId"], record["result"]) for record in answer["records"]] == [
        (record["recordId"], record["result"]) for record in golden
    ]
    assert [lines(record) for record in answer["records"] if "data" in record] == [
        record["lines"] for record in golden if record["lines"]
    ]


def test_other_events_than_firehoses_raise_a_clear_error(emulator: Any) -> None:
    _, answer = emulator.post({"awslogs": {}})
    assert answer["errorType"] == "NotAFirehoseEventError"
    assert "no list of records" in answer["errorMessage"]


def test_an_event_of_5_mb(emulator: Any) -> None:
    seeded = random.Random(5)

    def message(text: str) -> str:
        return text.replace("example-user", f"user-{seeded.getrandbits(64 * 8):0128x}")

    records: list[bytes] = []
    expected: list[list[str]] = []
    size = 0
    while size < 5_000_000:
        sign_in = message(TOKYO)
        record = gz(envelope([*(message(CHECK_MFA) for _ in range(60)), sign_in]))
        records.append(record)
        expected.append([sign_in])
        size += len(record) * 4 // 3
    status, answer = emulator.post(event(*records))
    assert status == 200
    assert [lines(record) for record in answer["records"]] == expected
