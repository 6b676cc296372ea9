"""The x86_64 artifact under the real runtime emulator, within the template's memory."""

import base64
import json
import random
import zlib
from typing import Any

import pytest
from support import EVENTS, OSAKA, ROOT, TOKYO, envelope, event, gz

CHECK_MFA = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
MIB = 1024 * 1024


def lines(record: dict[str, str]) -> list[str]:
    return base64.b64decode(record["data"]).decode().split("\n")[:-1]


def bomb(start: bytes, repeated: bytes, end: bytes, size: int) -> bytes:
    """Return the gzip of `size` bytes at most, made of one repeated piece."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = repeated * (MIB // len(repeated))
    room = size - len(start) - len(end)
    pieces = [compressor.compress(start)]
    pieces += [compressor.compress(block) for _ in range(room // len(block))]
    return b"".join([*pieces, compressor.compress(end), compressor.flush()])


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


def test_what_is_no_firehose_event_raises_a_clear_error(emulator: Any) -> None:
    _, answer = emulator.post({"awslogs": {}})
    assert answer["errorType"] == "NotAFirehoseEventError"
    assert "not a Firehose transformation event" in answer["errorMessage"]


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


@pytest.mark.parametrize(
    ("record", "result"),
    [
        pytest.param(bomb(b"", b" ", b"", 1024 * MIB), "ProcessingFailed", id="1 GiB of blanks"),
        pytest.param(
            bomb(b'{"messageType":"DATA_MESSAGE","logEvents":[{}', b",{}", b"]}", 64 * MIB),
            "Dropped",
            id="events without a message",
        ),
        pytest.param(
            bomb(
                b'{"messageType":"DATA_MESSAGE","logEvents":[{"message":"ConsoleLogin"}',
                b',{"message":"xy"}',
                b"]}",
                64 * MIB,
            ),
            "ProcessingFailed",
            id="smallest events and a damaged sign-in",
        ),
        pytest.param(bomb(b"", b"[", b"", 64 * MIB), "ProcessingFailed", id="brackets"),
        pytest.param(bomb(b"[[]", b",[]", b"]", 64 * MIB), "ProcessingFailed", id="arrays"),
        pytest.param(bomb(b"[[]", b",[]", b"]", 16 * MIB), "ProcessingFailed", id="json's arrays"),
        pytest.param(
            bomb('{"a":"あ😀'.encode(), "ConsoleLogin😀".encode(), b'"}', 64 * MIB),
            "Dropped",
            id="emoji",
        ),
        pytest.param(
            bomb(b'{"eventName":"ConsoleLogin","a":[NaN', b",[]", b"]}", 64 * MIB),
            "ProcessingFailed",
            id="an event with NaN",
        ),
        pytest.param(
            bomb("\n{}😀ConsoleLogin".encode(), b"x" * 64, b"", 64 * MIB),
            "ProcessingFailed",
            id="a damaged line with an emoji",
        ),
        pytest.param(bomb(b"{}", b"{}", b"{}", 8 * MIB), "Dropped", id="glued objects"),
        pytest.param(bomb(b"{}\n", b"{}\n", b"{}", 64 * MIB), "ProcessingFailed", id="small lines"),
        pytest.param(
            bomb(b"{}\nx\n", b"x\n", b"", 64 * MIB), "ProcessingFailed", id="damaged lines"
        ),
        pytest.param(
            bomb(b"{}\n", b"{\n", b"", 64 * MIB), "ProcessingFailed", id="damaged objects"
        ),
    ],
)
def test_a_bomb_beside_good_records(record: bytes, result: str, emulator: Any) -> None:
    assert len(record) < 2 * MIB
    good = gz(envelope([TOKYO])), gz(envelope([OSAKA]))
    status, answer = emulator.post(event(good[0], record, good[1]))
    assert status == 200, answer
    assert [each["result"] for each in answer["records"]] == ["Ok", result, "Ok"]
