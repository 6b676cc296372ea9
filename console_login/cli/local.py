"""The command that runs the pipeline on this machine: local."""

import sys
from typing import Any

import click

from console_login.cli import options
from console_login.errors import UserError

_PORT = 4566


@click.command(
    cls=options.Command,
    epilog="""
console-login local --generate 1000 --fail lambda:0.1
console-login local my-events.jsonl --serve
""",
)
@click.argument("files", nargs=-1, type=options.PATH, metavar="[FILES]...")
@click.option(
    "--generate",
    type=click.IntRange(0, 10**9),
    default=0,
    metavar="N",
    help="Generate N events, half before and half after the events of FILES.",
)
@click.option(
    "--sign-ins",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="Set the share of sign-ins among the generated events.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Set the seed of the random numbers."
)
@options.PARAMETER
@click.option(
    "--runtime",
    type=click.Choice(["in-process", "rie"]),
    default="in-process",
    show_default=True,
    help="Run the function in this process, or run the output of `make build` in AWS's runtime"
    " interface emulator (rie).",
)
@click.option(
    "--fail",
    "faults",
    multiple=True,
    metavar="FAULT[:SHARE]",
    help="Cause a fault in this SHARE of the cases (default: 0.2; outage: always). FAULT is lambda,"
    " lambda-timeout, s3, duplicate, put-record-batch:throttle, :partial, :outage or :timeout."
    " Can be repeated.",
)
@click.option(
    "--clock",
    metavar="TIME",
    help="Start the run at this time (default: now), such as 3d (three days ago), 2026-11-24, or"
    " 2026-11-24T09:00+09:00. A time without an offset is in the time zone of the parameter"
    " TimeZone.",
)
@click.option(
    "--out", type=options.PATH, metavar="DIR", help="Copy the objects to DIR under their keys."
)
@click.option(
    "--log", type=options.PATH, metavar="FILE", help="Write the log of the function to FILE."
)
@options.AS_JSON
@click.option("--serve", is_flag=True, help="Keep running, as an endpoint for any AWS client.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help=f"Listen on PORT with --serve (default: {_PORT}). 0 selects a free port.",
)
def local(serve: bool, port: int | None, **chosen: Any) -> None:
    """Run the whole pipeline on this machine, without AWS.

    The pipeline is defined by template.yaml. FILES are CloudTrail events, plain or gzip: JSON
    lines, files with Records, envelopes, output of the AWS CLI, or folders of them. Exits with 1 if
    an event is lost (neither delivered, nor in the error output prefix, nor excluded by the
    filter), or if it arrived more often than the faults explain.
    """
    from console_login.local import run

    parameters = options.parameters(chosen.pop("parameters"))
    settings = run.Options(parameters=parameters, **chosen)
    if port is not None and not serve:
        raise UserError("--port needs --serve")
    if serve:
        run.serve(settings, _PORT if port is None else port)
    elif not run.run(settings):
        sys.exit(1)
