"""What a backfill is to do and how far it is, kept in a file if there is one."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console_login import private
from console_login.errors import UserError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# A key of S3 has 1,024 bytes at most, and the other texts are shorter; nothing beyond this is read.
_MAX_STATE_BYTES = 64 * 1024


class BackfillError(UserError):
    """What was asked cannot be done; the message says why."""


@dataclass(frozen=True)
class Plan:
    """Which events go where.

    source: what the events are read from, by the names that state and report give it.
    start_ago, end_ago: what was asked, such as `72h`, where it names another moment at each run.
    start, end: of the events, in milliseconds since the epoch; `end` is not included.
    """

    source: dict[str, str]
    stream: str
    start_ago: str | None
    end_ago: str | None
    start: int
    end: int

    def document(self) -> dict[str, str | None]:
        """Return the plan as state and report have it; times in ISO 8601, UTC."""
        return {
            **self.source,
            "stream": self.stream,
            "start_ago": self.start_ago,
            "end_ago": self.end_ago,
            "start": text(self.start),
            "end": text(self.end),
        }


class Progress:
    """How far a plan is carried out, kept in a file if there is one.

    position: what the source goes on from; the plan's end as `text` spells it when all is done.
    left_out: events and files before it that could not be sent.
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
        """Note that everything before `position` is done, and that so many more are left out.

        Raises BackfillError if it cannot be kept.
        """
        self.position = position
        self.left_out += left_out
        if self._path is None:
            return
        document = self.plan.document() | {"position": position, "left_out": self.left_out}
        # A reader finds the old file or the new one, whenever this process is killed.
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            # What a killed run has left may be open to others, or lead elsewhere.
            beside.unlink(missing_ok=True)
            with private.file(beside) as file:
                file.write(f"{json.dumps(document, indent=2)}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise BackfillError(f"--state {self._path}: {error.strerror}") from error


def saved(path: Path | None) -> Progress | None:
    """Return what a file of `Progress.save` says, None where there is none yet.

    Raises BackfillError for a file that cannot be read, or that holds anything else.
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
    # RecursionError: brackets in brackets; OverflowError: a time that no offset can move.
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise BackfillError(
            f"--state {path}: not what a backfill has written: name another file"
        ) from error


def _progress(document: dict[str, object], path: Path) -> Progress:
    """Read a state; any of the errors that `saved` names for anything else."""
    left_out = document.pop("left_out")
    if type(left_out) is not int or left_out < 0:
        raise TypeError
    agos = {key: document.pop(key) for key in ("start_ago", "end_ago")}
    texts: dict[str, str] = {}
    for key, value in [*document.items(), *((k, v) for k, v in agos.items() if v is not None)]:
        # Some of them are printed.
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
    # OverflowError for a time that `text` cannot spell.
    plan.document()
    # A key, or a moment.
    if "/" not in position and not start <= milliseconds(_with_offset(position)) <= end:
        raise ValueError
    return Progress(plan, position, path, left_out)


def _with_offset(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError
    return when


def milliseconds(when: datetime) -> int:
    """Return the first millisecond that is not before a moment: timestamps have no smaller part."""
    return -((_EPOCH - when) // _MILLISECOND)


def text(milliseconds: int) -> str:
    """Return a time as the state and the command line spell it, in UTC."""
    when = _EPOCH + timedelta(milliseconds=milliseconds)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_of(text: str) -> int:
    """Return the time that `text` has spelled, in milliseconds since the epoch."""
    return milliseconds(datetime.fromisoformat(text))
