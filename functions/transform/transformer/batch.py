"""A batch of records: each one decoded and filtered, delivered as far as it fits, then counted."""

import binascii
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from transformer.budget import MAX_ANSWER_BYTES, AnswerBudget, empty_answer_room
from transformer.cloudtrail import Selection
from transformer.codec import check_utf8, decode_base64, decompress
from transformer.config import Config
from transformer.documents import RecordReader
from transformer.errors import Reason, RecordError
from transformer.firehose import InputRecord, OutputRecord, Response, Result
from transformer.put_back import MAX_RECORD_BYTES, PutBack
from transformer.remainder import remainder

_RESULTS: dict[Reason, Result] = {
    Reason.DELIVERED: "Ok",
    Reason.CONTROL_MESSAGE: "Dropped",
    Reason.NO_MATCH: "Dropped",
    Reason.PUT_BACK: "Dropped",
}

# The slowest record known takes 23 seconds of one core: with less time left the next one goes back
# instead, and there is time to put it.
SECONDS_FOR_A_RECORD = 60


@dataclass(slots=True)
class Outcome:
    """One record's fate.

    events_in, events_delivered: log events read, and lines in `data`.
    bytes_in, bytes_decompressed, bytes_out: of the record, of the text inside it, of the lines.
    data: the lines in base64, None where nothing is delivered.
    put_back: what goes back into the stream: the record as it came, or what is left of it.
    """

    record_id: str
    reason: Reason = Reason.UNEXPECTED_ERROR
    data: str | None = None
    events_in: int = 0
    events_delivered: int = 0
    bytes_in: int = 0
    bytes_decompressed: int = 0
    bytes_out: int = 0
    put_back: bytes | None = None

    @property
    def result(self) -> Result:
        return _RESULTS.get(self.reason, "ProcessingFailed")

    def lines(self) -> list[str]:
        r"""Return the delivered lines, without their `\n`."""
        return binascii.a2b_base64(self.data or "").decode().split("\n")[:-1]

    def fail(self, reason: Reason) -> None:
        """Deliver nothing of this record: its source goes to the error prefix, whole."""
        self.reason = reason
        self.data = None
        self.put_back = None
        self.events_delivered = self.bytes_out = 0


class Transformer:
    """Turns Firehose records into CloudTrail events, one JSON line each, as `config` says."""

    def __init__(self, config: Config, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._max_decompressed_bytes = config.max_decompressed_bytes
        self._selection = Selection(config.event_names)
        self._max_answer_bytes = max_answer_bytes

    def transform(
        self,
        records: Sequence[InputRecord],
        seconds_left: Callable[[], float] = lambda: float("inf"),
    ) -> list[Outcome]:
        """Return every record's fate, in order; what has a `put_back` must still go there.

        Records are delivered in order while the answer holds them. Some event is always delivered
        or failed where something goes back, and nothing that is delivered goes back.
        """
        budget = AnswerBudget((record.record_id for record in records), self._max_answer_bytes)
        outcomes: list[Outcome] = []
        for record in records:
            in_time = not outcomes or seconds_left() >= SECONDS_FOR_A_RECORD
            outcomes.append(self._transform_record(record, budget, in_time=in_time))
        _make_progress(outcomes)
        return outcomes

    def _transform_record(
        self, record: InputRecord, budget: AnswerBudget, *, in_time: bool
    ) -> Outcome:
        outcome = Outcome(record.record_id)
        try:
            if in_time:
                self._deliver(record, outcome, budget)
            else:
                _put_back(outcome, decode_base64(record.data))
        except RecordError as error:
            outcome.fail(error.reason)
        # An exception past here would make Firehose retry the whole batch and then fail all of
        # it; this way only the record that raised goes to the error prefix, where it is kept.
        except Exception:  # noqa: BLE001
            outcome.fail(Reason.UNEXPECTED_ERROR)
        if outcome.data is not None:
            budget.take(outcome.bytes_out)
        return outcome

    def _deliver(self, record: InputRecord, outcome: Outcome, budget: AnswerBudget) -> None:
        source = decode_base64(record.data)
        outcome.bytes_in = len(source)
        text = decompress(source, self._max_decompressed_bytes)
        outcome.bytes_decompressed = len(text)
        check_utf8(text)
        room = budget.room
        most = empty_answer_room(record.record_id, self._max_answer_bytes)
        lines = bytearray()
        delivered = total = 0
        undeliverable: Reason | None = None
        reader = RecordReader(self._selection)
        try:
            for _, line in self._selected(reader, text, most):
                if isinstance(line, Reason):
                    undeliverable = undeliverable or line
                    continue
                total += len(line) + 1
                if total <= room:
                    lines += line
                    lines += b"\n"
                    delivered += 1
        finally:
            outcome.events_in = reader.events
        if not total:
            outcome.reason = undeliverable or (
                Reason.CONTROL_MESSAGE if reader.only_control else Reason.NO_MATCH
            )
        elif not delivered or room < total <= most:
            # It fits into an answer of its own, or nothing of it fits into this one any more.
            _put_back(outcome, source)
        else:
            if undeliverable or total > room:
                left = self._left(text, most, delivered)
                _put_back(outcome, remainder(text, left))
            outcome.reason = Reason.DELIVERED
            outcome.data = binascii.b2a_base64(lines, newline=False).decode("ascii")
            outcome.events_delivered = delivered
            outcome.bytes_out = len(lines)

    def _selected(
        self, reader: RecordReader, text: bytes, most: int
    ) -> Iterator[tuple[str, bytes | Reason]]:
        """Yield each selected message of a record with its line, or why it can have none."""
        for message in reader.messages(text):
            try:
                line = self._selection.line(message)
            except RecordError as error:
                yield message, error.reason
                continue
            if line is None:
                continue
            yield message, line if len(line) < most else Reason.TOO_LARGE

    def _left(self, text: bytes, most: int, delivered: int) -> Iterator[str]:
        """Yield the selected messages after the first `delivered` that have a line."""
        for message, line in self._selected(RecordReader(self._selection), text, most):
            if isinstance(line, Reason):
                yield message
            elif delivered:
                delivered -= 1
            else:
                yield message


def _put_back(outcome: Outcome, data: bytes) -> None:
    """Say what goes back; RecordError `put_back_failed` for more than a record may have."""
    if len(data) > MAX_RECORD_BYTES:
        raise RecordError(Reason.PUT_BACK_FAILED)
    outcome.reason = Reason.PUT_BACK
    outcome.put_back = data


def _make_progress(outcomes: Iterable[Outcome]) -> None:
    """Fail the first record that goes back if no event of the batch was delivered or failed.

    Else the same records could come again for ever. It takes tens of thousands of records without
    an event, whose ids alone fill the answer, beside an event of half a megabyte.
    """
    going_back = [outcome for outcome in outcomes if outcome.reason is Reason.PUT_BACK]
    if going_back and not any(
        outcome.data is not None or outcome.result == "ProcessingFailed" for outcome in outcomes
    ):
        going_back[0].fail(Reason.PUT_BACK_FAILED)


def put_back(
    outcomes: Iterable[Outcome],
    stream_name: str | None,
    putter: PutBack,
    seconds_left: Callable[[], float],
) -> None:
    """Put back what is to go back; fail, whole, each record of which that is not certain."""
    going = [(outcome, outcome.put_back) for outcome in outcomes if outcome.put_back is not None]
    if not going:
        return
    accepted = [False] * len(going)
    if stream_name is not None:
        accepted = putter.put(stream_name, [data for _, data in going], seconds_left)
    for (outcome, _), is_accepted in zip(going, accepted, strict=True):
        if not is_accepted:
            outcome.fail(Reason.PUT_BACK_FAILED)


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
    put_back_bytes = [len(each.put_back) for each in outcomes if each.put_back is not None]
    return {
        "records_in": len(outcomes),
        "records_delivered": reasons[Reason.DELIVERED],
        "records_dropped": reasons[Reason.CONTROL_MESSAGE] + reasons[Reason.NO_MATCH],
        "records_control_message": reasons[Reason.CONTROL_MESSAGE],
        "records_no_match": reasons[Reason.NO_MATCH],
        # Whole, or what is left of one that is delivered in part.
        "records_put_back": len(put_back_bytes),
        "records_failed": failed.total(),
        "failed_by_reason": dict(failed),
        "events_in": sum(outcome.events_in for outcome in outcomes),
        "events_delivered": sum(outcome.events_delivered for outcome in outcomes),
        "bytes_in": sum(outcome.bytes_in for outcome in outcomes),
        "bytes_decompressed": sum(outcome.bytes_decompressed for outcome in outcomes),
        "bytes_out": sum(outcome.bytes_out for outcome in outcomes),
        "bytes_put_back": sum(put_back_bytes),
    }
