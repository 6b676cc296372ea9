"""Commands for a stack: preflight, doctor, redrive, backfill, drain, compare, key-policy."""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import click

from console_login import shown
from console_login.cli import options


@click.command(
    "key-policy",
    cls=options.Command,
    epilog="""
console-login key-policy --stack my-stack --region us-east-1 --account 111122223333
""",
)
@click.option("--stack", required=True, metavar="NAME", help="Print the policy for the stack NAME.")
@click.option(
    "--region",
    required=True,
    metavar="REGION",
    help="Print the policy for a stack and a key in this Region.",
)
@click.option(
    "--account",
    required=True,
    metavar="ID",
    help="Print the policy for a stack in the account with this ID.",
)
@options.PARAMETER
def key_policy(stack: str, region: str, account: str, parameters: tuple[str, ...]) -> None:
    """Print the statements that the policy of an existing key needs.

    With ExistingKeyArn, the owner of the key appends these statements to the key's policy BEFORE
    the deploy. Prints the commands for this on stderr.
    """
    from console_login.operate import commands
    from console_login.operate.access import Access
    from console_login.operate.permissions import changes, place_of_key
    from console_login.stack import key_policy as policies
    from console_login.stack import template

    given = options.parameters(parameters)
    policy = policies.key_policy(
        template.load(),
        given,
        stack_name=stack,
        region=region,
        account_id=account,
    )
    click.echo(json.dumps(policy, indent=2))
    aws = functools.partial(commands.aws, Access(region=region))
    place = place_of_key(aws, given.get("ExistingKeyArn") or "KEY_ARN")
    lines = changes(place, appends=True)
    click.echo(
        "Append these statements to the Statement list of the key's policy; do not replace the"
        " policy. With the statements in statements.json:",
        err=True,
    )
    shown.say(lines, err=True)


@click.command(
    cls=options.Command,
    epilog="""
console-login local my-events.jsonl --out objects
console-login compare my-events.jsonl objects
""",
)
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option(
    "--event-names",
    default="ConsoleLogin",
    show_default=True,
    metavar="NAMES",
    help="Compare only events with these names, as in EventNames.",
)
@click.option(
    "--start",
    metavar="DAY",
    help="Under s3://, read the folders from this day on, such as 2026-11-24.",
)
@click.option(
    "--end", metavar="DAY", help="Read the folders up to this day (default: the day of --start)."
)
@options.aws
def compare(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    old: str,
    new: str,
    event_names: str,
    start: str | None,
    end: str | None,
) -> None:
    """Compare the events of two pipelines by eventID and content.

    OLD and NEW are folders, files, or s3://BUCKET/PREFIX, where PREFIX is followed by yyyy/MM/dd/.
    Copies of an event count once. Exits with 1 if one side has an event that the other lacks, if an
    eventID has different content, if a line is not an event, if a file cannot be read to its end,
    or if OLD has no event.
    """
    from console_login.operate import compare as comparing

    days = comparing.days(start, end)
    access = options.access(endpoint_url, region, profile) if days else None
    comparison = comparing.compare(old, new, event_names, days, access)
    shown.say(comparing.words(comparison))
    if not comparison.is_same:
        sys.exit(1)


@click.command(
    cls=options.Command,
    epilog="""
console-login backfill --stack console-login-firehose \\
  --start 2026-11-01T00:00:00+09:00 --dry-run
console-login backfill --stack console-login-firehose \\
  --start 2026-11-01T00:00:00+09:00 --state backfill.json --yes
""",
)
@click.option(
    "--stack",
    metavar="NAME",
    help="Read the log group, the stream and the pattern from the deployed stack NAME.",
)
@click.option(
    "--log-group", metavar="NAME", help="Read events from this log group (without --stack)."
)
@click.option(
    "--from",
    "url",
    metavar="URL",
    help="Read CloudTrail's log files under URL instead of the log group. URL is a trail's folder,"
    " such as s3://BUCKET/AWSLogs/, or the folder of an organization or an account in it.",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="ID",
    help="Read only the files of this account (with --from). Can be repeated.",
)
@click.option(
    "--from-region",
    "regions",
    multiple=True,
    metavar="REGION",
    help="Read only the files of this Region (with --from). Can be repeated.",
)
@click.option("--stream", metavar="NAME", help="Send to this delivery stream (without --stack).")
@click.option(
    "--event-names",
    metavar="NAMES",
    help="Send events with these names, as in EventNames (without --stack; default: ConsoleLogin).",
)
@click.option(
    "--start",
    required=True,
    metavar="TIME",
    help="Send events from this time on, such as 72h or 3d (three days ago), 2026-11-24, or"
    " 2026-11-24T09:00+09:00. A time without an offset is in the stack's TimeZone, or in UTC"
    " without --stack.",
)
@click.option(
    "--end",
    metavar="TIME",
    help="Send events before this time only (default: now). Same formats as --start.",
)
@click.option(
    "--mib-per-second",
    type=float,
    default=0.5,
    show_default=True,
    metavar="MIB",
    help="Send at most this many MiB of records per second. A stream accepts 1 MiB per second in"
    " most Regions and 5 MiB in three, including live sign-ins.",
)
@click.option(
    "--state",
    type=options.PATH,
    metavar="FILE",
    help="Save the progress in FILE. The next run with the same FILE continues from there.",
)
@options.sending
@options.aws
def backfill(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Send sign-ins that never passed the subscription filter.

    Reads the log group with the pattern of the filter, or with --from CloudTrail's log files, and
    sends matching events to the stream at least once. An event that was delivered before, or is
    sent again after an interruption, becomes another line with the same eventID. Firehose
    writes the lines to the folder of the day on which they are sent. Exits with 1 if an event may
    not have been sent, or if a file could not be read.
    """
    from console_login.operate import backfill as backfilling
    from console_login.operate import backfill_report as report
    from console_login.operate.progress_bar import watched
    from console_login.operate.sender import Sender
    from console_login.stack.limits import MIB

    options.check_answer(yes, dry_run, as_json)
    access = options.access(endpoint_url, region, profile)
    settings = backfilling.Options(**chosen)
    source, progress = backfilling.prepare(access, settings)
    if not as_json:
        planned = report.planned(settings, source, progress)
        shown.say(f"{heading:<10} {value}" for heading, value in planned)
    if not (dry_run or yes or progress.is_done):
        options.confirm("Put these sign-ins into the stream?")
    rate = settings.mib_per_second * MIB
    sender = None if dry_run else Sender(access, progress.plan.stream, rate)
    with watched("", is_shown=not as_json) as watch:
        run = backfilling.Backfill(source, progress, sender, lambda share: watch(share, 1))
        totals = run.run()
    if as_json:
        document = report.report(settings, progress, totals, dry_run=dry_run)
        click.echo(json.dumps(document, indent=2))
    else:
        shown.say(report.words(settings, progress, totals, dry_run=dry_run))
    if not totals.is_complete:
        sys.exit(1)


@click.command(
    cls=options.Command,
    epilog="""
console-login doctor --stack console-login-firehose
console-login doctor --stack console-login-firehose --hours 72 --json
""",
)
@click.option("--stack", required=True, metavar="NAME", help="Check the deployed stack NAME.")
@click.option(
    "--hours",
    type=click.IntRange(1, 24 * 365),
    default=24,
    show_default=True,
    metavar="N",
    help="Compare the events and objects of the last N hours.",
)
@options.AS_JSON
@options.aws
def doctor(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    stack: str,
    hours: int,
    as_json: bool,
) -> None:
    """Find problems of a deployed stack, and show how to fix them.

    Reads the configuration, events, objects and alarms, and changes nothing. Exits with 1 if
    anything is wrong, or could not be checked.
    """
    from console_login.operate import checks
    from console_login.operate import doctor as examining

    results = examining.examine(options.access(endpoint_url, region, profile), stack, hours)
    if as_json:
        click.echo(json.dumps(checks.report(stack, results), indent=2))
    else:
        shown.say(checks.words(results))
    if not checks.is_well(results):
        sys.exit(1)


@click.command(
    cls=options.Command,
    epilog="""
console-login preflight
console-login preflight --config-env default --json
""",
)
@click.option(
    "--config-env",
    default="default",
    show_default=True,
    metavar="NAME",
    help="Check the deploy of this environment of samconfig.toml.",
)
@click.option(
    "--config-file",
    type=options.PATH,
    default="samconfig.toml",
    show_default=True,
    metavar="FILE",
    help="Read the settings from FILE.",
)
@options.AS_JSON
@options.aws
def preflight(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    config_env: str,
    config_file: Path,
    as_json: bool,
) -> None:
    """Find problems that would make a deploy fail, before it runs.

    Reads samconfig.toml, the output of `sam build`, and AWS, and changes nothing. Exits with 1 if
    anything is wrong, otherwise with 0, even if something could not be checked.
    """
    from console_login.operate import checks
    from console_login.operate import preflight as checking

    access = options.access(endpoint_url, region, profile)
    stack, results = checking.examine(access, config_file, config_env)
    if as_json:
        click.echo(json.dumps(checks.report(stack, results), indent=2))
    else:
        shown.say(checks.words(results))
    if checking.stops(results):
        sys.exit(1)


@click.command(
    cls=options.Command,
    epilog="""
console-login redrive --stack console-login-firehose --dry-run
console-login redrive --stack console-login-firehose --yes
""",
)
@click.option(
    "--stack", metavar="NAME", help="Send the failed records of the deployed stack NAME again."
)
@click.option(
    "--bucket", metavar="NAME", help="Read error objects from this bucket (without --stack)."
)
@click.option(
    "--prefix",
    metavar="PREFIX",
    help="Read only keys that begin with PREFIX, such as the folder of one day.",
)
@click.option("--stream", metavar="NAME", help="Send to this delivery stream (without --stack).")
@click.option(
    "--event-names",
    metavar="NAMES",
    help="Send records that contain events with these names, as in EventNames (without --stack;"
    " default: ConsoleLogin).",
)
@click.option(
    "--settle",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Send nothing. Mark the error object KEY, which you have read and will not send, as"
    " settled: doctor, drain and redrive then ignore it. Can be repeated.",
)
@options.sending
@options.aws
def redrive(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    keys: tuple[str, ...],
    **chosen: str | None,
) -> None:
    """Send failed records to the stream again.

    Reads the error objects and runs the function on each record. Sends each record from which the
    function would now deliver an event, at least once. Tags on the error objects record the sent
    lines, so a second run does not send them again. Deletes nothing. Exits with 1 if a record could
    not be read or may not have been sent, or if a tag could not be written.
    """
    from console_login.operate import redrive as redriving
    from console_login.operate import redrive_report as report
    from console_login.operate.progress_bar import watched

    options.check_answer(yes, dry_run, as_json)
    access = options.access(endpoint_url, region, profile)
    job = redriving.Redrive(access, redriving.target(access, **chosen))
    with watched("reading", is_shown=not as_json) as watch:
        plan = job.plan(None if as_json else redriving.MAX_NAMED, watch, keys or None)
    if not as_json:
        shown.say(report.planned(plan))
    if keys:
        if not (dry_run or yes):
            options.confirm(report.settle_question(plan), "settle", "settled")
        done = []
        for settled in () if dry_run else job.settle(plan):
            done.append(settled)
            if not as_json:
                shown.say(report.settled_words(access, plan.target, settled))
        if as_json:
            click.echo(json.dumps(report.document(plan, None, done), indent=2))
        elif dry_run:
            click.echo("dry run: nothing settled")
        return
    result = None
    if not dry_run and (plan.to_send or plan.to_mark):
        if not yes:
            options.confirm(report.question(plan))
        with watched("sending", is_shown=not as_json) as watch:
            result = job.send(plan, watch)
    if as_json:
        click.echo(json.dumps(report.document(plan, result), indent=2))
    elif result is not None:
        shown.say(report.words(result))
    elif dry_run:
        click.echo("dry run: nothing sent")
    else:
        click.echo("nothing to send")
    # Unreadable objects may contain sign-ins, which are not sent.
    if plan.unusable_count or (result is not None and not result.is_complete):
        sys.exit(1)


@click.command(
    cls=options.Command,
    epilog="""
console-login drain --stack console-login-firehose --dry-run
console-login drain --stack console-login-firehose --yes
""",
)
@click.option(
    "--stack", required=True, metavar="NAME", help="Drain the pipeline of the deployed stack NAME."
)
@click.option(
    "--start",
    metavar="TIME",
    help="Compare the events from this time on, such as 1h or 2026-11-24T09:00+09:00 (default: 24h,"
    " as long as Firehose retries, or since the stack's creation if that is later). A time without"
    " an offset is in the stack's TimeZone.",
)
@click.option(
    "--end",
    metavar="TIME",
    help="Assume that the filter was deleted at this time, if it no longer exists (default: now).",
)
@click.option(
    "--wait",
    "wait_minutes",
    type=click.IntRange(0, 24 * 60),
    default=30,
    show_default=True,
    metavar="MINUTES",
    help="Wait at most this long for missing events, after both buffers. The default is the longest"
    " time that a record needs for a second pass through both buffers.",
)
@options.deleting
@options.aws
def drain(
    endpoint_url: str | None,
    region: str | None,
    profile: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Make a stack safe to delete, with no events in transit.

    Deletes the subscription filter and waits until every event that passed the filter is in the
    bucket and Firehose reports nothing older than its buffers. Otherwise, `sam delete` would also
    delete the records that Firehose has not written yet. Before the deletion, prints the commands
    that undo it. Exits with 1 if an event is missing, if an error object was not redriven, or if
    something could not be checked.
    """
    from console_login.operate import drain as draining
    from console_login.operate import drain_report as report
    from console_login.operate.progress_bar import watched

    options.check_answer(yes, dry_run, as_json)
    job = draining.Drain(options.access(endpoint_url, region, profile), draining.Options(**chosen))
    found = job.look()

    say = functools.partial(shown.say, err=as_json)
    # Also on stderr if stdout is not a terminal: the reader of a pipe may not read to its end.
    if as_json or not sys.stdout.isatty():
        say(report.undo_lines(job), err=True)
    if not as_json:
        say(report.planned(job, found))
    if not (dry_run or found.problem is not None):
        if not (yes or job.is_gone):
            options.confirm("Delete the subscription filter?", "delete", "deleted")
        try:
            job.delete()
            if not as_json:
                say([report.deleted(job)])
            with watched("arriving", is_shown=not as_json) as watch:
                found = job.wait(watch)
        except BaseException:
            # However the wait ends, the user must know which events may still be in transit.
            try:
                say(report.interrupted(job))
            except OSError:
                say(report.interrupted(job), err=True)
            raise
        if not as_json:
            say(report.words(job, found))
    elif not as_json:
        click.echo("nothing was deleted")
    if as_json:
        click.echo(json.dumps(report.document(job, found, dry_run=dry_run), indent=2))
    if found.problem is not None or not (dry_run or found.is_safe):
        sys.exit(1)
