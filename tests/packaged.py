"""Copies the packaged files, and runs the script of `make package` as make does."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support import ROOT


def uv() -> str:
    """Return the uv that make uses: the machine's, or else the checkout's."""
    program = shutil.which("uv") or shutil.which("uv", path=ROOT / ".uv" / "bin")
    assert program, "uv is neither on PATH nor in .uv/bin: make setup installs it"
    return program


def copied(folder: Path, unneeded: Iterable[str], strays: Iterable[str]) -> Path:
    """Copy the checkout into a new folder, with stray files that a developer may have.

    unneeded: patterns of names to leave out, at the top level only: console_login/events is needed.
    """
    top = shutil.ignore_patterns(*unneeded)
    # Other tests write bytecode at the same time.
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        ROOT, folder, ignore=lambda at, names: (top if Path(at) == ROOT else compiled)(at, names)
    )
    for stray in strays:
        (folder / stray).parent.mkdir(exist_ok=True)
        (folder / stray).write_text("AWS_SECRET_ACCESS_KEY=stray\n")
    return folder


def dist(out: Path, *options: str | Path, checkout: Path = ROOT, **environment: str) -> Any:
    """Run a checkout's dist.py; return the finished process."""
    return subprocess.run(
        [sys.executable, checkout / ".ci" / "dist.py", "--uv", uv(), "--out", out, *options],
        env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"} | environment,
        cwd=checkout,
        capture_output=True,
        text=True,
    )
