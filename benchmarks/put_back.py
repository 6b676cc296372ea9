"""Measure the cost of putting records back: bytes put into the stream per byte of source.

Sends a burst of 600 records through the local pipeline's stream, with the function in this process.
Prints the amplification and the invocations for Lambda buffers of 0.25, 1 and 3 MiB, with dense
records (every event selected) and sparse ones (one in a hundred). Measures no times.
"""

import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

from console_login.events.envelope import Origin, compress, data_message
from console_login.local import pipeline as local
from console_login.local.clock import SimulatedClock
from console_login.local.faults import Faults
from console_login.local.firehose_api import FirehoseApi, FirehoseClient
from console_login.local.stream import Configuration, DeliveryStream
from console_login.stack import template

ROOT = Path(__file__).resolve().parent.parent
TOKYO = (ROOT / "events" / "src" / "tokyo.jsonl").read_text().strip()
OTHER = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
ORIGIN = Origin("111122223333", "/aws/cloudtrail/x", "s", "f")
RECORDS = 600
EVENTS_PER_RECORD = 100


class Bucket:
    """Counts the lines of the objects and discards them."""

    def __init__(self) -> None:
        self.lines = 0

    def put(self, key: str, body: bytes) -> None:  # noqa: ARG002
        self.lines += body.count(b"\n")


class Counting(DeliveryStream):
    """A stream that counts the bytes put into it."""

    bytes_in = 0

    def put(self, data: bytes) -> str:
        self.bytes_in += len(data)
        return super().put(data)


def records(share: float) -> list[bytes]:
    """Return a seeded burst of records with a gzip ratio of about eleven."""
    seeded = random.Random(7)
    made = []
    for _ in range(RECORDS):
        messages = [
            (TOKYO if seeded.random() < share else OTHER)
            .replace("124ae584-ac31-4bfa-b396-7a1ba71efaed", f"{seeded.getrandbits(128):032x}")
            .replace("6b1e1551c87fb3b9", f"{seeded.getrandbits(720):0180x}")
            for _ in range(EVENTS_PER_RECORD)
        ]
        made.append(compress(data_message(ORIGIN, [(0, message) for message in messages])))
    return made


def drain(burst: list[bytes], buffer_mib: str) -> tuple[Counting, Bucket]:
    parameters = {"LambdaBufferMiB": buffer_mib}
    stack = template.resolve(template.load(), parameters)
    clock, bucket = SimulatedClock(0.0), Bucket()
    client = FirehoseClient(Faults([], 0))
    with Path(os.devnull).open("w") as log:
        function = local.in_process(stack, log, client)
        configuration = Configuration.from_stack(stack)
        stream = Counting(configuration, function, bucket, clock, random.Random(0))
        client.api = FirehoseApi(stream, stack)
        for record in burst:
            stream.put(record)
        while (deadline := stream.next_deadline()) is not None:
            clock.advance_to(deadline)
            stream.poll()
    return stream, bucket


def main() -> None:
    headings = ("ratio", "buffer MiB", "amplification", "invocations", "put back")
    print(f"{'shape':8}" + "".join(f"{heading:>14}" for heading in headings))
    for shape, share in (("dense", 1.0), ("sparse", 0.01)):
        burst = records(share)
        source = sum(map(len, burst))
        text = sum(len(gzip.decompress(record)) for record in burst)
        expected = sum(_selected(record) for record in burst)
        for buffer_mib in ("0.25", "1", "3"):
            stream, bucket = drain(burst, buffer_mib)
            assert bucket.lines == expected, "lost"
            amplification = stream.bytes_in / source
            print(
                f"{shape:8}{text / source:14.1f}{buffer_mib:>14}{amplification:14.2f}"
                f"{stream.counts.invocations:14,}{stream.counts.records_in - RECORDS:14,}"
            )


def _selected(record: bytes) -> int:
    events: list[Any] = json.loads(gzip.decompress(record))["logEvents"]
    return sum(json.loads(event["message"])["eventName"] == "ConsoleLogin" for event in events)


if __name__ == "__main__":
    main()
