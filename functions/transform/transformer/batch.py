"""A batch of records: each one decoded and filtered, delivered as far as it fits, then counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from transformer import careful, envelope
from transformer.budget import MAX_ANSWER_BYTES, AnswerBudget
from transformer.cloudtrail import Selection, decode_event
from transformer.codec import check_utf8, decode_base64, decompress
from transformer.config import Config
from transformer.errors import Reason, RecordError
from transformer.firehose import InputRecord, OutputRecord, Response
from transformer.outcome import RESULTS, Outcome
from transformer.put_back import PutBack

# Counts of an outcome that are added up for the batch.
_SUMMED = ("events_in", "events_delivered", "bytes_in", "bytes_decompressed", "bytes_out")

# Of the errors that end a record, those that it takes a selected event for.
_FAILS_EVENTS = frozenset({Reason.MALFORMED_EVENT, Reason.PUT_BACK_FAILED})

# The slowest record takes five seconds of one core, and the function has 0.58 of one; a put takes
# fifteen seconds at the worst.
_SECONDS_FOR_A_RECORD = 24

Clock = Callable[[], float]


def late_below(seconds: float) -> float:
    """Return with how many seconds left a record is late, of those that the invocation began with.

    A quarter of them stays after the slowest record and its put; a fifth is for reading at least.
    """
    return min(seconds / 4 + _SECONDS_FOR_A_RECORD, seconds * 0.8)


class Transformer:
    """Turns Firehose records into CloudTrail events, one JSON line each, as `config` says."""

    def __init__(self, config: Config, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._max_decompressed_bytes = config.max_decompressed_bytes
        self._selection = Selection(config.event_names)
        self._max_answer_bytes = max_answer_bytes

    def transform(
        self, records: Sequence[InputRecord], seconds_left: Clock = lambda: float("inf")
    ) -> list[Outcome]:
        """Return every record's outcome, in order; what has a `put_back` must still go there.

        Records are delivered in order while the answer holds them, and go back unread when it is
        late. Where something goes back, some event is delivered or failed, or a record is dropped;
        nothing that is delivered goes back.
        """
        budget = AnswerBudget((record.record_id for record in records), self._max_answer_bytes)
        outcomes: list[Outcome] = []
        latest = late_below(seconds_left())
        is_late = False
        for record in records:
            # The first is read in any case: one that is read and does not go back is settled.
            is_late = is_late or (bool(outcomes) and seconds_left() < latest)
            outcomes.append(self._transform_record(record, budget, is_late=is_late))
        going = [outcome for outcome in outcomes if outcome.reason is Reason.PUT_BACK]
        # Late records wait for nothing but time: one that is dropped is progress then.
        has_progress = (is_late and len(going) < len(outcomes)) or any(
            outcome.data is not None or outcome.events_failed for outcome in outcomes
        )
        # Else the same records could come again for ever. The first deliverable event finds the
        # answer empty but for the ids of the batch, so it takes ids that fill it: tens of thousands
        # of records without an event, beside an event of half a megabyte.
        if going and not has_progress:
            going[0].fail(Reason.PUT_BACK_FAILED)
        return outcomes

    def _transform_record(
        self, record: InputRecord, budget: AnswerBudget, *, is_late: bool
    ) -> Outcome:
        outcome = Outcome(record.record_id)
        try:
            source = decode_base64(record.data)
            outcome.bytes_in = len(source)
            if is_late:
                outcome.go_back(source)
            else:
                text = decompress(source, self._max_decompressed_bytes)
                outcome.bytes_decompressed = len(text)
                check_utf8(text)
                if not self._deliver_whole(text, outcome, budget):
                    careful.deliver(source, text, self._selection, budget, outcome)
        except RecordError as error:
            outcome.fail(error.reason)
            outcome.events_failed = error.reason in _FAILS_EVENTS
        # Past here it would make Firehose retry the whole batch and then fail all of it; this way
        # only the record that raised goes to the error prefix, where it is kept.
        except Exception:  # noqa: BLE001
            outcome.fail(Reason.UNEXPECTED_ERROR)
        if outcome.data is not None:
            budget.take(outcome.bytes_out)
        return outcome

    def _deliver_whole(self, text: bytes, outcome: Outcome, budget: AnswerBudget) -> bool:
        """Deliver the one envelope that CloudWatch Logs writes, if it is in order and fits."""
        # Before it is read: what has lines is read line by line, by the careful path.
        if b"\n" in text:
            return False
        selection = self._selection
        selected: list[str] = []
        try:
            document = envelope.decode(text)
            if document.messageType != envelope.DATA_MESSAGE:
                return False
            for log_event in document.logEvents or ():
                message = log_event.message
                if not selection.may_be(message):
                    continue
                event_name = decode_event(message).eventName
                if event_name is None or "\n" in message or "\r" in message:
                    return False
                if selection.every or event_name in selection.names:
                    selected.append(message)
            lines = "\n".join([*selected, ""]).encode()
        # No such document, a damaged message, a lone surrogate.
        except (ValueError, RecursionError):
            return False
        if not document.logEvents or len(lines) > budget.room:
            return False
        outcome.events_in = len(document.logEvents)
        if selected:
            outcome.deliver(lines, len(selected))
        else:
            outcome.reason = Reason.NO_MATCH
        return True


def put_back(
    outcomes: Iterable[Outcome], stream_name: str | None, putter: PutBack, seconds_left: Clock
) -> None:
    """Put back what is to go back; fail, whole, each record of which that is not certain."""
    going = [(outcome, outcome.put_back) for outcome in outcomes if outcome.put_back is not None]
    accepted = [False] * len(going)
    if going and stream_name is not None:
        accepted = putter.put(stream_name, [data for _, data in going], seconds_left)
    for (outcome, _), is_accepted in zip(going, accepted, strict=True):
        if not is_accepted:
            outcome.fail(Reason.PUT_BACK_FAILED)


def response(outcomes: Iterable[Outcome]) -> Response:
    """Return Firehose's answer."""
    records: list[OutputRecord] = []
    for outcome in outcomes:
        records.append({"recordId": outcome.record_id, "result": outcome.result})
        if outcome.data is not None:
            records[-1]["data"] = outcome.data
    return {"records": records}


def summary(outcomes: list[Outcome]) -> dict[str, int | dict[str, int]]:
    """Return every count of the batch: no ids, nothing of any event."""
    reasons = Counter(outcome.reason for outcome in outcomes)
    failed = {reason.value: count for reason, count in reasons.items() if reason not in RESULTS}
    put_back_bytes = [len(each.put_back) for each in outcomes if each.put_back is not None]
    counts: dict[str, int | dict[str, int]] = {
        "records_in": len(outcomes),
        "records_delivered": reasons[Reason.DELIVERED],
        "records_dropped": reasons[Reason.CONTROL_MESSAGE] + reasons[Reason.NO_MATCH],
        "records_control_message": reasons[Reason.CONTROL_MESSAGE],
        "records_no_match": reasons[Reason.NO_MATCH],
        # Whole, or what is left of one that is delivered in part.
        "records_put_back": len(put_back_bytes),
        "records_failed": sum(failed.values()),
        "failed_by_reason": failed,
    }
    for name in _SUMMED:
        counts[name] = sum(getattr(outcome, name) for outcome in outcomes)
    return counts | {"bytes_put_back": sum(put_back_bytes)}
