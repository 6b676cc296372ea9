"""Moments as options name them."""

from datetime import datetime

from console_login.errors import UserError

# What time zones and S3's day of retries leave room around.
_FIRST_YEAR, _LAST_YEAR = 1971, 9998


class MomentError(UserError):
    """An option that names no moment; the message says which."""


def moment(option: str, text: str) -> datetime:
    """Return the moment that an option such as `--clock` names in ISO 8601, with an offset.

    Raises MomentError.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise MomentError(f"{option} {text}: no time in ISO 8601") from error
    if found.tzinfo is None:
        raise MomentError(f"{option} {text}: it needs an offset, such as +09:00 or Z")
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise MomentError(f"{option} {text}: from {_FIRST_YEAR} to {_LAST_YEAR}")
    return found
