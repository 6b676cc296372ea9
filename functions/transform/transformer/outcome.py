"""What became of one record."""

import binascii
from dataclasses import dataclass

from transformer.codec import encode_base64
from transformer.errors import Reason, RecordError
from transformer.firehose import Result
from transformer.put_back import MAX_RECORD_BYTES

RESULTS: dict[Reason, Result] = {
    Reason.DELIVERED: "Ok",
    Reason.CONTROL_MESSAGE: "Dropped",
    Reason.NO_MATCH: "Dropped",
    Reason.PUT_BACK: "Dropped",
}


@dataclass(slots=True)
class Outcome:
    """One record's result and its counts."""

    record_id: str
    reason: Reason = Reason.UNEXPECTED_ERROR
    data: str | None = None  # the lines in base64, None where nothing is delivered
    events_in: int = 0  # log events read
    events_delivered: int = 0  # lines in `data`
    bytes_in: int = 0  # of the record
    bytes_decompressed: int = 0  # of the text inside it
    bytes_out: int = 0  # of the lines
    put_back: bytes | None = None  # the record as it came, or what is left of it
    events_failed: bool = False  # whether selected events are known to fail with it

    @property
    def result(self) -> Result:
        return RESULTS.get(self.reason, "ProcessingFailed")

    def lines(self) -> list[str]:
        r"""Return the delivered lines, without their `\n`."""
        return binascii.a2b_base64(self.data or "").decode().split("\n")[:-1]

    def deliver(self, lines: bytes, count: int) -> None:
        """Deliver so many lines, each with its line break."""
        self.reason = Reason.DELIVERED
        self.data = encode_base64(lines)
        self.events_delivered = count
        self.bytes_out = len(lines)

    def fail(self, reason: Reason) -> None:
        """Deliver nothing of this record: its source goes to the error prefix, whole."""
        self.reason = reason
        self.data = self.put_back = None
        self.events_delivered = self.bytes_out = 0

    def go_back(self, data: bytes) -> None:
        """Put `data` back; RecordError `put_back_failed` for more than a record may have."""
        if len(data) > MAX_RECORD_BYTES:
            raise RecordError(Reason.PUT_BACK_FAILED)
        self.reason = Reason.PUT_BACK
        self.put_back = data
