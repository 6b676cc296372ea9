"""CloudTrail events: selects them by name and writes each one as a line."""

import json
import re
from typing import Any

import msgspec

from transformer.outcome import Reason, RecordError

# A log event has at most 1 MB (CloudWatch Logs quotas). Longer messages are kept, but neither
# searched nor parsed by `json`, which builds every value in memory.
MAX_LOG_EVENT_BYTES = 1024 * 1024
_MAX_SEARCHED_NAMES = 4

# JSON may escape any character of an event name. In a message inside an envelope, the backslash,
# `u` and digits of that escape may be escaped too. All of these are in 2D-2E, 30-3A and 41-7A. The
# escapes that CloudTrail itself writes (\u003d, \u0026, \u003c and \u003e) are not.
_find_escape = re.compile(r"\\u00(?:2[dDeE]|3[0-9aA]|[4-7])").search
# Match from a run's first backslash only: starting at each one would take quadratic time.
_ANY_ASCII_ESCAPE = re.compile(rb"(?<!\\)\\++u00([0-7][0-9a-fA-F])")


class _Event(msgspec.Struct, gc=False):
    eventName: str | None = None  # noqa: N815 - CloudTrail's spelling


decode_event = msgspec.json.Decoder(_Event).decode


class Selection:
    """Selects the events whose top-level `eventName` is in `names`; every event if it is None."""

    def __init__(self, names: frozenset[str] | None) -> None:
        self.every = names is None
        self.names = names or frozenset()
        self._encoded_names = [name.encode() for name in sorted(self.names)]
        # Each message is searched for each name: with many names, parsing all messages is cheaper.
        self._searched = sorted(self.names) if len(self.names) <= _MAX_SEARCHED_NAMES else None
        any_name = "|".join(map(re.escape, sorted(self.names)))
        self._find_value = re.compile(rf'"eventName"\s*:\s*"(?:{any_name})"').search

    def may_be(self, message: str) -> bool:
        """Whether `message` may be a selected or damaged event. If not, `line` returns None."""
        if self.every or self._searched is None:
            return True
        for name in self._searched:
            # Takes half the time of `in`, whose preparation pays off only in longer texts.
            if message.rfind(name) >= 0:
                return True
        # Few messages contain a backslash at all, and searching for one is thirty times faster.
        return "\\" in message and _find_escape(message) is not None

    def line(self, message: str) -> bytes | None:
        r"""Return a selected event as a line without `\n`, b"" for a non-event, None for others.

        Raises RecordError `malformed_event` if `message` is not a JSON object but names a selected
        event, or is an object that contains one, such as a CloudTrail file or an EventBridge event.
        """
        try:
            event_name: object = decode_event(message).eventName
        # ValueError: msgspec's own errors, and a lone surrogate in the string.
        except (ValueError, RecursionError):
            event = json_object(message)
            if event is None:
                if self.is_named_in(encode(message)):
                    raise RecordError(Reason.MALFORMED_EVENT) from None
                return b""
            event_name = event.get("eventName")
        if self.every or (isinstance(event_name, str) and event_name in self.names):
            # A JSON string cannot contain raw line breaks, so these are between tokens.
            return encode(message).replace(b"\r", b" ").replace(b"\n", b" ")
        if isinstance(event_name, str):
            return None
        if self._is_around_an_event(message):
            raise RecordError(Reason.MALFORMED_EVENT)
        return b""

    def is_named_in(self, damaged: bytes) -> bool:
        """Whether text that is not JSON may name a selected event; any escapes are decoded.

        True for text longer than a log event, which is not searched.
        """
        if self.every or len(damaged) > MAX_LOG_EVENT_BYTES:
            return True
        text = _ANY_ASCII_ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), damaged)
        texts = (damaged,) if text is damaged else (damaged, text)
        return any(name in each for each in texts for name in self._encoded_names)

    def _is_around_an_event(self, message: str) -> bool:
        """Whether an object has a selected `eventName` below its top level."""
        waiting: list[Any] = [json_object(message)]
        if waiting == [None]:
            # Too large or too deep for `json`. In a string value, these quotes would be escaped.
            return (_find_escape(message) or self._find_value(message)) is not None
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                name = value.get("eventName")
                if isinstance(name, str) and name in self.names:
                    return True
                # An Insights event names the API with unusual calls; it is not a call itself.
                waiting += [each for key, each in value.items() if key != "insightDetails"]
            elif isinstance(value, list):
                waiting += value
        return False


def json_object(text: str, most: int = MAX_LOG_EVENT_BYTES) -> dict[str, Any] | None:
    """Return the JSON object in `text`; None if it is not one or has more than `most` characters.

    Python's `json` accepts lone surrogates and NaN. msgspec rejects them, but they are harmless.
    """
    try:
        value = json.loads(text) if len(text) <= most else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def encode(message: str) -> bytes:
    """Return a message in UTF-8; a lone surrogate becomes its JSON escape again."""
    return message.encode("utf-8", "backslashreplace")
