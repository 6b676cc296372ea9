"""A batch of records: each one decoded and filtered, delivered as far as it fits, then counted."""

import binascii
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from transformer.budget import MAX_ANSWER_BYTES, AnswerBudget, empty_answer_room
from transformer.cloudtrail import Selection
from transformer.codec import check_utf8, decode_base64, decompress, encode_base64
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

# Of the errors that end a record, those that it takes a selected event for.
_FAILS_EVENTS = frozenset({Reason.MALFORMED_EVENT, Reason.PUT_BACK_FAILED})

# The slowest record known takes some 23 seconds of one core, and the function has 0.58 of one: with
# less time left the next record goes back unread, and there is time to put it back.
SECONDS_FOR_A_RECORD = 60

# An exception takes microseconds: four million damaged messages, in 130 KB of gzip, a minute.
_MAX_DAMAGED_EVENTS = 1_000


@dataclass(slots=True)
class Outcome:
    """One record's fate.

    events_in, events_delivered: log events read, and lines in `data`.
    bytes_in, bytes_decompressed, bytes_out: of the record, of the text inside it, of the lines.
    data: the lines in base64, None where nothing is delivered.
    put_back: what goes back into the stream: the record as it came, or what is left of it.
    events_failed: whether selected events are known to fail with it.
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
    events_failed: bool = False

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

        Records are delivered in order while the answer holds them. Some event is delivered or
        failed wherever something goes back, and nothing that is delivered goes back.
        """
        budget = AnswerBudget((record.record_id for record in records), self._max_answer_bytes)
        outcomes: list[Outcome] = []
        has_progress = False
        for record in records:
            is_late = has_progress and seconds_left() < SECONDS_FOR_A_RECORD
            outcome = self._transform_record(record, budget, is_late=is_late)
            has_progress = has_progress or outcome.data is not None or outcome.events_failed
            outcomes.append(outcome)
        if not has_progress:
            _make_progress(outcomes)
        return outcomes

    def _transform_record(
        self, record: InputRecord, budget: AnswerBudget, *, is_late: bool
    ) -> Outcome:
        outcome = Outcome(record.record_id)
        try:
            source = decode_base64(record.data)
            outcome.bytes_in = len(source)
            if is_late:
                _put_back(outcome, source)
            else:
                self._deliver(source, outcome, budget)
        except RecordError as error:
            outcome.fail(error.reason)
            outcome.events_failed = error.reason in _FAILS_EVENTS
        # An exception past here would make Firehose retry the whole batch and then fail all of
        # it; this way only the record that raised goes to the error prefix, where it is kept.
        except Exception:  # noqa: BLE001
            outcome.fail(Reason.UNEXPECTED_ERROR)
        if outcome.data is not None:
            budget.take(outcome.bytes_out)
        return outcome

    def _deliver(self, source: bytes, outcome: Outcome, budget: AnswerBudget) -> None:
        text = decompress(source, self._max_decompressed_bytes)
        outcome.bytes_decompressed = len(text)
        check_utf8(text)
        room = budget.room
        most = empty_answer_room(outcome.record_id, self._max_answer_bytes)
        lines: list[bytes] = []
        total = damaged = 0
        # Selected messages that are not delivered now, and why some of them never can be.
        left: list[str] = []
        undeliverable: Reason | None = None
        reader = RecordReader(self._selection)
        try:
            for message in reader.messages(text):
                try:
                    line = self._selection.line(message)
                except RecordError as error:
                    undeliverable = undeliverable or error.reason
                    left.append(message)
                    damaged += 1
                    if damaged > _MAX_DAMAGED_EVENTS:
                        raise
                    continue
                if line is None:
                    continue
                size = len(line) + 1
                if size > most:
                    undeliverable = undeliverable or Reason.TOO_LARGE
                    left.append(message)
                    continue
                total += size
                if total <= room:
                    lines.append(line)
                else:
                    left.append(message)
        finally:
            outcome.events_in = reader.events
        if undeliverable and not total:
            outcome.reason = undeliverable
            outcome.events_failed = True
        elif not total:
            outcome.reason = Reason.CONTROL_MESSAGE if reader.only_control else Reason.NO_MATCH
        elif not lines or (room < total <= most and not budget.is_untouched):
            # Nothing of it fits any more, or all of it would fit into an answer of its own.
            _put_back(outcome, source)
        else:
            if left:
                _put_back(outcome, remainder(text, left))
            outcome.reason = Reason.DELIVERED
            delivered = b"\n".join([*lines, b""])
            outcome.data = encode_base64(delivered)
            outcome.events_delivered = len(lines)
            outcome.bytes_out = len(delivered)


def _put_back(outcome: Outcome, data: bytes) -> None:
    """Say what goes back; RecordError `put_back_failed` for more than a record may have."""
    if len(data) > MAX_RECORD_BYTES:
        raise RecordError(Reason.PUT_BACK_FAILED)
    outcome.reason = Reason.PUT_BACK
    outcome.put_back = data


def _make_progress(outcomes: Iterable[Outcome]) -> None:
    """Fail the first record that goes back: no event of the batch was delivered or failed.

    Else the same records could come again for ever. The first deliverable event finds the answer
    empty but for the ids of the batch, so it takes ids that fill it: tens of thousands of records
    without an event, beside an event of half a megabyte.
    """
    for outcome in outcomes:
        if outcome.reason is Reason.PUT_BACK:
            outcome.fail(Reason.PUT_BACK_FAILED)
            return


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
