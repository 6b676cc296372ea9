"""Points in time in options: a time, a date, or an age."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from console_login.errors import UserError

# A margin on both sides for time zones and for the day that Firehose retries writing to S3.
_FIRST_YEAR, _LAST_YEAR = 1971, 9998

# Needed because `fromisoformat` also accepts weeks, any separator, and no separators.
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII
)
_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

FORMS = "write 72h, 3d, 2026-11-24 or 2026-11-24T09:00+09:00"


class MomentError(UserError):
    """An option whose value is not a valid point in time; the message names the option."""


def is_relative(text: str) -> bool:
    """Whether a text is an age, such as `3d`, which means a different time in each run."""
    return _AGO.fullmatch(text) is not None


def moment(option: str, text: str, zone: tzinfo = UTC, now: datetime | None = None) -> datetime:
    """Return the point in time of an option such as `--start`, with its offset.

    text: ISO 8601 (a date means its midnight). With `now`, it can also be an age, counted back from
    `now` in minutes, hours, days or weeks, such as `90m`, `72h`, `3d` or `2w`.
    zone: the time zone of a text without an offset.
    Raises MomentError.
    """
    ago = _AGO.fullmatch(text) if now is not None else None
    try:
        if ago is not None and now is not None:
            found = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            found = datetime.fromisoformat(text if _ISO.fullmatch(text) else "")
    except OverflowError as error:
        raise MomentError(f"{option} {text} is too long ago") from error
    except ValueError as error:
        raise MomentError(f"{option} {text} is not a time: {FORMS}") from error
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise MomentError(f"{option} {text}: the year must be from {_FIRST_YEAR} to {_LAST_YEAR}")
    return found
