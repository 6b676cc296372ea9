"""Ctrl-C, at any time: one line, exit status 130."""

import os
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT, TOKYO

# `local` imports for a second or two, and then works on these for minutes.
ARGUMENTS = ["local", "--generate", "10000000"]

# Says when main has begun: before it, Python starts, and nothing of ours can catch anything.
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
        # stdout as users have it, with a buffer.
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal would, even where this test ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("seconds", [0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 4])
def test_an_interruption_is_one_line(seconds: float) -> None:
    with started(sys.executable, "-c", PROGRAM, *ARGUMENTS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert errors == "console-login: interrupted\n"
    assert process.returncode == 130
    assert output == ""


def test_an_interruption_in_the_middle_of_work_is_one_line() -> None:
    # It has read the first event, and waits for the next.
    command = [sys.executable, "-m", "console_login", "local", "/dev/stdin"]
    with started(*command) as process:
        assert process.stdin is not None
        # More than a pipe holds: when it is written, most of it has been read.
        process.stdin.write(f"{TOKYO}\n" * 200)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors == "console-login: interrupted\n"


def test_one_that_python_drops_is_raised_again() -> None:
    # What a weak reference's callback raises, Python prints and forgets.
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


def test_a_reader_who_is_interrupted_too_is_no_error() -> None:
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
