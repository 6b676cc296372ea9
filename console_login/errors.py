"""Errors that a user can fix: the command line prints one line and exits with status 2."""

import contextlib
from pathlib import Path


class UserError(Exception):
    """A wrong input, setting or environment; the message names it and says what is wrong."""


class SourceError(UserError):
    """A file that cannot be read; the message names it."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> "SourceError":
        """Return the SourceError for an OSError of a file."""
        where = ""
        if isinstance(error, FileNotFoundError) and not path.is_absolute():
            # The current folder may be deleted or unreadable.
            with contextlib.suppress(OSError):
                where = f" in {Path.cwd()}"
        return cls(f"{path}: {error.strerror or error}{where}")
