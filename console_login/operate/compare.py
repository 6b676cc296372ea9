"""Two sides' events compared by `eventID` and content: what only one of them has."""

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
# Of one side, some 500 bytes each.
MAX_EVENTS = 1_000_000

# Printed: nothing but an id may come through.
_EVENT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


class CompareError(UserError):
    """Sides or days that cannot be compared; the message says which."""


class Days(NamedTuple):
    """Folders of days, from the first to the last."""

    first: date
    last: date

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        for number in range((self.last - self.first).days + 1):
            yield f"{self.first + timedelta(number):%Y/%m/%d}/"


@dataclass(frozen=True)
class Side:
    """The selected events of one side.

    lines: with copies. events: by what names an event, its `eventID` if it has one, the digests of
    its content, of which there should be one.
    unreadable_count, unreadable: what is no event, and the first of it.
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
    """Two sides and what tells them apart."""

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
        """The events that have more than one content, on one side or between the two."""
        nothing: set[str] = set()
        old, new = self.old.events, self.new.events
        return sorted(
            name
            for name in old.keys() | new.keys()
            if len(old.get(name, nothing) | new.get(name, nothing)) > 1
        )

    @property
    def is_same(self) -> bool:
        """Whether both sides have the same events, at least one, and nothing else was in them."""
        is_read = not (self.old.unreadable_count or self.new.unreadable_count)
        is_equal = self.old.events == self.new.events and not self.differing
        return bool(self.old.events) and is_equal and is_read


def days(start: str | None, end: str | None) -> Days | None:
    """Return the days from `--start` to `--end`, by default that of `--start` alone."""
    if start is None:
        if end is not None:
            raise CompareError("--end goes with --start")
        return None
    first, last = _day("--start", start), _day("--end", end or start)
    if not 0 <= (last - first).days < MAX_DAYS:
        raise CompareError(
            f"--end {last}: write {first} or one of the {MAX_DAYS - 1} days after it"
        )
    return Days(first, last)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else "")
    except ValueError as error:
        raise CompareError(f"{option} {text}: not a day; write 2026-11-24") from error


def compare(
    old: str, new: str, event_names: str, chosen: Days | None = None, access: "Access | None" = None
) -> Comparison:
    """Compare the events of two files, folders or places in S3.

    old, new: a path, or `s3://BUCKET/PREFIX`, under which are folders of the `chosen` days.
    event_names: as in EventNames. Objects of Firehose need no extension, and may be gzip.
    Raises SourceError for what cannot be read, CompareError and AccessError.
    """
    if chosen is not None and not any(side.startswith("s3://") for side in (old, new)):
        raise CompareError("--start is for s3://BUCKET/PREFIX: a folder is read whole")
    names = frozenset(name.strip() for name in event_names.split(","))
    selected = None if "*" in event_names else names
    first, second = (_side(_read(side, chosen, access), selected) for side in (old, new))
    return Comparison(first, second)


def _read(side: str, chosen: Days | None, access: "Access | None") -> Iterable[Event | Unreadable]:
    if not side.startswith("s3://"):
        return Sources([Path(side)]).read()
    if chosen is None or access is None:
        raise CompareError(f"{side} needs the first day, such as --start 2026-11-24")
    return _in_s3(access, side, chosen)


def _in_s3(access: "Access", side: str, chosen: Days) -> Iterator[Event | Unreadable]:
    """Yield what the objects in the folders of the chosen days hold."""
    # boto3 takes half a second to import, and folders need none.
    from console_login.operate import error_objects as objects

    place = _S3.fullmatch(side)
    if place is None:
        raise CompareError(f"{side}: write s3://BUCKET/PREFIX")
    bucket, prefix = place[1], place[2] or ""
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
        raise SourceError(f"{folder}: no object there, nor on the days after it, if any: check it")


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
            # What JSON says, however it is written: Firehose's own extraction keeps line breaks.
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
    # A forged line can have a list there, which no set can look up.
    return isinstance(name, str) and name in selected


def words(comparison: Comparison) -> Iterator[str]:
    """Yield the comparison in lines: ids, counts and places, nothing of an event."""
    sides = (("old", comparison.old), ("new", comparison.new))
    for heading, side in sides:
        events = counted(len(side.events), "event")
        yield f"{heading}  {events}, {counted(side.copies, 'copy', 'copies')} besides"
    for heading, names in (
        ("only old has", comparison.only_old),
        ("only new has", comparison.only_new),
        ("the same eventID with different content:", comparison.differing),
    ):
        if names:
            more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
            yield f"{heading} {len(names):,}: {', '.join(names[:MAX_NAMED])}{more}"
    for heading, side in sides:
        if side.unreadable_count:
            yield f"{heading} has {counted(side.unreadable_count, 'line')} not understood:"
        for place, reason in side.unreadable:
            yield f"  {place}: {reason}"
        if side.unreadable_count > MAX_NAMED:
            yield f"  and {side.unreadable_count - MAX_NAMED:,} more"
    if not comparison.old.events | comparison.new.events:
        yield "neither side has a selected event"
    elif comparison.is_same:
        yield "the same events on both sides"
