"""The commands of `console-login`: arguments and printing, no logic."""

import contextlib
import io
import os
import signal
import sys
from pathlib import Path

import click

from console_login import shown
from console_login.cli import events, local, operate, options
from console_login.errors import UserError

# rich, the translator, boto3 and moto take long to import: a command that needs them imports them.


@click.group(
    cls=options.Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
console-login local --generate 1000
console-login doctor --help
""",
)
@click.version_option(package_name="console-login-firehose", message="%(prog)s %(version)s")
def cli() -> None:
    """Run, check and operate the pipeline of console sign-ins to S3."""


for _command in (
    *(events.pack, events.unpack, events.transform),
    local.local,
    *(operate.preflight, operate.doctor, operate.redrive, operate.backfill),
    *(operate.compare, operate.key_policy),
    # Last, as it is used.
    operate.drain,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line: a user's error is one line on stderr and exit status 2.

    Raises KeyboardInterrupt if it was interrupted.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        # As an exception, so that started processes are ended.
        signal.signal(signal_number, lambda number, _: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        # Ids and messages can have characters that the terminal's encoding cannot represent.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        # click returns what Exit carried; its own printing of errors takes three lines.
        sys.exit(cli.main(prog_name="console-login", standalone_mode=False))
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.UsageError as error:
        _fail(_with_next_step(error))
    except click.ClickException as error:
        _fail(error.format_message())
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:
        _end_with_the_reader()
    except SystemExit as error:
        # click exits with 1, which here means that a check failed.
        if isinstance(error.__context__, BrokenPipeError):
            _end_with_the_reader()
        raise
    except OSError as error:
        _fail(f"cannot write: {error.strerror or error}")


def _end_with_the_reader() -> None:
    """Exit as a program whose reader has closed the pipe."""
    # Otherwise Python would report it again at its end. click has put a wrapper around stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(128 + signal.SIGPIPE)


def _with_next_step(error: click.UsageError) -> str:
    """Return the message with a suggested name, or else the help to read."""
    message = error.format_message()
    if error.ctx is None or getattr(error, "possibilities", None):
        return message.replace(" Did you mean", ". Did you mean")
    return f"{message.rstrip('.')}; see {error.ctx.command_path} --help"


def _fail(message: str) -> None:
    one_line = " ".join(message.split())
    with contextlib.suppress(OSError, AttributeError):
        shown.say([f"console-login: {one_line}"], err=True)
    sys.exit(2)
