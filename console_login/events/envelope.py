"""Envelopes of CloudWatch Logs, as a subscription filter sends them to Firehose.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

import gzip
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

_FIRST_EVENT_ID = 38174239507788117679146500299632564763633296100326440960


class Origin(NamedTuple):
    """The source of log events, as named in every envelope."""

    owner: str
    log_group: str
    log_stream: str
    filter_name: str


class LogEvent(NamedTuple):
    """A log event of an envelope; `timestamp` is in milliseconds since the epoch."""

    id: str
    timestamp: int
    message: str


def data_message(origin: Origin, events: Iterable[tuple[int, str]], first_number: int = 0) -> str:
    """Return a DATA_MESSAGE with a log event for each timestamp and message.

    Timestamps are in milliseconds since the epoch. first_number: number of earlier events in the
    log stream, which determines the ids.
    """
    return data_message_of(
        origin,
        (
            LogEvent(str(_FIRST_EVENT_ID + number), timestamp, message)
            for number, (timestamp, message) in enumerate(events, first_number)
        ),
    )


def data_message_of(origin: Origin, log_events: Iterable[LogEvent]) -> str:
    """Return a DATA_MESSAGE with log events that already have ids."""
    return compact(
        {
            "messageType": "DATA_MESSAGE",
            "owner": origin.owner,
            "logGroup": origin.log_group,
            "logStream": origin.log_stream,
            "subscriptionFilters": [origin.filter_name],
            "logEvents": [each._asdict() for each in log_events],
        }
    )


def control_message(timestamp: int) -> str:
    """Return the first message of a new subscription filter; `timestamp` in milliseconds."""
    message = "CWL CONTROL MESSAGE: Checking health of destination Firehose."
    return compact(
        {
            "messageType": "CONTROL_MESSAGE",
            "owner": "CloudwatchLogs",
            "logGroup": "",
            "logStream": "",
            "subscriptionFilters": [],
            "logEvents": [{"id": "", "timestamp": timestamp, "message": message}],
        }
    )


def compress(document: str) -> bytes:
    """Return a document as gzip, as CloudWatch Logs sends it. Equal documents give equal bytes."""
    return gzip.compress(document.encode(), compresslevel=6, mtime=0)


def compact(value: Any) -> str:
    """Return JSON without whitespace; lone surrogates are escaped, other non-ASCII text is not."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").decode()
