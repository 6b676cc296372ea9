"""Runs the script of `make package` as make does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import ROOT


def uv() -> str:
    """Return the uv that make uses: the machine's, or else the checkout's."""
    program = shutil.which("uv") or shutil.which("uv", path=ROOT / ".uv" / "bin")
    assert program, "uv is neither on PATH nor in .uv/bin: make setup installs it"
    return program


def dist(out: Path, *options: str | Path, checkout: Path = ROOT, **environment: str) -> Any:
    """Run a checkout's dist.py; return the finished process."""
    return subprocess.run(
        [sys.executable, checkout / ".ci" / "dist.py", "--uv", uv(), "--out", out, *options],
        env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"} | environment,
        cwd=checkout,
        capture_output=True,
        text=True,
    )
