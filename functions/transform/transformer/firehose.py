"""Firehose's transformation contract: the event that invokes the function, and its answer.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html
"""

from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

Result = Literal["Ok", "Dropped", "ProcessingFailed"]


class NotAFirehoseEventError(Exception):
    """The function was invoked with something that no answer could be given to."""


class InputRecord(NamedTuple):
    """One record of the event. `data` is base64 text, unless the sender made it something else."""

    record_id: str
    data: object


class OutputRecord(TypedDict):
    """One record of the answer, with Firehose's keys. `data` is base64 text, for `Ok` alone."""

    recordId: str
    result: Result
    data: NotRequired[str]


class Response(TypedDict):
    """The answer: every record of the event once, in its order."""

    records: list[OutputRecord]


def parse_event(event: Any) -> list[InputRecord]:
    """Return the records of a transformation event; NotAFirehoseEventError if it is none."""
    records = event.get("records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise NotAFirehoseEventError(
            "not a Firehose transformation event: it has no list of records. "
            "Only a Firehose stream's Lambda processor can invoke this function."
        )
    return [_parse_record(number, record) for number, record in enumerate(records)]


def _parse_record(number: int, record: Any) -> InputRecord:
    record_id = record.get("recordId") if isinstance(record, dict) else None
    if not isinstance(record_id, str):
        raise NotAFirehoseEventError(
            f"not a Firehose transformation event: record {number} has no recordId"
        )
    return InputRecord(record_id, record.get("data"))
