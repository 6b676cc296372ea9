"""Read CloudTrail events from files and objects in every format that users have.

Reads the output of CloudTrail, CloudWatch Logs, EventBridge, Firehose and the AWS CLI, plain or
gzip, with documents on one line or on several, with or without separators. Reports text that it
cannot read, so an unreadable file never looks like a file without sign-ins.
"""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from console_login.errors import SourceError
from console_login.events.bounds import MAX_VALUES, is_too_dense
from console_login.events.envelope import compact
from console_login.stack.limits import MAX_LOG_EVENT_BYTES, MIB

# For a document, or a line that is not one. Larger than CloudTrail's files and any envelope.
MAX_DOCUMENT_CHARACTERS = 64 * MIB
# Four megabytes of gzip can expand to four gigabytes; a Firehose object has at most 128 MiB.
MAX_DECOMPRESSED_BYTES = 1024 * MIB
MAX_UNREADABLE = 10_000

_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = MIB
_BETWEEN = re.compile("[ \t\r\n\ufeff]*")
_LINE = re.compile(r"[^\n]*\n+|[^\n]+")
_raw_decode = json.JSONDecoder().raw_decode

_NO_EVENT_JSON = "this CloudTrail Lake result lacks the complete event: query the column eventJson"

_TOO_LARGE = (
    f"the event is larger than the {MAX_LOG_EVENT_BYTES:,} bytes that CloudWatch Logs accepts"
)

# Keys that identify a document without events, and the advice for it.
_REFUSED = {
    "deliveryStreamArn": "this is a Firehose transformation event: use console-login transform or"
    " unpack",
    "rawData": "this is a record that failed in Firehose: use console-login redrive",
    "digestS3Object": "this is a CloudTrail digest: it has hashes of log files, but no events",
    "hashSignature": "this is a CloudTrail Lake sign file: it has hashes of results, but no events",
    "QueryResultRows": _NO_EVENT_JSON,
}


class Event(NamedTuple):
    """A CloudTrail event. message: its JSON as in the source; fields: the parsed JSON."""

    place: str
    message: str
    fields: dict[str, Any]


class Unreadable(NamedTuple):
    """Text that is not an event. place: file and line; reason: what is wrong, without the text."""

    place: str
    reason: str


class _EndedError(SourceError):
    """The rest of a file cannot be read."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class Document(NamedTuple):
    """A JSON document. place: the file and line where it begins."""

    place: str
    text: str
    value: Any


class Sources:
    """The events of files and folders, each as a log event's message.

    An event on one line in the source stays unchanged; any other is rewritten without whitespace.
    Iteration raises SourceError, which names the file and the place, for text that is not an event.

    size: bytes of all files, 0 if unknown, as for a pipe.
    position: bytes read so far; count: events read so far.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files = [file for path in paths for file in _files(path)]
        sizes = [file.stat().st_size for file in self._files if file.is_file()]
        self.size = sum(sizes) if len(sizes) == len(self._files) else 0
        self.position = 0
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        with contextlib.closing(self.read()) as reader:
            for found in reader:
                if isinstance(found, Unreadable):
                    raise SourceError(f"{found.place}: {found.reason}")
                self.count += 1
                yield found.message

    def read(self) -> Generator[Event | Unreadable]:
        """Yield the events of the files in order, and the text that is not an event.

        Raises SourceError if a file cannot be opened.
        """
        for path in self._files:
            before = self.position
            try:
                # Opened once: a pipe can be read only once.
                with path.open("rb") as raw:
                    for found in read(str(path), raw):
                        if self.size:
                            self.position = before + raw.tell()
                        yield found
            except OSError as error:
                raise SourceError.of(path, error) from error


def read(name: str, file: io.BufferedReader) -> Iterator[Event | Unreadable]:
    """Yield the events of one file, and the text in it that is not an event.

    If reading ends early, the last item is the reason: not UTF-8, damaged gzip, too large, or too
    many unreadable lines. Other files can still be read.
    """
    unreadable = 0
    last = ""
    try:
        for document in documents(name, file):
            for each in _events(document):
                if isinstance(each, Unreadable):
                    # The rest of a damaged line can look like several documents.
                    if each.place == last:
                        continue
                    last = each.place
                    unreadable += 1
                    if unreadable > MAX_UNREADABLE:
                        raise _EndedError(
                            name, f"more than {MAX_UNREADABLE:,} lines are not events"
                        )
                yield each
    except _EndedError as error:
        yield Unreadable(error.place, f"{error.reason}; the rest of the file is not read")


# From bytes to documents ------------------------------------------------------------------------


def documents(name: str, file: io.BufferedReader) -> Iterator[Document | Unreadable]:
    """Yield the JSON documents of one file, wherever they begin and end.

    A line that belongs to no document is yielded as Unreadable, and reading continues after it.
    Raises SourceError if the rest of the file cannot be read.
    """
    pieces = _pieces(name, file)
    first = next(pieces, "")
    pieces = itertools.chain([first], pieces)
    if name.lower().endswith((".csv", ".csv.gz")) or "eventjson" in _columns(first):
        yield from _rows(name, _lines(pieces))
        return
    text = _Text(name, pieces)
    while text.begin():
        place = f"{name} line {text.line}"
        try:
            source, value = text.document()
        except (ValueError, RecursionError) as error:
            text.skip_line(error)
            yield Unreadable(place, "the line is not JSON, or is cut off")
        else:
            yield Document(place, source, value)


class _Text:
    """The text of a file, read as needed. line: the number of the current line."""

    def __init__(self, name: str, pieces: Iterator[str]) -> None:
        self.line = 1
        self._name = name
        self._pieces = pieces
        self._text = ""
        self._position = 0
        self._is_by_line = False

    def begin(self) -> bool:
        """Go to the start of the next document; return False at the end of the file."""
        while True:
            between = _BETWEEN.match(self._text, self._position)
            self._go_to(between.end() if between else self._position)
            if self._position < len(self._text):
                return True
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._text, self._position = piece, 0

    def document(self) -> tuple[str, Any]:
        """Return the text and the value of the document that begins here, and go to its end.

        Raises ValueError or RecursionError if it is invalid, SourceError if it is too large.
        """
        while True:
            start = self._position
            if self._text[start] not in '{["':
                raise json.JSONDecodeError("", self._text, start)
            try:
                value, end = _raw_decode(self._text, start)
            except json.JSONDecodeError as error:
                # After an error near the end of the text, the document may continue. The longest
                # token is -Infinity.
                is_cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - 10
                if not (is_cut and self._more()):
                    raise
            else:
                self._go_to(end)
                return self._text[start:end], value

    def skip_line(self, error: Exception) -> None:
        """Go to the next line after an error of `document`.

        If the document had continued on other lines, every line from now on is read separately, so
        that the time stays linear.
        """
        end = self._text.find("\n", self._position) + 1
        while not end:
            self._text, self._position = next(self._pieces, "\n"), 0
            end = self._text.find("\n") + 1
        if getattr(error, "pos", end) >= end and not self._is_by_line:
            self._is_by_line = True
            self._pieces = _lines(itertools.chain([self._text[end:]], self._pieces))
            self._text = self._text[:end]
        self._go_to(end)

    def _go_to(self, position: int) -> None:
        self.line += self._text.count("\n", self._position, position)
        self._position = position

    def _more(self) -> bool:
        """Double the text of an unfinished document; return False if no text can follow."""
        if self._is_by_line and self._text.endswith("\n"):
            return False
        pieces = [self._text[self._position :]]
        missing = min(len(pieces[0]), MAX_DOCUMENT_CHARACTERS + 1 - len(pieces[0]))
        for piece in self._pieces:
            pieces.append(piece)
            missing -= len(piece)
            if missing <= 0 or (self._is_by_line and piece.endswith("\n")):
                break
        self._text, self._position = "".join(pieces), 0
        place = f"{self._name} line {self.line}"
        if len(self._text) > MAX_DOCUMENT_CHARACTERS + _PIECE_BYTES:
            size = MAX_DOCUMENT_CHARACTERS // MIB
            raise _EndedError(place, f"longer than {size} MiB and not complete: split the file")
        if is_too_dense(self._text):
            raise _EndedError(place, f"more than {MAX_VALUES:,} values and not complete")
        return len(pieces) > 1


def _pieces(name: str, file: io.BufferedReader) -> Iterator[str]:
    """Yield the text of a file in pieces that end anywhere. Raises _EndedError."""
    data: Any = file
    size = 0
    try:
        # Two layers: the compression of Firehose around that of CloudWatch Logs.
        for _ in range(2):
            if data.peek(2)[:2] == _GZIP_MAGIC:
                data = gzip.GzipFile(fileobj=data)
        decoder = codecs.getincrementaldecoder("utf-8")()
        while content := data.read(_PIECE_BYTES):
            size += len(content)
            if data is not file and size > MAX_DECOMPRESSED_BYTES:
                size = MAX_DECOMPRESSED_BYTES // MIB
                raise _EndedError(name, f"more than {size:,} MiB of gzip content: split the file")
            yield decoder.decode(content)
        decoder.decode(b"", final=True)
    except (OSError, EOFError, zlib.error) as error:
        raise _EndedError(name, str(error)) from error
    except UnicodeDecodeError as error:
        raise _EndedError(name, f"not UTF-8: {error}") from error


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    """Yield text by line, each with the empty lines after it. Long lines are in several pieces."""
    rest = ""
    for piece in pieces:
        *lines, rest = _LINE.findall(rest + piece) or [""]
        yield from lines
        if len(rest) > _PIECE_BYTES:
            yield rest
            rest = ""
    if rest:
        yield rest


def _columns(header: str) -> list[str]:
    """Return the column names of a CSV header, in lower case."""
    try:
        return next(csv.reader([header.lstrip("\ufeff").partition("\n")[0].lower()]), [])
    except csv.Error:
        return []


def _rows(name: str, pieces: Iterator[str]) -> Iterator[Document | Unreadable]:
    """Yield the events of CloudTrail Lake's saved results, which are CSV with a header."""
    csv.field_size_limit(MAX_LOG_EVENT_BYTES)
    rows = csv.reader(pieces)
    columns = _columns(next(pieces, ""))
    if "eventjson" not in columns:
        yield Unreadable(f"{name} line 1", _NO_EVENT_JSON)
        return
    column = columns.index("eventjson")
    try:
        for row in rows:
            # The header was line 1.
            place = f"{name} line {rows.line_num + 1}"
            if row:
                yield Document(place, "", row[column] if column < len(row) else None)
    except csv.Error as error:
        raise _EndedError(f"{name} line {rows.line_num + 1}", str(error)) from error


# From documents to events -----------------------------------------------------------------------


def _events(document: Document | Unreadable) -> Iterator[Event | Unreadable]:
    """Yield a document's events: itself, or those in an envelope, a list or a result."""
    if isinstance(document, Unreadable):
        yield document
        return
    place, text, value = document
    inside = _inside(value)
    if inside is None:
        # An event on several lines is rewritten on one line.
        yield _event(place, value, None if "\n" in text else text)
        return
    for number, each in enumerate(inside, 1):
        yield _event(f"{place} event {number}", each)


def _inside(value: Any) -> Iterable[Any] | None:
    """Return a document's members (events, their text, or other values); None if it has none.

    Each format is that of a service or an AWS CLI command; tests/events/test_sources.py cites it.
    """
    match value:
        case list():
            return value
        case {"eventName": str()}:
            return None
        case {"Records": list(records)}:
            return records
        case {"messageType": "CONTROL_MESSAGE"}:
            return []
        case {"messageType": "DATA_MESSAGE", "logEvents": list(found)} | {"events": list(found)}:
            return (_member(each, "message") for each in found)
        case {"Events": list(found)}:
            return (_member(each, "CloudTrailEvent") for each in found)
        case {"QueryResultRows": list(rows)}:
            return map(_event_json, rows)
        case {"detail-type": str(kind), "detail": detail} if kind.endswith(" via CloudTrail"):
            return [detail]
    return None


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _event_json(row: Any) -> Any:
    """Return the text of the event in a row of CloudTrail Lake: an object for each column."""
    cells = row if isinstance(row, list) else []
    for each in cells:
        for column, value in each.items() if isinstance(each, dict) else ():
            if column.lower() == "eventjson":
                return value
    return {"QueryResultRows": row}


def _event(place: str, value: Any, text: str | None = None) -> Event | Unreadable:
    """Return the event in a document, a text, or a member of a document."""
    if isinstance(value, str):
        text = value
        if _is_too_large(text):
            return Unreadable(place, _TOO_LARGE)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return Unreadable(place, "the text of the event is not JSON, or is cut off")
    if not isinstance(value, dict):
        return Unreadable(place, "not an event")
    for key, reason in _REFUSED.items():
        if key in value:
            return Unreadable(place, reason)
    # Insights events have no eventName. S3 and other services have a different kind of event.
    is_event = "eventName" in value or "insightDetails" in value or "eventType" in value
    if not is_event or str(value.get("eventSource", "")).startswith("aws:"):
        return Unreadable(place, "neither a CloudTrail event nor a document with CloudTrail events")
    message = compact(value) if text is None else text
    return Unreadable(place, _TOO_LARGE) if _is_too_large(message) else Event(place, message, value)


def _is_too_large(message: str) -> bool:
    return (
        len(message) > MAX_LOG_EVENT_BYTES
        or len(message.encode("utf-8", "surrogatepass")) > MAX_LOG_EVENT_BYTES
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]

    def refuse(error: OSError) -> None:
        raise SourceError.of(Path(error.filename), error) from error

    files = []
    for folder, folders, names in path.walk(on_error=refuse):
        # Hidden files belong to the system.
        folders[:] = [name for name in folders if name[0] != "."]
        files += [folder / name for name in names if name[0] != "."]
    for each in files:
        # If it were ignored, its events would be missing without notice.
        if not each.is_file():
            raise SourceError(
                f"{each}: not a file, but a pipe, a broken link or a link to a folder: remove it,"
                " or name its target"
            )
    if not files:
        raise SourceError(
            f"{path}: the folder has no files: copy some into it, or name another folder"
        )
    return sorted(files)
