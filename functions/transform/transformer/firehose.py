"""Firehose's transformation contract: the event that invokes the function, and its answer.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html
"""

from typing import Any, NamedTuple

# Every record of the event once, in order: recordId, result, and for `Ok` data in base64.
Response = dict[str, list[dict[str, str]]]


class NotAFirehoseEventError(Exception):
    """The function was invoked with something that no answer could be given to."""


class InputRecord(NamedTuple):
    """One record of the event. `data` is base64 text, unless the sender made it something else."""

    record_id: str
    data: Any


class Event(NamedTuple):
    """What invokes the function. `stream_name` is None where the event names no stream."""

    records: list[InputRecord]
    stream_name: str | None
    invocation_id: object


def parse_event(event: Any) -> Event:
    """Return a transformation event; NotAFirehoseEventError if it is none that can be answered."""
    records = event.get("records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise NotAFirehoseEventError("no list of records: only a Firehose stream may invoke this")
    if event.get("sourceKinesisStreamArn") is not None:
        # The function could put nothing back into it.
        raise NotAFirehoseEventError("a stream that reads from Kinesis: it must be Direct PUT")
    inputs: list[InputRecord] = []
    for number, record in enumerate(records):
        if not (isinstance(record, dict) and isinstance(record.get("recordId"), str)):
            raise NotAFirehoseEventError(f"record {number} has no recordId")
        inputs.append(InputRecord(record["recordId"], record.get("data")))
    arn = event.get("deliveryStreamArn")
    name = arn.partition(":deliverystream/")[2] if isinstance(arn, str) else ""
    return Event(inputs, name or None, event.get("invocationId"))
