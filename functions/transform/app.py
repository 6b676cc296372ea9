"""The Lambda function: CloudWatch Logs records in, CloudTrail events out, one JSON line each."""

import os
from typing import Any

from transformer.batch import Outcome, Transformer, response
from transformer.config import Config
from transformer.firehose import Response, parse_event
from transformer.report import report

_transformer = Transformer(Config.from_environment(os.environ))


def lambda_handler(event: Any, context: Any) -> Response:
    """Answer every record of a Firehose transformation event once, in order.

    Raises NotAFirehoseEventError for anything else.
    """
    return response(handle(event, context))


def handle(event: Any, context: Any) -> list[Outcome]:
    """Transform and report an event's records; return each one's fate and the reason for it."""
    outcomes = _transformer.transform(parse_event(event))
    report(outcomes, event.get("invocationId"), context.aws_request_id)
    return outcomes
