"""Firehose's transformation contract: the event that invokes the function, and its answer.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html
"""

from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

Result = Literal["Ok", "Dropped", "ProcessingFailed"]


class NotAFirehoseEventError(Exception):
    """The function was invoked with something that no answer could be given to."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not a Firehose transformation event{why}")


class InputRecord(NamedTuple):
    """One record of the event. `data` is base64 text, unless the sender made it something else."""

    record_id: str
    data: object


class Event(NamedTuple):
    """What invokes the function. `stream_name` is None where the event names no stream."""

    records: list[InputRecord]
    stream_name: str | None
    invocation_id: object


class OutputRecord(TypedDict):
    """One record of the answer, with Firehose's keys. `data` is base64 text, for `Ok` alone."""

    recordId: str
    result: Result
    data: NotRequired[str]


class Response(TypedDict):
    """The answer: every record of the event once, in its order."""

    records: list[OutputRecord]


def parse_event(event: Any) -> Event:
    """Return a transformation event; NotAFirehoseEventError if it is none that can be answered."""
    records = event.get("records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise NotAFirehoseEventError(
            ": it has no list of records. "
            "Only a Firehose stream's Lambda processor can invoke this function."
        )
    if event.get("sourceKinesisStreamArn") is not None:
        raise NotAFirehoseEventError(
            " of a Direct PUT stream: this one reads from a Kinesis stream, into which the function"
            " could put nothing back."
        )
    for number, record in enumerate(records):
        if not (isinstance(record, dict) and isinstance(record.get("recordId"), str)):
            raise NotAFirehoseEventError(f": record {number} has no recordId")
    arn = event.get("deliveryStreamArn")
    name = arn.partition(":deliverystream/")[2] if isinstance(arn, str) else ""
    inputs = [InputRecord(record["recordId"], record.get("data")) for record in records]
    return Event(inputs, name or None, event.get("invocationId"))
