"""The result of one record, and the reason."""

from dataclasses import dataclass
from enum import StrEnum

import pybase64

from transformer.put_back import MAX_RECORD_BYTES


class Reason(StrEnum):
    """Why a record got its result. The values are stable: logs, tests and documents use them."""

    DELIVERED = "delivered"
    CONTROL_MESSAGE = "control_message"
    NO_MATCH = "no_match"
    PUT_BACK = "put_back"
    UNDECODABLE = "undecodable"
    CORRUPT_GZIP = "corrupt_gzip"
    TOO_LARGE = "too_large"
    MALFORMED_EVENT = "malformed_event"
    PUT_BACK_FAILED = "put_back_failed"
    UNEXPECTED_ERROR = "unexpected_error"


@dataclass(eq=False)
class RecordError(Exception):
    """A record that cannot be delivered; Firehose writes its source to the error output prefix."""

    reason: Reason


RESULTS = dict.fromkeys([Reason.CONTROL_MESSAGE, Reason.NO_MATCH, Reason.PUT_BACK], "Dropped")
RESULTS[Reason.DELIVERED] = "Ok"


@dataclass(slots=True)
class Outcome:
    """One record's result and its counts."""

    record_id: str
    reason: Reason = Reason.UNEXPECTED_ERROR
    data: str | None = None  # the lines in base64, None if nothing is delivered
    events_in: int = 0  # log events read
    events_delivered: int = 0  # lines in `data`
    bytes_in: int = 0  # size of the record
    bytes_decompressed: int = 0  # size of the text inside it
    bytes_out: int = 0  # size of the lines
    put_back: bytes | None = None  # the original record, or its undelivered rest
    events_failed: bool = False  # whether the failed record may contain selected events

    @property
    def result(self) -> str:
        return RESULTS.get(self.reason, "ProcessingFailed")

    def response(self) -> dict[str, str]:
        """Return the record's part of the response to Firehose."""
        response = {"recordId": self.record_id, "result": self.result}
        return response if self.data is None else response | {"data": self.data}

    def deliver(self, lines: bytes, count: int) -> None:
        """Deliver `count` lines, each with its line break."""
        self.reason = Reason.DELIVERED
        self.data = pybase64.b64encode_as_string(lines)
        self.events_delivered = count
        self.bytes_out = len(lines)

    def fail(self, reason: Reason) -> None:
        """Deliver nothing of this record: Firehose writes all of it to the error output prefix."""
        self.reason = reason
        self.events_failed = reason in (Reason.MALFORMED_EVENT, Reason.PUT_BACK_FAILED)
        self.data = self.put_back = None
        self.events_delivered = self.bytes_out = 0

    def go_back(self, data: bytes) -> None:
        """Put `data` back; raise RecordError `put_back_failed` if it is too large for a record."""
        if len(data) > MAX_RECORD_BYTES:
            raise RecordError(Reason.PUT_BACK_FAILED)
        self.reason = Reason.PUT_BACK
        self.put_back = data
