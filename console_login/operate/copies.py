"""The check that no `eventID` has lines that differ: one of them is forged.

Who may write into the log group, the stream or the bucket can write a line with the `eventID` of a
sign-in. What redelivery repeats is the same line.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from console_login.counts import counted
from console_login.events.identity import content_digest
from console_login.operate import error_objects
from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Finding, Unchecked
from console_login.operate.error_objects import ListedObject, ObjectError
from console_login.operate.subject import Subject
from console_login.stack.limits import MIB
from console_login.stack.prefix import time_zone

# What is read at most, the newest objects first.
MAX_LISTED = 50_000
MAX_OBJECTS = 1000
MAX_READ_BYTES = 256 * MIB
MAX_LINES = 200_000
MAX_SECONDS = 2 * 60

MAX_NAMED = 5

# Printed: nothing but an id may come through.
_EVENT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class _BoundError(Exception):
    """More would have to be read than is read at most; the message names the bound."""


def check_copies(subject: Subject) -> Checked:
    """Find an `eventID` of which the window's objects have lines that say different things."""
    lines = _Lines()
    listed: list[ListedObject] = []
    read = 0
    try:
        listed += _listed(subject)
        for each in listed:
            lines.read(subject, each)
            read += 1
    except _BoundError as error:
        yield Unchecked(
            f"{read:,} of {counted(len(listed), 'object')} were read, the newest: {error};"
            " fewer --hours read less, and the saved query differing-lines of athena.yaml reads all"
        )
    except AccessError as error:
        # It would be refused for the next object too; what was found counts.
        yield Unchecked(str(error))
    if lines.unread:
        more = f" and {len(lines.unread) - MAX_NAMED:,} more" if lines.unread[MAX_NAMED:] else ""
        yield Unchecked(f"not read: {'; '.join(lines.unread[:MAX_NAMED])}{more}")
    if lines.without_id:
        yield Unchecked(f"{counted(lines.without_id, 'line')} without an eventID")
    yield (
        f"{counted(lines.count, 'line')} in {counted(read, 'object')} of"
        f" {counted(subject.hours, 'hour')}"
    )
    if differing := sorted(name for name, found in lines.contents.items() if len(found) > 1):
        yield _finding(subject, differing)


def _finding(subject: Subject, differing: list[str]) -> Finding:
    names = differing[:MAX_NAMED]
    more = f" and {len(differing) - MAX_NAMED:,} more" if differing[MAX_NAMED:] else ""
    attributes = (f"AttributeKey=EventId,AttributeValue={name}" for name in names)
    return Finding(
        f"{counted(len(differing), 'eventID has', 'eventIDs have')} lines that differ:"
        f" {', '.join(names)}{more}; CloudTrail writes one, so somebody else writes into the log"
        " group, the stream or the bucket",
        [
            "# the lines: the saved query differing-lines of athena.yaml",
            "# what CloudTrail recorded, of 90 days, in the Region of the sign-in",
            *(
                subject.aws("cloudtrail", "lookup-events", "--lookup-attributes", each)
                for each in attributes
            ),
        ],
    )


def _listed(subject: Subject) -> list[ListedObject]:
    """Return the objects that were written in the window, the newest first."""
    since = datetime.fromtimestamp(subject.now - subject.hours * 3600, UTC)
    found: list[ListedObject] = []
    for folder in _folders(subject, since):
        for each in error_objects.listed(subject.access.client("s3"), subject.bucket, folder):
            if each.written is not None and each.written >= since:
                found.append(each)
            if len(found) > MAX_LISTED:
                raise _BoundError(f"there are more than {MAX_LISTED:,}")
    return sorted(found, key=lambda each: (each.written or since, each.key), reverse=True)


def _folders(subject: Subject, since: datetime) -> Iterator[str]:
    """Yield the folders of the window's days, in the stack's time zone."""
    zone = time_zone(subject.parameters["TimeZone"])
    day = since.astimezone(zone).date()
    while day <= datetime.fromtimestamp(subject.now, zone).date():
        yield f"{subject.parameters['Prefix']}{day:%Y/%m/%d}/"
        day += timedelta(days=1)


class _Lines:
    """What the lines of some objects say.

    contents: the digests of what the lines with an `eventID` say, by the `eventID`.
    unread: objects, or parts of them, and why.
    """

    def __init__(self) -> None:
        self.contents: dict[str, set[str]] = {}
        self.unread: list[str] = []
        self.without_id = 0
        self.count = 0
        self._objects = 0
        self._bytes = 0
        self._ends_at = time.monotonic() + MAX_SECONDS

    def read(self, subject: Subject, listed: ListedObject) -> None:
        """Read an object. Raises _BoundError, AccessError."""
        self._objects += 1
        self._bytes += listed.size
        if self._objects > MAX_OBJECTS:
            raise _BoundError(f"no more than {MAX_OBJECTS:,} are read")
        if self._bytes > MAX_READ_BYTES:
            raise _BoundError(f"no more than {MAX_READ_BYTES // MIB:,} MiB are read")
        try:
            body = error_objects.read(subject.access.client("s3"), subject.bucket, listed)
            for line in error_objects.lines(body):
                if time.monotonic() > self._ends_at:
                    raise _BoundError(f"no more than {MAX_SECONDS // 60} minutes are allowed")
                if line is None:
                    self.unread.append(f"{listed.key}: a line is too long")
                elif line.strip():
                    self._add(line.decode("utf-8", "backslashreplace").removesuffix("\n"))
        except ObjectError as error:
            self.unread.append(f"{listed.key}: {error}")

    def _add(self, line: str) -> None:
        self.count += 1
        if self.count > MAX_LINES:
            raise _BoundError(f"no more than {MAX_LINES:,} lines are read")
        try:
            event_id = json.loads(line)["eventID"]
        except (ValueError, RecursionError, KeyError, TypeError):
            event_id = None
        if isinstance(event_id, str) and _EVENT_ID.fullmatch(event_id):
            self.contents.setdefault(event_id, set()).add(content_digest(line))
        else:
            self.without_id += 1
