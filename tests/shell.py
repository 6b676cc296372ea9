"""The documents' shell blocks, run as a reader would run them."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support import ROOT

_BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path) -> list[str]:
    """Return a document's shell blocks, those in lists without their indentation."""
    text = path.read_text()
    found = [re.sub(rf"^{each[1]}", "", each[2], flags=re.M) for each in _BLOCK.finditer(text)]
    assert len(found) == text.count("```sh")
    return found


def run(
    script: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, with `console-login` and a stand-in for `aws` on the path."""
    aws = folder / "bin" / "aws"
    aws.parent.mkdir(exist_ok=True)
    aws.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/aws_command.py" "$@"\n')
    aws.chmod(0o755)
    path = f"{aws.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    credentials = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
    }
    return subprocess.run(
        ["sh", "-euc", script],
        cwd=folder,
        env=os.environ | credentials | {"PATH": path} | environment,
        capture_output=True,
        text=True,
    )
