"""The CloudWatch Logs API of the pipeline: its subscription filter, and FilterLogEvents.

moto stores log groups and events, but matches every JSON pattern and does not know the stream.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/
"""

import time
from typing import Any

from console_login.local.filter_pattern import FilterPattern, FilterPatternError
from console_login.local.firehose_api import ApiError
from console_login.local.pipeline import Pipeline

_INVALID = "InvalidParameterException"


class LogsApi:
    """Read, change and delete the subscription filter of the pipeline's log group."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        properties = pipeline.stack.only("AWS::Logs::SubscriptionFilter").properties
        self._filter: dict[str, Any] | None = {
            "filterName": pipeline.subscription.origin.filter_name,
            "logGroupName": properties["LogGroupName"],
            "filterPattern": properties["FilterPattern"],
            "destinationArn": properties["DestinationArn"],
            "roleArn": properties["RoleArn"],
            "distribution": "ByLogStream",
            "creationTime": int(time.time() * 1000),
        }

    def describe_subscription_filters(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeSubscriptionFilters."""
        matches = self._filter and request.get("logGroupName") == self._filter["logGroupName"]
        return {"subscriptionFilters": [self._filter] if matches else []}

    def put_subscription_filter(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer PutSubscriptionFilter: the pipeline selects by this pattern from now on."""
        stream_arn = self._pipeline.stream.configuration.arn
        if request.get("logGroupName") != self._pipeline.stack.outputs["LogGroupName"]:
            raise ApiError("ResourceNotFoundException", "The log group does not exist here.")
        if request.get("destinationArn") != stream_arn:
            raise ApiError(_INVALID, "Could not deliver a test message to the destination.")
        if self._filter and request.get("filterName") != self._filter["filterName"]:
            raise ApiError("LimitExceededException", "The local pipeline has one filter.")
        try:
            pattern = FilterPattern(str(request.get("filterPattern")))
        except FilterPatternError as error:
            raise ApiError(_INVALID, str(error)) from error
        self._pipeline.subscribe(pattern)
        given = {key: request.get(key) for key in ("filterName", "filterPattern", "roleArn")}
        self._filter = {
            "logGroupName": request["logGroupName"],
            "destinationArn": stream_arn,
            "distribution": "ByLogStream",
            "creationTime": int(time.time() * 1000),
        } | given
        return {}

    def delete_subscription_filter(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteSubscriptionFilter: the pipeline selects nothing from now on."""
        named = {key: request.get(key) for key in ("logGroupName", "filterName")}
        if self._filter is None or not named.items() <= self._filter.items():
            raise ApiError("ResourceNotFoundException", "The filter does not exist.")
        self._filter = None
        self._pipeline.subscribe(None)
        return {}

    @staticmethod
    def filtered(request: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        """Return moto's response to FilterLogEvents, limited to the events that match."""
        try:
            pattern = FilterPattern(str(request.get("filterPattern") or ""))
        except FilterPatternError as error:
            raise ApiError(_INVALID, str(error)) from error
        events = [each for each in found["events"] if pattern.matches(each["message"])]
        return found | {"events": events}
