"""Envelopes of CloudWatch Logs, read and written with msgspec."""

import contextlib
import io
import zlib
from collections import Counter
from collections.abc import Iterable

import msgspec

from transformer.cloudtrail import encode
from transformer.codec import GZIP_WRAPPER

DATA_MESSAGE, CONTROL_MESSAGE = "DATA_MESSAGE", "CONTROL_MESSAGE"
UNSET = msgspec.UNSET

# Decoding errors: JSON of another shape, and JSON that is nested too deeply.
DecodeError = (msgspec.MsgspecError, RecursionError)


class LogEvent(msgspec.Struct, gc=False):
    message: str


class Document(msgspec.Struct):
    messageType: str | msgspec.UnsetType = UNSET  # noqa: N815 - CloudWatch Logs' spelling
    logEvents: list[LogEvent] | msgspec.UnsetType = UNSET  # noqa: N815


class _WholeLogEvent(msgspec.Struct, gc=False):
    # A reference into the text: a copy of each message would fill the memory.
    message: msgspec.Raw = msgspec.Raw(b"null")
    id: str = ""
    timestamp: int = 0


class _Envelope(msgspec.Struct, rename="camel"):
    message_type: str = ""
    owner: str = ""
    log_group: str = ""
    log_stream: str = ""
    subscription_filters: list[str] = []
    log_events: list[_WholeLogEvent] = []


decode = msgspec.json.Decoder(Document).decode
_decode_whole = msgspec.json.Decoder(_Envelope).decode
_decode_message = msgspec.json.Decoder(str).decode


def remainder(text: bytes, messages: Iterable[str]) -> bytes:
    """Return one envelope, compressed with gzip, with these messages of a record's `text`.

    Messages keep id and timestamp if `text` has one complete envelope per line, as CloudWatch Logs
    writes it. Owner and log group are those of the first envelope.
    """
    left = Counter(messages)
    whole: _Envelope | None = None
    found: list[_WholeLogEvent] = []
    for line in io.BytesIO(text):
        with contextlib.suppress(*DecodeError):
            envelope = _decode_whole(line)
            if envelope.message_type != DATA_MESSAGE:
                continue
            whole = whole or envelope
            for log_event in envelope.log_events:
                # A log event that cannot be read here has no message to write.
                with contextlib.suppress(*DecodeError):
                    message = _decode_message(log_event.message)
                    if left[message] > 0:
                        left[message] -= 1
                        found.append(log_event)
    # A lone surrogate becomes its escape.
    others = (msgspec.json.encode(encode(message).decode()) for message in left.elements())
    found += map(_WholeLogEvent, map(msgspec.Raw, others))
    whole = whole or _Envelope()
    whole.message_type, whole.log_events = DATA_MESSAGE, found
    return zlib.compress(msgspec.json.encode(whole), wbits=GZIP_WRAPPER)  # smaller than isal's
