"""Sign-ins from before the subscription filter existed, from the log group into the stream.

FilterLogEvents with the filter's pattern, in envelopes as CloudWatch Logs makes them. The time is
worked through in slices: a slice is done when the stream has certainly accepted all of it, and what
is kept to go on from is where the first slice begins that is not done. So a slice can be sent
again, and nothing is left out, in whatever order events come within it.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

import functools
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

from console_login.counts import counted
from console_login.errors import UserError
from console_login.events.envelope import LogEvent, Origin, compact, compress, data_message_of
from console_login.moments import is_relative, moment
from console_login.operate.access import Access, AccessError, Deployed, deployed, one_line
from console_login.operate.sender import Sender
from console_login.stack.limits import MAX_RECORD_BYTES, MIB
from console_login.stack.prefix import time_zone

# A stream takes 1 MiB/s in most Regions and 5 in three: half of the former leaves the live sign-ins
# their room, and above the latter every Region throttles.
DEFAULT_MIB_PER_SECOND = 0.5
MAX_MIB_PER_SECOND = 5.0
# A kibibyte: at less, a record would wait for hours.
MIN_MIB_PER_SECOND = 0.001

DEFAULT_EVENT_NAMES = "ConsoleLogin"

# Stands in the envelopes where a filter's name does, so that a failed record says where it is from.
FILTER_NAME = "console-login-backfill"

SLICE_MS = 60 * 60 * 1000

# As together as what CloudWatch Logs sends.
_ENVELOPE_MS = 5 * 60 * 1000
# Of JSON. A record is far below Firehose's 1,000 KiB then, unless one event alone is not.
_MAX_ENVELOPE_BYTES = 512 * 1024

# Records that are kept until they are sent: what a few calls take.
_MAX_WAITING_BYTES = 4 * MIB
_MAX_WAITING_RECORDS = 500

# PutLogEvents takes nothing older, so a group holds nothing from longer before it was made.
_OLDEST_BEFORE_GROUP_MS = 14 * 24 * 60 * 60 * 1000

# FilterLogEvents allows five to ten calls a second, and each slice is one at least.
_READ_TRIES = 10

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class BackfillError(UserError):
    """What was asked cannot be done; the message says why."""


@dataclass(frozen=True)
class Asked:
    """What `console-login backfill` was asked to do, as it was typed."""

    start: str
    end: str | None = None
    stack: str | None = None
    log_group: str | None = None
    stream: str | None = None
    event_names: str | None = None
    mib_per_second: float = DEFAULT_MIB_PER_SECOND
    state: Path | None = None


@dataclass(frozen=True)
class Plan:
    """Which events go where.

    start_ago, end_ago: what was asked, such as `72h`, where it names another moment at each run.
    start, end: of the events' timestamps, in milliseconds since the epoch; `end` is not included.
    """

    log_group_arn: str
    stream: str
    pattern: str
    start_ago: str | None
    end_ago: str | None
    start: int
    end: int

    @property
    def log_group(self) -> str:
        return self.log_group_arn.split(":", 6)[6]

    @property
    def owner(self) -> str:
        return self.log_group_arn.split(":")[4]

    @property
    def region(self) -> str:
        return self.log_group_arn.split(":")[3]


class Progress:
    """How far a plan is carried out, kept in a file if there is one.

    position: start of the first slice that is not done, in milliseconds since the epoch.
    """

    def __init__(self, plan: Plan, position: int, path: Path | None) -> None:
        self.plan = plan
        self.position = position
        self._path = path

    @property
    def is_done(self) -> bool:
        return self.position >= self.plan.end

    def save(self, position: int) -> None:
        """Note that everything before `position` is done; BackfillError if it cannot be kept."""
        self.position = position
        if self._path is None:
            return
        times = {"start": self.plan.start, "end": self.plan.end, "position": position}
        document = asdict(self.plan) | {key: text(each) for key, each in times.items()}
        # A reader finds the old file or the new one, whenever this process is killed.
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.write(json.dumps(document, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise BackfillError(f"--state {self._path}: {error.strerror}") from error


def prepare(access: Access, asked: Asked, now: float | None = None) -> Progress:
    """Return what is to be done, and how far it is; `now` in seconds since the epoch.

    Raises BackfillError for what makes no sense, AccessError where AWS does not answer.
    """
    if not MIN_MIB_PER_SECOND <= asked.mib_per_second <= MAX_MIB_PER_SECOND:
        limit = f"more than 0, and {MAX_MIB_PER_SECOND:g} at most: no stream takes more"
        raise BackfillError(f"--mib-per-second {asked.mib_per_second:g}: {limit}")
    saved = _saved(asked.state)
    stack = _stack(access, asked)
    zone = UTC if stack is None else time_zone(stack.parameters["TimeZone"])
    start_ago = asked.start if is_relative(asked.start) else None
    end_ago = asked.end if asked.end is not None and is_relative(asked.end) else None
    start, end = _range(asked, saved, zone, time.time() if now is None else now)
    log_group, stream, event_names = _places(asked, stack)
    group = _described(access, log_group)
    plan = Plan(
        log_group_arn=group["arn"].removesuffix(":*"),
        stream=stream,
        pattern=filter_pattern(event_names),
        start_ago=start_ago,
        end_ago=end_ago,
        start=start,
        end=end,
    )
    if saved is None:
        oldest = group["creationTime"] - _OLDEST_BEFORE_GROUP_MS
        return Progress(plan, min(max(start, oldest), end), asked.state)
    for name, found in asdict(saved.plan).items():
        wanted = asdict(plan)[name]
        if found != wanted:
            shown = (text(each) if isinstance(each, int) else each for each in (found, wanted))
            differs = "{} there, {} now".format(*shown)
            raise BackfillError(
                f"--state {asked.state}: of another backfill: {name} {differs}; name another file"
            )
    if saved.is_done and start_ago is not None:
        # Today's 72 hours are not those that are done.
        covered = f"{text(saved.plan.start)} to {text(saved.plan.end)}"
        raise BackfillError(
            f"--state {asked.state}: this backfill is done ({covered}); name another file to start"
            " a new one"
        )
    return saved


@functools.cache
def filter_pattern(event_names: str) -> str:
    """Return the pattern that template.yaml gives the filter for an EventNames parameter."""
    # The translator takes a second to import.
    from console_login.stack import template

    stack = template.resolve(template.load(), {"EventNames": event_names})
    pattern: str = stack.only("AWS::Logs::SubscriptionFilter").properties["FilterPattern"]
    return pattern


def _range(asked: Asked, saved: Progress | None, zone: tzinfo, now: float) -> tuple[int, int]:
    present = datetime.fromtimestamp(now, UTC)
    latest = _milliseconds(present)
    start = _milliseconds(moment("--start", asked.start, zone, present))
    end = latest
    if asked.end is not None:
        end = _milliseconds(moment("--end", asked.end, zone, present))
    if saved is not None:
        # A run that continues keeps the moments that the first one computed.
        if is_relative(asked.start):
            start = saved.plan.start
        if asked.end is None or is_relative(asked.end):
            end = saved.plan.end
    if start >= end:
        typed = f"--end {asked.end}, {text(end)}" if asked.end else f"now, {text(end)}"
        raise BackfillError(f"--start {asked.start}, {text(start)}, is not before {typed}")
    if end > latest:
        # What is yet to come would count as done.
        raise BackfillError(f"--end {text(end)} is yet to come: leave it out for now")
    return start, end


def _stack(access: Access, asked: Asked) -> Deployed | None:
    """Return the deployed stack that says where events are, None where options do."""
    if asked.stack is None:
        return None
    if any(each is not None for each in (asked.log_group, asked.stream, asked.event_names)):
        raise BackfillError("--stack says it all: no --log-group, --stream or --event-names")
    return deployed(access, asked.stack)


def _places(asked: Asked, stack: Deployed | None) -> tuple[str, str, str]:
    """Return log group, stream and event names."""
    if stack is not None:
        stream = stack.outputs["DeliveryStreamArn"].rsplit("/", 1)[1]
        return stack.outputs["LogGroupName"], stream, stack.parameters["EventNames"]
    if asked.log_group is None or asked.stream is None:
        raise BackfillError("name --stack, or --log-group and --stream")
    return asked.log_group, asked.stream, asked.event_names or DEFAULT_EVENT_NAMES


def _described(access: Access, log_group: str) -> dict[str, Any]:
    """Return a log group's description, whose ARN has the account and the Region."""
    pages = access.client("logs").get_paginator("describe_log_groups")
    with one_line():
        for page in pages.paginate(logGroupNamePrefix=log_group):
            for each in page["logGroups"]:
                if each["logGroupName"] == log_group:
                    found: dict[str, Any] = each
                    return found
    raise BackfillError(
        f"there is no log group {log_group} in this account and Region: check --log-group, --region"
        " and --profile"
    )


def _saved(path: Path | None) -> Progress | None:
    if path is None:
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        times = {
            key: _milliseconds(_with_offset(document.pop(key)))
            for key in ("start", "end", "position")
        }
        plan = Plan(**document, start=times["start"], end=times["end"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackfillError(f"--state {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, UserError) as error:
        raise BackfillError(
            f"--state {path}: not what a backfill has written: name another file"
        ) from error
    if not plan.start <= times["position"] <= plan.end:
        raise BackfillError(
            f"--state {path}: its position lies outside of its time: name another file"
        )
    return Progress(plan, times["position"], path)


def _with_offset(saved: str) -> datetime:
    when = datetime.fromisoformat(saved)
    if when.tzinfo is None:
        raise ValueError(saved)
    return when


def _milliseconds(when: datetime) -> int:
    """Return the first millisecond that is not before a moment: timestamps have no smaller part."""
    return -((_EPOCH - when) // _MILLISECOND)


def text(milliseconds: int) -> str:
    """Return a time as the state and the command line spell it, in UTC."""
    when = _EPOCH + timedelta(milliseconds=milliseconds)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Envelopes ---------------------------------------------------------------------------------------


class Record(NamedTuple):
    """A record for the stream, and how many log events it holds."""

    data: bytes
    events: int


def records(plan: Plan, found: Iterable[dict[str, Any]]) -> Iterator[Record]:
    """Yield records of what FilterLogEvents returns: one log stream and a few minutes in each."""
    waiting: dict[str, _Envelope] = {}
    for each in found:
        event = LogEvent(each["eventId"], each["timestamp"], each["message"])
        log_stream = each["logStreamName"]
        envelope = waiting.setdefault(log_stream, _Envelope())
        if not envelope.has_room_for(event):
            yield envelope.record(plan, log_stream)
            waiting[log_stream] = envelope = _Envelope()
        envelope.add(event)
    for log_stream, envelope in waiting.items():
        yield envelope.record(plan, log_stream)


class _Envelope:
    def __init__(self) -> None:
        self._log_events: list[LogEvent] = []
        self._bytes = 0

    def has_room_for(self, event: LogEvent) -> bool:
        if not self._log_events:
            return True
        is_near = abs(event.timestamp - self._log_events[0].timestamp) <= _ENVELOPE_MS
        return is_near and self._bytes + _size(event) <= _MAX_ENVELOPE_BYTES

    def add(self, event: LogEvent) -> None:
        self._log_events.append(event)
        self._bytes += _size(event)

    def record(self, plan: Plan, log_stream: str) -> Record:
        origin = Origin(plan.owner, plan.log_group, log_stream, FILTER_NAME)
        data = compress(data_message_of(origin, self._log_events))
        return Record(data, len(self._log_events))


def _size(event: LogEvent) -> int:
    """Return an event's bytes in an envelope, where quotation marks take two."""
    return len(compact(event._asdict()).encode())


# Sending -----------------------------------------------------------------------------------------


@dataclass
class Totals:
    """What a run has read, or sent.

    bytes: of records, before base64.
    too_large: events that no record can hold; each is alone in its record.
    problem: why the run stopped before the end, None if it did not.
    """

    events: int = 0
    records: int = 0
    bytes: int = 0
    too_large: int = 0
    problem: str | None = None

    @property
    def is_complete(self) -> bool:
        return self.problem is None and not self.too_large


@dataclass
class Backfill:
    """One run, from a plan's position to its end.

    sender: None reads and counts, and sends nothing.
    watch: called often, with the time that is reached, in milliseconds since the epoch.
    """

    access: Access
    progress: Progress
    sender: Sender | None
    watch: Callable[[int], None] = lambda _: None
    totals: Totals = field(default_factory=Totals)

    def run(self) -> Totals:
        """Work through the slices; stop at the first that is not certainly accepted whole.

        Raises BackfillError where the state cannot be kept.
        """
        plan = self.progress.plan
        retries = {"mode": "standard", "max_attempts": _READ_TRIES}
        pages = self.access.client("logs", retries=retries).get_paginator("filter_log_events")
        if self.sender is not None:
            # What cannot be written is said before anything is sent.
            self.progress.save(self.progress.position)
        for start in range(self.progress.position, plan.end, SLICE_MS):
            end = min(start + SLICE_MS, plan.end)
            try:
                is_done = self._send_all(records(plan, self._events(pages, start, end)))
            except AccessError as error:
                self.totals.problem = str(error)
                is_done = False
            if not is_done:
                break
            if self.sender is not None:
                self.progress.save(end)
            self.watch(end)
        return self.totals

    def _events(self, pages: Any, start: int, end: int) -> Iterator[dict[str, Any]]:
        plan = self.progress.plan
        asked: dict[str, Any] = {"logGroupName": plan.log_group, "startTime": start, "endTime": end}
        if plan.pattern:
            asked["filterPattern"] = plan.pattern
        with one_line():
            for page in pages.paginate(**asked):
                for event in page["events"]:
                    # The API's end is included, ours is not.
                    if start <= event["timestamp"] < end:
                        yield event
                        self.watch(event["timestamp"])

    def _send_all(self, made: Iterator[Record]) -> bool:
        waiting: list[Record] = []
        size = 0
        for record in made:
            if len(record.data) > MAX_RECORD_BYTES:
                self.totals.too_large += record.events
                continue
            waiting.append(record)
            size += len(record.data)
            if size >= _MAX_WAITING_BYTES or len(waiting) == _MAX_WAITING_RECORDS:
                if not self._send(waiting):
                    return False
                waiting, size = [], 0
        return self._send(waiting)

    def _send(self, waiting: list[Record]) -> bool:
        """Send records; whether the stream has certainly accepted each of them."""
        if self.sender is None:
            self._count(waiting)
            return True
        data = [record.data for record in waiting]
        for batch in self.sender.batches(data):
            accepted = self.sender.send([data[index] for index in batch])
            self._count(waiting[i] for i, taken in zip(batch, accepted, strict=True) if taken)
            if not all(accepted):
                count = accepted.count(False)
                why = self.sender.problem or "it took too long"
                self.totals.problem = f"{counted(count, 'record')} not certainly accepted: {why}"
                return False
        return True

    def _count(self, sent: Iterable[Record]) -> None:
        for record in sent:
            self.totals.events += record.events
            self.totals.records += 1
            self.totals.bytes += len(record.data)


# What the user sees -----------------------------------------------------------------------------


def planned(asked: Asked, progress: Progress) -> list[tuple[str, str]]:
    """Return what is about to happen, a heading and a value each."""
    plan = progress.plan
    if asked.state is None:
        resumable = "no: --state FILE would keep how far it is"
    elif progress.is_done:
        resumable = f"{asked.state} says that it is done"
    else:
        resumable = f"{asked.state}, from {text(progress.position)}"
    return [
        ("log group", f"{plan.log_group} ({plan.owner}, {plan.region})"),
        ("stream", plan.stream),
        ("pattern", plan.pattern or "none: every event"),
        ("from", text(plan.start)),
        ("until", f"{text(plan.end)}, which is left out"),
        ("rate", f"{asked.mib_per_second:g} MiB/s at most"),
        ("resumable", resumable),
        ("delivery", "at least once: lines for what was delivered before have the same eventID"),
    ]


def words(asked: Asked, progress: Progress, totals: Totals, *, dry_run: bool) -> list[str]:
    """Return what has happened, in lines; never anything of an event."""
    counts = (
        f"{counted(totals.events, 'event')} in {counted(totals.records, 'record')},"
        f" {counted(totals.bytes, 'byte')}"
    )
    if dry_run:
        seconds = _seconds(totals, asked.mib_per_second)
        lines = [f"{counts}: would take {timedelta(seconds=seconds)} at least; nothing is sent"]
    else:
        lines = [f"{counts}: accepted by the stream"]
    if totals.too_large:
        lines.append(f"{counted(totals.too_large, 'event')} left out: too large for any record")
    if totals.problem is not None:
        again = text(progress.position)
        how = f"--start {again}" if asked.state is None else f"--state {asked.state}"
        lines += [
            f"stopped: {totals.problem}",
            f"everything before {again} is done: go on by {how}",
        ]
    return lines


def report(asked: Asked, progress: Progress, totals: Totals, *, dry_run: bool) -> dict[str, Any]:
    """Return what has happened, for machines; times in ISO 8601, UTC."""
    plan = progress.plan
    return {
        "log_group_arn": plan.log_group_arn,
        "stream": plan.stream,
        "pattern": plan.pattern,
        "start": text(plan.start),
        "end": text(plan.end),
        "position": text(progress.position),
        "dry_run": dry_run,
        "seconds_at_least": _seconds(totals, asked.mib_per_second),
        **asdict(totals),
        "is_complete": totals.is_complete,
    }


def _seconds(totals: Totals, mib_per_second: float) -> int:
    return math.ceil(totals.bytes / (mib_per_second * MIB))
