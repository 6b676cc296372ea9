"""Records that failed back into the stream: what each would do now, and those that are worth it.

A record is sent at least once. Which are known to be sent is remembered in tags of the error
objects, after each batch and before the next; an object is never changed or deleted. An object with
nothing to send is marked in the same tag, and one that an operator gives up in another.
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
from console_login.operate.judge import Fate, Judge, OptionError
from console_login.operate.progress_bar import Watch
from console_login.operate.sender import Sender
from console_login.operate.sent_lines import EVERY_LINE, Known, Lines, Memory, TagError
from console_login.stack.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, PROCESSING_FAILED

# Half of the smallest quota of a Direct PUT stream: the other half is left to what comes in.
BYTES_PER_SECOND = 512 * 1024

# Of these in a row nothing was accepted: what refuses them will refuse the next one as well.
MAX_FAILED_BATCHES = 3

# For the records of one object. A full one takes some ten seconds; what is meant to harm, hours.
MAX_OBJECT_SECONDS = 5 * 60

# How many records, and how many lines that are none, are kept by name.
MAX_NAMED = 20

_EVENT_NAMES = "ConsoleLogin"

_Waiting = list[tuple[int, bytes]]


def _unwatched(_done: float, _total: float) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Target:
    """Where records lie and where they are sent; event_names: as in EVENT_NAMES."""

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
    """Return what the options mean. Raises OptionError, AccessError."""
    if stack is None:
        given = {"--bucket": bucket, "--prefix": prefix, "--stream": stream}
        missing = [name for name, value in given.items() if not value]
        if not (bucket and prefix and stream):
            raise OptionError(f"give --stack, or else {', '.join(missing)}")
        return Target(bucket, prefix, stream, event_names or _EVENT_NAMES)
    given = {"--bucket": bucket, "--stream": stream, "--event-names": event_names}
    for name, value in given.items():
        if value is not None:
            raise OptionError(f"{name} does not go with --stack, which says it itself")
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
        raise OptionError(f"--prefix {prefix}: records that failed lie under {folder}")
    stream_name = stack.outputs["DeliveryStreamArn"].rsplit("/", 1)[1]
    # Whatever stands beside a *, every event is selected; today's template takes a lone * only.
    return Target(bucket, prefix or folder, stream_name, "*" if "*" in names.split(",") else names)


# The plan ---------------------------------------------------------------------------------------


class PlannedRecord(NamedTuple):
    """A record of an error object; fate is None for one that is known to be sent."""

    key: str
    line: int
    error_code: str
    fate: Fate | None

    @property
    def is_to_send(self) -> bool:
        return self.fate is not None and self.fate.events_delivered > 0


class Unusable(NamedTuple):
    """An object, or where it is not None a line of it, that cannot be sent, and why."""

    key: str
    line: int | None
    reason: str


class PlannedObject(NamedTuple):
    """An object and its lines that are to be sent.

    is_whole: whether nothing of it is left then that anyone must look at.
    is_every: whether no line of it was left out, such as a control message.
    """

    listed: ListedObject
    lines: Lines
    is_whole: bool
    is_every: bool


@dataclass
class Plan:
    """What a redrive would do.

    objects: that were found; those that are settled were not read.
    records: in the objects; each is one of sent_before, and those by_reason.
    to_mark: objects with nothing to send that no tag says so of.
    found: the objects that were read, where they were named.
    named, unusable: the first of the records, and of what is unusable (unusable_count in all).
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
        """Count and, while there is room, name what cannot be sent."""
        self.unusable_count += 1
        if self._has_room(self.unusable):
            self.unusable.append(Unusable(key, line, reason))

    def add(self, record: PlannedRecord) -> None:
        """Count and, while there is room, name a record."""
        self.records += 1
        self.by_error_code[record.error_code] += 1
        if self._has_room(self.named):
            self.named.append(record)
        if record.fate is None:
            self.sent_before += 1
            return
        self.by_reason[record.fate.reason] += 1
        self.events_to_deliver += record.fate.events_delivered
        self.events_damaged += record.fate.events_damaged

    def _has_room(self, named: list[Any]) -> bool:
        return self.max_named is None or len(named) < self.max_named


# The result -------------------------------------------------------------------------------------


@dataclass
class Result:
    """What a redrive has done.

    to_send: records, of which `sent` were certainly accepted, `sent_meanwhile` were found to be
    sent by another run, and `unknown` were refused, or may have been accepted unheard.
    not_remembered: records that were sent but found no room in their object's tag.
    marked: of the objects with nothing to send, to_mark, those that a tag says so of now.
    problem: why the last batch was not accepted in full; stopped: why the rest was not sent.
    """

    to_send: int
    sent: int = 0
    sent_meanwhile: int = 0
    unknown: int = 0
    not_remembered: int = 0
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
        """Whether all is sent and marked, so that the next run finds nothing to do."""
        is_sent = self.sent + self.sent_meanwhile == self.to_send and not self.not_remembered
        return is_sent and self.marked == self.to_mark and self.stopped is None


class Settled(NamedTuple):
    """An object that is settled, and the tags that it had before."""

    key: str
    tags_before: dict[str, str]


class _StoppedError(Exception):
    """Nothing more is to be sent; the message says why."""


class Redrive:
    """Plans and sends what failed under one prefix.

    sleep: between calls that the stream refuses, and to keep below BYTES_PER_SECOND.
    Raises OptionError where the event names are none, AccessError.
    """

    def __init__(
        self, access: Access, target: Target, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._target = target
        self._s3 = access.client("s3")
        self._sender = Sender(access, target.stream_name, BYTES_PER_SECOND, sleep)
        self._memory = Memory(self._s3, target.bucket, target.stream_name)
        self._judge = Judge(target.event_names)
        self._failed_batches = 0

    def plan(
        self,
        max_named: int | None = MAX_NAMED,
        watch: Watch = _unwatched,
        keys: Sequence[str] | None = None,
    ) -> Plan:
        """Return what every record would do; one object is held at a time.

        max_named: None names every record. watch: is told how many bytes are read, and of how many.
        keys: of the objects to read, settled ones too; None reads all but those.
        Raises OptionError where there is no such object, AccessError.
        """
        plan = Plan(self._target, max_named)
        listed = list(self._listed() if keys is None else map(self._named, dict.fromkeys(keys)))
        total, done = sum(each.size for each in listed), 0
        for each in listed:
            plan.objects += 1
            try:
                known = self._memory.known(each.key)
                if known.is_settled and keys is None:
                    plan.settled += 1
                else:
                    _take(plan, each, self._judged(each, known.lines), known)
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

    def _judged(self, listed: ListedObject, sent: Lines) -> list[PlannedRecord | JunkLine]:
        """Judge the whole object before any of it counts: what is damaged late is damaged."""
        body = error_objects.read(self._s3, self._target.bucket, listed)
        ends_at = time.monotonic() + MAX_OBJECT_SECONDS
        judged: list[PlannedRecord | JunkLine] = []
        for each in error_objects.records(body):
            if time.monotonic() > ends_at:
                raise ObjectError(f"its records take more than {MAX_OBJECT_SECONDS:,} s to judge")
            if isinstance(each, ErrorRecord):
                judged.append(self._planned(listed.key, each, sent))
            else:
                judged.append(each)
        return judged

    def _planned(self, key: str, record: ErrorRecord, sent: Lines) -> PlannedRecord:
        fate: Fate | None = self._judge.fate(record.raw_data)
        # A tag may name every line: what nobody would send was not sent.
        if record.line in sent and fate is not None and not fate.is_empty:
            fate = None
        return PlannedRecord(key, record.line, record.error_code, fate)

    def send(self, plan: Plan, watch: Watch = _unwatched) -> Result:
        """Send what is planned, and remember each batch before the next one is sent.

        A batch holds records of one object: one more tag is to be written for each object anyway.
        Objects with nothing to send are marked last.
        watch: is told how many records are done, and of how many. Raises AccessError where progress
        cannot be remembered, before anything is sent.
        """
        result = Result(plan.records_to_send, to_mark=len(plan.to_mark))
        if plan.to_send:
            self._check(plan.to_send[0].listed.key)
        try:
            for each in plan.to_send:
                try:
                    for _ in self._sent(each, result):
                        watch(result.to_send - result.not_tried, result.to_send)
                except (ObjectError, TagError) as error:
                    result.unusable.append(Unusable(each.listed.key, None, str(error)))
            for listed in plan.to_mark:
                try:
                    error_objects.check_unchanged(self._s3, self._target.bucket, listed)
                    self._memory.remember(listed.key, Lines(), is_whole=True)
                    result.marked += 1
                except (ObjectError, TagError) as error:
                    result.unusable.append(Unusable(listed.key, None, str(error)))
        except (AccessError, _StoppedError) as error:
            result.stopped = str(error)
        return result

    def settle(self, plan: Plan) -> Iterator[Settled]:
        """Mark each object of a plan of `keys` as one of which nothing more will be sent.

        Raises OptionError where an object cannot be marked, AccessError; those before it are.
        """
        for each in plan.found:
            try:
                error_objects.check_unchanged(self._s3, self._target.bucket, each)
                before = self._memory.settle(each.key, datetime.now(UTC))
            except (ObjectError, TagError) as error:
                raise OptionError(f"--settle {each.key}: {error}") from error
            yield Settled(each.key, before)

    def _check(self, key: str) -> None:
        try:
            self._memory.check(key)
        except AccessError as error:
            raise AccessError(
                f"nothing is sent, for it could not be remembered: {error}"
            ) from error
        except TagError:
            # Gone since it was planned; its turn says so.
            return

    def _sent(self, planned: PlannedObject, result: Result) -> Iterator[None]:
        """Send an object's records, and yield after each batch."""
        key = planned.listed.key
        # As it is now: another run may have sent some since this one was planned.
        sent = self._memory.recall(key)
        body = error_objects.read(self._s3, self._target.bucket, planned.listed)
        before, forgotten = result.not_remembered, 0
        for batch in self._batches(_waiting(body, planned.lines, sent, result)):
            accepted = self._send(batch, result)
            sent |= accepted
            if accepted:
                is_whole = planned.is_whole and sent.covers(planned.lines)
                is_every = is_whole and planned.is_every
                lines = EVERY_LINE if is_every else sent
                known = self._remember(key, accepted, lines, is_whole=is_whole)
                forgotten = len(sent | known) - len(known)
            result.not_remembered = before + forgotten
            yield
            self._failed_batches = 0 if accepted else self._failed_batches + 1
            if self._failed_batches == MAX_FAILED_BATCHES:
                raise _StoppedError("the stream accepts nothing")

    def _send(self, batch: _Waiting, result: Result) -> Lines:
        """Return the lines of which the records were certainly accepted."""
        accepted = self._sender.send([data for _, data in batch])
        lines = [
            line for (line, _), is_accepted in zip(batch, accepted, strict=True) if is_accepted
        ]
        result.sent += len(lines)
        result.unknown += len(batch) - len(lines)
        if len(lines) < len(batch):
            result.problem = self._sender.problem
        return Lines(lines)

    def _remember(self, key: str, accepted: Lines, sent: Lines, *, is_whole: bool) -> Lines:
        try:
            return self._memory.remember(key, sent, is_whole=is_whole)
        except (AccessError, TagError) as error:
            raise _StoppedError(
                f"{key}: {counted(len(accepted), 'record was', 'records were')} sent, which could"
                f" not be remembered, and will be sent again: {error}"
            ) from error

    def _batches(self, waiting: Iterable[tuple[int, bytes]]) -> Iterator[_Waiting]:
        """Yield what one call can take, holding little more than that."""
        held: _Waiting = []
        size = 0
        for each in waiting:
            held.append(each)
            size += len(each[1])
            # More than one call takes for certain; which, the function's code says.
            if len(held) > MAX_BATCH_RECORDS or size > MAX_BATCH_BYTES:
                first = next(self._sender.batches([data for _, data in held]))
                yield held[: len(first)]
                size -= sum(len(data) for _, data in held[: len(first)])
                held = held[len(first) :]
        for batch in self._sender.batches([data for _, data in held]):
            yield [held[index] for index in batch]


def _take(
    plan: Plan, listed: ListedObject, found: Iterable[PlannedRecord | JunkLine], known: Known
) -> None:
    lines = []
    is_whole = is_every = True
    for each in found:
        if isinstance(each, JunkLine):
            plan.add_unusable(listed.key, each.line, each.reason)
            is_whole = False
            continue
        plan.add(each)
        if each.is_to_send:
            lines.append(each.line)
        elif each.fate is not None:
            is_every = False
            is_whole = is_whole and each.fate.is_empty
    if lines:
        plan.to_send.append(PlannedObject(listed, Lines(lines), is_whole, is_every))
    elif is_whole and not known.is_whole:
        plan.to_mark.append(listed)


def _waiting(
    body: bytes, planned: Lines, sent: Lines, result: Result
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are still to be sent, with their records."""
    for each in error_objects.records(body):
        if isinstance(each, JunkLine) or each.line not in planned:
            continue
        if each.line in sent:
            result.sent_meanwhile += 1
        else:
            yield each.line, each.data
