"""CloudWatch Logs' envelopes, as msgspec reads and writes them."""

import contextlib
from collections import Counter
from collections.abc import Iterable

import msgspec

from transformer.cloudtrail import encode
from transformer.codec import compress

DATA_MESSAGE, CONTROL_MESSAGE = "DATA_MESSAGE", "CONTROL_MESSAGE"
UNSET = msgspec.UNSET

# What reading raises: for JSON that is no such document, and for one that is too deep.
DecodeError = (msgspec.MsgspecError, RecursionError)


class _LogEvent(msgspec.Struct, gc=False):
    message: str


class _Document(msgspec.Struct):
    messageType: str | msgspec.UnsetType = UNSET  # noqa: N815 - CloudWatch Logs' spelling
    logEvents: list[_LogEvent] | msgspec.UnsetType = UNSET  # noqa: N815


class _WholeLogEvent(msgspec.Struct, gc=False):
    # Where it is in the text: a copy of each would fill the memory.
    message: msgspec.Raw = msgspec.Raw(b"null")
    id: str = ""
    timestamp: int = 0


class _Envelope(msgspec.Struct):
    messageType: str = ""  # noqa: N815
    owner: str = ""
    logGroup: str = ""  # noqa: N815
    logStream: str = ""  # noqa: N815
    subscriptionFilters: list[str] = []  # noqa: N815
    logEvents: list[_WholeLogEvent] = []  # noqa: N815


decode = msgspec.json.Decoder(_Document).decode
_decode_whole = msgspec.json.Decoder(_Envelope).decode
_decode_message = msgspec.json.Decoder(str).decode


def remainder(text: bytes, messages: Iterable[str]) -> bytes:
    """Return the gzip of one envelope with these messages of a record's `text`.

    Each keeps its id and timestamp where `text` has whole envelopes a line, as CloudWatch Logs
    writes them; owner and log group are those of the first.
    """
    left = Counter(map(_writable, messages))
    whole: _Envelope | None = None
    found: list[_WholeLogEvent] = []
    for line in text.split(b"\n"):
        try:
            envelope = _decode_whole(line)
        except DecodeError:
            continue
        if envelope.messageType != DATA_MESSAGE:
            continue
        whole = whole or envelope
        for log_event in envelope.logEvents:
            # One that cannot be read here has no message that could be written.
            with contextlib.suppress(*DecodeError):
                message = _decode_message(log_event.message)
                if left[message] > 0:
                    left[message] -= 1
                    found.append(log_event)
    found += [_WholeLogEvent(msgspec.Raw(msgspec.json.encode(each))) for each in left.elements()]
    whole = whole or _Envelope()
    whole.messageType, whole.logEvents = DATA_MESSAGE, found
    return compress(msgspec.json.encode(whole))


def _writable(message: str) -> str:
    """Return the message itself, but for a lone surrogate, which becomes its escape."""
    try:
        message.encode()
    except UnicodeEncodeError:
        return encode(message).decode()
    return message
