"""Writes Python programs for tests to run."""

import shlex
import sys
from pathlib import Path


def write(path: Path, text: str, options: str = "") -> None:
    """Write a program. A #! line alone would not work for a checkout in a path with a blank."""
    start = f"""'''exec' {shlex.quote(sys.executable)} {options} "$0" "$@"\n' '''"""
    path.write_text(f"#!/bin/sh\n{start}\n{text}")
    path.chmod(0o755)
