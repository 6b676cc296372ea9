"""Moments as options name them: a time, a day, or how long ago."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from console_login.errors import UserError

# Time zones and S3's day of retries need some room on both sides.
_FIRST_YEAR, _LAST_YEAR = 1971, 9998

# `fromisoformat` also takes weeks, any separator and no separators at all.
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII
)
_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

FORMS = "write 72h, 3d, 2026-11-24 or 2026-11-24T09:00+09:00"


class MomentError(UserError):
    """An option that names no moment; the message says which."""


def is_relative(text: str) -> bool:
    """Whether a text says how long ago, and so names another moment at each call."""
    return _AGO.fullmatch(text) is not None


def moment(option: str, text: str, zone: tzinfo = UTC, now: datetime | None = None) -> datetime:
    """Return the moment that an option such as `--start` names, with its offset.

    text: ISO 8601, a date alone being its midnight; or, where `now` is given, how long before
    `now`: minutes, hours, days or weeks, such as `90m`, `72h`, `3d`, `2w`.
    zone: of a text without an offset.
    Raises MomentError.
    """
    ago = _AGO.fullmatch(text) if now is not None else None
    try:
        if ago is not None and now is not None:
            found = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            found = datetime.fromisoformat(text if _ISO.fullmatch(text) else "")
    except OverflowError as error:
        raise MomentError(f"{option} {text}: too long ago") from error
    except ValueError as error:
        raise MomentError(f"{option} {text}: not a time; {FORMS}") from error
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise MomentError(f"{option} {text}: the year must be from {_FIRST_YEAR} to {_LAST_YEAR}")
    return found
