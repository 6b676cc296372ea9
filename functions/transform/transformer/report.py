"""Writes the log and metrics of an invocation: only ids, counts and reasons."""

import contextlib
from collections import Counter
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from transformer.outcome import RESULTS, Outcome, Reason

# A batch can have thousands of records: the summary counts the failures beyond these.
MAX_WARNINGS = 20

# A metric is billed for every month in which it has a value, so zeros are not sent.
_METRICS = {
    "EventsDelivered": "events_delivered",
    "RecordsFailed": "records_failed",
    "RecordsPutBack": "records_put_back",
}

# No `location`: it would always be the same lines of this file. The service is the stack's name.
_logger = Logger(location=None)
_metrics = Metrics()


def report(outcomes: list[Outcome], invocation_id: object, request_id: object) -> None:
    """Log one summary and a capped number of failed records; publish the alarms' metrics."""
    # Records may be back in the stream: an exception now would make Firehose retry the batch.
    with contextlib.suppress(Exception):
        ids = {"invocation_id": invocation_id, "function_request_id": request_id}
        failed = [outcome for outcome in outcomes if outcome.result == "ProcessingFailed"]
        for outcome in failed[:MAX_WARNINGS]:
            record = {"record_id": outcome.record_id, "reason": outcome.reason.value}
            _logger.warning("record failed", extra=record | ids)
        counts: dict[str, Any] = summary(outcomes)
        _logger.info("batch transformed", extra=counts | ids)
        valued = {name: counts[count] for name, count in _METRICS.items() if counts[count]}
        # With POWERTOOLS_METRICS_DISABLED, a flush keeps the values: the hundredth would send all.
        _metrics.clear_metrics()
        for name, value in valued.items():
            _metrics.add_metric(name, MetricUnit.Count, value)
        if valued:
            _metrics.flush_metrics()


def summary(outcomes: list[Outcome]) -> dict[str, int | dict[str, int]]:
    """Return every count of the batch, without ids or content of events."""
    reasons = Counter(outcome.reason for outcome in outcomes)
    failed = {reason.value: count for reason, count in reasons.items() if reason not in RESULTS}
    put_back_bytes = [len(each.put_back) for each in outcomes if each.put_back is not None]
    summed = ("events_in", "events_delivered", "bytes_in", "bytes_decompressed", "bytes_out")
    return {
        "records_in": len(outcomes),
        "records_delivered": reasons[Reason.DELIVERED],
        "records_dropped": reasons[Reason.CONTROL_MESSAGE] + reasons[Reason.NO_MATCH],
        "records_control_message": reasons[Reason.CONTROL_MESSAGE],
        "records_no_match": reasons[Reason.NO_MATCH],
        "records_put_back": len(put_back_bytes),  # complete records, or the rest of one
        "records_failed": sum(failed.values()),
        "failed_by_reason": failed,
        **{name: sum(getattr(outcome, name) for outcome in outcomes) for name in summed},
        "bytes_put_back": sum(put_back_bytes),
    }
