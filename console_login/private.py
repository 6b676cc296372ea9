"""Files and folders that hold sign-ins: made for their owner alone, whatever the umask is."""

import os
from pathlib import Path
from typing import BinaryIO


def file(path: Path) -> BinaryIO:
    """Open a file to be written from its start; OSError.

    A file that is made here has mode 0600, one that is there keeps its own.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def folder(path: Path) -> None:
    """Make a folder, and those above it, with mode 0700; OSError.

    A folder that is there keeps its mode.
    """
    for each in (*reversed(path.parents), path):
        each.mkdir(0o700, exist_ok=True)
