"""Print text from AWS or from files safely, on a terminal and in commands to paste.

A name can contain characters that control a terminal (ESC, U+009B), that reverse a line (U+202E),
and that end a line or a command.
"""

import re
import shlex
import sys
from collections.abc import Iterable

_PLAIN = re.compile(r"[\w .,:/@+=-]*", re.ASCII)


def text(value: str) -> str:
    r"""Return a text as one printable line, with escapes such as `\x1b` for other characters."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in value)


def command(words: Iterable[str]) -> str:
    """Return a command as one printable line, with words quoted where a shell needs it."""
    return " ".join(shlex.quote(each) if each.isprintable() else _quoted(each) for each in words)


def comment(name: str) -> str:
    """Return a name for a `#` line among commands, quoted where a shell needs it.

    zsh runs a pasted `#` line as a command, because `interactive_comments` is off by default.
    """
    return name if _PLAIN.fullmatch(name) else command([name])


def _quoted(word: str) -> str:
    # bash and zsh support $'...'.
    parts = (
        f"\\U{ord(each):08x}" if not each.isprintable() or each in "\\'" else each for each in word
    )
    return f"$'{''.join(parts)}'"


def say(lines: Iterable[str], *, err: bool = False) -> None:
    """Print each line in printable form, to stderr if `err` is set."""
    stream = sys.stderr if err else sys.stdout
    for line in lines:
        stream.write(f"{text(line)}\n")
    stream.flush()


def say_raw(lines: Iterable[str]) -> None:
    """Print lines of data unchanged, or on a terminal as `say` does."""
    escapes = sys.stdout.isatty()
    for line in lines:
        sys.stdout.write(f"{text(line) if escapes else line}\n")
