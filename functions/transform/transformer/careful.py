"""Reads records document by document, if they are not one envelope whose lines all fit."""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from transformer import envelope
from transformer.budget import ResponseBudget
from transformer.cloudtrail import Selection, encode, json_object
from transformer.outcome import Outcome, Reason, RecordError

# Limit on lines and on opening braces: 64 MiB of them would take half a minute and fill the memory.
# A record compressed ten to one has 10,000 events, with at most ten braces each.
_MAX_DOCUMENTS = 300_000

# Limit on text that CloudWatch Logs does not write. `json` reads documents that span lines or share
# a line, or that msgspec rejects: its values take up to 25 times the memory of the text. Text that
# is not an event is searched for each name: 25 names take a tenth of a microsecond per byte, and
# each text costs as much as 512 more bytes. A CloudWatch Logs batch has at most 10,000 log events
# (PutLogEvents), and a record compressed ten to one has 10 MB.
_MAX_ODD_BYTES = 16 * 1024 * 1024
_SHORT_ODD_BYTES = 512

_JSON_WHITESPACE = b" \t\r\n"
_document_start = re.compile(r"[^ \t\r\n]").search
_raw_decode = json.JSONDecoder().raw_decode
_Object = envelope.Document | dict[str, Any]  # as msgspec or as `json` reads it


class Odd:
    """A record's remaining allowance of text that CloudWatch Logs does not write."""

    def __init__(self) -> None:
        self._left = _MAX_ODD_BYTES

    def take(self, size: int, reason: Reason = Reason.UNDECODABLE) -> None:
        """Count a text of this many characters or bytes; raise RecordError past the limit."""
        self._left -= _SHORT_ODD_BYTES + size
        if self._left < 0:
            raise RecordError(reason)


def deliver(
    source: bytes, text: bytes, selection: Selection, budget: ResponseBudget, outcome: Outcome
) -> None:
    """Deliver what fits of a record and put back the rest; raise RecordError if impossible."""
    # Bytes of lines that fit beside the earlier records, and that would fit without those records.
    room, most = budget.room, budget.room_alone(outcome.record_id)
    lines: list[bytes] = []
    total, odd = 0, Odd()
    # Selected messages not delivered now, and the reason why some can never be delivered.
    left: list[str] = []
    undeliverable: Reason | None = None
    for message in list(read(text, selection, outcome, odd)):
        try:
            line = selection.line(message)
            if line and len(line) >= most:
                raise RecordError(Reason.TOO_LARGE)
        except RecordError as error:
            undeliverable = undeliverable or error.reason
            left.append(message)
            line = b""
        if line == b"":
            odd.take(len(message), undeliverable or Reason.UNDECODABLE)
        elif line:
            total += len(line) + 1
            if total <= room:
                lines.append(line)
            else:
                left.append(message)
    if not total:
        outcome.reason = undeliverable or outcome.reason
        outcome.events_failed = undeliverable is not None
    elif not lines or (room < total <= most and not budget.is_untouched):
        # None of its lines fits now, or all of them would fit in a separate response.
        outcome.go_back(source)
    else:
        if left:
            outcome.go_back(envelope.remainder(text, left))
        outcome.deliver(b"\n".join([*lines, b""]), len(lines))


def read(text: bytes, selection: Selection, outcome: Outcome, odd: Odd) -> Iterator[str]:
    """Yield the messages in UTF-8 `text` that may be selected, and damaged lines.

    Counts all log events in `outcome` and sets its reason: `control_message` if `text` has only
    control messages, else `no_match`. Raises RecordError: `undecodable` for an envelope of unknown
    shape, for text without a JSON object, or for more documents than a real record has;
    `malformed_event` for a message that is not a string and names a selected event.
    """
    if max(text.count(b"\n"), text.count(b"{")) > _MAX_DOCUMENTS:
        raise RecordError(Reason.UNDECODABLE)
    outcome.reason = Reason.CONTROL_MESSAGE
    has_object = False
    for source, value in _documents(text, odd):
        if value is not None:
            has_object = True
            for message in _messages(source, value, outcome):
                if isinstance(message, str):
                    if selection.may_be(message):
                        yield message
                    continue
                encoded = encode(json.dumps(message, ensure_ascii=False))
                odd.take(len(encoded))
                if selection.is_named_in(encoded):
                    raise RecordError(Reason.MALFORMED_EVENT)
            continue
        outcome.reason = Reason.NO_MATCH
        is_envelope = b'"messageType"' in source or b'"logEvents"' in source
        # What follows an unclosed object may be part of it rather than a separate event.
        is_open = source.startswith(b"{") and source.endswith((b"{", b"[", b",", b":"))
        if is_envelope or is_open:
            raise RecordError(Reason.UNDECODABLE)
        yield source.decode()
    if outcome.reason is Reason.NO_MATCH and not has_object:
        raise RecordError(Reason.UNDECODABLE)


def _messages(source: bytes, value: _Object, outcome: Outcome) -> Iterator[object]:
    """Yield an envelope's messages, or the text of a bare event; raise RecordError as `read`."""
    if isinstance(value, dict):
        message_type = value.get("messageType", envelope.UNSET)
        log_events = value.get("logEvents", envelope.UNSET)
    else:
        message_type, log_events = value.messageType, value.logEvents
    if message_type == envelope.CONTROL_MESSAGE:
        return
    outcome.reason = Reason.NO_MATCH
    if message_type is envelope.UNSET and log_events is envelope.UNSET:
        outcome.events_in += 1
        yield source.decode()
    elif message_type == envelope.DATA_MESSAGE and isinstance(log_events, list):
        outcome.events_in += len(log_events)
        for log_event in log_events:
            if isinstance(log_event, envelope.LogEvent):
                yield log_event.message
            elif isinstance(log_event, dict):
                yield log_event.get("message")
            else:
                raise RecordError(Reason.UNDECODABLE)
    else:
        raise RecordError(Reason.UNDECODABLE)


def _documents(text: bytes, odd: Odd) -> Iterator[tuple[bytes, _Object | None]]:
    """Yield each nonblank line with its JSON object: CloudWatch Logs writes one document per line.

    If a line is not an object, but the text from there on consists of objects, yield those objects
    instead. Otherwise yield the line with None: message extraction can leave truncated messages.
    """
    lines = io.BytesIO(text)
    is_damaged = False
    while (start := lines.tell()) < len(text):
        line = lines.readline().strip(_JSON_WHITESPACE)
        if not line:
            continue
        value: _Object | None = None
        if line.startswith(b"{"):
            try:
                value = envelope.decode(line)
            except envelope.DecodeError:
                odd.take(len(line))
                value = json_object(line.decode(), _MAX_ODD_BYTES)
        if value is None and not is_damaged:
            # Try this only once, so that the time stays linear. The parsed values are not kept.
            is_damaged = True
            with contextlib.suppress(ValueError, RecursionError):
                is_damaged = not all(isinstance(each, dict) for _, each in _spanning(text[start:]))
            if not is_damaged:
                yield from _spanning(text[start:])
                return
        yield line, value


def _spanning(source: bytes) -> Iterator[tuple[bytes, Any]]:
    """Yield documents regardless of line breaks; raise ValueError or RecursionError if not JSON."""
    if len(source) > _MAX_ODD_BYTES:
        raise ValueError
    text = source.decode()
    start = _document_start(text)
    while start is not None:
        value, end = _raw_decode(text, start.start())
        yield text[start.start() : end].encode(), value
        start = _document_start(text, end)
