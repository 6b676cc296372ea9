"""Create a Firehose transformation event from readable files, and show the content of one."""

import base64
import binascii
import itertools
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console_login.counts import counted
from console_login.errors import SourceError
from console_login.events.envelope import Origin, compact, compress, data_message
from console_login.events.sources import Document, Sources, documents
from console_login.stack.place import ACCOUNT_ID, REGION

ORIGIN = Origin(
    owner=ACCOUNT_ID,
    log_group="/aws/cloudtrail/management-event",
    log_stream=f"{ACCOUNT_ID}_CloudTrail_{REGION}",
    filter_name="console-login",
)
_READ = (".json", ".jsonl", ".ndjson")
_ARRIVAL = datetime(2024, 3, 30, 9, 48, 22, tzinfo=UTC)
_MAX_SHOWN_BYTES = 1024 * 1024
_MAX_SHOWN_CHARACTERS = 8 * 1024


def pack(sources: list[Path], *, plain: bool = False, lines: bool = False) -> dict[str, Any]:
    """Return a Firehose transformation event with one record for each source.

    The suffix determines the format. `.json`, `.jsonl` and `.ndjson`, also with `.gz`: CloudTrail
    events in any format that `sources` reads. `.json`: also one envelope, which is kept. `.b64`:
    the record's `data`, unchanged. Any other: the record's bytes, unchanged. Events and envelopes
    are gzipped unless `plain`. With `lines`, events have no envelope, as after Firehose's message
    extraction. Raises SourceError, which names the source.
    """
    return {
        "invocationId": "00000000-0000-4000-8000-000000000000",
        "deliveryStreamArn": f"arn:aws:firehose:{REGION}:{ACCOUNT_ID}:deliverystream/console-login",
        "region": REGION,
        "records": [
            {
                "recordId": f"{number:03d}-{source.stem}",
                "approximateArrivalTimestamp": _milliseconds(_ARRIVAL) + number,
                "data": _data(source, plain=plain, lines=lines),
            }
            for number, source in enumerate(sources, 1)
        ],
    }


def _data(source: Path, *, plain: bool, lines: bool) -> str:
    try:
        if source.name.removesuffix(".gz").endswith(_READ):
            text = _envelope(source) or _packed(source, lines=lines)
            content = text.encode() if plain else compress(text)
        else:
            content = source.read_bytes()
    except OSError as error:
        raise SourceError.of(source, error) from error
    if source.suffix == ".b64":
        return content.decode("ascii", "replace").rstrip("\n")
    return base64.b64encode(content).decode()


def _envelope(source: Path) -> str | None:
    """Return the envelope if a `.json` file consists of one, valid or not; otherwise None."""
    if not source.name.removesuffix(".gz").endswith(".json"):
        return None
    with source.open("rb") as file:
        match list(itertools.islice(documents(str(source), file), 2)):
            case [Document(value={"messageType": _} as envelope)]:
                return compact(envelope)
    return None


def _packed(source: Path, *, lines: bool) -> str:
    """Return the events of a file in an envelope, or as message extraction writes them."""
    messages = Sources([source])
    if lines:
        text = "".join(f"{message}\n" for message in messages)
        return text.encode("utf-8", "backslashreplace").decode()
    arrival = _milliseconds(_ARRIVAL)
    return data_message(ORIGIN, ((arrival, message) for message in messages))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def read_event(path: Path) -> Any:
    """Return the JSON of an event file. Raises SourceError if it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise SourceError.of(path, error) from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not JSON: {error}") from error


def unpack(event: Any, path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each record's id, a description of its format, and the lines of its content.

    The output is for people. Uses Python's gzip and not the function's code, as a second opinion.
    """
    records = event.get("records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        raise SourceError(
            f"{path}: not a Firehose transformation event: it has no records;"
            " console-login pack creates one"
        )
    for record in records:
        if not isinstance(record, dict):
            raise SourceError(
                f"{path}: not a Firehose transformation event: a record is not an object"
            )
        form, content = _content(record.get("data"))
        text = content.decode("utf-8", "backslashreplace")
        yield str(record.get("recordId")), form, list(_readable_lines(text))


def _content(data: object) -> tuple[str, bytes]:
    try:
        content = base64.b64decode(str(data), validate=True)
    except (binascii.Error, ValueError):
        return "not base64", str(data).encode("utf-8", "backslashreplace")
    if not content.startswith(b"\x1f\x8b"):
        return f"plain, {counted(len(content), 'byte')}", content
    form = f"gzip, {counted(len(content), 'byte')}"
    contents: list[bytes] = []
    remaining = _MAX_SHOWN_BYTES
    while content and remaining > 0:
        member = zlib.decompressobj(wbits=31)
        try:
            contents.append(member.decompress(content, remaining))
        except zlib.error as error:
            form += f", damaged: {error}"
            break
        remaining -= len(contents[-1])
        if remaining > 0 and not member.eof:
            form += ", truncated"
            break
        content = member.unused_data
    if remaining <= 0:
        form += f", only the first {_MAX_SHOWN_BYTES:,} decompressed bytes are read"
    return form, b"".join(contents)


def _readable_lines(text: str) -> Iterator[str]:
    """Yield an envelope's keys, then each message on its own line; yield other text as it is."""
    try:
        envelope = json.loads(text)
        messages = [log_event["message"] for log_event in envelope.pop("logEvents")]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        messages = text.split("\n")
    else:
        yield compact(envelope)
    for line in map(str, messages):
        if not line.strip():
            continue
        if len(line) > _MAX_SHOWN_CHARACTERS:
            yield f"{line[:_MAX_SHOWN_CHARACTERS]} ... {len(line):,} characters"
        else:
            yield line
