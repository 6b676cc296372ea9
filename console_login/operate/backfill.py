"""Sign-ins from before the subscription filter existed, or that never passed it, into the stream.

From the log group, or from CloudTrail's own files in S3, in envelopes as CloudWatch Logs makes
them. A source is worked through in slices: a slice is done when the stream has certainly accepted
all of it, and what is kept to go on from is where the first slice begins that is not done. So a
slice can be sent again, and nothing is left out.
"""

import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from console_login.counts import counted
from console_login.moments import is_relative, moment
from console_login.operate.access import Access, AccessError, Deployed, deployed
from console_login.operate.backfill_records import LeftOut, Record, Source, Watch
from console_login.operate.backfill_state import (
    BackfillError,
    Plan,
    Progress,
    milliseconds,
    saved,
    text,
)
from console_login.operate.log_group_source import LogGroup
from console_login.operate.sender import Sender
from console_login.operate.trail_source import Trail
from console_login.stack.limits import MAX_RECORD_BYTES, MIB
from console_login.stack.prefix import time_zone

# A stream takes 1 MiB/s in most Regions and 5 in three: half of the former leaves the live sign-ins
# their room, and above the latter every Region throttles.
DEFAULT_MIB_PER_SECOND = 0.5
MAX_MIB_PER_SECOND = 5.0
# A kibibyte: at less, a record would wait for hours.
MIN_MIB_PER_SECOND = 0.001

DEFAULT_EVENT_NAMES = "ConsoleLogin"

# How many objects that could not be read are kept by name.
MAX_NAMED = 20

# Records that are kept until they are sent: what a few calls take.
_MAX_WAITING_BYTES = 4 * MIB
_MAX_WAITING_RECORDS = 500


@dataclass(frozen=True)
class Asked:
    """What `console-login backfill` was asked to do, as it was typed.

    url: of a trail's files, None for the log group.
    """

    start: str
    end: str | None = None
    stack: str | None = None
    log_group: str | None = None
    url: str | None = None
    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    stream: str | None = None
    event_names: str | None = None
    mib_per_second: float = DEFAULT_MIB_PER_SECOND
    state: Path | None = None


def prepare(access: Access, asked: Asked, now: float | None = None) -> tuple[Source, Progress]:
    """Return what to read, what is to be done, and how far it is.

    now: in seconds since the epoch. Raises BackfillError for what makes no sense, AccessError where
    AWS does not answer.
    """
    if not MIN_MIB_PER_SECOND <= asked.mib_per_second <= MAX_MIB_PER_SECOND:
        limit = f"more than 0, and {MAX_MIB_PER_SECOND:g} at most: no stream takes more"
        raise BackfillError(f"--mib-per-second {asked.mib_per_second:g}: {limit}")
    before = saved(asked.state)
    stack = _stack(access, asked)
    zone = UTC if stack is None else time_zone(stack.parameters["TimeZone"])
    start, end = _range(asked, before, zone, time.time() if now is None else now)
    source, stream = _places(access, asked, stack)
    plan = Plan(
        source=source.source,
        stream=stream,
        start_ago=asked.start if is_relative(asked.start) else None,
        end_ago=asked.end if asked.end is not None and is_relative(asked.end) else None,
        start=start,
        end=end,
    )
    if before is None:
        return source, Progress(plan, text(min(source.first(start), end)), asked.state)
    there, wanted = before.plan.document(), plan.document()
    for name in there | wanted:
        if there.get(name) != wanted.get(name):
            differs = f"{name} {there.get(name)} there, {wanted.get(name)} now"
            raise BackfillError(
                f"--state {asked.state}: of another backfill: {differs}; name another file"
            )
    if before.is_done and plan.start_ago is not None:
        # Today's 72 hours are not those that are done.
        covered = f"{text(before.plan.start)} to {text(before.plan.end)}"
        raise BackfillError(
            f"--state {asked.state}: this backfill is done ({covered}); name another file to start"
            " a new one"
        )
    return source, before


@functools.cache
def filter_pattern(event_names: str) -> str:
    """Return the pattern that template.yaml gives the filter for an EventNames parameter."""
    # The translator takes a second to import.
    from console_login.stack import template

    stack = template.resolve(template.load(), {"EventNames": event_names})
    pattern: str = stack.only("AWS::Logs::SubscriptionFilter").properties["FilterPattern"]
    return pattern


def _range(asked: Asked, before: Progress | None, zone: tzinfo, now: float) -> tuple[int, int]:
    present = datetime.fromtimestamp(now, UTC)
    latest = milliseconds(present)
    start = milliseconds(moment("--start", asked.start, zone, present))
    end = latest
    if asked.end is not None:
        end = milliseconds(moment("--end", asked.end, zone, present))
    if before is not None:
        # A run that continues keeps the moments that the first one computed.
        if is_relative(asked.start):
            start = before.plan.start
        if asked.end is None or is_relative(asked.end):
            end = before.plan.end
    if start >= end:
        typed = f"--end {asked.end}, {text(end)}" if asked.end else f"now, {text(end)}"
        raise BackfillError(f"--start {asked.start}, {text(start)}, is not before {typed}")
    if end > latest:
        # What is yet to come would count as done.
        raise BackfillError(f"--end {text(end)} is yet to come: leave it out for now")
    return start, end


def _stack(access: Access, asked: Asked) -> Deployed | None:
    """Return the deployed stack that says where events go, None where options do."""
    if asked.stack is None:
        return None
    if any(each is not None for each in (asked.log_group, asked.stream, asked.event_names)):
        raise BackfillError("--stack says it all: no --log-group, --stream or --event-names")
    return deployed(access, asked.stack)


def _places(access: Access, asked: Asked, stack: Deployed | None) -> tuple[Source, str]:
    """Return the source and the stream."""
    if asked.url is None and (asked.accounts or asked.regions):
        raise BackfillError("--account and --from-region choose files: they need --from")
    if asked.url is not None and asked.log_group is not None:
        raise BackfillError("--from and --log-group are two sources: name one")
    if stack is not None:
        stream = stack.outputs["DeliveryStreamArn"].rsplit("/", 1)[1]
        log_group, names = stack.outputs["LogGroupName"], stack.parameters["EventNames"]
    else:
        if asked.stream is None or (asked.log_group is None and asked.url is None):
            needed = "--log-group" if asked.url is None else "--from"
            raise BackfillError(f"name --stack, or {needed} and --stream")
        stream, names = asked.stream, asked.event_names or DEFAULT_EVENT_NAMES
        log_group = asked.log_group or ""
    if asked.url is not None:
        # Whatever stands beside a *, every event is selected; today's template takes a lone * only.
        names = "*" if "*" in names.split(",") else names
        return Trail(access, asked.url, asked.accounts, asked.regions, names), stream
    return LogGroup(access, log_group, filter_pattern(names)), stream


# Sending -----------------------------------------------------------------------------------------


@dataclass
class Totals:
    """What a run has read, or sent.

    files: of a trail, that were read. bytes: of records, before base64.
    too_large: events that no record can hold; each is alone in its record.
    unreadable: files that could not be read, or not to their end; named: the first of them.
    left_out_before: events and files that earlier runs with the same state left out.
    problem: why the run stopped before the end, None if it did not.
    """

    files: int = 0
    events: int = 0
    records: int = 0
    bytes: int = 0
    too_large: int = 0
    unreadable: int = 0
    named: list[LeftOut] = field(default_factory=list)
    left_out_before: int = 0
    problem: str | None = None

    @property
    def left_out(self) -> int:
        return self.too_large + self.unreadable

    @property
    def is_complete(self) -> bool:
        return self.problem is None and not self.left_out and not self.left_out_before


@dataclass
class Backfill:
    """One run, from a plan's position to its end.

    sender: None reads and counts, and sends nothing.
    watch: called often, with the share that is done.
    """

    source: Source
    progress: Progress
    sender: Sender | None
    watch: Watch = lambda _: None
    totals: Totals = field(default_factory=Totals)

    def run(self) -> Totals:
        """Work through the slices; stop at the first that is not certainly accepted whole.

        Raises BackfillError where the state cannot be kept.
        """
        self.totals.left_out_before = self.progress.left_out
        if self.sender is not None:
            # What cannot be written is said before anything is sent.
            self.progress.save(self.progress.position)
        try:
            is_done = self.progress.is_done or self._run()
        except AccessError as error:
            self.totals.problem = str(error)
            is_done = False
        if is_done and self.sender is not None:
            self.progress.save(text(self.progress.plan.end))
        return self.totals

    def _run(self) -> bool:
        progress = self.progress
        for each in self.source.slices(progress.plan, progress.position, self.watch):
            before = self.totals.left_out
            if not self._send_all(each.records):
                return False
            self.totals.files += each.files
            if self.sender is not None:
                progress.save(each.position, self.totals.left_out - before)
        return True

    def _send_all(self, made: Iterator[Record | LeftOut]) -> bool:
        waiting: list[Record] = []
        size = 0
        for record in made:
            if isinstance(record, LeftOut):
                self.totals.unreadable += 1
                if len(self.totals.named) < MAX_NAMED:
                    self.totals.named.append(record)
                continue
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
