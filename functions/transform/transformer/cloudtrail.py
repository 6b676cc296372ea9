"""CloudTrail events: which are selected, and the one line that each becomes."""

import json
import re
from typing import Any

import msgspec

from transformer.errors import Reason, RecordError

# A log event is 1 MB at most (CloudWatch Logs quotas). What msgspec refuses is given to `json`,
# which builds every value in memory, only up to here.
MAX_LOG_EVENT_BYTES = 1024 * 1024

# JSON may spell any character of an event name as an escape, and in a message inside an envelope
# also the backslash, `u` and digits of that escape: all in 2D-2E, 30-3A and 41-7A. The escapes
# that CloudTrail itself writes, \u003d, \u0026, \u003c and \u003e, are not among them.
_ESCAPED = r"\\u00(?:2[dDeE]|3[0-9aA]|[4-7])"
_ESCAPED_TEXT = re.compile(_ESCAPED)
_ESCAPED_BYTES = re.compile(_ESCAPED.encode())
_ANY_ASCII_ESCAPE = re.compile(rb"\\+u00([0-7][0-9a-fA-F])")


class _Event(msgspec.Struct, gc=False):
    eventName: str | None = None  # noqa: N815 - CloudTrail's spelling


_decode_event = msgspec.json.Decoder(_Event).decode


class Selection:
    """The events whose top-level `eventName` is one of `names`; every event where that is None."""

    def __init__(self, names: frozenset[str] | None) -> None:
        self._every = names is None
        self._names = tuple(sorted(names or ()))
        self._encoded_names = tuple(name.encode() for name in self._names)

    def may_be_in(self, document: bytes) -> bool:
        """Whether `document`, an envelope or an event, may hold a selected or damaged event.

        False is certain; True costs a closer look.
        """
        if self._every:
            return True
        for name in self._encoded_names:
            if name in document:
                return True
        return _ESCAPED_BYTES.search(document) is not None

    def may_be(self, message: str) -> bool:
        """Whether `message` may be a selected or damaged event: of any other `line` is None."""
        if self._every:
            return True
        for name in self._names:
            if name in message:
                return True
        # Few messages hold a backslash at all, and the search for one is thirty times faster.
        return "\\" in message and _ESCAPED_TEXT.search(message) is not None

    def line(self, message: str) -> bytes | None:
        r"""Return the selected event as one line without its `\n`, None for one not selected.

        Raises RecordError `malformed_event` for a message that is no JSON object but names a
        selected event.
        """
        try:
            event_name: object = _decode_event(message).eventName
        # ValueError: msgspec's own errors, and a str with a lone surrogate.
        except (msgspec.MsgspecError, ValueError, RecursionError):
            event = json_object(message)
            if event is None:
                if self.is_named_in(encode(message)):
                    raise RecordError(Reason.MALFORMED_EVENT) from None
                return None
            event_name = event.get("eventName")
        if self._every or event_name in self._names:
            return _one_line(message)
        return None

    def is_named_in(self, damaged: bytes) -> bool:
        """Whether text that is no JSON object names a selected event.

        The escapes are read as liberally as possible: what may be a sign-in is not let go.
        """
        if self._every:
            return True
        text = _ANY_ASCII_ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), damaged)
        return any(name in damaged or name in text for name in self._encoded_names)


def json_object(text: str) -> dict[str, Any] | None:
    """Return what Python's `json` reads in `text` where msgspec refused, None if no object.

    It takes lone surrogates and NaN, which are odd but are no reason to call an event damaged.
    """
    if len(text) > MAX_LOG_EVENT_BYTES:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _one_line(message: str) -> bytes:
    # JSON has no raw line break inside a string, so these stand between tokens.
    return encode(message).replace(b"\r", b" ").replace(b"\n", b" ")


def encode(message: str) -> bytes:
    """Return a message in UTF-8."""
    # A lone surrogate, which UTF-8 has no bytes for, becomes the JSON escape that it was.
    return message.encode("utf-8", "backslashreplace")
