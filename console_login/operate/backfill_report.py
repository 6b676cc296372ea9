"""The output of `console-login backfill`: times, places and counts, but no content of events."""

import math
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from console_login.counts import counted
from console_login.operate.backfill import Options, Totals
from console_login.operate.backfill_records import Source
from console_login.operate.backfill_state import Progress, text
from console_login.stack.limits import MIB


def planned(options: Options, source: Source, progress: Progress) -> list[tuple[str, str]]:
    """Return what the run will do, as pairs of a heading and a value."""
    plan = progress.plan
    if options.state is None:
        resumable = "no: use --state FILE to save the progress"
    elif progress.is_done:
        resumable = f"{options.state} says that the backfill is done"
    else:
        resumable = f"{options.state}, from {progress.position}"
    return [
        *source.described(),
        ("stream", plan.stream),
        ("from", text(plan.start)),
        ("until", f"{text(plan.end)} (excluded)"),
        ("rate", f"at most {options.mib_per_second:g} MiB/s"),
        ("resumable", resumable),
        ("delivery", "at least once: a repeated event is another line with the same eventID"),
    ]


def words(options: Options, progress: Progress, totals: Totals, *, dry_run: bool) -> list[str]:
    """Return lines that report the run; none has content of an event."""
    read = f" in {counted(totals.files, 'file')}" if options.url is not None else ""
    counts = (
        f"{counted(totals.events, 'event')}{read} in {counted(totals.records, 'record')},"
        f" {counted(totals.bytes, 'byte')}"
    )
    if dry_run:
        seconds = _seconds(totals, options.mib_per_second)
        lines = [f"{counts}: would take at least {timedelta(seconds=seconds)}; nothing was sent"]
    else:
        lines = [f"{counts}: accepted by the stream"]
    if totals.too_large:
        lines.append(f"{counted(totals.too_large, 'event')} skipped: too large for a record")
    lines += [f"{each.key}: {each.reason}" for each in totals.named]
    if totals.unreadable:
        more = totals.unreadable - len(totals.named)
        lines += [f"and {more:,} more"] if more else []
        lines.append(
            f"{counted(totals.unreadable, 'file')} not read to the end: events in"
            f" {'it' if totals.unreadable == 1 else 'them'} were skipped"
        )
    if totals.left_out_before:
        lines.append(
            f"{totals.left_out_before:,} skipped by earlier runs with this state: use another"
            " state file to try again"
        )
    if totals.problem is not None:
        position = progress.position
        lines.append(f"stopped: {totals.problem}")
        if options.state is not None:
            lines.append(
                f"everything before {position} is done: continue with --state {options.state}"
            )
        elif options.url is None:
            lines.append(f"everything before {position} is done: continue with --start {position}")
        else:
            lines.append("run it again from the start; with --state FILE, a later run can continue")
    return lines


def report(
    options: Options, progress: Progress, totals: Totals, *, dry_run: bool
) -> dict[str, Any]:
    """Return the result of the run as a JSON document, with times in ISO 8601, UTC."""
    return {
        **progress.plan.document(),
        "position": progress.position,
        "dry_run": dry_run,
        "seconds_at_least": _seconds(totals, options.mib_per_second),
        **asdict(totals),
        "named": [each._asdict() for each in totals.named],
        "is_complete": totals.is_complete,
    }


def _seconds(totals: Totals, mib_per_second: float) -> int:
    return math.ceil(totals.bytes / (mib_per_second * MIB))
