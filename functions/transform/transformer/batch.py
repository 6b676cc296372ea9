"""A batch of records: each one decoded and filtered, delivered as far as it fits, then counted."""

from collections.abc import Iterable, Sequence

from transformer import careful, envelope
from transformer.budget import MAX_ANSWER_BYTES, AnswerBudget
from transformer.cloudtrail import Selection, decode_event
from transformer.codec import check_utf8, decode_base64, decompress
from transformer.firehose import InputRecord
from transformer.outcome import Outcome, Reason, RecordError
from transformer.put_back import Clock, PutBack

# The slowest takes 5 seconds of a core, of which the function has 0.58; a put 15 at the worst.
_SECONDS_FOR_A_RECORD = 24


class Transformer:
    """Turns Firehose records into the CloudTrail events of these names, all for None, as lines."""

    def __init__(self, names: frozenset[str] | None, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._selection, self._max_answer_bytes = Selection(names), max_bytes

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
        seconds = seconds_left()
        # A quarter stays after the slowest record and its put; a fifth is for reading at least.
        latest = min(seconds / 4 + _SECONDS_FOR_A_RECORD, seconds * 0.8)
        is_late = False
        for record in records:
            # The first is read in any case: one that is read and does not go back is settled.
            is_late = is_late or (bool(outcomes) and seconds_left() < latest)
            outcomes.append(self._outcome(record, budget, is_late=is_late))
        going = [outcome for outcome in outcomes if outcome.reason is Reason.PUT_BACK]
        # Late records wait for nothing but time: one that is dropped is progress then.
        has_progress = (is_late and len(going) < len(outcomes)) or any(
            outcome.data is not None or outcome.events_failed for outcome in outcomes
        )
        # The same records could come again for ever, where their ids fill the answer: tens of
        # thousands without an event, beside an event of half a megabyte.
        if going and not has_progress:
            going[0].fail(Reason.PUT_BACK_FAILED)
        return outcomes

    def _outcome(self, record: InputRecord, budget: AnswerBudget, *, is_late: bool) -> Outcome:
        outcome = Outcome(record.record_id)
        try:
            source = decode_base64(record.data)
            outcome.bytes_in = len(source)
            if is_late:
                outcome.go_back(source)
            else:
                text = decompress(source)
                outcome.bytes_decompressed = len(text)
                check_utf8(text)
                if not self._deliver_whole(text, outcome, budget):
                    careful.deliver(source, text, self._selection, budget, outcome)
        except RecordError as error:
            outcome.fail(error.reason)
        # Past here it would make Firehose retry the whole batch, and then fail all of it.
        except Exception:  # noqa: BLE001
            outcome.fail(Reason.UNEXPECTED_ERROR)
        if outcome.data is not None:
            budget.take(outcome.bytes_out)
        return outcome

    def _deliver_whole(self, text: bytes, outcome: Outcome, budget: AnswerBudget) -> bool:
        """Deliver the one envelope that CloudWatch Logs writes, if it is in order and fits."""
        if b"\n" in text:  # lines are read one by one, by the careful path
            return False
        selection = self._selection
        selected: list[str] = []
        try:
            document = envelope.decode(text)
            if document.messageType != envelope.DATA_MESSAGE or not document.logEvents:
                return False
            for log_event in document.logEvents:
                message = log_event.message
                if not selection.may_be(message):
                    continue
                event_name = decode_event(message).eventName
                if event_name is None or "\n" in message or "\r" in message:
                    return False
                if selection.every or event_name in selection.names:
                    selected.append(message)
            # Joined, what cannot fit would fill the memory: a character takes up to four bytes.
            if sum(map(len, selected)) > budget.room:
                return False
            lines = "\n".join([*selected, ""]).encode()
        # No such document, a damaged message, a lone surrogate.
        except (ValueError, RecursionError):
            return False
        if len(lines) > budget.room:
            return False
        outcome.events_in = len(document.logEvents)
        outcome.reason = Reason.NO_MATCH
        if selected:
            outcome.deliver(lines, len(selected))
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
