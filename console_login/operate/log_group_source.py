"""Events of a log group, for a backfill: FilterLogEvents with the filter's pattern.

The time range is read in slices. So nothing is left out, whatever the order of the events within a
slice.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from collections.abc import Iterator
from typing import Any

from console_login.events.envelope import LogEvent
from console_login.operate.access import Access, one_line
from console_login.operate.backfill_records import (
    LeftOut,
    Record,
    SentEvent,
    Slice,
    Watch,
    records,
)
from console_login.operate.backfill_state import BackfillError, Plan, text, time_of

SLICE_MS = 60 * 60 * 1000

# PutLogEvents rejects older events, so an event can be older than its group by at most this much.
_OLDEST_BEFORE_GROUP_MS = 14 * 24 * 60 * 60 * 1000

# FilterLogEvents allows five to ten calls per second, and each slice needs at least one.
_READ_TRIES = 10


class LogGroup:
    """A log group and the pattern of the events to read.

    Raises BackfillError if the log group does not exist, AccessError if a request fails.
    """

    def __init__(self, access: Access, name: str, pattern: str) -> None:
        group = _described(access, name)
        arn: str = group["arn"].removesuffix(":*")
        _, _, _, self._region, self._owner, _, self._name = arn.split(":", 6)
        self._pattern = pattern
        self._created: int = group["creationTime"]
        self._access = access
        self.source = {"log_group_arn": arn, "pattern": pattern}

    def described(self) -> list[tuple[str, str]]:
        """Return a description of the source, as pairs of a heading and a value."""
        return [
            ("log group", f"{self._name} ({self._owner}, {self._region})"),
            ("pattern", self._pattern or "none: every event"),
        ]

    def first(self, start: int) -> int:
        """Return the first time from `start` on at which the group can have an event."""
        return max(start, self._created - _OLDEST_BEFORE_GROUP_MS)

    def slices(self, plan: Plan, position: str, watch: Watch) -> Iterator[Slice]:
        """Yield one slice for each hour.

        Raises AccessError, also while the records of a slice are read.
        """
        retries = {"mode": "standard", "max_attempts": _READ_TRIES}
        pages = self._access.client("logs", retries=retries).get_paginator("filter_log_events")
        first = time_of(position)

        def reached(moment: int) -> None:
            watch((moment - first) / (plan.end - first))

        for start in range(first, plan.end, SLICE_MS):
            end = min(start + SLICE_MS, plan.end)
            found = self._records(self._events(pages, start, end), reached)
            yield Slice(found, text(end))
            reached(end)

    def _records(
        self, events: Iterator[dict[str, Any]], reached: Any
    ) -> Iterator[Record | LeftOut]:
        def sent() -> Iterator[SentEvent]:
            for each in events:
                event = LogEvent(each["eventId"], each["timestamp"], each["message"])
                yield SentEvent(each["logStreamName"], event)
                reached(each["timestamp"])

        return records(self._owner, self._name, sent())

    def _events(self, pages: Any, start: int, end: int) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {"logGroupName": self._name, "startTime": start, "endTime": end}
        if self._pattern:
            request["filterPattern"] = self._pattern
        with one_line():
            for page in pages.paginate(**request):
                for event in page["events"]:
                    # The API includes the end of the range; a slice excludes it.
                    if start <= event["timestamp"] < end:
                        yield event


def _described(access: Access, log_group: str) -> dict[str, Any]:
    """Return the description of a log group, with its ARN, which has the account and the Region."""
    pages = access.client("logs").get_paginator("describe_log_groups")
    with one_line():
        for page in pages.paginate(logGroupNamePrefix=log_group):
            for each in page["logGroups"]:
                if each["logGroupName"] == log_group:
                    found: dict[str, Any] = each
                    return found
    raise BackfillError(
        f"log group {log_group} does not exist in this account and Region: check --log-group,"
        " --region and --profile"
    )
