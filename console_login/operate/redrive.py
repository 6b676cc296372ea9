"""Send failed records to the stream again: those from which the function would deliver an event.

A record is sent at least once. A tag of each error object lists the records that were certainly
accepted; it is written after each batch and before the next. Objects are never changed or deleted.
An object with nothing to send is marked in the same tag, and one that an operator gives up in
another.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from console_login.counts import counted
from console_login.operate import error_objects
from console_login.operate.access import Access, AccessError, Deployed, deployed
from console_login.operate.error_objects import ErrorRecord, JunkLine, ListedObject, ObjectError
from console_login.operate.preview import OptionError, Preview, Previewer
from console_login.operate.progress_bar import Watch
from console_login.operate.sender import Sender
from console_login.operate.sent_lines import EVERY_LINE, Lines, Progress, ProgressTags, TagError
from console_login.stack.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, PROCESSING_FAILED

# Half of the smallest quota of a Direct PUT stream: the other half is left for new records.
BYTES_PER_SECOND = 512 * 1024

# After this many batches in a row without an accepted record, the next one will fail as well.
MAX_FAILED_BATCHES = 3

# For the records of one object. A full object takes about ten seconds; a malicious one, hours.
MAX_OBJECT_SECONDS = 5 * 60

# How many records, and how many unusable objects and lines, are listed.
MAX_NAMED = 20

_EVENT_NAMES = "ConsoleLogin"

_Waiting = list[tuple[int, bytes]]


def _unwatched(_done: float, _total: float) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Target:
    """Where failed records are and where they are sent; event_names: as in EVENT_NAMES."""

    bucket: str
    prefix: str
    stream_name: str
    event_names: str


def target(
    access: Access,
    *,
    stack: str | None = None,
    bucket: str | None = None,
    prefix: str | None = None,
    stream: str | None = None,
    event_names: str | None = None,
) -> Target:
    """Return the target that the options name. Raises OptionError, AccessError."""
    if stack is None:
        given = {"--bucket": bucket, "--prefix": prefix, "--stream": stream}
        missing = [name for name, value in given.items() if not value]
        if not (bucket and prefix and stream):
            raise OptionError(f"use --stack, or add {', '.join(missing)}")
        return Target(bucket, prefix, stream, event_names or _EVENT_NAMES)
    given = {"--bucket": bucket, "--stream": stream, "--event-names": event_names}
    for name, value in given.items():
        if value is not None:
            raise OptionError(f"{name} cannot be combined with --stack, which already sets it")
    return _of_stack(deployed(access, stack), prefix)


def _of_stack(stack: Deployed, prefix: str | None) -> Target:
    try:
        folder = f"{stack.parameters['Prefix']}{PROCESSING_FAILED}/"
        names = stack.parameters["EventNames"]
        bucket = stack.outputs["BucketName"]
    except KeyError as error:
        raise AccessError(
            f"stack {stack.name} has no {error}: name a stack of template.yaml"
        ) from error
    if prefix is not None and not prefix.startswith(folder):
        raise OptionError(f"--prefix {prefix} must begin with {folder}, as failed records do")
    stream_name = stack.outputs["DeliveryStreamArn"].rsplit("/", 1)[1]
    # A * selects every event, whatever is beside it; the current template allows only a lone *.
    return Target(bucket, prefix or folder, stream_name, "*" if "*" in names.split(",") else names)


# The plan ---------------------------------------------------------------------------------------


class PlannedRecord(NamedTuple):
    """A record of an error object; preview is None if a tag says that the record was sent."""

    key: str
    line: int
    error_code: str
    preview: Preview | None

    @property
    def is_to_send(self) -> bool:
        return self.preview is not None and self.preview.events_delivered > 0


class Unusable(NamedTuple):
    """An object, or a line of it if `line` is not None, that cannot be sent, and why."""

    key: str
    line: int | None
    reason: str


class PlannedObject(NamedTuple):
    """An object and its lines to send.

    is_complete: whether nothing else in the object needs attention.
    has_every_line: whether no line is left out, such as a control message.
    """

    listed: ListedObject
    lines: Lines
    is_complete: bool
    has_every_line: bool


@dataclass
class Plan:
    """What a redrive would do.

    objects: number of objects found; settled objects were not read.
    records: number of records in the objects; each counts in sent_before or by_reason.
    to_mark: objects with nothing to send, and no tag that says so.
    found: the objects that were read, if keys were named.
    named, unusable: the first records, and the first unusable objects and lines (unusable_count
    in total).
    """

    target: Target
    max_named: int | None = MAX_NAMED
    objects: int = 0
    settled: int = 0
    records: int = 0
    sent_before: int = 0
    events_to_deliver: int = 0
    events_damaged: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    by_error_code: Counter[str] = field(default_factory=Counter)
    to_send: list[PlannedObject] = field(default_factory=list)
    to_mark: list[ListedObject] = field(default_factory=list)
    found: list[ListedObject] = field(default_factory=list)
    named: list[PlannedRecord] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    unusable_count: int = 0

    @property
    def records_to_send(self) -> int:
        return sum(len(each.lines) for each in self.to_send)

    def add_unusable(self, key: str, line: int | None, reason: str) -> None:
        """Count an unusable object or line, and list it if it is one of the first."""
        self.unusable_count += 1
        if self._is_listed(self.unusable):
            self.unusable.append(Unusable(key, line, reason))

    def add(self, record: PlannedRecord) -> None:
        """Count a record, and list it if it is one of the first."""
        self.records += 1
        self.by_error_code[record.error_code] += 1
        if self._is_listed(self.named):
            self.named.append(record)
        if record.preview is None:
            self.sent_before += 1
            return
        self.by_reason[record.preview.reason] += 1
        self.events_to_deliver += record.preview.events_delivered
        self.events_damaged += record.preview.events_damaged

    def _is_listed(self, listed: list[Any]) -> bool:
        return self.max_named is None or len(listed) < self.max_named


# The result -------------------------------------------------------------------------------------


@dataclass
class Result:
    """What a redrive has done.

    to_send: number of records, of which `sent` were certainly accepted, `sent_meanwhile` were sent
    by another run, and `unknown` were rejected, or may have been accepted without a response.
    not_recorded: records that were sent but do not fit in their object's tag.
    marked: how many of the to_mark objects, with nothing to send, now have a tag that says so.
    problem: why the last batch was not accepted in full; stopped: why the rest was not sent.
    """

    to_send: int
    sent: int = 0
    sent_meanwhile: int = 0
    unknown: int = 0
    not_recorded: int = 0
    to_mark: int = 0
    marked: int = 0
    problem: str | None = None
    stopped: str | None = None
    unusable: list[Unusable] = field(default_factory=list)

    @property
    def not_tried(self) -> int:
        return self.to_send - self.sent - self.sent_meanwhile - self.unknown

    @property
    def is_complete(self) -> bool:
        """Whether everything is sent and marked, so that the next run finds nothing to do."""
        is_sent = self.sent + self.sent_meanwhile == self.to_send and not self.not_recorded
        return is_sent and self.marked == self.to_mark and self.stopped is None


class Settled(NamedTuple):
    """A settled object, and its previous tags."""

    key: str
    tags_before: dict[str, str]


class _StoppedError(Exception):
    """Nothing more is sent; the message says why."""


class Redrive:
    """Plans and sends the failed records under one prefix.

    sleep: called between calls that the stream rejects, and to keep below BYTES_PER_SECOND.
    Raises OptionError if the event names are invalid, AccessError.
    """

    def __init__(
        self, access: Access, target: Target, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._target = target
        self._s3 = access.client("s3")
        self._sender = Sender(access, target.stream_name, BYTES_PER_SECOND, sleep)
        self._tags = ProgressTags(self._s3, target.bucket, target.stream_name)
        self._previewer = Previewer(target.event_names)
        self._failed_batches = 0

    def plan(
        self,
        max_named: int | None = MAX_NAMED,
        watch: Watch = _unwatched,
        keys: Sequence[str] | None = None,
    ) -> Plan:
        """Return what the function would do with every record; one object is in memory at a time.

        max_named: None lists every record. watch: called with the bytes read, and the total.
        keys: the objects to read, even if settled; None reads all that are not settled.
        Raises OptionError if there is no such object, AccessError.
        """
        plan = Plan(self._target, max_named)
        listed = list(self._listed() if keys is None else map(self._named, dict.fromkeys(keys)))
        total, done = sum(each.size for each in listed), 0
        for each in listed:
            plan.objects += 1
            try:
                progress = self._tags.read(each.key)
                if progress.is_settled and keys is None:
                    plan.settled += 1
                else:
                    _add_object(plan, each, self._planned_lines(each, progress.lines), progress)
            except (ObjectError, TagError) as error:
                plan.add_unusable(each.key, None, str(error))
            if keys is not None:
                plan.found.append(each)
            done += each.size
            watch(done, total)
        return plan

    def _listed(self, prefix: str | None = None) -> Iterator[ListedObject]:
        return error_objects.listed(self._s3, self._target.bucket, prefix or self._target.prefix)

    def _named(self, key: str) -> ListedObject:
        place = f"s3://{self._target.bucket}/{self._target.prefix}"
        key = key.removeprefix(f"s3://{self._target.bucket}/")
        if key.startswith(self._target.prefix):
            for each in self._listed(key):
                if each.key == key:
                    return each
                break
        raise OptionError(f"--settle {key}: there is no such object under {place}")

    def _planned_lines(self, listed: ListedObject, sent: Lines) -> list[PlannedRecord | JunkLine]:
        """Return the object's lines. Reads it completely first: damage may be near its end."""
        body = error_objects.read(self._s3, self._target.bucket, listed)
        ends_at = time.monotonic() + MAX_OBJECT_SECONDS
        planned: list[PlannedRecord | JunkLine] = []
        for each in error_objects.records(body):
            if time.monotonic() > ends_at:
                raise ObjectError(f"its records take more than {MAX_OBJECT_SECONDS:,} s to check")
            if isinstance(each, ErrorRecord):
                planned.append(self._planned_record(listed.key, each, sent))
            else:
                planned.append(each)
        return planned

    def _planned_record(self, key: str, record: ErrorRecord, sent: Lines) -> PlannedRecord:
        preview: Preview | None = self._previewer.preview(record.raw_data)
        # A tag may cover every line, although lines with nothing to deliver were not sent.
        if record.line in sent and preview is not None and not preview.is_empty:
            preview = None
        return PlannedRecord(key, record.line, record.error_code, preview)

    def send(self, plan: Plan, watch: Watch = _unwatched) -> Result:
        """Send the planned records, and record each batch in a tag before sending the next.

        A batch has records of only one object, because each object needs a tag written anyway.
        Objects with nothing to send are marked last.
        watch: called with the number of records done, and the total. Raises AccessError before
        anything is sent if progress cannot be recorded.
        """
        result = Result(plan.records_to_send, to_mark=len(plan.to_mark))
        if plan.to_send:
            self._check(plan.to_send[0].listed.key)
        try:
            for each in plan.to_send:
                try:
                    for _ in self._send_object(each, result):
                        watch(result.to_send - result.not_tried, result.to_send)
                except (ObjectError, TagError) as error:
                    result.unusable.append(Unusable(each.listed.key, None, str(error)))
            for listed in plan.to_mark:
                try:
                    error_objects.check_unchanged(self._s3, self._target.bucket, listed)
                    self._tags.record(listed.key, Lines(), is_complete=True)
                    result.marked += 1
                except (ObjectError, TagError) as error:
                    result.unusable.append(Unusable(listed.key, None, str(error)))
        except (AccessError, _StoppedError) as error:
            result.stopped = str(error)
        return result

    def settle(self, plan: Plan) -> Iterator[Settled]:
        """Mark each object of a plan with `keys`, so that nothing more of it is sent.

        Raises OptionError if an object cannot be marked, AccessError; those before it are marked.
        """
        for each in plan.found:
            try:
                error_objects.check_unchanged(self._s3, self._target.bucket, each)
                before = self._tags.settle(each.key, datetime.now(UTC))
            except (ObjectError, TagError) as error:
                raise OptionError(f"--settle {each.key}: {error}") from error
            yield Settled(each.key, before)

    def _check(self, key: str) -> None:
        try:
            self._tags.check_writable(key)
        except AccessError as error:
            raise AccessError(
                f"nothing was sent, because sent lines cannot be recorded in tags: {error}"
            ) from error
        except TagError:
            # The object was deleted after the plan; `_send_object` reports it.
            return

    def _send_object(self, planned: PlannedObject, result: Result) -> Iterator[None]:
        """Send an object's records, and yield after each batch."""
        key = planned.listed.key
        # Read the tags again: another run may have sent some records since the plan.
        sent = self._tags.read(key).lines
        body = error_objects.read(self._s3, self._target.bucket, planned.listed)
        before, not_recorded = result.not_recorded, 0
        for batch in self._batches(_waiting(body, planned.lines, sent, result)):
            accepted = self._send_batch(batch, result)
            sent |= accepted
            if accepted:
                is_complete = planned.is_complete and sent.covers(planned.lines)
                has_every_line = is_complete and planned.has_every_line
                lines = EVERY_LINE if has_every_line else sent
                recorded = self._record(key, accepted, lines, is_complete=is_complete)
                not_recorded = len(sent | recorded) - len(recorded)
            result.not_recorded = before + not_recorded
            yield
            self._failed_batches = 0 if accepted else self._failed_batches + 1
            if self._failed_batches == MAX_FAILED_BATCHES:
                raise _StoppedError("the stream does not accept any record")

    def _send_batch(self, batch: _Waiting, result: Result) -> Lines:
        """Return the lines whose records were certainly accepted."""
        accepted = self._sender.send([data for _, data in batch])
        lines = [
            line for (line, _), is_accepted in zip(batch, accepted, strict=True) if is_accepted
        ]
        result.sent += len(lines)
        result.unknown += len(batch) - len(lines)
        if len(lines) < len(batch):
            result.problem = self._sender.problem
        return Lines(lines)

    def _record(self, key: str, accepted: Lines, sent: Lines, *, is_complete: bool) -> Lines:
        try:
            return self._tags.record(key, sent, is_complete=is_complete)
        except (AccessError, TagError) as error:
            raise _StoppedError(
                f"{key}: {counted(len(accepted), 'record was', 'records were')} sent but not"
                f" recorded in its tags, and will be sent again: {error}"
            ) from error

    def _batches(self, waiting: Iterable[tuple[int, bytes]]) -> Iterator[_Waiting]:
        """Yield batches of what one call accepts, with little more than one in memory."""
        held: _Waiting = []
        size = 0
        for each in waiting:
            held.append(each)
            size += len(each[1])
            # Certainly more than one call accepts; the function's code decides where to split.
            if len(held) > MAX_BATCH_RECORDS or size > MAX_BATCH_BYTES:
                first = next(self._sender.batches([data for _, data in held]))
                yield held[: len(first)]
                size -= sum(len(data) for _, data in held[: len(first)])
                held = held[len(first) :]
        for batch in self._sender.batches([data for _, data in held]):
            yield [held[index] for index in batch]


def _add_object(
    plan: Plan, listed: ListedObject, found: Iterable[PlannedRecord | JunkLine], progress: Progress
) -> None:
    lines = []
    is_complete = has_every_line = True
    for each in found:
        if isinstance(each, JunkLine):
            plan.add_unusable(listed.key, each.line, each.reason)
            is_complete = False
            continue
        plan.add(each)
        if each.is_to_send:
            lines.append(each.line)
        elif each.preview is not None:
            has_every_line = False
            is_complete = is_complete and each.preview.is_empty
    if lines:
        plan.to_send.append(PlannedObject(listed, Lines(lines), is_complete, has_every_line))
    elif is_complete and not progress.is_complete:
        plan.to_mark.append(listed)


def _waiting(
    body: bytes, planned: Lines, sent: Lines, result: Result
) -> Iterator[tuple[int, bytes]]:
    """Yield the line numbers and records that must still be sent."""
    for each in error_objects.records(body):
        if isinstance(each, JunkLine) or each.line not in planned:
            continue
        if each.line in sent:
            result.sent_meanwhile += 1
        else:
            yield each.line, each.data
