"""Firehose's transformation contract: the event that invokes the function, and the response.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html
"""

from typing import Any, NamedTuple

# Each record of the event once, in order: recordId, result and, if `Ok`, data in base64.
Response = dict[str, list[dict[str, str]]]


class NotAFirehoseEventError(Exception):
    """The function was invoked with an event that it cannot handle."""


class InputRecord(NamedTuple):
    """One record of the event. Firehose sends base64 text as `data`; others may send anything."""

    record_id: str
    data: Any


class Event(NamedTuple):
    """The event that invokes the function. `stream_name` is None if the event names no stream."""

    records: list[InputRecord]
    stream_name: str | None
    invocation_id: object


def parse_event(event: Any) -> Event:
    """Return the parsed event; raise NotAFirehoseEventError if it cannot be handled."""
    records = event.get("records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise NotAFirehoseEventError("no list of records: only Firehose may invoke this function")
    if event.get("sourceKinesisStreamArn") is not None:
        # The function cannot put records back into such a stream.
        raise NotAFirehoseEventError("the stream reads from a Kinesis data stream: use Direct PUT")
    inputs: list[InputRecord] = []
    for number, record in enumerate(records):
        if not (isinstance(record, dict) and isinstance(record.get("recordId"), str)):
            raise NotAFirehoseEventError(f"record {number} has no recordId")
        inputs.append(InputRecord(record["recordId"], record.get("data")))
    arn = event.get("deliveryStreamArn")
    name = arn.partition(":deliverystream/")[2] if isinstance(arn, str) else ""
    return Event(inputs, name or None, event.get("invocationId"))
