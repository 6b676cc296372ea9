"""Create files and folders for sign-ins that only their owner can access, whatever the umask."""

import os
from pathlib import Path
from typing import BinaryIO


def file(path: Path) -> BinaryIO:
    """Open a file for writing and truncate it. Raises OSError.

    A new file has mode 0600; an existing file keeps its mode.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def folder(path: Path) -> None:
    """Create a folder and its parents with mode 0700. Raises OSError.

    An existing folder keeps its mode.
    """
    for each in (*reversed(path.parents), path):
        each.mkdir(0o700, exist_ok=True)
