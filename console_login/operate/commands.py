"""Commands to paste into a shell, safely quoted whatever the names in them contain."""

from console_login import shown
from console_login.operate.access import Access


def aws(access: Access, *words: str, region: str | None = None) -> str:
    """Return a command of the AWS CLI, with the endpoint, Region and profile of this run.

    region: for a resource in another Region; replaces the Region of this run.
    """
    options = given(access, "--endpoint-url", "--region", "--profile", region=region)
    return shown.command(["aws", *options, *words])


def console_login(access: Access, *words: str) -> str:
    """Return a console-login command, with the same options."""
    options = given(access, "--endpoint-url", "--region", "--profile")
    return shown.command(["console-login", *words, *options])


def sam(access: Access, *words: str) -> str:
    """Return a command of SAM CLI, which has no option for an endpoint."""
    return shown.command(["sam", *words, *given(access, "--region", "--profile")])


def given(access: Access, *names: str, region: str | None = None) -> list[str]:
    """Return the named options that have a value, with the values."""
    values = {
        "--endpoint-url": access.endpoint_url,
        "--region": region or access.region,
        "--profile": access.profile,
    }
    return [word for name in names if (value := values[name]) for word in (name, value)]
