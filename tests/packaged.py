"""What `make package` writes, made by its script as make runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import ROOT


def uv() -> str:
    """Return uv as make takes it: the machine's, or else the checkout's own."""
    program = shutil.which("uv") or shutil.which("uv", path=ROOT / ".uv" / "bin")
    assert program, "no uv, neither on PATH nor in .uv/bin: make setup installs it"
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
