"""Checks that Ctrl-C prints one line and exits with status 130 at any time."""

import os
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT, TOKYO

# `local` imports modules for a second or two, then processes these events for minutes.
ARGUMENTS = ["local", "--generate", "10000000"]

# Reports when main has begun. Before that, Python starts, and none of our code can catch Ctrl-C.
PROGRAM = """
import os, sys

def say(event, arguments):
    global said
    if not said and event == "import" and arguments[0] == "console_login.cli":
        said = True
        os.write(1, b"begun\\n")

from console_login.__main__ import main
said = False
sys.addaudithook(say)
main()
"""


def started(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        # Buffered stdout, as users have it.
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As in a terminal: Ctrl-C must end the process even if this test ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("seconds", [0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 4])
def test_an_interruption_prints_one_line(seconds: float) -> None:
    with started(sys.executable, "-c", PROGRAM, *ARGUMENTS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert errors == "console-login: interrupted\n"
    assert process.returncode == 130
    assert output == ""


def test_an_interruption_during_work_prints_one_line() -> None:
    # The command has read the first event and waits for the next.
    command = [sys.executable, "-m", "console_login", "local", "/dev/stdin"]
    with started(*command) as process:
        assert process.stdin is not None
        # More than a pipe's buffer: when the write returns, most of it has been read.
        process.stdin.write(f"{TOKYO}\n" * 200)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors == "console-login: interrupted\n"


def test_an_interruption_that_python_ignores_is_raised_again() -> None:
    # Python prints and ignores exceptions from a weak reference's callback.
    program = """
import signal, time, weakref
from console_login import __main__, cli

class Referent: pass

def work():
    referent = Referent()
    reference = weakref.ref(referent, lambda _: signal.raise_signal(signal.SIGINT))
    del referent
    time.sleep(60)

cli.main = work
__main__.main()
"""
    with started(sys.executable, "-c", program) as process:
        _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (130, "console-login: interrupted\n")


def test_an_interruption_with_a_closed_pipe_prints_one_line() -> None:
    program = """
import sys
from console_login import __main__, cli

def work():
    sys.stdout.write("unread")
    sys.stdin.read()
    raise KeyboardInterrupt

cli.main = work
__main__.main()
"""
    with started(sys.executable, "-c", program) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == "console-login: interrupted\n"
        assert process.wait(timeout=50) == 130
