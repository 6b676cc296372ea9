"""What comes from AWS or from a file, on a terminal and in commands to paste.

A name can hold what a terminal obeys (ESC, U+009B), what turns a line around (U+202E), and what
ends a line or a command.
"""

import re
import shlex
import sys
from collections.abc import Iterable

_PLAIN = re.compile(r"[\w .,:/@+=-]*", re.ASCII)


def text(value: str) -> str:
    r"""Return a text as one printable line: what is not printable as an escape, such as `\x1b`."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in value)


def command(words: Iterable[str]) -> str:
    """Return a command in one printable line, each word quoted where a shell needs it."""
    return " ".join(shlex.quote(each) if each.isprintable() else _quoted(each) for each in words)


def comment(name: str) -> str:
    """Return a name for a `#` line among commands, quoted where a shell needs it.

    zsh runs a `#` line that is pasted: `interactive_comments` is off by default.
    """
    return name if _PLAIN.fullmatch(name) else command([name])


def _quoted(word: str) -> str:
    # $'...' is of bash and zsh.
    parts = (
        f"\\U{ord(each):08x}" if not each.isprintable() or each in "\\'" else each for each in word
    )
    return f"$'{''.join(parts)}'"


def say(lines: Iterable[str], *, err: bool = False) -> None:
    """Print each as one printable line, to stderr with `err`."""
    stream = sys.stderr if err else sys.stdout
    for line in lines:
        stream.write(f"{text(line)}\n")
    stream.flush()


def say_raw(lines: Iterable[str]) -> None:
    """Print lines of data: as they are, but on a terminal as `say` does."""
    escapes = sys.stdout.isatty()
    for line in lines:
        sys.stdout.write(f"{text(line) if escapes else line}\n")
