"""The entry of `console-login`, and of `python -m console_login`."""

# Nothing else before `main`: an import that is interrupted here prints a traceback.
import sys


def main() -> None:
    """Run the command line; an interruption is one line on stderr and exit status 130."""
    try:
        sys.unraisablehook = _interrupt_again
        from console_login.cli import main as run

        run()
    except KeyboardInterrupt:
        _end()


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Interrupt again where Python drops the interruption, as in a weak reference's callback."""
    import signal

    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        sys.__unraisablehook__(unraisable)


def _end() -> None:
    import os
    import signal

    # A second Ctrl-C ends the process at once, and prints nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.stdout.flush()
    except OSError:
        # The reader was interrupted too. Python would flush again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # A terminal shows ^C where the cursor is.
    sys.stderr.write("\n" * sys.stderr.isatty() + "console-login: interrupted\n")
    sys.exit(130)


if __name__ == "__main__":
    main()
