"""Compare the events of two sides by `eventID` and content: find those that only one side has."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console_login.counts import counted
from console_login.errors import SourceError, UserError
from console_login.events.identity import content_digest
from console_login.events.sources import Event, Sources, Unreadable, read

if TYPE_CHECKING:
    from console_login.operate.access import Access

MAX_NAMED = 10
MAX_DAYS = 400
# Per side; an event takes about 500 bytes of memory.
MAX_EVENTS = 1_000_000

# These ids are printed, so nothing else may pass.
_EVENT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


class CompareError(UserError):
    """Sides or days that cannot be compared; the message says which."""


class Days(NamedTuple):
    """The days from the first to the last; iteration yields their folders."""

    first: date
    last: date

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        for number in range((self.last - self.first).days + 1):
            yield f"{self.first + timedelta(number):%Y/%m/%d}/"


@dataclass(frozen=True)
class Side:
    """The selected events of one side.

    lines: number of events, with copies. events: the digests of each event's content, of which
    there should be one, by its `eventID`, or by a digest if it has no valid `eventID`.
    unreadable_count, unreadable: number of unreadable parts, and the first of them.
    """

    lines: int
    events: dict[str, set[str]]
    unreadable_count: int
    unreadable: list[Unreadable]

    @property
    def copies(self) -> int:
        return self.lines - sum(map(len, self.events.values()))


@dataclass(frozen=True)
class Comparison:
    """Two sides and their differences."""

    old: Side
    new: Side

    @property
    def only_old(self) -> list[str]:
        return sorted(self.old.events.keys() - self.new.events.keys())

    @property
    def only_new(self) -> list[str]:
        return sorted(self.new.events.keys() - self.old.events.keys())

    @property
    def differing(self) -> list[str]:
        """The events with different content, within one side or between the two."""
        nothing: set[str] = set()
        old, new = self.old.events, self.new.events
        return sorted(
            name
            for name in old.keys() | new.keys()
            if len(old.get(name, nothing) | new.get(name, nothing)) > 1
        )

    @property
    def is_same(self) -> bool:
        """Whether both sides have the same events, at least one, and no unreadable parts."""
        is_read = not (self.old.unreadable_count or self.new.unreadable_count)
        is_equal = self.old.events == self.new.events and not self.differing
        return bool(self.old.events) and is_equal and is_read


def days(start: str | None, end: str | None) -> Days | None:
    """Return the days from `--start` to `--end`; without `--end`, only the day of `--start`."""
    if start is None:
        if end is not None:
            raise CompareError("--end needs --start")
        return None
    first, last = _day("--start", start), _day("--end", end or start)
    if not 0 <= (last - first).days < MAX_DAYS:
        raise CompareError(f"--end {last}: use {first} or one of the {MAX_DAYS - 1} days after it")
    return Days(first, last)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else "")
    except ValueError as error:
        raise CompareError(f"{option} {text} is not a day, such as 2026-11-24") from error


def compare(
    old: str, new: str, event_names: str, chosen: Days | None = None, access: "Access | None" = None
) -> Comparison:
    """Compare the events of two files, folders or S3 prefixes.

    old, new: a path, or `s3://BUCKET/PREFIX` with folders of the `chosen` days.
    event_names: as in EventNames. Firehose's objects need no extension, and may be gzip.
    Raises SourceError if a side cannot be read, CompareError, AccessError.
    """
    if chosen is not None and not any(side.startswith("s3://") for side in (old, new)):
        raise CompareError("--start is for s3://BUCKET/PREFIX: a folder is read completely")
    names = frozenset(name.strip() for name in event_names.split(","))
    selected = None if "*" in event_names else names
    first, second = (_side(_read(side, chosen, access), selected) for side in (old, new))
    return Comparison(first, second)


def _read(side: str, chosen: Days | None, access: "Access | None") -> Iterable[Event | Unreadable]:
    if "://" not in side:
        return Sources([Path(side)]).read()
    place = _S3.fullmatch(side)
    if place is None:
        raise CompareError(f"{side} is not an S3 prefix, such as s3://BUCKET/PREFIX")
    if chosen is None or access is None:
        raise CompareError(f"{side} needs the first day, such as --start 2026-11-24")
    return _in_s3(access, place[1], place[2] or "", chosen)


def _in_s3(
    access: "Access", bucket: str, prefix: str, chosen: Days
) -> Iterator[Event | Unreadable]:
    """Yield the events of the objects in the folders of the chosen days."""
    # boto3 takes half a second to import, and local folders do not need it.
    from console_login.operate import error_objects as objects

    s3 = access.client("s3")
    count = 0
    for day in chosen:
        for listed in objects.listed(s3, bucket, prefix + day):
            count += 1
            name = f"s3://{bucket}/{listed.key}"
            try:
                body = objects.read(s3, bucket, listed)
            except objects.ObjectError as error:
                yield Unreadable(name, str(error))
            else:
                yield from read(name, io.BufferedReader(io.BytesIO(body)))
    if not count:
        folder = f"s3://{bucket}/{prefix}{chosen.first:%Y/%m/%d}/"
        raise SourceError(
            f"{folder} and the chosen days after it have no objects: check the prefix"
        )


def _side(found: Iterable[Event | Unreadable], selected: frozenset[str] | None) -> Side:
    lines = unreadable_count = distinct = 0
    unreadable: list[Unreadable] = []
    events: dict[str, set[str]] = {}
    for each in found:
        if isinstance(each, Unreadable):
            unreadable_count += 1
            if unreadable_count <= MAX_NAMED:
                unreadable.append(each)
        elif selected is None or _is_in(selected, each.fields.get("eventName")):
            lines += 1
            # Compare the JSON values, not the text: Firehose's own extraction keeps line breaks.
            digest = content_digest(each.message)
            event_id = each.fields.get("eventID")
            is_id = isinstance(event_id, str) and _EVENT_ID.fullmatch(event_id)
            contents = events.setdefault(str(event_id) if is_id else f"sha256:{digest}", set())
            distinct += digest not in contents
            contents.add(digest)
            if distinct > MAX_EVENTS:
                raise CompareError(
                    f"one side has more than {MAX_EVENTS:,} events: compare fewer days or files"
                )
    return Side(lines, events, unreadable_count, unreadable)


def _is_in(selected: frozenset[str], name: object) -> bool:
    # A forged line can have a list there, which cannot be looked up in a set.
    return isinstance(name, str) and name in selected


def words(comparison: Comparison) -> Iterator[str]:
    """Yield the lines that show the comparison: ids, counts and places, but no event content."""
    sides = (("old", comparison.old), ("new", comparison.new))
    for heading, side in sides:
        events = counted(len(side.events), "event")
        yield f"{heading}  {events}, and {counted(side.copies, 'extra copy', 'extra copies')}"
    for heading, names in (
        ("only in old", comparison.only_old),
        ("only in new", comparison.only_new),
        ("same eventID with different content", comparison.differing),
    ):
        if names:
            more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
            yield f"{heading} ({len(names):,}): {', '.join(names[:MAX_NAMED])}{more}"
    for heading, side in sides:
        if side.unreadable_count:
            yield f"{heading} has {counted(side.unreadable_count, 'unreadable line')}:"
        for place, reason in side.unreadable:
            yield f"  {place}: {reason}"
        if side.unreadable_count > MAX_NAMED:
            yield f"  and {side.unreadable_count - MAX_NAMED:,} more"
    if not comparison.old.events | comparison.new.events:
        yield "neither side has a selected event"
    elif comparison.is_same:
        yield "both sides have the same events"
