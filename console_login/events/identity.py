"""The identity of an event."""

import hashlib
import json
from typing import NamedTuple


class Identity(NamedTuple):
    """An event's `eventID`, if it has one, and a digest of its line, which shows any change."""

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
