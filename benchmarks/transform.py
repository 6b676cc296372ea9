"""Time the handler against the textbook transformer on seeded shapes, in one run: `make bench`."""

import base64
import contextlib
import glob
import gzip
import io
import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "functions" / "transform"))
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "benchmark")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "ConsoleLoginFirehose")

with contextlib.redirect_stdout(io.StringIO()) as log:
    import app

from isal import isal_zlib

CONTEXT = SimpleNamespace(aws_request_id="benchmark", get_remaining_time_in_millis=lambda: 120_000)
ROUNDS = 15
# shape: envelopes, events in each, share of sign-ins
SHAPES = {
    "sparse": (60, 100, 0.002),
    "mixed": (60, 100, 0.1),
    "dense": (20, 50, 1.0),
    "single": (500, 1, 1.0),
}


def textbook(event: Any) -> Any:
    """Transform as tutorials do: gzip and json of the standard library."""
    output = []
    for record in event["records"]:
        payload = json.loads(gzip.decompress(base64.b64decode(record["data"])))
        result, data = "Dropped", None
        if payload["messageType"] == "DATA_MESSAGE":
            events = (json.loads(log_event["message"]) for log_event in payload["logEvents"])
            kept = [event for event in events if event.get("eventName") == "ConsoleLogin"]
            if kept:
                lines = "".join(json.dumps(event) + "\n" for event in kept)
                result, data = "Ok", base64.b64encode(lines.encode()).decode()
        output.append({"recordId": record["recordId"], "result": result, "data": data})
    return {"records": output}


def floor(event: Any) -> None:
    """Do what nothing can do without: base64 and gunzip, with the function's decompressor."""
    for record in event["records"]:
        isal_zlib.decompress(base64.b64decode(record["data"]), 31)


def ours(event: Any) -> Any:
    """Run the handler, logs and metrics included."""
    with contextlib.redirect_stdout(log):
        return app.lambda_handler(event, CONTEXT)


def shape(envelopes: int, size: int, share: float) -> tuple[Any, int]:
    """Return a seeded Firehose event and the bytes of its envelopes."""
    seeded = random.Random(7)
    data = ROOT / "tests" / "data" / "cloudtrail"
    sign_ins, others = (
        [line for path in sorted(glob.glob(str(data / pattern))) for line in _lines(path)]
        for pattern in ("consolelogin.*.ndjson", "negative.*.ndjson")
    )
    records, total = [], 0
    for number in range(envelopes):
        messages = [
            # A real event of its own: eventID and length vary, so that gzip does not win too much.
            seeded.choice(sign_ins if seeded.random() < share else others)[:-1]
            + f',"requestID":"{seeded.getrandbits(640):0160x}"}}'
            for _ in range(size)
        ]
        log_events = [
            {"id": f"{seeded.getrandbits(180):056d}", "timestamp": 1711792102369, "message": each}
            for each in messages
        ]
        text = json.dumps({"messageType": "DATA_MESSAGE", "owner": "1", "logEvents": log_events})
        total += len(text)
        data_text = base64.b64encode(gzip.compress(text.encode(), 6)).decode()
        records.append({"recordId": str(number), "data": data_text})
    return {"invocationId": "benchmark", "records": records}, total


def _lines(path: str) -> list[str]:
    return [line for line in Path(path).read_text().split("\n") if line]


def main() -> None:
    """Print MB/s of decompressed data, medians of interleaved rounds, and ratios."""
    contenders: dict[str, Callable[[Any], Any]] = {
        "ours": ours,
        "textbook": textbook,
        "floor": floor,
    }
    print(f"{'shape':8}{'ours':>9}{'textbook':>10}{'floor':>9}{'ours/textbook':>15}{'/floor':>8}")
    ratios = []
    for name, (envelopes, size, share) in SHAPES.items():
        event, total = shape(envelopes, size, share)
        seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
        for _ in range(ROUNDS):
            for contender, run in contenders.items():
                start = time.process_time()
                run(event)
                seconds[contender].append(time.process_time() - start)
        speed = {
            contender: total / statistics.median(taken) / 1e6
            for contender, taken in seconds.items()
        }
        ratios.append(speed["ours"] / speed["textbook"])
        print(
            f"{name:8}{speed['ours']:9.0f}{speed['textbook']:10.0f}{speed['floor']:9.0f}"
            f"{ratios[-1]:14.2f}x{speed['ours'] / speed['floor']:8.2f}"
        )
    print(f"geometric mean of ours/textbook: {math.prod(ratios) ** (1 / len(ratios)):.2f}")


if __name__ == "__main__":
    main()
