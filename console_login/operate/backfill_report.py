"""What `console-login backfill` shows: times, places and counts, nothing of any event."""

import math
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from console_login.counts import counted
from console_login.operate.backfill import Asked, Totals
from console_login.operate.backfill_records import Source
from console_login.operate.backfill_state import Progress, text
from console_login.stack.limits import MIB


def planned(asked: Asked, source: Source, progress: Progress) -> list[tuple[str, str]]:
    """Return what is about to happen, a heading and a value each."""
    plan = progress.plan
    if asked.state is None:
        resumable = "no: --state FILE would keep how far it is"
    elif progress.is_done:
        resumable = f"{asked.state} says that it is done"
    else:
        resumable = f"{asked.state}, from {progress.position}"
    return [
        *source.described(),
        ("stream", plan.stream),
        ("from", text(plan.start)),
        ("until", f"{text(plan.end)}, which is left out"),
        ("rate", f"{asked.mib_per_second:g} MiB/s at most"),
        ("resumable", resumable),
        ("delivery", "at least once: lines for what was delivered before have the same eventID"),
    ]


def words(asked: Asked, progress: Progress, totals: Totals, *, dry_run: bool) -> list[str]:
    """Return what has happened, in lines; never anything of an event."""
    read = f" in {counted(totals.files, 'file')}" if asked.url is not None else ""
    counts = (
        f"{counted(totals.events, 'event')}{read} in {counted(totals.records, 'record')},"
        f" {counted(totals.bytes, 'byte')}"
    )
    if dry_run:
        seconds = _seconds(totals, asked.mib_per_second)
        lines = [f"{counts}: would take {timedelta(seconds=seconds)} at least; nothing is sent"]
    else:
        lines = [f"{counts}: accepted by the stream"]
    if totals.too_large:
        lines.append(f"{counted(totals.too_large, 'event')} left out: too large for any record")
    lines += [f"{each.key}: {each.reason}" for each in totals.named]
    if totals.unreadable:
        more = totals.unreadable - len(totals.named)
        lines += [f"and {more:,} more"] if more else []
        lines.append(
            f"{counted(totals.unreadable, 'file')} not read to the end: events in"
            f" {'it' if totals.unreadable == 1 else 'them'} are left out"
        )
    if totals.left_out_before:
        lines.append(
            f"{totals.left_out_before:,} left out before, by runs with this state: name another"
            " file to try again"
        )
    if totals.problem is not None:
        again = progress.position
        lines.append(f"stopped: {totals.problem}")
        if asked.state is not None:
            lines.append(f"everything before {again} is done: go on by --state {asked.state}")
        elif asked.url is None:
            lines.append(f"everything before {again} is done: go on by --start {again}")
        else:
            lines.append("run it again, from the start: with --state FILE it would go on from here")
    return lines


def report(asked: Asked, progress: Progress, totals: Totals, *, dry_run: bool) -> dict[str, Any]:
    """Return what has happened, for machines; times in ISO 8601, UTC."""
    return {
        **progress.plan.document(),
        "position": progress.position,
        "dry_run": dry_run,
        "seconds_at_least": _seconds(totals, asked.mib_per_second),
        **asdict(totals),
        "named": [each._asdict() for each in totals.named],
        "is_complete": totals.is_complete,
    }


def _seconds(totals: Totals, mib_per_second: float) -> int:
    return math.ceil(totals.bytes / (mib_per_second * MIB))
