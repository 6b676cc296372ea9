"""The identity of an event."""

import hashlib
import json
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """An event's `eventID`, if it has one, and a digest of its line, which reveals any change."""

    event_id: str
    digest: str


def identity(message: str) -> Identity:
    """Return the identity of the event with this message."""
    line = message.replace("\r", " ").replace("\n", " ").encode("utf-8", "backslashreplace")
    try:
        event_id = json.loads(line)["eventID"]
    except (ValueError, RecursionError, KeyError, TypeError):
        event_id = None
    digest = hashlib.sha256(line).hexdigest()[:32]
    return Identity(event_id if isinstance(event_id, str) else "", digest)


def content_digest(message: str) -> str:
    """Return a digest of the content of an event's JSON, whatever its formatting.

    If an object repeats a name, each value counts. Numbers count as they are written. So no JSON
    reader sees a difference between two lines with the same digest. For text that is nested too
    deeply, or is not JSON, the digest is of the text itself.
    """
    try:
        content = repr(
            json.loads(message, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number)
        )
    except (ValueError, RecursionError):
        content = message
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:32]


class _Pairs:
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        # Sorted by name only, because the order of values with the same name matters.
        self._pairs = sorted(pairs, key=lambda pair: pair[0])

    def __repr__(self) -> str:
        return f"{{{self._pairs!r}}}"


class _Number(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
