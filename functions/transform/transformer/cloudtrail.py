"""CloudTrail events: which are selected, and the one line that each becomes."""

import json
import re
from typing import Any

import msgspec

from transformer.outcome import Reason, RecordError

# A log event is 1 MB at most (CloudWatch Logs quotas). Only up to here is a message given to
# `json`, which builds every value in memory, or searched: longer text is kept.
MAX_LOG_EVENT_BYTES = 1024 * 1024
_MAX_SEARCHED_NAMES = 4

# JSON may spell any character of an event name as an escape, and in a message inside an envelope
# also the backslash, `u` and digits of that escape: all in 2D-2E, 30-3A and 41-7A. The escapes
# that CloudTrail itself writes, \u003d, \u0026, \u003c and \u003e, are not among them.
_find_escape = re.compile(r"\\u00(?:2[dDeE]|3[0-9aA]|[4-7])").search
# From a run's first backslash on: tried from each of them, a long run takes quadratic time.
_ANY_ASCII_ESCAPE = re.compile(rb"(?<!\\)\\++u00([0-7][0-9a-fA-F])")


class _Event(msgspec.Struct, gc=False):
    eventName: str | None = None  # noqa: N815 - CloudTrail's spelling


decode_event = msgspec.json.Decoder(_Event).decode


class Selection:
    """The events whose top-level `eventName` is one of `names`; every event where that is None."""

    def __init__(self, names: frozenset[str] | None) -> None:
        self.every = names is None
        self.names = names or frozenset()
        self._encoded_names = [name.encode() for name in sorted(self.names)]
        # Each message pays for the search for each name: of many, reading all messages costs less.
        self._searched = sorted(self.names) if len(self.names) <= _MAX_SEARCHED_NAMES else None
        any_name = "|".join(map(re.escape, sorted(self.names)))
        self._find_value = re.compile(rf'"eventName"\s*:\s*"(?:{any_name})"').search

    def may_be(self, message: str) -> bool:
        """Whether `message` may be a selected or damaged event: of any other `line` is None."""
        if self.every or self._searched is None:
            return True
        for name in self._searched:
            # Half the time of `in`, which prepares a search that pays only in longer texts.
            if message.rfind(name) >= 0:
                return True
        # Few messages hold a backslash at all, and the search for one is thirty times faster.
        return "\\" in message and _find_escape(message) is not None

    def line(self, message: str) -> bytes | None:
        r"""Return a selected event as one line without its `\n`, b"" for no event, else None.

        RecordError `malformed_event` for one that is no JSON object and names a selected event,
        and for an object around one: a CloudTrail file, an EventBridge event.
        """
        try:
            event_name: object = decode_event(message).eventName
        # ValueError: msgspec's own errors, and a str with a lone surrogate.
        except (ValueError, RecursionError):
            event = json_object(message)
            if event is None:
                if self.is_named_in(encode(message)):
                    raise RecordError(Reason.MALFORMED_EVENT) from None
                return b""
            event_name = event.get("eventName")
        if self.every or (isinstance(event_name, str) and event_name in self.names):
            # JSON has no raw line break inside a string, so these stand between tokens.
            return encode(message).replace(b"\r", b" ").replace(b"\n", b" ")
        if isinstance(event_name, str):
            return None
        if self._is_around_an_event(message):
            raise RecordError(Reason.MALFORMED_EVENT)
        return b""

    def is_named_in(self, damaged: bytes) -> bool:
        """Whether text that is no JSON may name a selected event: escapes are read liberally.

        So may one that is longer than a log event: it is not searched.
        """
        if self.every or len(damaged) > MAX_LOG_EVENT_BYTES:
            return True
        text = _ANY_ASCII_ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), damaged)
        texts = (damaged,) if text is damaged else (damaged, text)
        return any(name in each for each in texts for name in self._encoded_names)

    def _is_around_an_event(self, message: str) -> bool:
        """Whether an object has a selected `eventName` below its top."""
        waiting: list[Any] = [json_object(message)]
        if waiting == [None]:
            # Too large or too deep for `json`. Inside a string these quotes would be escaped.
            return (_find_escape(message) or self._find_value(message)) is not None
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                name = value.get("eventName")
                if isinstance(name, str) and name in self.names:
                    return True
                # An Insights event names the API whose calls were unusual; it is no such call.
                waiting += [each for key, each in value.items() if key != "insightDetails"]
            elif isinstance(value, list):
                waiting += value
        return False


def json_object(text: str, most: int = MAX_LOG_EVENT_BYTES) -> dict[str, Any] | None:
    """Return what Python's `json` reads in `text`, None for no object or more characters.

    It takes lone surrogates and NaN, which msgspec refuses, but which damage no event.
    """
    try:
        value = json.loads(text) if len(text) <= most else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def encode(message: str) -> bytes:
    """Return a message in UTF-8; a lone surrogate becomes the JSON escape that it was."""
    return message.encode("utf-8", "backslashreplace")
