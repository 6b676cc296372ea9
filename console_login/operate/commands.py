"""Commands to paste into a shell, whatever the names in them hold."""

import shlex
from collections.abc import Iterable, Iterator

from console_login.operate.access import Access


def aws(access: Access, *words: str, region: str | None = None) -> str:
    """Return a command of the AWS CLI, with the options that say where AWS is, and as whom.

    region: instead of the one that was given, for what lies in another.
    """
    options = given(access, "--endpoint-url", "--region", "--profile", region=region)
    return joined(["aws", *options, *words])


def console_login(access: Access, *words: str) -> str:
    """Return a command of this command line, with the same options."""
    options = given(access, "--endpoint-url", "--region", "--profile")
    return joined(["console-login", *words, *options])


def sam(access: Access, *words: str) -> str:
    """Return a command of SAM CLI, which takes no endpoint."""
    return joined(["sam", *words, *given(access, "--region", "--profile")])


def given(access: Access, *names: str, region: str | None = None) -> list[str]:
    """Return those of the options that were given, with their values."""
    values = {
        "--endpoint-url": access.endpoint_url,
        "--region": region or access.region,
        "--profile": access.profile,
    }
    return [word for name in names if (value := values[name]) for word in (name, value)]


def joined(words: Iterable[str]) -> str:
    """Return a command in one printable line, each word quoted where a shell needs it."""
    return " ".join(shlex.quote(each) if each.isprintable() else _quoted(each) for each in words)


def _quoted(word: str) -> str:
    # $'...' is of bash and zsh.
    parts = (
        f"\\U{ord(each):08x}" if not each.isprintable() or each in "\\'" else each for each in word
    )
    return f"$'{''.join(parts)}'"


def shown(lines: Iterable[str]) -> Iterator[str]:
    """Yield each as one printable line, whatever the names in it hold."""
    for line in lines:
        yield "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
