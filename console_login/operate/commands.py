"""Commands to paste into a shell, whatever the names in them hold."""

from console_login import shown
from console_login.operate.access import Access


def aws(access: Access, *words: str, region: str | None = None) -> str:
    """Return a command of the AWS CLI, with the options that say where AWS is, and as whom.

    region: instead of the one that was given, for what lies in another.
    """
    options = given(access, "--endpoint-url", "--region", "--profile", region=region)
    return shown.command(["aws", *options, *words])


def console_login(access: Access, *words: str) -> str:
    """Return a command of this command line, with the same options."""
    options = given(access, "--endpoint-url", "--region", "--profile")
    return shown.command(["console-login", *words, *options])


def sam(access: Access, *words: str) -> str:
    """Return a command of SAM CLI, which takes no endpoint."""
    return shown.command(["sam", *words, *given(access, "--region", "--profile")])


def given(access: Access, *names: str, region: str | None = None) -> list[str]:
    """Return those of the options that were given, with their values."""
    values = {
        "--endpoint-url": access.endpoint_url,
        "--region": region or access.region,
        "--profile": access.profile,
    }
    return [word for name in names if (value := values[name]) for word in (name, value)]
