"""What a user can mend: the command line prints it in one line and exits with status 2."""

from pathlib import Path


class UserError(Exception):
    """An input, a setting or an environment that is wrong; the message says which and why."""


class SourceError(UserError):
    """A file that cannot be read; the message names it."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> "SourceError":
        """Return the error for a file that the system does not let us read."""
        is_missing = isinstance(error, FileNotFoundError) and not path.is_absolute()
        where = f" in {Path.cwd()}" if is_missing else ""
        return cls(f"{path}: {error.strerror or error}{where}")
