"""What a user can mend: the command line prints it in one line and exits with status 2."""


class UserError(Exception):
    """An input, a setting or an environment that is wrong; the message says which and why."""


class SourceError(UserError):
    """A file that cannot be read; the message names it."""
