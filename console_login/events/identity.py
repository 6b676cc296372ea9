"""What tells an event from any other."""

import hashlib
import json
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """An event: its `eventID` if it has one, and a digest of its line, so that none is altered."""

    event_id: str
    digest: str


def identity(message: str) -> Identity:
    """Return what tells an event from any other."""
    line = message.replace("\r", " ").replace("\n", " ").encode("utf-8", "backslashreplace")
    try:
        event_id = json.loads(line)["eventID"]
    except (ValueError, RecursionError, KeyError, TypeError):
        event_id = None
    digest = hashlib.sha256(line).hexdigest()[:32]
    return Identity(event_id if isinstance(event_id, str) else "", digest)


def content_digest(message: str) -> str:
    """Return a digest of what an event's JSON says, however its line spells it.

    A name that an object has twice counts twice, and a number as it is written: of two lines with
    one digest, no reader sees anything else. What is too deep for that, or no JSON, counts as it is
    spelled.
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
        # By their names alone: of two with one name the order tells.
        self._pairs = sorted(pairs, key=lambda pair: pair[0])

    def __repr__(self) -> str:
        return f"{{{self._pairs!r}}}"


class _Number(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
