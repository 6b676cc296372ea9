"""The Lambda function: turns CloudWatch Logs records into CloudTrail events, one JSON line each."""

import os
from typing import Any

from transformer.batch import Transformer, put_back
from transformer.config import event_names
from transformer.firehose import Response, parse_event
from transformer.outcome import Outcome
from transformer.put_back import PutBack
from transformer.report import report

_transformer = Transformer(event_names(os.environ))
_putter = PutBack()


def lambda_handler(event: Any, context: Any) -> Response:
    """Return a result for each record, in order; raise NotAFirehoseEventError for other events."""
    return {"records": [outcome.response() for outcome in handle(event, context)]}


def handle(event: Any, context: Any) -> list[Outcome]:
    """Transform records, put back what does not fit, and report; return one outcome per record."""

    def seconds_left() -> float:
        return float(context.get_remaining_time_in_millis() / 1000)

    firehose_event = parse_event(event)
    outcomes = _transformer.transform(firehose_event.records, seconds_left)
    put_back(outcomes, firehose_event.stream_name, _putter, seconds_left)
    report(outcomes, firehose_event.invocation_id, context.aws_request_id)
    return outcomes
