"""Check that lines with the same `eventID` do not differ: if they do, one of them is forged.

Anyone who can write to the log group, the stream or the bucket can write a line with the `eventID`
of a sign-in. A redelivery repeats the same line.
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

# Limits for reading; the newest objects come first.
MAX_LISTED = 50_000
MAX_OBJECTS = 1000
MAX_READ_BYTES = 256 * MIB
MAX_LINES = 200_000
MAX_SECONDS = 2 * 60

MAX_NAMED = 5

# These ids are printed, so nothing else may pass.
_EVENT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class _BoundError(Exception):
    """There is more to read than a limit allows; the message names the limit."""


def check_copies(subject: Subject) -> Checked:
    """Find each `eventID` with differing lines in the objects of the window."""
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
            f"only the newest {read:,} of {counted(len(listed), 'object')} were read: {error};"
            " use fewer --hours to read less, or the saved query differing-lines of athena.yaml to"
            " read all"
        )
    except AccessError as error:
        # The next object would fail too. Report what was found so far.
        yield Unchecked(str(error))
    if lines.unread:
        more = f" and {len(lines.unread) - MAX_NAMED:,} more" if lines.unread[MAX_NAMED:] else ""
        yield Unchecked(f"could not be read: {'; '.join(lines.unread[:MAX_NAMED])}{more}")
    if lines.without_id:
        yield Unchecked(f"{counted(lines.without_id, 'line has', 'lines have')} no eventID")
    yield (
        f"{counted(lines.count, 'line')} in {counted(read, 'object')} of the last"
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
        f" {', '.join(names)}{more}; CloudTrail writes one line for each, so somebody else wrote"
        " to the log group, the stream or the bucket",
        [
            "# to see the lines, run the saved query differing-lines of athena.yaml",
            "# what CloudTrail recorded in the last 90 days, in the Region of the sign-in",
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
                raise _BoundError(f"there are more than {MAX_LISTED:,} objects")
    return sorted(found, key=lambda each: (each.written or since, each.key), reverse=True)


def _folders(subject: Subject, since: datetime) -> Iterator[str]:
    """Yield the folders of the window's days, in the stack's time zone."""
    zone = time_zone(subject.parameters["TimeZone"])
    day = since.astimezone(zone).date()
    while day <= datetime.fromtimestamp(subject.now, zone).date():
        yield f"{subject.parameters['Prefix']}{day:%Y/%m/%d}/"
        day += timedelta(days=1)


class _Lines:
    """The contents of the lines of some objects.

    contents: the digests of the lines' contents, by `eventID`.
    unread: objects and lines that could not be read, and why.
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
            raise _BoundError(f"the limit is {MAX_OBJECTS:,} objects")
        if self._bytes > MAX_READ_BYTES:
            raise _BoundError(f"the limit is {MAX_READ_BYTES // MIB:,} MiB")
        try:
            body = error_objects.read(subject.access.client("s3"), subject.bucket, listed)
            for line in error_objects.lines(body):
                if time.monotonic() > self._ends_at:
                    raise _BoundError(f"the limit is {MAX_SECONDS // 60} minutes")
                if line is None:
                    self.unread.append(f"{listed.key}: a line is too long")
                elif line.strip():
                    self._add(line.decode("utf-8", "backslashreplace").removesuffix("\n"))
        except ObjectError as error:
            self.unread.append(f"{listed.key}: {error}")

    def _add(self, line: str) -> None:
        self.count += 1
        if self.count > MAX_LINES:
            raise _BoundError(f"the limit is {MAX_LINES:,} lines")
        try:
            event_id = json.loads(line)["eventID"]
        except (ValueError, RecursionError, KeyError, TypeError):
            event_id = None
        if isinstance(event_id, str) and _EVENT_ID.fullmatch(event_id):
            self.contents.setdefault(event_id, set()).add(content_digest(line))
        else:
            self.without_id += 1
