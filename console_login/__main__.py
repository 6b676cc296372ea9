"""The entry point of `console-login` and of `python -m console_login`."""

# No other imports outside `main`: if they are interrupted, Python prints a traceback.
import sys


def main() -> None:
    """Run the command line; if interrupted, print one line on stderr and exit with status 130."""
    try:
        sys.unraisablehook = _interrupt_again
        from console_login.cli import main as run

        run()
    except KeyboardInterrupt:
        _end()


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Interrupt again if Python drops the interruption, as in the callback of a weak reference."""
    import signal

    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        sys.__unraisablehook__(unraisable)


def _end() -> None:
    import os
    import signal

    # A second Ctrl-C ends the process at once, without a message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.stdout.flush()
    except OSError:
        # The reader was interrupted too. Without this, Python would flush again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # A terminal shows ^C at the cursor, so the message needs a new line.
    sys.stderr.write("\n" * sys.stderr.isatty() + "console-login: interrupted\n")
    sys.exit(130)


if __name__ == "__main__":
    main()
