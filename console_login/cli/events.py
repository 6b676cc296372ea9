"""Commands for Firehose events in files: pack, unpack, transform."""

import json
from pathlib import Path

import click

from console_login import shown
from console_login.cli import options


@click.command(
    cls=options.Command,
    epilog="""
console-login pack my-events.jsonl -o packed.json
console-login pack my-events.jsonl --plain --lines -o packed.json
""",
)
@click.argument("sources", nargs=-1, required=True, type=options.PATH, metavar="SRC...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=options.PATH,
    metavar="FILE",
    help="Write the event to FILE.",
)
@click.option("--plain", is_flag=True, help="Do not compress the records.")
@click.option("--lines", is_flag=True, help="Write one event per line, without an envelope.")
def pack(sources: tuple[Path, ...], output: Path, plain: bool, lines: bool) -> None:
    """Pack files into a Firehose event, one record for each file.

    The suffix of a file determines its format. .json, .jsonl and .ndjson (also with .gz) contain
    CloudTrail events, and .json can contain one envelope instead. .b64 contains the data of a
    record in base64. Any other file contains the bytes of a record.
    """
    from console_login import private
    from console_login.events import pack as packing

    event = packing.pack(list(sources), plain=plain, lines=lines)
    try:
        with private.file(output) as file:
            file.write(f"{json.dumps(event, indent=2)}\n".encode())
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error


@click.command(cls=options.Command, epilog="console-login unpack packed.json")
@click.argument("event", type=options.PATH)
def unpack(event: Path) -> None:
    """Show the content of each record of a Firehose event.

    EVENT is a file with the JSON that Firehose sends to the function.
    """
    from console_login.events import pack as packing

    for record_id, form, lines in packing.unpack(packing.read_event(event), event):
        click.secho(shown.text(f"{record_id}  {form}"), bold=True)
        shown.say_raw(lines)


@click.command(
    cls=options.Command,
    epilog="""
console-login transform packed.json
console-login transform --json packed.json
""",
)
@click.argument("event", type=options.PATH)
@click.option(
    "--json", "as_json", is_flag=True, help="Print only the function's response, as JSON."
)
def transform(event: Path, as_json: bool) -> None:
    """Run the function on a Firehose event.

    EVENT is a file with the JSON that Firehose sends to the function. Prints the result of each
    record and the reason, then the lines that Firehose would write. The function logs to stderr.
    """
    from console_login import function
    from console_login.events import pack as packing

    firehose_event = packing.read_event(event)
    in_process = function.InProcess()
    try:
        response, outcomes = in_process.handle(firehose_event)
    except function.FunctionError as error:
        message = f"{event}: {error}; console-login pack creates an event"
        raise function.FunctionError(message) from error
    if as_json:
        click.echo(json.dumps(response))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("record", overflow="fold", min_width=20)
    for heading in ("result", "reason"):
        table.add_column(heading, no_wrap=True)
    for heading in ("events", "lines", "bytes out"):
        table.add_column(heading, justify="right", no_wrap=True)
    for outcome in outcomes:
        counts = (outcome.events_in, outcome.events_delivered, outcome.bytes_out)
        columns = (shown.text(outcome.record_id), outcome.result, outcome.reason.value)
        table.add_row(*columns, *(f"{count:,}" for count in counts))
    Console(markup=False, highlight=False).print(table)
    for outcome in outcomes:
        shown.say_raw(function.lines_of(outcome))
