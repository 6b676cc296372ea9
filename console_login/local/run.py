"""One run of the local pipeline, from the options to the printed result."""

import contextlib
import dataclasses
import io
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn
from rich.table import Table

from console_login import private, shown
from console_login.counts import counted
from console_login.errors import UserError
from console_login.events.sources import Sources
from console_login.local import generate, moto_state
from console_login.local.accounting import Account, delivered_lines
from console_login.local.clock import SimulatedClock, SystemClock
from console_login.local.endpoint import Service
from console_login.local.faults import Faults
from console_login.local.firehose_api import FirehoseClient
from console_login.local.pipeline import Pipeline, in_process, under_emulator
from console_login.local.pipeline import run as run_pipeline
from console_login.local.stream import Function
from console_login.moments import moment
from console_login.stack import template
from console_login.stack.prefix import time_zone

MAX_SHOWN = 10

_REFRESH_SECONDS = 0.1


class OptionError(UserError):
    """An invalid option; the message names it."""


@dataclass(frozen=True)
class Options:
    """The options of `console-login local`."""

    files: tuple[Path, ...] = ()
    generate: int = 0
    sign_ins: float = 0.01
    seed: int = 0
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    runtime: str = "in-process"
    faults: tuple[str, ...] = ()
    clock: str | None = None
    out: Path | None = None
    log: Path | None = None
    as_json: bool = False


def run(options: Options) -> bool:
    """Run the pipeline, print the result, and return whether every event is accounted for."""
    if not options.files and not options.generate:
        raise OptionError("nothing to do: pass FILES or --generate N")
    _check(options)
    clock = SimulatedClock(_start(options))
    files = Sources(options.files)
    with _pipeline(options, clock) as pipeline:
        with _watched(pipeline, options, files) as watch:
            run_pipeline(pipeline, clock, _messages(options, files, clock.now()), watch)
        account = pipeline.account()
        if options.out is not None:
            _copy(pipeline, options.out)
        if options.as_json:
            _print_json(pipeline, account)
        else:
            _print(pipeline, account)
    return account.is_balanced


def serve(options: Options, port: int) -> None:
    """Run the pipeline in real time behind an endpoint until interrupted."""
    if options.out is not None or options.as_json or options.clock is not None:
        raise OptionError(
            "--serve runs in real time and cannot be combined with --out, --json or --clock"
        )
    _check(options)
    with Service(port) as service, _pipeline(options, SystemClock(), service) as pipeline:
        try:
            for message in _messages(options, Sources(options.files), time.time()):
                pipeline.offer(message)
            pipeline.flush()
            service.serve(pipeline, in_real_time=True)
            _print_endpoint(pipeline, service.endpoint_url)
            service.wait()
        except KeyboardInterrupt:
            # If the output is a pipe, its reader was interrupted too.
            with contextlib.suppress(OSError):
                shown.say(["", *_stages_lines(pipeline)])
            raise


@contextlib.contextmanager
def _pipeline(
    options: Options, clock: SimulatedClock | SystemClock, service: Service | None = None
) -> Iterator[Pipeline]:
    faults = Faults(options.faults, options.seed)
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(moto_state.started(template.load(), options.parameters))
        if options.runtime == "in-process":
            client = FirehoseClient(faults)
            log = stack.enter_context(_log(options.log))
            function: Function = in_process(started.stack, log, client)
            yield Pipeline(started, function, clock, faults, options.seed, client)
            return
        if any(fault.startswith("put-record-batch") for fault in options.faults):
            raise OptionError("--fail put-record-batch:... needs --runtime in-process")
        # The function puts records back over HTTP.
        endpoint = service or stack.enter_context(Service(0))
        function = stack.enter_context(
            under_emulator(started.stack, endpoint.endpoint_url, log=options.log)
        )
        pipeline = Pipeline(started, function, clock, faults, options.seed)
        if service is None:
            endpoint.serve(pipeline, in_real_time=False)
        yield pipeline


def _log(path: Path | None) -> IO[str]:
    try:
        return io.TextIOWrapper(private.file(path or Path(os.devnull)), encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror}") from error


def _check(options: Options) -> None:
    if not 0 <= options.sign_ins <= 1:
        raise OptionError(f"--sign-ins {options.sign_ins}: the share must be from 0 to 1")
    if options.log is not None:
        log = _resolved(options.log, "--log")
        if any(log.is_relative_to(_resolved(path, "FILES")) for path in options.files):
            raise OptionError(f"--log {options.log} would overwrite FILES: choose another file")


def _resolved(path: Path, option: str) -> Path:
    try:
        return path.resolve()
    except OSError as error:
        raise OptionError(f"{option} {path}: {error.strerror}") from error


def _start(options: Options) -> float:
    now = time.time()
    if options.clock is None:
        return now
    default = template.load()["Parameters"]["TimeZone"]["Default"]
    zone = time_zone(options.parameters.get("TimeZone", default))
    return moment("--clock", options.clock, zone, datetime.fromtimestamp(now, UTC)).timestamp()


def _messages(options: Options, files: Sources, start: float) -> Iterator[str]:
    """Yield half of the generated events, then the events of the files, then the other half."""
    randomness = random.Random(f"events {options.seed}")  # noqa: S311 - not for secrets
    generated = generate.events(options.generate, options.sign_ins, randomness, start)
    yield from itertools.islice(generated, options.generate // 2)
    yield from files
    yield from generated


# Output ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _watched(pipeline: Pipeline, options: Options, files: Sources) -> Iterator[Any]:
    """Yield a function to call often; on a terminal it shows the counts and a progress bar."""
    console = Console(stderr=True)
    if not console.is_terminal or options.as_json:
        yield lambda: None
        return
    # The bar counts bytes, because the number of events in files is unknown before they are read.
    generated = _generated_bytes(options.generate)
    total = None if options.files and not files.size else files.size + generated
    progress = Progress(BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console)
    task = progress.add_task("bytes", total=total)
    shown = 0.0
    with Live(console=console, transient=True, auto_refresh=False) as live:

        def watch() -> None:
            nonlocal shown
            if time.monotonic() - shown >= _REFRESH_SECONDS:
                shown = time.monotonic()
                generated = _generated_bytes(pipeline.subscription.seen - files.count)
                progress.update(task, completed=files.position + generated)
                live.update(Group(_stages(pipeline), progress), refresh=True)

        yield watch


def _generated_bytes(events: int) -> int:
    """Return the approximate size of generated events, for the progress bar."""
    return events * 900


def _stages(pipeline: Pipeline) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("stage")
    table.add_column("count", justify="right")
    for stage, count in pipeline.stages().items():
        table.add_row(stage, f"{count:,}")
    for code, count in sorted(pipeline.stream.counts.failed_by_code.items()):
        table.add_row(shown.text(f"  {code}"), f"{count:,}")
    return table


def _print(pipeline: Pipeline, account: Account) -> None:
    objects = pipeline.objects()
    bucket = pipeline.stream.configuration.bucket
    lines = [*_stages_lines(pipeline), "", f"{counted(len(objects), 'object')} in s3://{bucket}/"]
    for each in objects[:MAX_SHOWN]:
        key_id = each.key_arn.rsplit("/", 1)[1]
        lines.append(f"  {each.key}  {counted(each.size, 'byte')}  key {key_id}")
    if len(objects) > MAX_SHOWN:
        lines.append(f"  and {len(objects) - MAX_SHOWN:,} more")
    shown.say(lines)
    shown.say_raw(_first_lines(pipeline))
    shown.say(["", *_summary(account)])


def _stages_lines(pipeline: Pipeline) -> list[str]:
    """Return the table as lines. If rich printed the table, it would hide a broken pipe."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=False, markup=False, highlight=False)
    console.print(_stages(pipeline))
    return text.getvalue().splitlines()


def _first_lines(pipeline: Pipeline) -> Iterator[str]:
    lines = (
        line for key in pipeline.stream.keys for line in delivered_lines(pipeline.state.get(key))
    )
    return itertools.islice(lines, MAX_SHOWN)


def _summary(account: Account) -> list[str]:
    text = (
        f"{counted(account.events, 'event')}: {account.delivered:,} delivered,"
        f" {account.not_selected:,} not selected,"
        f" {account.in_error_prefix:,} in the error output prefix"
    )
    if account.duplicates:
        text += f"; also {counted(account.duplicates, 'duplicate')}"
    if account.is_balanced:
        return [text + "; nothing lost"]
    lines = [text]
    if account.missing:
        lines.append(f"MISSING {account.missing:,}: {', '.join(account.missing_ids)}")
    if account.unexpected:
        lines.append(f"UNEXPECTED {account.unexpected:,}: {', '.join(account.unexpected_ids)}")
    if account.unexplained:
        ids = ", ".join(account.unexplained_ids)
        lines.append(f"UNEXPLAINED DUPLICATES {account.unexplained:,}: {ids}")
    return lines


def _print_json(pipeline: Pipeline, account: Account) -> None:
    document = {
        "stages": pipeline.stages(),
        "failed_by_code": dict(pipeline.stream.counts.failed_by_code),
        "objects": [each._asdict() for each in pipeline.objects()],
        "account": dataclasses.asdict(account) | {"is_balanced": account.is_balanced},
    }
    sys.stdout.write(f"{json.dumps(document, indent=2)}\n")


def _print_endpoint(pipeline: Pipeline, url: str) -> None:
    stream, stack = pipeline.stream.configuration, pipeline.stack
    listing = ["aws", "--endpoint-url", url, "s3", "ls", "--recursive", f"s3://{stream.bucket}/"]
    shown.say(
        [
            f"serving at {url} until Ctrl-C (any credentials, Region {stack.region})",
            f"  stream     {stream.name}",
            f"  log group  {stack.outputs['LogGroupName']}",
            f"  objects    {shown.command(listing)}",
        ]
    )


def _copy(pipeline: Pipeline, folder: Path) -> None:
    try:
        for key in [*pipeline.stream.keys, *pipeline.stream.error_keys]:
            path = folder / key
            if not path.resolve().is_relative_to(folder.resolve()):
                raise OptionError(
                    f"--out {folder}: {key} is outside this folder: change the parameter Prefix"
                )
            private.folder(path.parent)
            with private.file(path) as file:
                file.write(pipeline.state.get(key))
    except (FileExistsError, NotADirectoryError) as error:
        raise OptionError(f"--out {error.filename or folder} is not a folder") from error
    except OSError as error:
        raise OptionError(f"--out {error.filename or folder}: {error.strerror}") from error
