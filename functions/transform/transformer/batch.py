"""A batch of records: decode and filter each one, deliver what fits, and count the bytes."""

from collections.abc import Iterable, Sequence

from transformer import careful, envelope
from transformer.budget import MAX_RESPONSE_BYTES, ResponseBudget
from transformer.cloudtrail import Selection, decode_event
from transformer.codec import check_utf8, decode_base64, decompress
from transformer.firehose import InputRecord
from transformer.outcome import Outcome, Reason, RecordError
from transformer.put_back import Clock, PutBack

# The slowest record takes 5 s on a full core (the function has 0.58 vCPU), a put at most 15 s.
_SECONDS_FOR_A_RECORD = 24


class Transformer:
    """Turns Firehose records into lines: CloudTrail events with these names, or all if None."""

    def __init__(self, names: frozenset[str] | None, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self._selection, self._max_bytes = Selection(names), max_bytes

    def transform(
        self, records: Sequence[InputRecord], seconds_left: Clock = lambda: float("inf")
    ) -> list[Outcome]:
        """Return each record's outcome, in order; the caller must still put back each `put_back`.

        Records are delivered in order while they fit in the response. When time runs short, the
        rest is put back unread. If anything is put back, at least one event is delivered or failed,
        or a record is dropped, so a batch makes progress. Delivered events are never put back.
        """
        budget = ResponseBudget((record.record_id for record in records), self._max_bytes)
        outcomes: list[Outcome] = []
        seconds = seconds_left()
        # Leaves a quarter of the time after the slowest record and its put; reads for at least 20%.
        latest = min(seconds / 4 + _SECONDS_FOR_A_RECORD, seconds * 0.8)
        is_late = False
        for record in records:
            # Always read the first record: if it is not put back, the batch has made progress.
            is_late = is_late or (bool(outcomes) and seconds_left() < latest)
            outcomes.append(self._outcome(record, budget, is_late=is_late))
        going = [outcome for outcome in outcomes if outcome.reason is Reason.PUT_BACK]
        # If records were late, they only need more time, so a dropped record counts as progress.
        has_progress = (is_late and len(going) < len(outcomes)) or any(
            outcome.data is not None or outcome.events_failed for outcome in outcomes
        )
        # Otherwise the same records could come back forever if their ids fill the response: tens
        # of thousands of records without an event, and one with an event of half a megabyte.
        if going and not has_progress:
            going[0].fail(Reason.PUT_BACK_FAILED)
        return outcomes

    def _outcome(self, record: InputRecord, budget: ResponseBudget, *, is_late: bool) -> Outcome:
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
        # An exception here would make Firehose retry the whole batch, and then fail all of it.
        except Exception:  # noqa: BLE001
            outcome.fail(Reason.UNEXPECTED_ERROR)
        if outcome.data is not None:
            budget.take(outcome.bytes_out)
        return outcome

    def _deliver_whole(self, text: bytes, outcome: Outcome, budget: ResponseBudget) -> bool:
        """Deliver a record of one valid envelope, as CloudWatch Logs writes it, if it all fits."""
        if b"\n" in text:  # `careful` reads text line by line
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
            # Do not join lines that cannot fit: at four bytes a character, they could fill memory.
            if sum(map(len, selected)) > budget.room:
                return False
            lines = "\n".join([*selected, ""]).encode()
        # Not an envelope, a damaged message, or a lone surrogate.
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
    """Put back each outcome's `put_back`; fail each record that may not have been accepted."""
    going = [(outcome, outcome.put_back) for outcome in outcomes if outcome.put_back is not None]
    accepted = [False] * len(going)
    if going and stream_name is not None:
        accepted = putter.put(stream_name, [data for _, data in going], seconds_left)
    for (outcome, _), is_accepted in zip(going, accepted, strict=True):
        if not is_accepted:
            outcome.fail(Reason.PUT_BACK_FAILED)
