"""Seeded Firehose events of known shapes, with the same bytes every time."""

import base64
import glob
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from console_login.events.envelope import Origin, compress, data_message
from console_login.stack.limits import MAX_RECORD_BYTES, MIB

ROOT = Path(__file__).resolve().parent.parent
ORIGIN = Origin("111122223333", "/aws/cloudtrail/management-event", "s", "console-login")

# Lambda's limit for a request: AWS documents 6 MB.
MAX_REQUEST_BYTES = 6 * MIB


class Shape(NamedTuple):
    """A Firehose event, and the bytes of the envelopes inside it before compression."""

    event: dict[str, Any]
    decompressed_bytes: int


def _lines(pattern: str) -> list[str]:
    paths = sorted(glob.glob(str(ROOT / pattern)))
    texts = [Path(path).read_text(encoding="utf-8") for path in paths]
    return [line for text in texts for line in text.split("\n") if line]


SIGN_INS = _lines("tests/data/cloudtrail/consolelogin.*.ndjson")
JAPANESE = _lines("events/src/japanese.jsonl")
# Leaves out three events that contain ConsoleLogin elsewhere, which is very rare in a real trail.
OTHERS = [
    line for line in _lines("tests/data/cloudtrail/negative.*.ndjson") if "ConsoleLogin" not in line
]


def envelope(events: int, share: float, seeded: random.Random, sign_ins: list[str]) -> str:
    """Return an envelope of real events, each with a unique id."""
    messages = []
    for _ in range(events):
        line = seeded.choice(sign_ins if seeded.random() < share else OTHERS)
        # The id's length makes fifty events compress like real ones, six to nine times.
        messages.append(f'{line[:-1]},"requestID":"{seeded.getrandbits(512):0128x}"}}')
    return data_message(ORIGIN, [(1711792102369, message) for message in messages])


def firehose_event(documents: list[str]) -> Shape:
    """Return an event with one record for each document."""
    records = [
        {"recordId": f"{number:056d}", "data": base64.b64encode(compress(document)).decode()}
        for number, document in enumerate(documents)
    ]
    event = {"invocationId": "benchmark", "region": "ap-northeast-1", "records": records}
    return Shape(event, sum(len(document.encode()) for document in documents))


def envelopes(
    count: int, events: int, share: float, sign_ins: list[str] | None = None
) -> Callable[[], Shape]:
    """Return a function that makes `count` envelopes; `share` of their events are sign-ins."""

    def make() -> Shape:
        seeded = random.Random(7)
        pool = sign_ins or SIGN_INS
        return firehose_event([envelope(events, share, seeded, pool) for _ in range(count)])

    return make


def request(size: int, events: int, share: float) -> Shape:
    """Return an event of `size` bytes of JSON, filled with envelopes of `events` events each.

    The space that remains at the end is filled with smaller envelopes.
    """
    seeded = random.Random(7)
    documents: list[str] = []
    room = size - len(json.dumps(firehose_event([]).event))
    while events:
        document = envelope(events, share, seeded, SIGN_INS)
        record = firehose_event([document]).event["records"][0]
        if len(json.dumps(record)) + 2 > room or len(record["data"]) > MAX_RECORD_BYTES // 3 * 4:
            events = events * 9 // 10
            continue
        room -= len(json.dumps(record)) + 2
        documents.append(document)
    return firehose_event(documents)


def worst() -> Shape:
    """Return the largest legal request, with records as large as Firehose accepts."""
    return request(MAX_REQUEST_BYTES, 6400, 0.1)


SHAPES: dict[str, Callable[[], Shape]] = {
    "sparse": envelopes(60, 100, 0.002),
    "mixed": envelopes(60, 100, 0.1),
    "dense": envelopes(20, 50, 1.0),
    "single": envelopes(500, 1, 1.0),
    "japanese": envelopes(20, 50, 1.0, JAPANESE),
    "worst": worst,
}
