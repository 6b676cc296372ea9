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

# rich, the translator, boto3 and moto are slow to import, so only commands that need them do it.


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
    # Last, because it prepares the deletion of a stack.
    operate.drain,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; for a UserError, print one line on stderr and exit with status 2.

    Raises KeyboardInterrupt if interrupted.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        # Raise an exception, so that child processes are ended.
        signal.signal(signal_number, lambda number, _: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        # Ids and messages can have characters that the terminal's encoding cannot represent.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        # main returns the exit status here. In standalone mode, click prints errors on three lines.
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
        _exit_for_closed_pipe()
    except SystemExit as error:
        # click exits with 1, which here means that a check failed.
        if isinstance(error.__context__, BrokenPipeError):
            _exit_for_closed_pipe()
        raise
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:
            _discard_stdout()
        _fail(f"cannot write: {error.strerror or error}")


def _exit_for_closed_pipe() -> None:
    """Exit with the status of a program that SIGPIPE has ended."""
    _discard_stdout()
    sys.exit(128 + signal.SIGPIPE)


def _discard_stdout() -> None:
    """Discard what is left in stdout's buffer; Python would report the error again when it ends."""
    # This replaces the file descriptor, because click has wrapped stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _with_next_step(error: click.UsageError) -> str:
    """Return the message with a suggested name, or else with the help command to run."""
    message = error.format_message()
    if error.ctx is None or getattr(error, "possibilities", None):
        return message.replace(" Did you mean", ". Did you mean")
    return f"{message.rstrip('.')}; see {error.ctx.command_path} --help"


def _fail(message: str) -> None:
    one_line = " ".join(message.split())
    with contextlib.suppress(OSError, AttributeError):
        shown.say([f"console-login: {one_line}"], err=True)
    sys.exit(2)
