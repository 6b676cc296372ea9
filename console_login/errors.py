"""Errors that a user can fix: the command line prints one line and exits with status 2."""

import contextlib
from pathlib import Path


class UserError(Exception):
    """A wrong input, setting or environment; the message says which and why."""


class SourceError(UserError):
    """A file that cannot be read; the message names it."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> "SourceError":
        """Return the error for a file that the operating system could not read."""
        where = ""
        if isinstance(error, FileNotFoundError) and not path.is_absolute():
            # The current folder can be gone or forbidden itself.
            with contextlib.suppress(OSError):
                where = f" in {Path.cwd()}"
        return cls(f"{path}: {error.strerror or error}{where}")
