"""Delete a stack's subscription filter and wait for the events in transit.

`DeleteDeliveryStream` deletes the records in Firehose's buffers: up to both buffers, or a day's
backlog while Firehose cannot write. So drain looks in the bucket for each event of the log group
that passed the filter. Records from backfill or redrive are not among these events: for them,
drain reads Firehose's metric for the age of its oldest record. It deletes only the filter.
https://docs.aws.amazon.com/firehose/latest/APIReference/API_DeleteDeliveryStream.html
"""

import base64
import functools
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from console_login.errors import UserError
from console_login.events.bounds import MAX_VALUES, is_too_dense
from console_login.events.envelope import LogEvent, Origin, compress, data_message_of
from console_login.events.identity import identity
from console_login.function import make_importable
from console_login.moments import moment
from console_login.operate import commands, error_objects
from console_login.operate.access import Access, AccessError, Deployed, deployed, one_line
from console_login.operate.error_objects import ErrorRecord, ListedObject, ObjectError
from console_login.operate.progress_bar import Watch
from console_login.operate.sent_lines import ProgressTags, TagError, is_finished
from console_login.stack.limits import MIB, PROCESSING_FAILED
from console_login.stack.prefix import time_zone

# Added to both buffers, for events that CloudWatch Logs has not sent or does not show yet.
MARGIN_SECONDS = 60

# The wait for missing events after that: a record that the function puts back passes both buffers
# again, and each may wait 15 minutes.
DEFAULT_WAIT_MINUTES = 30

POLL_SECONDS = 10

# Firehose retries a write for this long and then gives up: older events are not in transit.
_WINDOW = timedelta(hours=24)

# CloudTrail's events reach the log group minutes after their timestamps.
_LATE = timedelta(minutes=15)

# Tolerance for the clocks of the bucket and the log group, and for whole seconds.
_CLOCKS = timedelta(minutes=1)

# Firehose's metrics: CloudWatch's period, and the maximum age of the newest value. The value of the
# last delivery stays the newest, because an empty stream reports nothing.
_PERIOD_SECONDS = 60
_NEWEST = timedelta(minutes=5)

# Limits for reading. In a busy account, --start narrows the window.
MAX_EVENTS = 100_000
MAX_OBJECTS = 50_000
MAX_READ_BYTES = 2048 * MIB
MAX_LINES = 500_000
MAX_READ_SECONDS = 15 * 60
# Error objects whose tags are read, with one request each.
MAX_TAGS_READ = 1000

MAX_NAMED = 10
# After this many failed polls in a row, the next one will fail too.
_MAX_FAILED_POLLS = 3
# FilterLogEvents allows five to ten calls a second.
_READ_TRIES = 10

# These ids are printed, so nothing else may pass.
_EVENT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")

_NARROW = "use a later --start to read less"


class DrainError(UserError):
    """Options that do not fit the stack; the message says why."""


class BoundError(Exception):
    """There is more to read than a limit allows; the message names the limit."""


@dataclass(frozen=True)
class Options:
    """The options of `console-login drain`, as they were typed."""

    stack: str
    start: str | None = None
    end: str | None = None
    wait_minutes: int = DEFAULT_WAIT_MINUTES


@dataclass
class Outcome:
    """Where the events are that passed the filter.

    missing: names of the events that were not found; oldest_missing: their earliest timestamp.
    unread: number of objects in which not every event could be read.
    oldest_record_seconds: age of the oldest record in Firehose, if it is too old.
    waiting: error objects that are not completely redriven, including the tags_unread objects with
    unread tags. problem: why the check failed.
    """

    events: int = 0
    arrived: int = 0
    in_error_prefix: int = 0
    missing: list[str] = field(default_factory=list)
    oldest_missing: datetime | None = None
    unread: int = 0
    oldest_record_seconds: float | None = None
    waiting: list[str] = field(default_factory=list)
    tags_unread: int = 0
    problem: str | None = None

    @property
    def is_safe(self) -> bool:
        return self.has_arrived and not self.waiting

    @property
    def has_arrived(self) -> bool:
        """Whether no event is in transit any more."""
        return self.problem is None and not self.missing and self.oldest_record_seconds is None


class Drain:
    """One run: `look`, then `delete`, then `wait`.

    filters: the filters to the stack's stream; empty if they no longer exist.
    deleted_at: seconds since the epoch; None before the deletion.
    Raises AccessError, DrainError.
    """

    def __init__(
        self,
        access: Access,
        options: Options,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.access = access
        self.options = options
        self._now = now
        self._sleep = sleep
        self.stack: Deployed = deployed(access, options.stack)
        parameters = self.stack.parameters
        try:
            self._zone = time_zone(parameters["TimeZone"])
            self._prefix = parameters["Prefix"]
            self._selection = _Selection(parameters["EventNames"])
            buffers = float(parameters["BufferSeconds"]) + float(parameters["LambdaBufferSeconds"])
            self.bucket = self.stack.outputs["BucketName"]
            self.log_group = self.stack.outputs["LogGroupName"]
        except KeyError as error:
            raise AccessError(
                f"stack {self.stack.name} has no {error}: name a stack of template.yaml"
            ) from error
        self._buffers = timedelta(seconds=buffers)
        self.settle_seconds = buffers + MARGIN_SECONDS
        self.stream_arn = self.stack.outputs["DeliveryStreamArn"]
        self.stream_name = self.stream_arn.rsplit("/", 1)[1]
        self._logs = access.client(
            "logs", retries={"mode": "standard", "max_attempts": _READ_TRIES}
        )
        self._s3 = access.client("s3")
        self._cloudwatch = access.client("cloudwatch")
        self._tags = ProgressTags(self._s3, self.bucket, self.stream_name)
        # How far AWS's clock is ahead of this machine's; without a Date, a minute to be safe.
        self._ahead = _CLOCKS.total_seconds()
        self.filters = self._filters()
        self.is_gone = not self.filters
        self.deleted_at: float | None = None
        self.is_deleting = False
        self._start, self._end = self._window()
        self._patterns = [each.get("filterPattern", "") for each in self.filters]
        if self.is_gone:
            self._patterns = [_pattern(parameters["EventNames"])]
        self._expected: dict[str, tuple[str, int]] = {}
        self._arrived: set[str] = set()
        self._failed: set[str] = set()
        self._read: set[tuple[str, str]] = set()
        self._read_bytes = 0
        self._read_lines = 0
        self._reading_since = 0.0
        self._read_until: datetime | None = None
        self._unread: set[str] = set()
        self._oldest_record_seconds: float | None = None
        self._problem: str | None = None

    def _filters(self) -> list[dict[str, Any]]:
        pages = self._logs.get_paginator("describe_subscription_filters")
        with one_line():
            found = []
            for page in pages.paginate(logGroupName=self.log_group):
                self._set_clock(page)
                found += page["subscriptionFilters"]
            return [each for each in found if each["destinationArn"] == self.stream_arn]

    def _set_clock(self, response: dict[str, Any]) -> None:
        """Read AWS's time from a response, to compare AWS's times with this machine's."""
        try:
            date = response["ResponseMetadata"]["HTTPHeaders"]["date"]
            # A Date has whole seconds: use the end of the second.
            self._ahead = parsedate_to_datetime(date).timestamp() + 1 - self._now()
        except (KeyError, ValueError):
            pass

    def _window(self) -> tuple[datetime, datetime | None]:
        """Return the start and, if known, the end of the time in which events passed the filter."""
        now = self._time()
        end = None
        if self.options.end is not None:
            if self.filters:
                raise DrainError("--end is for a deleted filter, but the filter exists: omit --end")
            end = moment("--end", self.options.end, self._zone, now)
            if end > now:
                raise DrainError(f"--end {text(end)} is in the future: omit --end to use now")
        elif self.is_gone:
            end = now
        if self.options.start is not None:
            start = moment("--start", self.options.start, self._zone, now)
            if start >= (end or now):
                raise DrainError(f"--start {text(start)} is not before {text(end or now)}")
            return start, end
        # Do not start at the filter's creation: events of a replaced filter may be in transit.
        start = (end or now) - _WINDOW
        return max(start, self.stack.created or start), end

    @property
    def start(self) -> datetime:
        return self._start

    @property
    def end(self) -> datetime | None:
        """When the filter was deleted; None before."""
        return self._end

    @property
    def settled_at(self) -> datetime:
        """When both buffers and the margin have passed since the filter's deletion."""
        return (self._end or self._time()) + timedelta(seconds=self.settle_seconds)

    def _time(self) -> datetime:
        """Return AWS's time."""
        return datetime.fromtimestamp(self._now() + self._ahead, UTC)

    # Events in transit ---------------------------------------------------------------------------

    def look(self) -> Outcome:
        """Read new events and new objects, and compare them."""
        try:
            self._read_events()
            self._read_objects()
        except (AccessError, BoundError) as error:
            self._problem = str(error)
        return self.outcome()

    def outcome(self) -> Outcome:
        """Return the outcome so far."""
        arrived = self._expected.keys() & self._arrived
        failed = (self._expected.keys() & self._failed) - arrived
        missing = self._expected.keys() - arrived - failed
        return Outcome(
            events=len(self._expected),
            arrived=len(arrived),
            in_error_prefix=len(failed),
            missing=sorted(self._expected[each][0] for each in missing),
            oldest_missing=datetime.fromtimestamp(
                min(self._expected[each][1] for each in missing) / 1000, UTC
            )
            if missing
            else None,
            oldest_record_seconds=self._oldest_record_seconds,
            unread=len(self._unread),
            problem=self._problem,
        )

    def _read_events(self) -> None:
        """Add the events that passed the filter: those ingested while it existed.

        The newest are read again each time: an event can appear seconds after its ingestion.
        """
        now = self._time()
        until = self._end or now
        since = self._read_until or self._start
        started = self._now()
        for pattern in self._patterns:
            request: dict[str, Any] = {
                "logGroupName": self.log_group,
                "startTime": _milliseconds(since - _LATE),
                "endTime": _milliseconds(until + _LATE),
            }
            if pattern:
                request["filterPattern"] = pattern
            pages = self._logs.get_paginator("filter_log_events")
            with one_line():
                for page in pages.paginate(**request):
                    for event in page["events"]:
                        self._expect(event, until)
                    if self._now() - started > MAX_READ_SECONDS:
                        raise BoundError(
                            "reading the log group took more than"
                            f" {MAX_READ_SECONDS // 60} minutes; {_NARROW}"
                        )
        self._read_until = until

    def _expect(self, event: dict[str, Any], until: datetime) -> None:
        ingested = event.get("ingestionTime", event["timestamp"])
        if not _milliseconds(self._start) <= ingested < _milliseconds(until):
            return
        message = event["message"]
        if not self._selection.passes(message):
            return
        event_id, digest = identity(message)
        name = event_id if _EVENT_ID.fullmatch(event_id) else f"sha256:{digest}"
        # Keep the earliest timestamp of all copies.
        _, first = self._expected.get(digest, ("", event["timestamp"]))
        self._expected[digest] = name, min(first, event["timestamp"])
        if len(self._expected) > MAX_EVENTS:
            raise BoundError(f"more than {MAX_EVENTS:,} events passed the filter; {_NARROW}")

    def _read_objects(self) -> None:
        """Read each object that was written since the window began, once."""
        self._reading_since = self._now()
        listed = 0
        for folder, is_error in self._folders():
            for each in error_objects.listed(self._s3, self.bucket, folder):
                listed += 1
                if listed > MAX_OBJECTS:
                    raise BoundError(
                        f"these days have more than {MAX_OBJECTS:,} objects; {_NARROW}"
                    )
                is_old = each.written is not None and each.written < self._start - _CLOCKS
                if is_old or (each.key, each.etag) in self._read:
                    continue
                self._read_bytes += each.size
                if self._read_bytes > MAX_READ_BYTES:
                    raise BoundError(
                        f"the objects are larger than {MAX_READ_BYTES // MIB:,} MiB; {_NARROW}"
                    )
                try:
                    self._read_object(each, is_error=is_error)
                except ObjectError:
                    self._unread.add(each.key)
                self._read.add((each.key, each.etag))

    def _check_time(self) -> None:
        """Raise BoundError if the objects take too long to read: a single object can."""
        if self._now() - self._reading_since > MAX_READ_SECONDS:
            raise BoundError(
                f"reading the objects took more than {MAX_READ_SECONDS // 60} minutes; {_NARROW}"
            )

    def _folders(self) -> Iterator[tuple[str, bool]]:
        """Yield the folders of the window's days, and whether each is for failed records."""
        day = (self._start - _CLOCKS).astimezone(self._zone).date()
        last = (self._time() + _CLOCKS).astimezone(self._zone).date()
        while day <= last:
            yield f"{self._prefix}{day:%Y/%m/%d}/", False
            yield f"{self._prefix}{PROCESSING_FAILED}/{day:%Y/%m/%d}/", True
            day += timedelta(days=1)

    def _read_object(self, listed: ListedObject, *, is_error: bool) -> None:
        body = error_objects.read(self._s3, self.bucket, listed)
        if not is_error:
            for line in error_objects.lines(body):
                self._check_time()
                if line is None:
                    self._unread.add(listed.key)
                    continue
                self._add(self._arrived, line.decode("utf-8", "replace").removesuffix("\n"))
            return
        try:
            sent = self._tags.read(listed.key).lines
        except TagError:
            sent = None
        for record in error_objects.records(body):
            self._check_time()
            if not isinstance(record, ErrorRecord):
                self._unread.add(listed.key)
            # A record that redrive sent is in transit again: its events must be in an object.
            elif sent is None or record.line not in sent:
                try:
                    for message in _messages(record.data):
                        self._add(self._failed, message)
                except (ValueError, RecursionError):
                    self._unread.add(listed.key)

    def _add(self, found: set[str], message: str) -> None:
        found.add(identity(message).digest)
        self._read_lines += 1
        if self._read_lines > MAX_LINES:
            raise BoundError(f"the objects have more than {MAX_LINES:,} lines; {_NARROW}")

    def _read_freshness(self) -> None:
        """Read the age of the oldest record in Firehose, whoever sent it."""
        now = self._time()
        with one_line():
            found = self._cloudwatch.get_metric_statistics(
                Namespace="AWS/Firehose",
                MetricName="DeliveryToS3.DataFreshness",
                Dimensions=[{"Name": "DeliveryStreamName", "Value": self.stream_name}],
                StartTime=max((self._end or now) + self._buffers, now - _NEWEST),
                EndTime=now + _CLOCKS,
                Period=_PERIOD_SECONDS,
                Statistics=["Maximum"],
            )["Datapoints"]
        newest = max(found, key=lambda each: each["Timestamp"], default={"Maximum": 0.0})
        age = float(newest["Maximum"])
        self._oldest_record_seconds = age if age > self.settle_seconds else None

    # Delete and wait -----------------------------------------------------------------------------

    def delete(self) -> None:
        """Delete the filters to the stream. Raises AccessError; some may be deleted by then."""
        self.is_deleting = True
        for count, each in enumerate(self.filters):
            with one_line():
                try:
                    response = self._logs.delete_subscription_filter(
                        logGroupName=self.log_group, filterName=each["filterName"]
                    )
                    self._set_clock(response)
                except ClientError as error:
                    # Somebody else has deleted it.
                    if error.response["Error"]["Code"] != "ResourceNotFoundException":
                        self.is_deleting = count > 0
                        raise
        self.deleted_at = self._now()
        if self._end is None:
            self._end = self._time()

    def wait(self, watch: Watch = lambda _done, _total: None) -> Outcome:
        """Wait until no event can be in transit, or until the time is over.

        watch: called with the number of events that have arrived, and the total.
        """
        settled_at = self.settled_at.timestamp()
        ends_at = max(settled_at, self._time().timestamp()) + self.options.wait_minutes * 60
        failures = 0
        has_read_all = False
        while True:
            now = self._time().timestamp()
            is_settled = now >= settled_at
            self._problem = None
            try:
                # Read from the start once more: a late event may have an old timestamp.
                if is_settled and not has_read_all:
                    self._read_until = None
                self._read_events()
                has_read_all = is_settled
                self._read_objects()
                if is_settled:
                    self._read_freshness()
                failures = 0
            except AccessError as error:
                failures += 1
                self._problem = str(error)
            except BoundError as error:
                self._problem = str(error)
                break
            found = self.outcome()
            watch(found.events - len(found.missing), found.events)
            is_over = is_settled if found.has_arrived else now >= ends_at
            if is_over or failures == _MAX_FAILED_POLLS:
                break
            next_at = ends_at if is_settled else settled_at
            self._sleep(max(0.0, min(POLL_SECONDS, next_at - now)))
        found = self.outcome()
        try:
            found.waiting, found.tags_unread = self._waiting()
        except AccessError as error:
            found.problem = found.problem or str(error)
        return found

    def _waiting(self) -> tuple[list[str], int]:
        """Return the keys of the error objects, of any day, that are not completely redriven.

        Also return how many of them, the last ones, have unread tags.
        """
        folder = f"{self._prefix}{PROCESSING_FAILED}/"
        found = error_objects.listed(self._s3, self.bucket, folder)
        keys = []
        for each in itertools.islice(found, MAX_TAGS_READ):
            with one_line():
                tags = self._s3.get_object_tagging(Bucket=self.bucket, Key=each.key)["TagSet"]
            if not is_finished({tag["Key"]: tag["Value"] for tag in tags}, self.stream_name):
                keys.append(each.key)
        unread = [each.key for each in itertools.islice(found, MAX_OBJECTS)]
        return [*keys, *unread], len(unread)

    # Commands to paste ---------------------------------------------------------------------------

    def undo(self, oldest_missing: datetime | None = None) -> list[str]:
        """Return the commands that restore the filter, and send the events since its deletion.

        oldest_missing: send events from this time on, too.
        """
        put = [
            commands.aws(self.access, "logs", "put-subscription-filter", *_described(each))
            for each in self.filters
        ]
        # An event reaches the log group after its timestamp.
        start = (self._end or self._first_shown) - _LATE
        if oldest_missing is not None:
            start = min(start, oldest_missing - timedelta(seconds=1))
        return [*put, self._command("backfill", "--start", text(start))]

    @functools.cached_property
    def _first_shown(self) -> datetime:
        # Before the deletion, the commands are printed twice and must not differ.
        return self._time()

    def again(self) -> str:
        """Return the command that continues after the filter's deletion."""
        end = self._end or self._time()
        return self._command("drain", "--start", text(self._start), "--end", text(end))

    def redrive(self) -> str:
        return self._command("redrive")

    def doctor(self) -> str:
        return self._command("doctor")

    def tail_delivery_log(self) -> str:
        """Return the command that shows Firehose's errors, because a stack output is only text."""
        group = f"/aws/kinesisfirehose/{self.stream_name}"
        return commands.aws(self.access, "logs", "tail", group, "--since", "1d", "--follow")

    def sam_delete(self) -> str:
        return commands.sam(self.access, "delete", "--stack-name", self.stack.name)

    def _command(self, name: str, *arguments: str) -> str:
        command = (name, "--stack", self.stack.name, *arguments)
        return commands.console_login(self.access, *command)


class _Selection:
    """The events that pass the filter and are not dropped by the function."""

    def __init__(self, event_names: str) -> None:
        make_importable()
        from transformer.batch import Transformer
        from transformer.config import event_names as names_in
        from transformer.firehose import InputRecord

        self._transformer = Transformer(names_in({"EVENT_NAMES": event_names}))
        self._input_record = InputRecord
        self._names = frozenset(event_names.split(","))

    def passes(self, message: str) -> bool:
        try:
            name = json.loads(message)["eventName"]
        except (ValueError, RecursionError, KeyError, TypeError):
            name = None
        if isinstance(name, str) and name in self._names:
            return True
        # With `*`, or if the event may be damaged, run the function.
        document = data_message_of(Origin("", "", "", ""), [LogEvent("", 0, message)])
        data = base64.b64encode(compress(document)).decode()
        (outcome,) = self._transformer.transform([self._input_record("", data)])
        return bool(outcome.reason.value != "no_match")


def _messages(record: bytes) -> Iterator[str]:
    """Yield the messages in a record: envelopes, plain or in gzip members.

    Raises ValueError if the record is damaged.
    """
    from transformer.codec import decompress
    from transformer.outcome import RecordError

    try:
        content = decompress(record).decode()
    except RecordError as error:
        raise ValueError(str(error)) from error
    if is_too_dense(content):
        raise ValueError(f"more than {MAX_VALUES:,} values")
    decoder = json.JSONDecoder()
    position = 0
    while position < len(content):
        if content[position].isspace():
            position += 1
            continue
        document, position = decoder.raw_decode(content, position)
        if not isinstance(document, dict):
            raise ValueError("not an envelope")
        if document.get("messageType") == "DATA_MESSAGE":
            for each in document.get("logEvents", ()):
                message = each.get("message") if isinstance(each, dict) else None
                if not isinstance(message, str):
                    raise ValueError("no message")
                yield message


def _pattern(event_names: str) -> str:
    # The translator takes a second to import.
    from console_login.operate.backfill import filter_pattern

    return filter_pattern(event_names)


def _described(found: dict[str, Any]) -> list[str]:
    """Return the options of `aws logs put-subscription-filter` that create a filter."""
    words = []
    for option, key in (
        ("--log-group-name", "logGroupName"),
        ("--filter-name", "filterName"),
        ("--filter-pattern", "filterPattern"),
        ("--destination-arn", "destinationArn"),
        ("--role-arn", "roleArn"),
        ("--field-selection-criteria", "fieldSelectionCriteria"),
    ):
        if key in found:
            words += [option, found[key]]
    if fields := found.get("emitSystemFields"):
        words += ["--emit-system-fields", *fields]
    if found.get("applyOnTransformedLogs"):
        words.append("--apply-on-transformed-logs")
    return words


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def text(when: datetime) -> str:
    """Return a time as it is written on the command line, in UTC."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
