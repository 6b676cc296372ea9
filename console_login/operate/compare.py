"""Two sides' events compared by `eventID`: what only one of them has."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console_login.counts import counted
from console_login.errors import SourceError
from console_login.events.identity import identity
from console_login.events.sources import Sources

MAX_NAMED = 10

# Printed: nothing but an id may come through.
_EVENT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True)
class Side:
    """The selected events of one side.

    lines: with copies. names: what tells an event from any other, its `eventID` if it has one.
    """

    lines: int
    names: frozenset[str]


@dataclass(frozen=True)
class Comparison:
    """Two sides and what only one has."""

    old: Side
    new: Side

    @property
    def only_old(self) -> list[str]:
        return sorted(self.old.names - self.new.names)

    @property
    def only_new(self) -> list[str]:
        return sorted(self.new.names - self.old.names)


def compare(old: Path, new: Path, event_names: str) -> Comparison:
    """Compare the events of two files or folders; SourceError for what cannot be read.

    event_names: as in EventNames. Objects of Firehose need no extension, and may be gzip.
    """
    names = frozenset(name.strip() for name in event_names.split(","))
    selected = None if "*" in event_names else names
    return Comparison(_side(old, selected), _side(new, selected))


def _side(path: Path, selected: frozenset[str] | None) -> Side:
    lines = 0
    names = set()
    for message in Sources(_files(path)):
        event = _event(message)
        if selected is None or event.get("eventName") in selected:
            lines += 1
            event_id, digest = identity(message)
            names.add(event_id if _EVENT_ID.fullmatch(event_id) else f"sha256:{digest}")
    return Side(lines, frozenset(names))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.rglob("*") if each.is_file())
    if not files:
        raise SourceError(
            f"{path}: there is no file in it: copy objects into it, or name another folder"
        )
    return files


def _event(message: str) -> dict[str, Any]:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def words(comparison: Comparison) -> Iterator[str]:
    """Yield the comparison in lines: ids and counts, nothing of an event."""
    for heading, side in (("old", comparison.old), ("new", comparison.new)):
        copies = side.lines - len(side.names)
        events = counted(len(side.names), "event")
        yield f"{heading}  {events}, {counted(copies, 'copy', 'copies')} besides"
    for heading, names in (("old", comparison.only_old), ("new", comparison.only_new)):
        if names:
            more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
            yield f"only {heading} has {len(names):,}: {', '.join(names[:MAX_NAMED])}{more}"
    if not comparison.old.names | comparison.new.names:
        yield "neither side has a selected event"
    elif comparison.old.names == comparison.new.names:
        yield "the same events on both sides"
