"""Records that are not one whole envelope whose lines all fit, read document by document."""

import json
import re
from collections.abc import Iterator
from typing import Any

from transformer import envelope
from transformer.budget import AnswerBudget
from transformer.cloudtrail import MAX_LOG_EVENT_BYTES, Selection, json_object
from transformer.errors import Reason, RecordError
from transformer.outcome import Outcome

# Of lines and of opening braces: 64 MiB of the shortest would take half a minute, and fill the
# memory. Real events leave 60,000 lines, and ten braces each at most.
_MAX_DOCUMENTS = 500_000

# Documents that are odd, span lines or share one are read by Python's `json`, which builds every
# value in memory: some 25 bytes for one of text at the worst. CloudWatch Logs writes none of them,
# and a record of 1,000 KiB that compresses ten to one has 10 MB.
_MAX_SPANNING_BYTES = 16 * 1024 * 1024

# An exception takes microseconds: lines of a lone bracket, and messages that are no JSON, by the
# hundred thousand would take seconds. No record of CloudTrail's has one.
MAX_DAMAGED = 1_000

# Messages that are no JSON, of a log group that is not CloudTrail's: with 25 long names to look for
# in each they take 40 microseconds. A batch of CloudWatch Logs has some thousands.
_MAX_TEXTS = 50_000

# In text that is no JSON object, the mark of an envelope that was cut or damaged.
_ENVELOPE_KEYS = (b'"messageType"', b'"logEvents"')

_JSON_WHITESPACE = b" \t\r\n"
_document_start = re.compile(r"[^ \t\r\n]").search
_raw_decode = json.JSONDecoder().raw_decode


def deliver(
    source: bytes, text: bytes, selection: Selection, budget: AnswerBudget, outcome: Outcome
) -> None:
    """Deliver what fits of a record, put back the rest; RecordError where that cannot be done."""
    reader = RecordReader(selection)
    try:
        reader.read(text)
    finally:
        outcome.events_in = reader.events
    # Bytes of lines: beside the records before it, and if it were alone.
    room, most = budget.room, budget.room_alone(outcome.record_id)
    lines: list[bytes] = []
    total = damaged = texts = 0
    # Selected messages that are not delivered now, and why some of them never can be.
    left: list[str] = []
    undeliverable: Reason | None = None
    for message in reader.messages:
        try:
            line = selection.line(message)
            if line and len(line) >= most:
                raise RecordError(Reason.TOO_LARGE)
        except RecordError as error:
            undeliverable = undeliverable or error.reason
            left.append(message)
            damaged += error.reason is Reason.MALFORMED_EVENT
            if damaged > MAX_DAMAGED:
                raise
            continue
        texts += line == b""
        if texts > _MAX_TEXTS:
            raise RecordError(Reason.UNDECODABLE)
        if line:
            total += len(line) + 1
            if total <= room:
                lines.append(line)
            else:
                left.append(message)
    if undeliverable and not total:
        outcome.reason = undeliverable
        outcome.events_failed = True
    elif not total:
        outcome.reason = Reason.CONTROL_MESSAGE if reader.only_control else Reason.NO_MATCH
    elif not lines or (room < total <= most and not budget.is_untouched):
        # Nothing of it fits any more, or all of it would fit into an answer of its own.
        outcome.go_back(source)
    else:
        if left:
            outcome.go_back(envelope.remainder(text, left))
        outcome.deliver(b"\n".join([*lines, b""]), len(lines))


class RecordReader:
    """Reads the documents of one record.

    messages: those that may be selected, in order, damaged lines that name a selected event too.
    events: log events read so far, selected or not.
    only_control: whether nothing but control messages, or nothing at all, has been read so far.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._has_object = False
        self._odd = self._odd_bytes = 0
        self.messages: list[str] = []
        self.events = 0
        self.only_control = True

    def read(self, text: bytes) -> None:
        """Read UTF-8 `text`.

        Raises RecordError: `undecodable` for an envelope of unknown shape, where nothing is a JSON
        object, or for more documents than a record has; `malformed_event` for a message that is no
        string and names a selected event.
        """
        if max(text.count(b"\n"), text.count(b"{")) > _MAX_DOCUMENTS:
            raise RecordError(Reason.UNDECODABLE)
        for start, line in _lines(text):
            if not self._read_line(line):
                rest = text[start:]
                if _is_spanning(rest):
                    for source, value in _spanning_documents(rest.decode()):
                        self._read_value(source, value)
                else:
                    self._read_damaged(rest)
                return

    def _read_line(self, line: bytes) -> bool:
        """Read a line if it is one whole document, as CloudWatch Logs writes them."""
        try:
            document = envelope.decode(line)
        except envelope.DecodeError:
            return False
        if not self._is_envelope(document.messageType, document.logEvents):
            self._add(line.strip(_JSON_WHITESPACE).decode())
        elif document.messageType == envelope.DATA_MESSAGE:
            for log_event in document.logEvents or ():
                self._add(log_event.message)
        return True

    def _add(self, message: str) -> None:
        if self._selection.may_be(message):
            self.messages.append(message)

    def _is_envelope(self, message_type: object, log_events: object) -> bool:
        """Count an object; whether it is an envelope, else an event.

        Raises RecordError `undecodable` for an envelope that CloudWatch Logs does not write.
        """
        self._has_object = True
        if message_type == envelope.CONTROL_MESSAGE:
            return True
        self.only_control = False
        if message_type is envelope.UNSET and log_events is envelope.UNSET:
            self.events += 1
            return False
        if message_type != envelope.DATA_MESSAGE or not isinstance(log_events, list):
            raise RecordError(Reason.UNDECODABLE)
        self.events += len(log_events)
        return True

    def _read_value(self, source: str, value: dict[str, Any]) -> None:
        """Read an object that `json` took; `source` is its text."""
        message_type = value.get("messageType", envelope.UNSET)
        log_events = value.get("logEvents", envelope.UNSET)
        if not self._is_envelope(message_type, log_events):
            self._add(source)
        elif message_type == envelope.DATA_MESSAGE:
            for log_event in log_events:
                if not isinstance(log_event, dict):
                    raise RecordError(Reason.UNDECODABLE)
                message = log_event.get("message")
                if isinstance(message, str):
                    self._add(message)
                elif self._selection.is_named_in(json.dumps(message).encode()):
                    raise RecordError(Reason.MALFORMED_EVENT)

    def _read_damaged(self, text: bytes) -> None:
        """Read lines of which some are no JSON object, as extraction leaves cut messages."""
        # Asked of all the text at once: of many lines, one by one, they take long.
        is_named = self._selection.is_named_in(text)
        may_be_cut_envelope = any(key in text for key in _ENVELOPE_KEYS)
        for _, line in _lines(text):
            source = line.strip(_JSON_WHITESPACE)
            is_object = source.startswith(b"{")
            if is_object and (self._read_line(source) or self._read_odd_line(source)):
                continue
            self._odd += is_object
            self.only_control = False
            if may_be_cut_envelope and any(key in source for key in _ENVELOPE_KEYS):
                raise RecordError(Reason.UNDECODABLE)
            if is_named and self._selection.is_named_in(source):
                self.messages.append(source.decode())
            # What follows an object that is left open here may be part of it: no event of its own.
            left_open = is_object and source.endswith((b"{", b"[", b",", b":"))
            if left_open or self._odd > MAX_DAMAGED:
                raise RecordError(Reason.UNDECODABLE)
        if not self._has_object:
            raise RecordError(Reason.UNDECODABLE)

    def _read_odd_line(self, source: bytes) -> bool:
        """Read a line if it is one object to `json` alone."""
        if len(source) > MAX_LOG_EVENT_BYTES:
            return False
        self._odd_bytes += len(source)
        if self._odd_bytes > _MAX_SPANNING_BYTES:
            raise RecordError(Reason.UNDECODABLE)
        value = json_object(source.decode())
        if value is None:
            return False
        self._read_value(source.decode(), value)
        return True


def _lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each line starts, and the line, but for blank ones."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        if line.strip(_JSON_WHITESPACE):
            yield start, line
        start = end + 1


def _is_spanning(text: bytes) -> bool:
    """Whether all of `text` is a sequence of JSON objects, wherever their lines break.

    One attempt and one error at most, so that the time stays linear; nothing is kept.
    """
    if len(text) > _MAX_SPANNING_BYTES:
        return False
    try:
        return all(isinstance(value, dict) for _, value in _spanning_documents(text.decode()))
    except (ValueError, RecursionError):
        return False


def _spanning_documents(text: str) -> Iterator[tuple[str, Any]]:
    """Yield each document's source and value; ValueError or RecursionError at what is no JSON."""
    start = _document_start(text)
    while start is not None:
        value, end = _raw_decode(text, start.start())
        yield text[start.start() : end], value
        start = _document_start(text, end)
