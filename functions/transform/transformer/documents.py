"""The JSON documents of a record: CloudWatch Logs envelopes, or CloudTrail events one a line."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from transformer.cloudtrail import MAX_LOG_EVENT_BYTES, Selection, json_object
from transformer.errors import Reason, RecordError

# Documents that span lines, or share one, are found by Python's `json`, which builds every value
# in memory: some 25 bytes for one of text at the worst. CloudWatch Logs writes neither, and a
# record of 1,000 KiB that compresses ten to one has 10 MB.
_MAX_SPANNING_BYTES = 16 * 1024 * 1024

# 64 MiB of the shortest lines would take half a minute; real events leave 200,000 of them.
_MAX_LINES = 1_000_000

# An exception takes microseconds: 33 million lines of a lone bracket would outlast the timeout.
_MAX_DAMAGED_OBJECTS = 1_000

# In text that is no JSON object, the mark of an envelope that was cut or damaged.
_ENVELOPE_KEYS = (b'"messageType"', b'"logEvents"')

_JSON_WHITESPACE = b" \t\r\n"
_document_start = re.compile(r"[^ \t\r\n]").search
_raw_decode = json.JSONDecoder().raw_decode


class _LogEvent(msgspec.Struct, gc=False):
    message: str


class _UnreadLogEvent(msgspec.Struct, gc=False):
    pass


class _Document(msgspec.Struct):
    messageType: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - CloudWatch Logs' spelling
    logEvents: list[_LogEvent] | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class _UnreadDocument(msgspec.Struct):
    """The same, for a document that cannot hold a selected event: messages stay unread."""

    messageType: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    logEvents: list[_UnreadLogEvent] | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


_decode = msgspec.json.Decoder(_Document).decode
_decode_unread = msgspec.json.Decoder(_UnreadDocument).decode


class RecordReader:
    """Reads the documents of one record.

    events: log events read so far, selected or not.
    only_control: whether nothing but control messages, or nothing at all, has been read so far.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._objects = 0
        self._control_messages = 0
        self._other_text = False
        self.events = 0

    @property
    def only_control(self) -> bool:
        return self._objects == self._control_messages and not self._other_text

    def messages(self, text: bytes) -> Iterator[str]:
        """Return, in order, the messages in UTF-8 `text` that may be selected.

        A damaged line that names a selected event is yielded like any other: no line can be made
        of it, which Selection says. Raises RecordError: `undecodable` for an envelope of unknown
        shape or where nothing is a JSON object, `malformed_event` for a message that is no string
        and names a selected event.
        """
        return filter(self._selection.may_be, self._messages(text))

    def _messages(self, text: bytes) -> Iterator[str]:
        # The search is twenty times faster than the count, and an envelope has no line break.
        if b"\n" in text and text.count(b"\n") > _MAX_LINES:
            raise RecordError(Reason.UNDECODABLE)
        for start, line in _lines(text):
            messages = self._read_line(line)
            if messages is None:
                rest = text[start:]
                yield from self._spanning(rest) if _is_spanning(rest) else self._damaged(rest)
                return
            yield from messages

    def _read_line(self, line: bytes) -> Iterable[str] | None:
        """Read a line that is one whole document, as CloudWatch Logs writes them; else None."""
        try:
            document = _decode(line)
        except (msgspec.MsgspecError, RecursionError):
            # Asked here alone: looking for escapes takes longer than reading the messages.
            return None if self._selection.may_be_in(line) else self._read_unread(line)
        if self._is_envelope(document.messageType, document.logEvents):
            if document.messageType == "CONTROL_MESSAGE":
                return ()
            return [log_event.message for log_event in document.logEvents or ()]
        return (line.strip(_JSON_WHITESPACE).decode(),)

    def _read_unread(self, line: bytes) -> Iterable[str] | None:
        """Do the same where a message is odd but none can be selected: classify and count it."""
        try:
            document = _decode_unread(line)
        except (msgspec.MsgspecError, RecursionError):
            return None
        self._is_envelope(document.messageType, document.logEvents)
        return ()

    def _is_envelope(self, message_type: object, log_events: object) -> bool:
        """Count an object; whether it is an envelope, else an event.

        Raises RecordError `undecodable` for an envelope that CloudWatch Logs does not write.
        """
        self._objects += 1
        if message_type is msgspec.UNSET and log_events is msgspec.UNSET:
            self.events += 1
            return False
        if message_type == "CONTROL_MESSAGE":
            self._control_messages += 1
        elif message_type == "DATA_MESSAGE" and isinstance(log_events, list):
            self.events += len(log_events)
        else:
            raise RecordError(Reason.UNDECODABLE)
        return True

    def _read_value(self, source: str, value: dict[str, Any]) -> Iterator[str]:
        """Read an object that `json` took; `source` is its text."""
        message_type = value.get("messageType", msgspec.UNSET)
        log_events = value.get("logEvents", msgspec.UNSET)
        if not self._is_envelope(message_type, log_events):
            yield source
        elif message_type == "DATA_MESSAGE":
            for log_event in log_events:
                if not isinstance(log_event, dict):
                    raise RecordError(Reason.UNDECODABLE)
                message = log_event.get("message")
                if isinstance(message, str):
                    yield message
                elif self._selection.is_named_in(json.dumps(message).encode()):
                    raise RecordError(Reason.MALFORMED_EVENT)

    def _spanning(self, text: bytes) -> Iterator[str]:
        for source, value in _spanning_documents(text.decode()):
            yield from self._read_value(source, value)

    def _damaged(self, text: bytes) -> Iterator[str]:
        """Read lines of which some are no JSON object, as extraction leaves cut messages."""
        # Asked of all the text at once: of millions of lines, one by one, they take minutes.
        may_be_named = self._selection.may_be_in(text)
        may_be_cut_envelope = any(key in text for key in _ENVELOPE_KEYS)
        damaged_objects = 0
        for _, line in _lines(text):
            source = line.strip(_JSON_WHITESPACE)
            messages = None
            if source.startswith(b"{"):
                messages = self._read_line(source)
                if messages is None:
                    messages = self._read_odd_line(source)
                damaged_objects += messages is None
            if messages is not None:
                yield from messages
                continue
            self._other_text = True
            if may_be_cut_envelope and any(key in source for key in _ENVELOPE_KEYS):
                raise RecordError(Reason.UNDECODABLE)
            if may_be_named and self._selection.is_named_in(source):
                yield source.decode()
            # What follows an object that is left open here may be part of it: no event of its own.
            left_open = source.startswith(b"{") and source.endswith((b"{", b"[", b",", b":"))
            if left_open or damaged_objects > _MAX_DAMAGED_OBJECTS:
                raise RecordError(Reason.UNDECODABLE)
        if not self._objects:
            raise RecordError(Reason.UNDECODABLE)

    def _read_odd_line(self, source: bytes) -> Iterable[str] | None:
        """Read a line that is one object to `json` alone; None if it is not."""
        if len(source) > MAX_LOG_EVENT_BYTES:
            return None
        text = source.decode()
        value = json_object(text)
        return None if value is None else self._read_value(text, value)


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
