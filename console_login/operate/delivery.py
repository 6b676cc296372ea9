"""Checks of what the stack has delivered: objects, error objects, and alarms that are on."""

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

# CloudTrail, buffers and retries take minutes: what is younger may well be on its way.
SETTLE_SECONDS = 15 * 60

# An object's time is that of the bucket, an event's that of CloudTrail: clocks, and whole seconds.
_CLOCKS_SECONDS = 60

# Whose tags are read: one request each.
_MAX_TAGS_READ = 1000

# Read to say how many events were compared: one request each.
_MAX_PAGES_COUNTED = 50


def check_errors(subject: Subject) -> Checked:
    """Find error objects but those that redrive has sent again whole, or settled."""
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
            # They lie there all the same.
            waiting += objects[index:_MAX_TAGS_READ]
            not_read = f" (which of them redrive has sent again is not known: {error})"
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
    count = counted(len(waiting), "error object waits", "error objects wait")
    settle = subject.command("redrive", "--settle", "KEY")
    yield Finding(
        f"{count} under {folder}, from {_time(min(times))} to {_time(max(times))}{not_read}",
        [
            # Firehose's errorCode, and the function's reason.
            subject.aws(
                "logs", "tail", f"/aws/lambda/{subject.stream_name}-transform", "--since", "1d"
            ),
            subject.command("redrive", "--dry-run"),
        ],
        [
            subject.command("redrive", "--yes"),
            f"# what it does not send: read it, then {settle}",
        ],
    )


def _is_redriven(subject: Subject, key: str) -> bool:
    tags = subject.call("s3", "get_object_tagging", Bucket=subject.bucket, Key=key)["TagSet"]
    return is_finished({each["Key"]: each["Value"] for each in tags}, subject.stream_name)


def check_delivery(subject: Subject) -> Checked:
    """Find whether an object followed what came into the log group."""
    since = subject.now - subject.hours * 3600
    # What came before the filter is backfill's business.
    created = [
        each["creationTime"] / 1000 for each in subject.our_filters if "creationTime" in each
    ]
    since = max(since, min(created, default=since))
    until = subject.now - SETTLE_SECONDS
    newest = _newest_object(subject, since)
    after = since if newest is None else max(since, newest.timestamp() + _CLOCKS_SECONDS)
    event = _first_event(subject, after, until)
    last = (
        f"the last is of {_time(newest)}"
        if newest
        else f"there is none of {counted(subject.hours, 'hour')}"
    )
    yield from _compared(subject, since, until, newest)
    if event is None:
        return
    log_group = f"/aws/kinesisfirehose/{subject.stream_name}"
    yield Finding(
        f"the log group has an event of {_utc(event['timestamp'] / 1000)} that matches, and no"
        f" object has come since: {last}",
        [
            "# why the stream cannot write, then whether the filter cannot put",
            subject.aws("logs", "tail", log_group, "--since", "1d"),
            *(_metric(subject, name) for name in ("DeliveryErrors", "DeliveryThrottling")),
        ],
        # Firehose sends it by itself for 24 hours: a copy is harmless.
        subject.backfill(),
    )


def _compared(subject: Subject, since: float, until: float, newest: datetime | None) -> Checked:
    """Yield how many events were compared with objects, and how many were not."""
    judged = max(since, until)
    young = _count(subject, judged, subject.now)
    old = _count(subject, since, until) if since < until else "no event that matches"
    span = f"from {_utc(since)} to {_utc(judged)}"
    if old.startswith("no "):
        yield f"compared nothing: {old} {span}"
    else:
        yield f"compared {old} {span}, with the newest object" + (
            f", of {_time(newest)}" if newest else ": there is none"
        )
    if not young.startswith("no "):
        yield f"{young} since then, too recent to judge"


def _count(subject: Subject, since: float, until: float) -> str:
    """Return how many events match, at least if there is too much to read."""
    asked = _asked(subject, since, until)
    count = 0
    for _ in range(_MAX_PAGES_COUNTED):
        page = subject.call("logs", "filter_log_events", **asked)
        count += len(page["events"])
        if "nextToken" not in page:
            many = "events that match"
            return counted(count, "event that matches", many) if count else f"no {many}"
        asked["nextToken"] = page["nextToken"]
    return f"at least {counted(count, 'event that matches', 'events that match')}"


def _newest_object(subject: Subject, since: float) -> datetime | None:
    """Return when the newest object came, looking as far back as the folder of `since`."""
    zone = time_zone(subject.parameters["TimeZone"])
    prefix = Prefix(subject.destination["Prefix"], zone)
    first = datetime.fromtimestamp(since, zone).date()
    day = datetime.fromtimestamp(subject.now, zone).date()
    while day >= first:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone).timestamp()
        # No expression but the date's: nothing random.
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
    asked = _asked(subject, since, until)
    return next(subject.pages("logs", "filter_log_events", "events")(**asked), None)


def _asked(subject: Subject, since: float, until: float) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "logGroupName": subject.log_group,
        "startTime": int(since * 1000),
        "endTime": int(until * 1000),
    }
    if subject.pattern:
        asked["filterPattern"] = subject.pattern
    return asked


def _metric(subject: Subject, name: str) -> str:
    """Return the command that shows a metric of the filter since the window began."""
    start = subject.now - subject.hours * 3600
    return subject.aws(
        *("cloudwatch", "get-metric-statistics", "--namespace", "AWS/Logs", "--metric-name", name),
        *("--dimensions", f"Name=LogGroupName,Value={subject.log_group}"),
        *("--start-time", _utc(start), "--end-time", _utc(subject.now)),
        *("--period", "3600", "--statistics", "Sum"),
    )


def check_alarms(subject: Subject) -> Checked:
    """Find which of the stack's alarms are on, and which send nothing."""
    expected = subject.expected.of_type("AWS::CloudWatch::Alarm")
    if not expected:
        yield "the stack has none (AlarmEmail and AlarmTopicArn are empty)"
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
                f"{names[name]} is on since {_time(when)}: {alarm.get('StateReason', '')}",
                [
                    f"# docs/operations.md, {names[name]}",
                    subject.aws(*history, "--history-item-type", "StateUpdate"),
                ],
            )
        if not alarm.get("ActionsEnabled", True):
            yield Finding(
                f"{names[name]} sends nothing: its actions are disabled",
                [subject.aws("cloudwatch", "enable-alarm-actions", "--alarm-names", name)],
            )
        if not alarm.get("AlarmActions"):
            yield Finding(f"{names[name]} sends nothing: it has no action", subject.drift)
    for name in sorted(set(names) - {each["AlarmName"] for each in found}):
        yield Finding(f"{names[name]} is gone: {name}", subject.drift)
    waiting = states.get("INSUFFICIENT_DATA", [])
    yield counted(len(found), "alarm") + (
        f", without data: {', '.join(sorted(waiting))}" if waiting else ""
    )


def _utc(seconds: float) -> str:
    return _time(datetime.fromtimestamp(seconds, UTC))


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
