"""Output of `console-login drain`: counts, ids, keys and commands, but no content of events."""

from collections.abc import Iterator
from typing import Any

from console_login.counts import counted
from console_login.operate import drain as draining
from console_login.operate.drain import MAX_NAMED, Drain, Outcome, text
from console_login.operate.sent_lines import tag_of


def planned(drain: Drain, found: Outcome) -> list[str]:
    """Return the lines that say what is about to happen, and how to undo it."""
    names = ", ".join(each["filterName"] for each in drain.filters)
    until = text(drain.end) if drain.end is not None else "now"
    seen = f"{counted(found.events, 'event')}, of which {_arrived(found)}"
    wait = counted(drain.options.wait_minutes, "minute")
    lines = [
        f"log group  {drain.log_group}",
        f"filter     {names or 'already deleted'}",
        f"stream     {drain.stream_name}",
        f"window     {text(drain.start)} to {until}: {found.problem or seen}",
        f"wait       {drain.settle_seconds:g} s (both buffers and {draining.MARGIN_SECONDS} s),"
        f" then at most {wait} for missing events (in records that Firehose retries, or that the"
        " function puts back)",
    ]
    if drain.is_gone and drain.options.end is None:
        lines.append(
            "the filter no longer exists: events after its deletion did not pass it and cannot"
            " arrive; set --end to the time of the deletion"
        )
    if drain.is_gone:
        lines.append(f"{drain.doctor()} prints the command that restores the filter")
    return [*lines, *undo_lines(drain)]


def deleted(drain: Drain) -> str:
    """Return a line that says what was deleted, and how long the wait is at least."""
    settled = text(drain.settled_at)
    if drain.is_gone:
        return f"the filter was already deleted; waiting until at least {settled}"
    return f"deleted the filter; waiting until at least {settled}"


def undo_lines(drain: Drain, found: Outcome | None = None) -> list[str]:
    """Return the lines that undo the deletion; found: they send its missing events, too."""
    oldest = found.oldest_missing if found is not None else None
    return ["to undo:", *(f"  {command}" for command in drain.undo(oldest))]


def _arrived(found: Outcome) -> str:
    count = found.events - len(found.missing)
    return f"{count:,} {'has' if count == 1 else 'have'} arrived{_in_error_prefix(found)}"


def _in_error_prefix(found: Outcome) -> str:
    count = found.in_error_prefix
    return f" ({count:,} in the error output prefix)" if count else ""


def words(drain: Drain, found: Outcome) -> list[str]:
    """Return the lines that report the outcome; they name events only by id."""
    lines = []
    if found.problem is not None:
        lines.append(f"the stack could not be checked: {found.problem}")
    elif found.missing:
        missing, more = found.missing[:MAX_NAMED], len(found.missing) - MAX_NAMED
        named = ", ".join(missing) + (f" and {more:,} more" if more > 0 else "")
        lines.append(f"{_missing(found)} not arrived: {named}")
    elif found.events:
        all_events = "the 1 event has" if found.events == 1 else f"all {found.events:,} events have"
        lines.append(f"{all_events} arrived{_in_error_prefix(found)}")
    else:
        reports = "" if found.oldest_record_seconds else "; Firehose reports no waiting record"
        lines.append(f"no event passed the filter in this time, so nothing was compared{reports}")
    if found.oldest_record_seconds is not None:
        lines.append(
            f"Firehose still has a record that is {found.oldest_record_seconds:g} s old, older than"
            " both buffers allow (DeliveryToS3.DataFreshness): Firehose cannot write, or the"
            " function fails"
        )
    if found.unread:
        lines.append(
            f"{counted(found.unread, 'object')} could not be read in full: console-login redrive"
            " --dry-run lists damaged error objects"
        )
    if found.waiting:
        lines += _waiting_lines(drain, found)
    if found.is_safe:
        return [*lines, f"`{drain.sam_delete()}` is safe: the bucket stays"]
    if found.has_arrived:
        return [*lines, "do not delete the stack: redrive needs its stream", *undo_lines(drain)]
    lines += [
        "do not delete the stack: `sam delete` deletes the stream with the records that Firehose"
        " has not written yet",
        f"to find the cause: {drain.doctor()}",
        f"to see Firehose's errors: {drain.tail_delivery_log()}",
    ]
    if found.missing:
        lines.append(
            "an event that was logged while there was no filter also counts as missing; the"
            " backfill below begins before the oldest missing event and sends it"
        )
    return [
        *lines,
        f"to check again: {drain.again()}",
        *undo_lines(drain, found),
    ]


def _missing(found: Outcome) -> str:
    count = len(found.missing)
    return f"{count:,} of {counted(found.events, 'event')} {'has' if count == 1 else 'have'}"


def _waiting_lines(drain: Drain, found: Outcome) -> Iterator[str]:
    keys, more = found.waiting[:MAX_NAMED], len(found.waiting) - MAX_NAMED
    known = len(found.waiting) - found.tags_unread
    count = counted(known, "error object was", "error objects were")
    least = "at least " if found.tags_unread else ""
    yield f"{least}{count} not redriven (tag {tag_of(drain.stream_name)}):"
    for key in keys:
        yield f"  s3://{drain.bucket}/{key}"
    if more > 0:
        yield f"  and {more:,} more"
    if found.tags_unread:
        yield (
            f"the tags of the first {draining.MAX_TAGS_READ:,} were read, and the other"
            f" {found.tags_unread:,} count as not redriven. --start does not change that: move or"
            " delete the redriven error objects, then check again"
        )
    yield (
        f"redrive them first, because redrive needs the stream: {drain.redrive()}, then"
        f" {drain.again()}"
    )


def interrupted(drain: Drain) -> list[str]:
    """Return the lines that an interrupted run prints."""
    if not drain.is_deleting:
        return ["nothing was deleted"]
    found = drain.outcome()
    state = "the filter is deleted" if drain.deleted_at is not None else "the filter may be deleted"
    missing = f"{_missing(found)} not arrived" if found.missing else "every known event has arrived"
    return [
        f"{state}; {missing}, and more events may be in transit: do not delete the stack",
        f"to continue: {drain.again()}",
        *undo_lines(drain),
    ]


def document(drain: Drain, found: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Return the outcome as a JSON document; times are in ISO 8601, UTC."""
    return {
        "stack": drain.stack.name,
        "log_group": drain.log_group,
        "stream": drain.stream_name,
        "filters": [each["filterName"] for each in drain.filters],
        "filter_was_gone": drain.is_gone,
        "dry_run": dry_run,
        "start": text(drain.start),
        "end": text(drain.end) if drain.end is not None else None,
        "events": found.events,
        "arrived": found.arrived,
        "in_error_prefix": found.in_error_prefix,
        "missing": len(found.missing),
        "missing_events": found.missing[:MAX_NAMED],
        "oldest_record_seconds": found.oldest_record_seconds,
        "objects_unread": found.unread,
        "error_objects_waiting": len(found.waiting),
        "error_objects": found.waiting[:MAX_NAMED],
        "problem": found.problem,
        "is_safe": found.is_safe and not dry_run,
        "undo": drain.undo(None if dry_run else found.oldest_missing),
    }
