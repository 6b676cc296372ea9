"""The plan and the progress of a backfill, saved in a file if --state names one."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console_login import private
from console_login.errors import UserError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# An S3 key has at most 1,024 bytes, and the other values are shorter. Only this much is read.
_MAX_STATE_BYTES = 64 * 1024


class BackfillError(UserError):
    """A backfill that cannot run as requested; the message says why."""


@dataclass(frozen=True)
class Plan:
    """Which events are sent to which stream.

    source: keys of the state and the report that identify the source of the events.
    start_ago, end_ago: --start and --end as typed if they are ages, such as `72h`, which mean
    another time in each run; otherwise None.
    start, end: the time range of the events, in milliseconds since the epoch; `end` is excluded.
    """

    source: dict[str, str]
    stream: str
    start_ago: str | None
    end_ago: str | None
    start: int
    end: int

    def document(self) -> dict[str, str | None]:
        """Return the plan for the state and the report, with times in ISO 8601, UTC."""
        return {
            **self.source,
            "stream": self.stream,
            "start_ago": self.start_ago,
            "end_ago": self.end_ago,
            "start": text(self.start),
            "end": text(self.end),
        }


class Progress:
    """How much of a plan is done, saved in a file if `path` is given.

    position: where the source continues; `text` of the plan's end when all is done.
    left_out: number of events and files before the position that could not be sent.
    """

    def __init__(self, plan: Plan, position: str, path: Path | None, left_out: int = 0) -> None:
        self.plan = plan
        self.position = position
        self.left_out = left_out
        self._path = path

    @property
    def is_done(self) -> bool:
        return self.position == text(self.plan.end)

    def save(self, position: str, left_out: int = 0) -> None:
        """Save that everything before `position` is done, and add `left_out` to the total.

        Raises BackfillError if the file cannot be written.
        """
        self.position = position
        self.left_out += left_out
        if self._path is None:
            return
        document = self.plan.document() | {"position": position, "left_out": self.left_out}
        # Whenever this process is killed, either the old file or the new one is complete.
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            # A file that a killed run has left may be readable by others, or link to another file.
            beside.unlink(missing_ok=True)
            with private.file(beside) as file:
                file.write(f"{json.dumps(document, indent=2)}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise BackfillError(f"--state {self._path}: {error.strerror}") from error


def saved(path: Path | None) -> Progress | None:
    """Return the progress that `Progress.save` wrote, None if the file does not exist.

    Raises BackfillError if the file cannot be read or is not a state file.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_STATE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackfillError(f"--state {path}: {error.strerror}") from error
    try:
        return _progress(json.loads(content), path)
    # RecursionError: deeply nested brackets; OverflowError: a time outside the range of years.
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise BackfillError(
            f"--state {path} is not a state file of a backfill: use another file"
        ) from error


def _progress(document: dict[str, object], path: Path) -> Progress:
    """Return the progress in a state document. If invalid, raise an error that `saved` handles."""
    left_out = document.pop("left_out")
    if type(left_out) is not int or left_out < 0:
        raise TypeError
    agos = {key: document.pop(key) for key in ("start_ago", "end_ago")}
    texts: dict[str, str] = {}
    for key, value in [*document.items(), *((k, v) for k, v in agos.items() if v is not None)]:
        # Some of these values are printed.
        if not isinstance(value, str) or not value.isprintable():
            raise TypeError
        texts[key] = value
    start, end = (milliseconds(_with_offset(texts.pop(key))) for key in ("start", "end"))
    position = texts.pop("position")
    plan = Plan(
        stream=texts.pop("stream"),
        start_ago=texts.pop("start_ago", None),
        end_ago=texts.pop("end_ago", None),
        start=start,
        end=end,
        source=texts,
    )
    # Raises OverflowError for a time that `text` cannot represent.
    plan.document()
    # An S3 key, or a time.
    if "/" not in position and not start <= milliseconds(_with_offset(position)) <= end:
        raise ValueError
    return Progress(plan, position, path, left_out)


def _with_offset(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError
    return when


def milliseconds(when: datetime) -> int:
    """Return the first millisecond at or after a time: timestamps have millisecond precision."""
    return -((_EPOCH - when) // _MILLISECOND)


def text(milliseconds: int) -> str:
    """Return a time in the format of the state and the command line, in UTC."""
    when = _EPOCH + timedelta(milliseconds=milliseconds)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_of(text: str) -> int:
    """Return the time in a string from `text`, in milliseconds since the epoch."""
    return milliseconds(datetime.fromisoformat(text))
