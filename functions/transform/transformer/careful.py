"""Records that are not one whole envelope whose lines all fit, read document by document."""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from transformer import envelope
from transformer.budget import AnswerBudget
from transformer.cloudtrail import Selection, encode, json_object
from transformer.outcome import Outcome, Reason, RecordError

# Of lines and of opening braces: 64 MiB of them would take half a minute, and fill the memory. A
# record at ten to one has 10,000 events, with ten braces each at most.
_MAX_DOCUMENTS = 300_000

# What CloudWatch Logs does not write. Documents that span lines or share one, or that msgspec
# refuses, are read by `json`: its values take 25 times the text at the worst. Text that is no event
# is searched for each name: 25 take a tenth of a microsecond a byte, and a short text as long as
# one of 512 bytes more. A batch of CloudWatch Logs has 10,000 log events (PutLogEvents), and a
# record at ten to one 10 MB.
_MAX_ODD_BYTES = 16 * 1024 * 1024
_SHORT_ODD_BYTES = 512

_JSON_WHITESPACE = b" \t\r\n"
_document_start = re.compile(r"[^ \t\r\n]").search
_raw_decode = json.JSONDecoder().raw_decode
_Object = envelope.Document | dict[str, Any]  # as msgspec or as `json` reads it


class Odd:
    """What a record may still have of text and documents that CloudWatch Logs does not write."""

    def __init__(self) -> None:
        self._left = _MAX_ODD_BYTES

    def take(self, size: int, reason: Reason = Reason.UNDECODABLE) -> None:
        """Count a text of so many characters or bytes; RecordError past the limit."""
        self._left -= _SHORT_ODD_BYTES + size
        if self._left < 0:
            raise RecordError(reason)


def deliver(
    source: bytes, text: bytes, selection: Selection, budget: AnswerBudget, outcome: Outcome
) -> None:
    """Deliver what fits of a record, put back the rest; RecordError where that cannot be done."""
    # Bytes of lines: beside the records before it, and if it were alone.
    room, most = budget.room, budget.room_alone(outcome.record_id)
    lines: list[bytes] = []
    total, odd = 0, Odd()
    # Selected messages that are not delivered now, and why some of them never can be.
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
        # Nothing of it fits any more, or all of it would fit into an answer of its own.
        outcome.go_back(source)
    else:
        if left:
            outcome.go_back(envelope.remainder(text, left))
        outcome.deliver(b"\n".join([*lines, b""]), len(lines))


def read(text: bytes, selection: Selection, outcome: Outcome, odd: Odd) -> Iterator[str]:
    """Yield the messages in UTF-8 `text` that may be selected, and damaged lines.

    Counts all log events in `outcome`, and sets its reason: `no_match`, or `control_message` where
    `text` has nothing else. Raises RecordError: `undecodable` for an envelope of unknown shape,
    where nothing is a JSON object, or for more documents than a record has; `malformed_event` for
    a message that is no string and names a selected event.
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
        # What follows an object that is left open here may be part of it: no event of its own.
        is_open = source.startswith(b"{") and source.endswith((b"{", b"[", b",", b":"))
        if is_envelope or is_open:
            raise RecordError(Reason.UNDECODABLE)
        yield source.decode()
    if outcome.reason is Reason.NO_MATCH and not has_object:
        raise RecordError(Reason.UNDECODABLE)


def _messages(source: bytes, value: _Object, outcome: Outcome) -> Iterator[object]:
    """Yield an envelope's messages, or an event's own text; RecordError as `read`."""
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
    """Yield each line that is not blank: CloudWatch Logs writes one document on each.

    Where the rest of the text, from a line on that is no object, is nothing but objects, those
    instead. Else such a line comes with None: extraction leaves cut messages.
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
            # One attempt and one error at most, so that the time stays linear; nothing is kept.
            is_damaged = True
            with contextlib.suppress(ValueError, RecursionError):
                is_damaged = not all(isinstance(each, dict) for _, each in _spanning(text[start:]))
            if not is_damaged:
                yield from _spanning(text[start:])
                return
        yield line, value


def _spanning(source: bytes) -> Iterator[tuple[bytes, Any]]:
    """Yield documents wherever their lines break; ValueError or RecursionError at no JSON."""
    if len(source) > _MAX_ODD_BYTES:
        raise ValueError
    text = source.decode()
    start = _document_start(text)
    while start is not None:
        value, end = _raw_decode(text, start.start())
        yield text[start.start() : end].encode(), value
        start = _document_start(text, end)
