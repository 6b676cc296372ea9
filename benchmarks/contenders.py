"""The compared transformers: ours, common alternatives, and the minimum that every one needs."""

import atexit
import base64
import contextlib
import gzip
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "functions" / "transform"))
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "benchmark")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "ConsoleLoginFirehose")

# Powertools writes to the standard output of the moment when it is imported.
LOG = Path(os.devnull).open("w")  # noqa: SIM115 - open as long as the process runs
atexit.register(LOG.close)
with contextlib.redirect_stdout(LOG):
    import app

from isal import isal_zlib

from transformer.batch import Transformer
from transformer.firehose import parse_event

CONTEXT = SimpleNamespace(aws_request_id="benchmark", get_remaining_time_in_millis=lambda: 120_000)
_core = Transformer(frozenset({"ConsoleLogin"}))


def ours(event: Any) -> Any:
    """Run the handler, logs and metrics included."""
    with contextlib.redirect_stdout(LOG):
        return app.lambda_handler(event, CONTEXT)


def core(event: Any) -> Any:
    """Run the handler's steps without logs and metrics."""
    outcomes = _core.transform(parse_event(event).records, lambda: 120.0)
    return {"records": [outcome.response() for outcome in outcomes]}


def textbook(event: Any) -> Any:
    """Transform as tutorials do: read and write every event with `json`."""

    def lines(log_events: Iterable[Any]) -> str:
        events = (json.loads(log_event["message"]) for log_event in log_events)
        return "".join(json.dumps(e) + "\n" for e in events if e.get("eventName") == "ConsoleLogin")

    return _transformed(event, lines)


def blueprint_json(event: Any) -> Any:
    """Transform as the AWS blueprint does, with a filter that reads each event with `json`."""

    def lines(log_events: Iterable[Any]) -> str:
        messages = (log_event["message"] for log_event in log_events)
        kept = (m for m in messages if json.loads(m).get("eventName") == "ConsoleLogin")
        return "".join(f"{message}\n" for message in kept)

    return _transformed(event, lines)


def blueprint_substring(event: Any) -> Any:
    """Do the same with a substring filter, which trusts CloudTrail's spelling and top level."""

    def lines(log_events: Iterable[Any]) -> str:
        messages = (log_event["message"] for log_event in log_events)
        kept = (m for m in messages if '"eventName":"ConsoleLogin"' in m)
        return "".join(f"{message}\n" for message in kept)

    return _transformed(event, lines)


def _transformed(event: Any, lines: Callable[[Iterable[Any]], str]) -> Any:
    records = []
    for record in event["records"]:
        envelope = json.loads(gzip.decompress(base64.b64decode(record["data"])))
        text = lines(envelope["logEvents"]) if envelope["messageType"] == "DATA_MESSAGE" else ""
        answer = {"recordId": record["recordId"], "result": "Ok" if text else "Dropped"}
        if text:
            answer["data"] = base64.b64encode(text.encode()).decode()
        records.append(answer)
    return {"records": records}


def floor_isal(event: Any) -> None:
    """Do the minimum that every transformer needs: base64 and gunzip with isal, as ours does."""
    for record in event["records"]:
        isal_zlib.decompress(base64.b64decode(record["data"]), 31)


def floor_zlib(event: Any) -> None:
    """Do the same with the standard library's decompressor."""
    for record in event["records"]:
        zlib.decompress(base64.b64decode(record["data"]), 31)


TRANSFORMERS: dict[str, Callable[[Any], Any]] = {
    "ours": ours,
    "core": core,
    "textbook": textbook,
    "json": blueprint_json,
    "substring": blueprint_substring,
}
# These return nothing, so there are no lines to compare.
FLOORS: dict[str, Callable[[Any], Any]] = {"floor isal": floor_isal, "floor zlib": floor_zlib}
