"""Output of `console-login redrive`: keys, counts and reasons, but no content of events."""

import io
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from console_login import shown
from console_login.counts import counted
from console_login.operate import commands
from console_login.operate.access import Access
from console_login.operate.preview import Preview
from console_login.operate.redrive import (
    Plan,
    PlannedRecord,
    Result,
    Settled,
    Target,
    Unusable,
)
from console_login.operate.sent_lines import settled_tag_of

AT_LEAST_ONCE = (
    "Each record is sent at least once: an event that was delivered before its record failed is"
    " delivered twice, with the same eventID."
)


def planned(plan: Plan) -> list[str]:
    """Return the lines that show the plan."""
    target = plan.target
    lines = [
        f"from s3://{target.bucket}/{target.prefix}",
        f"to   {target.stream_name}, for the events {target.event_names}",
        "",
        *_record_lines(plan.named),
        *_more(plan.records - len(plan.named)),
        *(_unusable_line(each) for each in plan.unusable),
        *_more(plan.unusable_count - len(plan.unusable)),
    ]
    if plan.named or plan.unusable:
        lines.append("")
    return [*lines, *_table(plan)]


def _table(plan: Plan) -> list[str]:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("found")
    table.add_column("count", justify="right")
    rows = [("objects", plan.objects)]
    rows += [("  settled, not read", plan.settled)] if plan.settled else []
    rows += [("records", plan.records)]
    rows += [("  sent before", plan.sent_before)] if plan.sent_before else []
    rows += [(f"  would be {reason}", count) for reason, count in sorted(plan.by_reason.items())]
    rows += [(f"  failed with {code}", count) for code, count in sorted(plan.by_error_code.items())]
    rows += [("unusable", plan.unusable_count)] if plan.unusable_count else []
    rows += [
        *([("objects to mark", len(plan.to_mark))] if plan.to_mark else []),
        ("records to send", plan.records_to_send),
        ("events to deliver", plan.events_to_deliver),
        ("events damaged in them", plan.events_damaged),
    ]
    for name, count in rows:
        table.add_row(shown.text(name), f"{count:,}")
    # Render to text, because rich's own printing hides a broken pipe.
    text = io.StringIO()
    Console(file=text, force_terminal=False, markup=False, highlight=False).print(table)
    return text.getvalue().splitlines()


def words(result: Result) -> list[str]:
    """Return the lines that show the result."""
    lines = [f"{result.sent:,} of {counted(result.to_send, 'record')} sent"]
    if not result.to_send:
        lines = ["nothing to send"]
    lines += [_unusable_line(each) for each in result.unusable]
    if result.sent_meanwhile:
        lines.append(f"{_records_were(result.sent_meanwhile)} sent by another run in the meantime")
    if result.unknown:
        lines.append(
            f"{counted(result.unknown, 'record')} may not have been accepted ({result.problem}):"
            f" the next run sends {_them(result.unknown)} again"
        )
    if result.not_tried:
        lines.append(f"{_records_were(result.not_tried)} not tried")
    if result.not_recorded:
        lines.append(
            f"{_records_were(result.not_recorded)} sent but could not be recorded, because"
            " the tags of the error objects are full: the next run sends"
            f" {_them(result.not_recorded)} again"
        )
    if result.to_mark:
        count = f"{result.marked:,} of {counted(result.to_mark, 'object')}"
        lines.append(f"{count} marked as having nothing to send")
    if result.stopped is not None:
        lines.append(f"stopped: {result.stopped}")
    return lines


def question(plan: Plan) -> str:
    """Return the question to confirm before the plan is carried out."""
    send = f"Send {counted(plan.records_to_send, 'record')}"
    mark = f"ark {counted(len(plan.to_mark), 'object')} with nothing to send"
    if not plan.to_mark:
        return f"{AT_LEAST_ONCE}\n{send}?"
    return f"{AT_LEAST_ONCE}\n{send}, and m{mark}?" if plan.to_send else f"M{mark}?"


def settle_question(plan: Plan) -> str:
    """Return the question to confirm before objects are settled: it names what is not sent."""
    left = ""
    if plan.events_to_deliver:
        left = f" {counted(plan.events_to_deliver, 'event')} that could be delivered will not be."
    return f"Settle {counted(len(plan.found), 'object')}?{left}"


def settled_words(access: Access, target: Target, settled: Settled) -> list[str]:
    """Return the lines that say what was done to an object, and how to undo it."""
    tag = settled_tag_of(target.stream_name)
    tags = [{"Key": k, "Value": v} for k, v in settled.tags_before.items() if k != tag]
    undo = ["s3api", "put-object-tagging" if tags else "delete-object-tagging"]
    undo += ["--bucket", target.bucket, "--key", settled.key]
    undo += ["--tagging", json.dumps({"TagSet": tags})] if tags else []
    done = f"settled {settled.key} (tag {tag}); to undo:"
    return [done, commands.aws(access, *undo)]


def _records_were(count: int) -> str:
    return counted(count, "record was", "records were")


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def document(
    plan: Plan, result: Result | None, settled: Iterable[Settled] | None = None
) -> dict[str, Any]:
    """Return plan and result as a JSON document; `result` is null if there was nothing to do.

    settled: the settled objects; the document then has their previous tags.
    """
    target = plan.target
    found = {
        "bucket": target.bucket,
        "prefix": target.prefix,
        "stream": target.stream_name,
        "event_names": target.event_names,
        "plan": {
            "objects": plan.objects,
            "objects_settled": plan.settled,
            "objects_to_mark": len(plan.to_mark),
            "records": plan.records,
            "records_sent_before": plan.sent_before,
            "records_to_send": plan.records_to_send,
            "events_to_deliver": plan.events_to_deliver,
            "events_damaged": plan.events_damaged,
            "by_reason": dict(plan.by_reason),
            "by_error_code": dict(plan.by_error_code),
        },
        "records": [_record(each) for each in plan.named],
        "unusable": [each._asdict() for each in plan.unusable],
        "result": None if result is None else _result(result),
    }
    return found if settled is None else found | {"settled": [each._asdict() for each in settled]}


def _record(record: PlannedRecord) -> dict[str, Any]:
    preview = record.preview
    return {
        "key": record.key,
        "line": record.line,
        "error_code": record.error_code,
        "sent_before": preview is None,
        "to_send": record.is_to_send,
        "reason": None if preview is None else preview.reason,
        "events_delivered": None if preview is None else preview.events_delivered,
        "events_damaged": None if preview is None else preview.events_damaged,
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "is_complete": result.is_complete,
        "records_sent": result.sent,
        "records_sent_meanwhile": result.sent_meanwhile,
        "records_unknown": result.unknown,
        "records_not_tried": result.not_tried,
        "records_not_remembered": result.not_recorded,
        "objects_marked": result.marked,
        "problem": result.problem,
        "stopped": result.stopped,
        "unusable": [each._asdict() for each in result.unusable],
    }


def _record_lines(records: Iterable[PlannedRecord]) -> Iterator[str]:
    for key, group in itertools.groupby(records, lambda record: record.key):
        yield key
        for record in group:
            yield f"  line {record.line}: {_preview(record.preview)}"


def _preview(preview: Preview | None) -> str:
    if preview is None:
        return "sent before"
    if not preview.events_delivered:
        return f"{preview.reason}, not sent"
    damaged = f", {preview.events_damaged:,} damaged" if preview.events_damaged else ""
    return f"would deliver {preview.events_delivered:,}{damaged}"


def _unusable_line(unusable: Unusable) -> str:
    where = "" if unusable.line is None else f" line {unusable.line}"
    return f"{unusable.key}{where}: {unusable.reason}, not sent"


def _more(count: int) -> list[str]:
    return [f"and {count:,} more; --json lists all"] if count else []
