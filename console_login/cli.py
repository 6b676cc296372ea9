"""The commands of `console-login`: arguments and printing, no logic."""

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from console_login import function
from console_login.errors import UserError
from console_login.events import pack as packing
from console_login.operate.progress_bar import watched

if TYPE_CHECKING:
    from console_login.operate.access import Access

# The translator and moto take seconds to import: a command that needs them imports them.

_PATH = click.Path(path_type=Path)

_PARAMETER = click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the template, such as CreateTrail=true; may be repeated.",
)


def _aws_options[Command: Callable[..., Any]](command: Command) -> Command:
    """Add the options that say where AWS is, and as whom: for `_access`."""
    for option in (
        click.option("--profile", metavar="NAME", help="Of the AWS configuration."),
        click.option("--region", metavar="REGION", help="AWS Region."),
        click.option("--endpoint-url", metavar="URL", help="Such as that of local --serve."),
    ):
        command = option(command)
    return command


def _sending_options[Command: Callable[..., Any]](command: Command) -> Command:
    """Add what a command takes that sends something: for `_check_answer`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON alone."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Read and count; send nothing."),
    ):
        command = option(command)
    return command


def _check_answer(yes: bool, dry_run: bool, as_json: bool) -> None:
    if yes and dry_run:
        raise click.UsageError("--yes does not go with --dry-run")
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json asks nothing: it needs --yes or --dry-run")


def _access(endpoint_url: str | None, region: str | None, profile: str | None) -> "Access":
    # boto3 takes half a second to import.
    from console_login.operate.access import Access

    return Access(endpoint_url, region, profile)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Work with console sign-ins on their way from CloudWatch Logs to S3."""


@cli.command()
@click.argument("sources", nargs=-1, required=True, type=_PATH, metavar="SRC...")
@click.option("-o", "--output", required=True, type=_PATH, metavar="FILE", help="File to write.")
@click.option("--plain", is_flag=True, help="Leave the records uncompressed.")
@click.option("--lines", is_flag=True, help="Leave events one a line, without an envelope.")
def pack(sources: tuple[Path, ...], output: Path, plain: bool, lines: bool) -> None:
    """Make a Firehose event of readable sources, a record of each.

    A .jsonl source holds CloudTrail events, one a line; a .json one, a document such as an
    envelope; a .b64 one, a record's data as it is; any other, a record's bytes as they are.
    """
    event = packing.pack(list(sources), plain=plain, lines=lines)
    try:
        output.write_text(json.dumps(event, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error


@cli.command()
@click.argument("event", type=_PATH)
def unpack(event: Path) -> None:
    """Show what is inside the Firehose event in the file EVENT."""
    for record_id, form, lines in packing.unpack(packing.read_event(event), event):
        click.secho(f"{record_id}  {form}", bold=True)
        for line in lines:
            _print_raw(line)


@cli.command()
@click.argument("event", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print the function's answer alone.")
def transform(event: Path, as_json: bool) -> None:
    """Run the function on the Firehose event in the file EVENT.

    Prints each record's fate and the reason for it, then the lines that Firehose would write. The
    function's own log goes to stderr.
    """
    firehose_event = packing.read_event(event)
    in_process = function.InProcess()
    try:
        response, outcomes = in_process.handle(firehose_event)
    except function.FunctionError as error:
        raise function.FunctionError(f"{event}: {error}") from error
    if as_json:
        click.echo(json.dumps(response))
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("record", overflow="fold", min_width=20)
    for heading in ("result", "reason"):
        table.add_column(heading, no_wrap=True)
    for heading in ("events", "lines", "bytes out"):
        table.add_column(heading, justify="right", no_wrap=True)
    for outcome in outcomes:
        counts = (outcome.events_in, outcome.events_delivered, outcome.bytes_out)
        columns = (outcome.record_id, outcome.result, outcome.reason.value)
        table.add_row(*columns, *(f"{count:,}" for count in counts))
    Console(markup=False, highlight=False).print(table)
    for outcome in outcomes:
        for line in outcome.lines():
            _print_raw(line)


@cli.command("key-policy")
@click.option("--stack", required=True, metavar="NAME", help="Name of the stack to come.")
@click.option("--region", required=True, metavar="REGION", help="Region of the stack and the key.")
@click.option("--account", required=True, metavar="ID", help="Account of the stack.")
@_PARAMETER
def key_policy(stack: str, region: str, account: str, parameters: tuple[str, ...]) -> None:
    """Print what the policy of an existing key must allow.

    With ExistingKeyArn, its owner adds these statements to the key's policy BEFORE the deploy.
    """
    from console_login.stack import key_policy as policies
    from console_login.stack import template

    policy = policies.key_policy(
        template.load(),
        _parameters(parameters),
        stack_name=stack,
        region=region,
        account_id=account,
    )
    click.echo(json.dumps(policy, indent=2))


@cli.command()
@click.argument("files", nargs=-1, type=_PATH, metavar="[FILES]...")
@click.option(
    "--generate", type=click.IntRange(0, 10**9), default=0, metavar="N", help="Make N events up."
)
@click.option(
    "--sign-ins",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="Share of sign-ins among the events made up.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@_PARAMETER
@click.option(
    "--runtime",
    type=click.Choice(["in-process", "rie"]),
    default="in-process",
    show_default=True,
    help="Where the function runs; rie is what `make build` built, under AWS's emulator.",
)
@click.option(
    "--fail",
    "faults",
    multiple=True,
    metavar="FAULT[:SHARE]",
    help="lambda, lambda-timeout, s3, duplicate, put-record-batch:throttle, :partial, :outage or"
    " :lie, in a share of the cases (0.2; outage always); may be repeated.",
)
@click.option("--clock", metavar="TIME", help="When it begins, in ISO 8601; now by default.")
@click.option(
    "--out", type=_PATH, metavar="DIR", help="Copy the objects into DIR under their keys."
)
@click.option("--log", type=_PATH, metavar="FILE", help="Write the function's log into FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
@click.option("--serve", is_flag=True, help="Keep running, as an endpoint for any AWS client.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Of --serve, 4566 by default."
)
def local(serve: bool, port: int | None, **options: Any) -> None:
    """Run the whole pipeline of template.yaml on this machine, without AWS.

    FILES are CloudTrail events: JSON lines, documents with Records (also .gz), or folders of them.
    Exits with 1 if an event is neither delivered, nor not selected, nor in the error prefix.
    """
    from console_login.local import run as local_run

    parameters = _parameters(options.pop("parameters"))
    chosen = local_run.Options(parameters=parameters, **options)
    if port is not None and not serve:
        raise click.UsageError("--port goes with --serve")
    if serve:
        local_run.serve(chosen, 4566 if port is None else port)
    elif not local_run.run(chosen):
        sys.exit(1)


@cli.command()
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
@click.option(
    "--event-names",
    default="ConsoleLogin",
    show_default=True,
    metavar="NAMES",
    help="What both sides should have, as in EventNames.",
)
def compare(old: Path, new: Path, event_names: str) -> None:
    """Compare the events in two folders of objects, such as an old pipeline's and a new one's.

    By eventID, copies counted once. Exits with 1 if one side has an event that the other lacks.
    """
    from console_login.operate import compare as comparing

    comparison = comparing.compare(old, new, event_names)
    for line in comparing.words(comparison):
        click.echo(line)
    if not comparison.old.names or comparison.only_old or comparison.only_new:
        sys.exit(1)


@cli.command()
@click.option("--stack", metavar="NAME", help="Deployed stack; says log group, stream and pattern.")
@click.option("--log-group", metavar="NAME", help="Without --stack: where the events are.")
@click.option("--stream", metavar="NAME", help="Without --stack: where they go.")
@click.option(
    "--event-names",
    metavar="NAMES",
    help="Without --stack: EventNames as the template has them; ConsoleLogin by default.",
)
@click.option("--start", required=True, metavar="TIME", help="Of the first events, in ISO 8601.")
@click.option("--end", metavar="TIME", help="Events from then on are left out; now by default.")
@click.option(
    "--mib-per-second",
    type=float,
    default=0.5,
    show_default=True,
    metavar="MIB",
    help="Of records; a stream takes 1 in most Regions, live sign-ins included, and 5 in three.",
)
@click.option("--state", type=_PATH, metavar="FILE", help="Keeps how far it is; a run goes on.")
@_sending_options
@_aws_options
def backfill(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Send sign-ins from before the subscription filter existed.

    Reads the log group by the filter's pattern and puts what matches into the stream, at least
    once: what was delivered already, or is sent again after an interruption, comes as another line
    with the same eventID. The lines lie in the folder of the day on which they are sent. Exits with
    1 if not everything is known to be sent.
    """
    from console_login.operate import backfill as filling
    from console_login.operate.sender import Sender
    from console_login.stack.limits import MIB

    _check_answer(yes, dry_run, as_json)
    access = _access(endpoint_url, region, profile)
    asked = filling.Asked(**options)
    progress = filling.prepare(access, asked)
    plan = progress.plan
    if not as_json:
        _print_plan(asked, progress)
    if not (dry_run or yes or progress.is_done):
        _confirm("Put these sign-ins into the stream?")
    rate = asked.mib_per_second * MIB
    sender = None if dry_run else Sender(access, plan.stream, rate)
    start = progress.position
    with watched("", is_shown=not as_json) as watch:
        run = filling.Backfill(
            access, progress, sender, lambda reached: watch(reached - start, plan.end - start)
        )
        totals = run.run()
    if as_json:
        click.echo(json.dumps(filling.report(asked, progress, totals, dry_run=dry_run), indent=2))
    else:
        for line in filling.words(asked, progress, totals, dry_run=dry_run):
            click.echo(line)
    if not totals.is_complete:
        sys.exit(1)


@cli.command()
@click.option("--stack", required=True, metavar="NAME", help="Name of the deployed stack.")
@click.option(
    "--hours",
    type=click.IntRange(1, 24 * 365),
    default=24,
    show_default=True,
    metavar="N",
    help="How far back events and objects are compared.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
@_aws_options
def doctor(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    stack: str,
    hours: int,
    as_json: bool,
) -> None:
    """Say what is wrong with a deployed stack, and what to do about it.

    Reads the configuration and changes nothing. Exits with 1 if anything is wrong, or could not be
    checked.
    """
    from console_login.operate import doctor as examining

    results = examining.examine(_access(endpoint_url, region, profile), stack, hours)
    if as_json:
        click.echo(json.dumps(examining.report(stack, results), indent=2))
    else:
        for line in examining.words(results):
            click.echo(line)
    if not examining.is_well(results):
        sys.exit(1)


def _print_plan(asked: Any, progress: Any) -> None:
    from console_login.operate import backfill as filling

    for heading, value in filling.planned(asked, progress):
        click.echo(f"{heading:<10} {value}")


@cli.command()
@click.option("--stack", metavar="NAME", help="The stack whose failed records are sent again.")
@click.option("--bucket", metavar="NAME", help="Without --stack: the bucket they lie in.")
@click.option("--prefix", metavar="PREFIX", help="What their keys begin with, such as a day's.")
@click.option("--stream", metavar="NAME", help="Without --stack: the stream that takes them.")
@click.option(
    "--event-names",
    metavar="NAMES",
    help="Without --stack: the function's EVENT_NAMES, ConsoleLogin by default.",
)
@_sending_options
@_aws_options
def redrive(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Send records that failed back into the stream.

    Reads the error objects, says what each record would do now, and sends those of which something
    would be delivered, at least once. What is known to be sent is remembered in the objects' tags
    and not sent again; nothing is deleted. Exits with 1 unless all of it is known to be sent.
    """
    from console_login.operate import redrive as redriving
    from console_login.operate import redrive_report as report

    _check_answer(yes, dry_run, as_json)
    access = _access(endpoint_url, region, profile)
    job = redriving.Redrive(access, redriving.target(access, **options))
    with watched("reading", is_shown=not as_json) as watch:
        plan = job.plan(None if as_json else redriving.MAX_NAMED, watch)
    if not as_json:
        _print_text(report.plan_text(plan))
    result = None
    if not dry_run and plan.to_send:
        if not yes:
            _confirm(f"{report.AT_LEAST_ONCE}\nSend {plan.records_to_send:,} records?")
        with watched("sending", is_shown=not as_json) as watch:
            result = job.send(plan, watch)
    if as_json:
        click.echo(json.dumps(report.document(plan, result), indent=2))
    elif result is not None:
        _print_text(report.result_text(result))
    elif not plan.to_send:
        click.echo("nothing to send")
    # What could not be read may hold sign-ins that stay unsent.
    if plan.unusable_count or (result is not None and not result.is_complete):
        sys.exit(1)


def _confirm(question: str) -> None:
    """Ask on stderr; exit with 1 for no. Raises UsageError where nobody answers."""
    # click's own question leaves a blank on stdout.
    click.echo(f"{question} [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        click.echo(err=True)
        raise click.UsageError("nobody answers: --yes sends without asking")
    if answer.strip().lower() not in {"y", "yes"}:
        click.echo("nothing is sent")
        sys.exit(1)


def _print_text(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _parameters(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the values of NAME=VALUE options by name; of a name given twice, the last."""
    for pair in pairs:
        if not re.match("[^=]+=", pair):
            raise click.UsageError(f"--parameter {pair}: write NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _print_raw(line: str) -> None:
    """Print a line as it is: neither wrapped nor coloured, nor stripped of anything."""
    sys.stdout.write(f"{line}\n")


def main() -> None:
    """Run the command line: a user's error is one line on stderr and exit status 2."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        # As an exception, so that what was started is ended.
        signal.signal(signal_number, lambda number, _: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        # Ids and messages can hold what the terminal's encoding, or any, has no bytes for.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        # click returns what Exit carried; its own printing of errors takes three lines.
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        _fail(error.format_message())
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:
        _end_with_the_reader()
    except SystemExit as error:
        # click makes exit status 1 of it, which here means that something is wrong.
        if isinstance(error.__context__, BrokenPipeError):
            _end_with_the_reader()
        raise
    except OSError as error:
        _fail(f"cannot write: {error.strerror or error}")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


def _end_with_the_reader() -> None:
    """Exit as a program that nobody reads any more."""
    # Else Python would say so again when it ends. click has put a wrapper around stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(128 + signal.SIGPIPE)


def _fail(message: str) -> None:
    one_line = " ".join(message.split())
    sys.stderr.write(f"console-login: {one_line}\n")
    sys.exit(2)
