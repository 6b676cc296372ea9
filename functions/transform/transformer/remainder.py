"""One envelope with the events of a record that are left over, in CloudWatch Logs' own format."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from transformer.cloudtrail import encode
from transformer.codec import compress


class _LogEvent(msgspec.Struct, gc=False):
    id: str = ""
    timestamp: int = 0
    message: str = ""


class _Envelope(msgspec.Struct):
    messageType: str = ""  # noqa: N815 - CloudWatch Logs' spelling
    owner: str = ""
    logGroup: str = ""  # noqa: N815
    logStream: str = ""  # noqa: N815
    subscriptionFilters: list[str] = []  # noqa: N815
    logEvents: list[_LogEvent] = []  # noqa: N815


_decode = msgspec.json.Decoder(_Envelope).decode


def remainder(text: bytes, messages: Iterable[str]) -> bytes:
    """Return the gzip of one envelope with these messages of a record's `text`.

    Each keeps its id and timestamp where `text` has whole envelopes a line, as CloudWatch Logs
    writes them; owner and log group are those of the first.
    """
    left = Counter(encode(message).decode() for message in messages)
    whole: _Envelope | None = None
    found: list[_LogEvent] = []
    for line in text.split(b"\n"):
        try:
            envelope = _decode(line)
        except (msgspec.MsgspecError, RecursionError):
            continue
        if envelope.messageType != "DATA_MESSAGE":
            continue
        whole = whole or envelope
        for log_event in envelope.logEvents:
            if left[log_event.message] > 0:
                left[log_event.message] -= 1
                found.append(log_event)
    found += [_LogEvent(message=message) for message in left.elements()]
    whole = whole or _Envelope()
    whole.messageType = "DATA_MESSAGE"
    whole.logEvents = found
    return compress(msgspec.json.encode(whole))
