"""A simple reader with gzip and json, independent of the transformer's code."""

import base64
import gzip
import json
from typing import Any


def read(data: str, event_names: frozenset[str] | None) -> tuple[str, list[str], list[str]]:
    """Return a record's result, its lines, and the damaged messages that must be put back.

    The record must have one well-formed envelope whose lines fit into an answer.
    """
    document = base64.b64decode(data)
    if document[:2] == b"\x1f\x8b":
        document = gzip.decompress(document)
    envelope = json.loads(document)
    if envelope["messageType"] == "CONTROL_MESSAGE":
        return "Dropped", [], []
    lines, damaged = [], []
    for log_event in envelope["logEvents"]:
        message = log_event["message"]
        event = _object(message)
        if event is None:
            if event_names is None or any(name in _unescaped(message) for name in event_names):
                damaged.append(message)
        elif event_names is None or (
            isinstance(event.get("eventName"), str) and event["eventName"] in event_names
        ):
            lines.append(message.replace("\r", " ").replace("\n", " "))
        elif not isinstance(event.get("eventName"), str) and _holds(event, event_names):
            damaged.append(message)
    if lines:
        return "Ok", lines, damaged
    return ("ProcessingFailed" if damaged else "Dropped"), [], []


def _object(message: str) -> dict[str, Any] | None:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _holds(value: Any, event_names: frozenset[str]) -> bool:
    """Whether a selected `eventName` is anywhere in a value, except in insightDetails."""
    if isinstance(value, list):
        return any(_holds(each, event_names) for each in value)
    if not isinstance(value, dict):
        return False
    name = value.get("eventName")
    below = [each for key, each in value.items() if key != "insightDetails"]
    return (isinstance(name, str) and name in event_names) or _holds(below, event_names)


def _unescaped(message: str) -> str:
    for code in range(128):
        for escape in (f"\\u{code:04x}", f"\\u{code:04X}"):
            message = message.replace(escape, chr(code))
    return message
