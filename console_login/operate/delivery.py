"""Checks of the stack's deliveries: objects, error objects, and alarms in the ALARM state."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from console_login.counts import counted
from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Finding
from console_login.operate.sent_lines import is_finished
from console_login.operate.subject import Subject
from console_login.stack.limits import PROCESSING_FAILED
from console_login.stack.prefix import Prefix, time_zone

# CloudTrail, buffers and retries take minutes: a more recent event may still be in transit.
SETTLE_SECONDS = 15 * 60

# Times of objects (S3) and of events (CloudTrail) come from different clocks, in whole seconds.
_CLOCKS_SECONDS = 60

# Error objects whose tags are read: one request for each.
_MAX_TAGS_READ = 1000

# Pages of events that are read to count them: one request for each.
_MAX_PAGES_COUNTED = 50


def check_errors(subject: Subject) -> Checked:
    """Check for error objects that are neither redriven completely nor settled."""
    expression = subject.destination["ErrorOutputPrefix"]
    prefix = expression.replace("!{firehose:error-output-type}", PROCESSING_FAILED).split("!{")[0]
    folder = f"s3://{subject.bucket}/{prefix}"
    objects = list(
        subject.pages("s3", "list_objects_v2", "Contents")(Bucket=subject.bucket, Prefix=prefix)
    )
    not_read = ""
    waiting = objects[_MAX_TAGS_READ:]
    for index, each in enumerate(objects[:_MAX_TAGS_READ]):
        try:
            is_handled = _is_redriven(subject, each["Key"])
        except AccessError as error:
            # Objects with unread tags count as not redriven.
            waiting += objects[index:_MAX_TAGS_READ]
            not_read = f" (doctor cannot tell which of them were redriven: {error})"
            break
        if not is_handled:
            waiting.append(each)
    done = len(objects) - len(waiting)
    yield f"{counted(done, 'error object')} under {folder}" + (
        ", redriven or settled" if done else ""
    )
    if not waiting:
        return
    times = [each["LastModified"] for each in waiting]
    count = counted(len(waiting), "error object was", "error objects were")
    settle = subject.command("redrive", "--settle", "KEY")
    yield Finding(
        f"{count} not redriven, under {folder}, from {_time(min(times))} to {_time(max(times))}"
        f"{not_read}",
        [
            # The function's log has its reason, the dry run Firehose's errorCode.
            subject.aws(
                "logs", "tail", f"/aws/lambda/{subject.stream_name}-transform", "--since", "1d"
            ),
            subject.command("redrive", "--dry-run"),
        ],
        [
            subject.command("redrive", "--yes"),
            f"# for the objects that it does not send: read each one, then {settle}",
        ],
    )


def _is_redriven(subject: Subject, key: str) -> bool:
    tags = subject.call("s3", "get_object_tagging", Bucket=subject.bucket, Key=key)["TagSet"]
    return is_finished({each["Key"]: each["Value"] for each in tags}, subject.stream_name)


def check_delivery(subject: Subject) -> Checked:
    """Check that an object was written after the matching events of the log group."""
    since = subject.now - subject.hours * 3600
    # The filter does not deliver events older than itself; backfill sends those.
    created = [
        each["creationTime"] / 1000 for each in subject.our_filters if "creationTime" in each
    ]
    since = max(since, min(created, default=since))
    until = subject.now - SETTLE_SECONDS
    newest = _newest_object(subject, since)
    after = since if newest is None else max(since, newest.timestamp() + _CLOCKS_SECONDS)
    event = _first_event(subject, after, until)
    last = (
        f"the newest object is from {_time(newest)}"
        if newest
        else f"there is no object of the last {counted(subject.hours, 'hour')}"
    )
    yield from _compared(subject, since, until, newest)
    if event is None:
        return
    log_group = f"/aws/kinesisfirehose/{subject.stream_name}"
    yield Finding(
        f"the log group has a matching event of {_utc(event['timestamp'] / 1000)}, but no object"
        f" was written after it: {last}",
        [
            "# the stream's errors, then those of the filter",
            subject.aws("logs", "tail", log_group, "--since", "1d"),
            *(_metric(subject, name) for name in ("DeliveryErrors", "DeliveryThrottling")),
        ],
        # Firehose retries on its own for 24 hours, so this may send a copy, which is harmless.
        subject.backfill(),
    )


def _compared(subject: Subject, since: float, until: float, newest: datetime | None) -> Checked:
    """Yield the number of events compared with objects, and of those too recent to compare."""
    end = max(since, until)
    young = _count(subject, end, subject.now)
    old = _count(subject, since, until) if since < until else "no matching events"
    span = f"from {_utc(since)} to {_utc(end)}"
    if old.startswith("no "):
        yield f"compared nothing: {old} {span}"
    else:
        yield f"compared {old} {span} with the newest object" + (
            f", of {_time(newest)}" if newest else ": there is no object"
        )
    if not young.startswith("no "):
        yield f"{young} since then, too recent to compare"


def _count(subject: Subject, since: float, until: float) -> str:
    """Return the number of matching events, as "at least" if there are too many pages."""
    arguments = _filter_arguments(subject, since, until)
    count = 0
    for _ in range(_MAX_PAGES_COUNTED):
        page = subject.call("logs", "filter_log_events", **arguments)
        count += len(page["events"])
        if "nextToken" not in page:
            return counted(count, "matching event") if count else "no matching events"
        arguments["nextToken"] = page["nextToken"]
    return f"at least {counted(count, 'matching event')}"


def _newest_object(subject: Subject, since: float) -> datetime | None:
    """Return when the newest object was written; the oldest folder listed is that of `since`."""
    zone = time_zone(subject.parameters["TimeZone"])
    prefix = Prefix(subject.destination["Prefix"], zone)
    first = datetime.fromtimestamp(since, zone).date()
    day = datetime.fromtimestamp(subject.now, zone).date()
    while day >= first:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone).timestamp()
        # The prefix has only date expressions, so the result is not random.
        folder = prefix.evaluate(noon, random.Random(0))  # noqa: S311
        objects = subject.pages("s3", "list_objects_v2", "Contents")
        times: list[datetime] = [
            each["LastModified"] for each in objects(Bucket=subject.bucket, Prefix=folder)
        ]
        if times:
            return max(times)
        day -= timedelta(days=1)
    return None


def _first_event(subject: Subject, since: float, until: float) -> dict[str, Any] | None:
    if since >= until:
        return None
    arguments = _filter_arguments(subject, since, until)
    return next(subject.pages("logs", "filter_log_events", "events")(**arguments), None)


def _filter_arguments(subject: Subject, since: float, until: float) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "logGroupName": subject.log_group,
        "startTime": int(since * 1000),
        "endTime": int(until * 1000),
    }
    if subject.pattern:
        arguments["filterPattern"] = subject.pattern
    return arguments


def _metric(subject: Subject, name: str) -> str:
    """Return the command that shows a metric of the filter for the window of the check."""
    start = subject.now - subject.hours * 3600
    return subject.aws(
        *("cloudwatch", "get-metric-statistics", "--namespace", "AWS/Logs", "--metric-name", name),
        *("--dimensions", f"Name=LogGroupName,Value={subject.log_group}"),
        *("--start-time", _utc(start), "--end-time", _utc(subject.now)),
        *("--period", "3600", "--statistics", "Sum"),
    )


def check_alarms(subject: Subject) -> Checked:
    """Check that the stack's alarms exist, are not in the ALARM state, and have actions."""
    expected = subject.expected.of_type("AWS::CloudWatch::Alarm")
    if not expected:
        yield "the stack has no alarms (AlarmEmail and AlarmTopicArn are empty)"
        return
    names = {subject.resources[id_]: id_ for id_ in expected if id_ in subject.resources}
    found = list(
        subject.pages("cloudwatch", "describe_alarms", "MetricAlarms")(AlarmNames=list(names))
    )
    states: dict[str, list[str]] = {}
    for alarm in found:
        name, state = alarm["AlarmName"], alarm["StateValue"]
        states.setdefault(state, []).append(names[name])
        if state == "ALARM":
            history = ("cloudwatch", "describe-alarm-history", "--alarm-name", name)
            when = alarm.get("StateTransitionedTimestamp", alarm["StateUpdatedTimestamp"])
            yield Finding(
                f"{names[name]} has been in ALARM since {_time(when)}:"
                f" {alarm.get('StateReason', '')}",
                [
                    f"# docs/operations.md, {names[name]}",
                    subject.aws(*history, "--history-item-type", "StateUpdate"),
                ],
            )
        if not alarm.get("ActionsEnabled", True):
            yield Finding(
                f"{names[name]} sends no notifications: its actions are disabled",
                [subject.aws("cloudwatch", "enable-alarm-actions", "--alarm-names", name)],
            )
        if not alarm.get("AlarmActions"):
            yield Finding(f"{names[name]} sends no notifications: it has no action", subject.drift)
    for name in sorted(set(names) - {each["AlarmName"] for each in found}):
        yield Finding(f"{names[name]} was deleted: {name}", subject.drift)
    waiting = states.get("INSUFFICIENT_DATA", [])
    yield counted(len(found), "alarm") + (
        f", without data: {', '.join(sorted(waiting))}" if waiting else ""
    )


def _utc(seconds: float) -> str:
    return _time(datetime.fromtimestamp(seconds, UTC))


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
