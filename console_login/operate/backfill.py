"""Send sign-ins that predate the subscription filter, or never passed it, to the stream.

Reads the log group, or CloudTrail's log files in S3, and sends envelopes like those of CloudWatch
Logs. The source is read in slices. A slice is done when the stream has certainly accepted all of
it, and the saved position is the start of the first slice that is not done. So a slice may be sent
again, but nothing is left out.
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

# A stream accepts 1 MiB/s in most Regions and 5 MiB/s in three. Half of 1 MiB/s leaves the rest to
# live sign-ins; above 5 MiB/s, every Region throttles.
DEFAULT_MIB_PER_SECOND = 0.5
MAX_MIB_PER_SECOND = 5.0
# About a kibibyte per second: at a lower rate, a record would wait for hours.
MIN_MIB_PER_SECOND = 0.001

DEFAULT_EVENT_NAMES = "ConsoleLogin"

# The number of unreadable objects that are listed by name.
MAX_NAMED = 20

# Records are collected up to these limits, enough for a few calls, before they are sent.
_MAX_WAITING_BYTES = 4 * MIB
_MAX_WAITING_RECORDS = 500


@dataclass(frozen=True)
class Options:
    """The options of `console-login backfill`, as typed.

    url: the location of a trail's files, None for the log group.
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


def prepare(access: Access, options: Options, now: float | None = None) -> tuple[Source, Progress]:
    """Return the source to read, and the progress of the plan.

    now: in seconds since the epoch. Raises BackfillError for invalid options or an unusable state,
    AccessError if a request to AWS fails.
    """
    if not MIN_MIB_PER_SECOND <= options.mib_per_second <= MAX_MIB_PER_SECOND:
        limits = f"from {MIN_MIB_PER_SECOND:g} to {MAX_MIB_PER_SECOND:g}: no stream accepts more"
        raise BackfillError(f"--mib-per-second {options.mib_per_second:g} must be {limits}")
    before = saved(options.state)
    stack = _stack(access, options)
    zone = UTC if stack is None else time_zone(stack.parameters["TimeZone"])
    start, end = _range(options, before, zone, time.time() if now is None else now)
    source, stream = _places(access, options, stack)
    plan = Plan(
        source=source.source,
        stream=stream,
        start_ago=options.start if is_relative(options.start) else None,
        end_ago=options.end if options.end is not None and is_relative(options.end) else None,
        start=start,
        end=end,
    )
    if before is None:
        return source, Progress(plan, text(min(source.first(start), end)), options.state)
    saved_plan, wanted = before.plan.document(), plan.document()
    for name in saved_plan | wanted:
        if saved_plan.get(name) != wanted.get(name):
            differs = f"{name} was {saved_plan.get(name)}, is now {wanted.get(name)}"
            raise BackfillError(
                f"--state {options.state} belongs to another backfill ({differs}): use another file"
            )
    if before.is_done and plan.start_ago is not None:
        # An age such as `72h` means a later period now than when the backfill was done.
        covered = f"{text(before.plan.start)} to {text(before.plan.end)}"
        raise BackfillError(
            f"--state {options.state}: this backfill is done ({covered});"
            " use another file to start a new one"
        )
    return source, before


@functools.cache
def filter_pattern(event_names: str) -> str:
    """Return the filter pattern that template.yaml sets for an EventNames parameter."""
    # Importing the translator takes a second.
    from console_login.stack import template

    stack = template.resolve(template.load(), {"EventNames": event_names})
    pattern: str = stack.only("AWS::Logs::SubscriptionFilter").properties["FilterPattern"]
    return pattern


def _range(options: Options, before: Progress | None, zone: tzinfo, now: float) -> tuple[int, int]:
    present = datetime.fromtimestamp(now, UTC)
    latest = milliseconds(present)
    start = milliseconds(moment("--start", options.start, zone, present))
    end = latest
    if options.end is not None:
        end = milliseconds(moment("--end", options.end, zone, present))
    if before is not None:
        # A run that continues uses the times that the first run computed.
        if is_relative(options.start):
            start = before.plan.start
        if options.end is None or is_relative(options.end):
            end = before.plan.end
    if start >= end:
        until = f"--end {options.end} ({text(end)})" if options.end else f"now ({text(end)})"
        raise BackfillError(f"--start {options.start} ({text(start)}) is not before {until}")
    if end > latest:
        # Events that happen later would count as done.
        raise BackfillError(f"--end {text(end)} is in the future: omit --end to use the time now")
    return start, end


def _stack(access: Access, options: Options) -> Deployed | None:
    """Return the deployed stack that --stack names, None without --stack."""
    if options.stack is None:
        return None
    if any(each is not None for each in (options.log_group, options.stream, options.event_names)):
        raise BackfillError(
            "--stack cannot be combined with --log-group, --stream or --event-names:"
            " the stack determines them"
        )
    return deployed(access, options.stack)


def _places(access: Access, options: Options, stack: Deployed | None) -> tuple[Source, str]:
    """Return the source and the stream."""
    if options.url is None and (options.accounts or options.regions):
        raise BackfillError("--account and --from-region select files, so they need --from")
    if options.url is not None and options.log_group is not None:
        raise BackfillError("--from cannot be combined with --log-group: name one source")
    if stack is not None:
        stream = stack.outputs["DeliveryStreamArn"].rsplit("/", 1)[1]
        log_group, names = stack.outputs["LogGroupName"], stack.parameters["EventNames"]
    else:
        if options.stream is None or (options.log_group is None and options.url is None):
            needed = "--log-group" if options.url is None else "--from"
            raise BackfillError(f"name --stack, or {needed} and --stream")
        stream, names = options.stream, options.event_names or DEFAULT_EVENT_NAMES
        log_group = options.log_group or ""
    if options.url is not None:
        # A * selects every event, even if the list has other names. The current template accepts
        # only a lone *, but an older stack may have such a list.
        names = "*" if "*" in names.split(",") else names
        return Trail(access, options.url, options.accounts, options.regions, names), stream
    return LogGroup(access, log_group, filter_pattern(names)), stream


# Sending -----------------------------------------------------------------------------------------


@dataclass
class Totals:
    """What a run has read or sent.

    files: number of trail files read. bytes: size of the records before base64.
    too_large: number of events too large for a record; each is alone in its record.
    unreadable: number of files that could not be read completely; named: the first of them.
    left_out_before: events and files that earlier runs with the same state left out.
    problem: why the run stopped early, None if it did not.
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
    """One run, from the saved position to the end of the plan.

    sender: None to read and count, but send nothing.
    watch: called often, with the share that is done.
    """

    source: Source
    progress: Progress
    sender: Sender | None
    watch: Watch = lambda _: None
    totals: Totals = field(default_factory=Totals)

    def run(self) -> Totals:
        """Send the slices in order; stop at the first that is not certainly accepted completely.

        Raises BackfillError if the state cannot be saved.
        """
        self.totals.left_out_before = self.progress.left_out
        if self.sender is not None:
            # If the state cannot be written, fail before anything is sent.
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

    def _send_all(self, records: Iterator[Record | LeftOut]) -> bool:
        waiting: list[Record] = []
        size = 0
        for record in records:
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
        """Send records; return whether the stream has certainly accepted all of them."""
        if self.sender is None:
            self._count(waiting)
            return True
        data = [record.data for record in waiting]
        for batch in self.sender.batches(data):
            accepted = self.sender.send([data[index] for index in batch])
            pairs = zip(batch, accepted, strict=True)
            self._count(waiting[index] for index, is_accepted in pairs if is_accepted)
            if not all(accepted):
                count = accepted.count(False)
                why = self.sender.problem or "the time limit was reached"
                uncertain = counted(count, "record")
                self.totals.problem = f"{uncertain} may not have been accepted: {why}"
                return False
        return True

    def _count(self, sent: Iterable[Record]) -> None:
        for record in sent:
            self.totals.events += record.events
            self.totals.records += 1
            self.totals.bytes += len(record.data)
