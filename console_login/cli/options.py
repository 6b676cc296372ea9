"""Options and confirmations that several commands share."""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console_login.errors import UserError

if TYPE_CHECKING:
    from console_login.operate.access import Access

PATH = click.Path(path_type=Path)


@contextlib.contextmanager
def _without_empty_line() -> Iterator[None]:
    """Raise click.Abort for an interruption, as click would, but print no empty line before it."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise click.Abort from error


class Command(click.Command):
    """A command whose help ends with examples: the unchanged lines of its epilog."""

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"  {line}\n")


class Group(Command, click.Group):
    """The commands, with a suggestion for an unknown name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        is_option = name.startswith("-")
        if is_option or ctx.resilient_parsing or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        near = get_close_matches(name, self.list_commands(ctx))
        # The same error as for an unknown option.
        raise click.NoSuchOption(name, f"No such command: {name}", near, ctx)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _without_empty_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _without_empty_line():
            return super().invoke(ctx)


PARAMETER = click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the template, such as TimeZone=UTC. Can be repeated.",
)

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON only.")


def aws[Run: Callable[..., Any]](run: Run) -> Run:
    """Add the options for the connection to AWS, used by `access`."""
    for option in (
        click.option("--profile", metavar="NAME", help="Use a profile of the AWS configuration."),
        click.option("--region", metavar="REGION", help="Use this AWS Region."),
        click.option(
            "--endpoint-url",
            metavar="URL",
            help="Send requests to URL, such as the endpoint of local --serve.",
        ),
    ):
        run = option(run)
    return run


def sending[Run: Callable[..., Any]](run: Run) -> Run:
    """Add the options of a command that sends records, used by `check_answer`."""
    return _confirming(run, "send")


def deleting[Run: Callable[..., Any]](run: Run) -> Run:
    """Add the options of a command that deletes a resource, used by `check_answer`."""
    return _confirming(run, "delete")


def _confirming[Run: Callable[..., Any]](run: Run, verb: str) -> Run:
    for option in (
        AS_JSON,
        click.option("-y", "--yes", is_flag=True, help=f"{verb.title()} without asking."),
        click.option("--dry-run", is_flag=True, help=f"Read and count, but {verb} nothing."),
    ):
        run = option(run)
    return run


def check_answer(yes: bool, dry_run: bool, as_json: bool) -> None:
    if yes and dry_run:
        raise UserError("--yes cannot be combined with --dry-run")
    if as_json and not (yes or dry_run):
        raise UserError("--json does not ask, so it needs --yes or --dry-run")


def access(endpoint_url: str | None, region: str | None, profile: str | None) -> "Access":
    # boto3 takes half a second to import.
    from console_login.operate.access import Access

    return Access(endpoint_url, region, profile)


def parameters(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the values of NAME=VALUE options by name; the last value of a name counts."""
    for pair in pairs:
        if not re.match("[^=]+=", pair):
            raise UserError(f"--parameter {pair}: write NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def confirm(question: str, verb: str = "send", done: str = "sent") -> None:
    """Ask on stderr; exit with 1 if the answer is no. Raises UserError if there is no answer.

    verb, done: the verb and its participle for the messages.
    """
    # click.confirm prints a space on stdout.
    click.echo(f"{question} [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        click.echo(err=True)
        raise UserError(f"there is no answer: use --yes to {verb} without asking")
    if answer.strip().lower() not in {"y", "yes"}:
        click.echo(f"nothing was {done}")
        sys.exit(1)
