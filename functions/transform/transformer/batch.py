"""A batch of records: each one decoded, filtered and answered alone, then all of them counted."""

import binascii
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from transformer.cloudtrail import Selection
from transformer.codec import check_utf8, decode_base64, decompress
from transformer.config import Config
from transformer.documents import RecordReader
from transformer.errors import Reason, RecordError
from transformer.firehose import InputRecord, OutputRecord, Response, Result

_RESULTS: dict[Reason, Result] = {
    Reason.DELIVERED: "Ok",
    Reason.CONTROL_MESSAGE: "Dropped",
    Reason.NO_MATCH: "Dropped",
}


@dataclass(slots=True)
class Outcome:
    """One record's fate.

    events_in, events_delivered: log events read, and lines in `data`.
    bytes_in, bytes_decompressed, bytes_out: of the record, of the text inside it, of the lines.
    data: the lines in base64, None where nothing is delivered.
    """

    record_id: str
    reason: Reason = Reason.UNEXPECTED_ERROR
    data: str | None = None
    events_in: int = 0
    events_delivered: int = 0
    bytes_in: int = 0
    bytes_decompressed: int = 0
    bytes_out: int = 0

    @property
    def result(self) -> Result:
        return _RESULTS.get(self.reason, "ProcessingFailed")

    def lines(self) -> list[str]:
        r"""Return the delivered lines, without their `\n`."""
        return binascii.a2b_base64(self.data or "").decode().split("\n")[:-1]


class Transformer:
    """Turns Firehose records into CloudTrail events, one JSON line each, as `config` says."""

    def __init__(self, config: Config) -> None:
        self._max_decompressed_bytes = config.max_decompressed_bytes
        self._selection = Selection(config.event_names)

    def transform(self, records: Iterable[InputRecord]) -> list[Outcome]:
        """Return every record's fate, in order; no record's content changes another's."""
        return [self._transform_record(record) for record in records]

    def _transform_record(self, record: InputRecord) -> Outcome:
        outcome = Outcome(record.record_id)
        try:
            self._deliver(record.data, outcome)
        except RecordError as error:
            outcome.reason = error.reason
        # An exception past here would make Firehose retry the whole batch and then fail all of
        # it; this way only the record that raised goes to the error prefix, where it is kept.
        except Exception:  # noqa: BLE001
            outcome.reason = Reason.UNEXPECTED_ERROR
        return outcome

    def _deliver(self, data: object, outcome: Outcome) -> None:
        record = decode_base64(data)
        outcome.bytes_in = len(record)
        text = decompress(record, self._max_decompressed_bytes)
        outcome.bytes_decompressed = len(text)
        check_utf8(text)
        reader = RecordReader(self._selection)
        lines = bytearray()
        delivered = 0
        try:
            for message in reader.messages(text):
                line = self._selection.line(message)
                if line is not None:
                    lines += line
                    lines += b"\n"
                    delivered += 1
        finally:
            outcome.events_in = reader.events
        if delivered:
            outcome.data = binascii.b2a_base64(lines, newline=False).decode("ascii")
            outcome.events_delivered = delivered
            outcome.bytes_out = len(lines)
            outcome.reason = Reason.DELIVERED
        else:
            outcome.reason = Reason.CONTROL_MESSAGE if reader.only_control else Reason.NO_MATCH


def response(outcomes: Iterable[Outcome]) -> Response:
    """Return Firehose's answer."""
    return {"records": [_output_record(outcome) for outcome in outcomes]}


def _output_record(outcome: Outcome) -> OutputRecord:
    record: OutputRecord = {"recordId": outcome.record_id, "result": outcome.result}
    if outcome.data is not None:
        record["data"] = outcome.data
    return record


def summary(outcomes: list[Outcome]) -> dict[str, int | dict[str, int]]:
    """Return every count of the batch: no ids, nothing of any event."""
    reasons = Counter(outcome.reason for outcome in outcomes)
    failed = Counter(
        {reason.value: count for reason, count in reasons.items() if reason not in _RESULTS}
    )
    return {
        "records_in": len(outcomes),
        "records_delivered": reasons[Reason.DELIVERED],
        "records_dropped": reasons[Reason.CONTROL_MESSAGE] + reasons[Reason.NO_MATCH],
        "records_control_message": reasons[Reason.CONTROL_MESSAGE],
        "records_no_match": reasons[Reason.NO_MATCH],
        "records_failed": failed.total(),
        "failed_by_reason": dict(failed),
        "events_in": sum(outcome.events_in for outcome in outcomes),
        "events_delivered": sum(outcome.events_delivered for outcome in outcomes),
        "bytes_in": sum(outcome.bytes_in for outcome in outcomes),
        "bytes_decompressed": sum(outcome.bytes_decompressed for outcome in outcomes),
        "bytes_out": sum(outcome.bytes_out for outcome in outcomes),
    }
