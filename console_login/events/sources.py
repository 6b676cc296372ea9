"""CloudTrail events as people have them: JSON lines, files of Records, folders, gzip or plain."""

import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from console_login.errors import SourceError
from console_login.events.envelope import compact
from console_login.stack.limits import MAX_LOG_EVENT_BYTES

SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")


_GZIP_MAGIC = b"\x1f\x8b"


class Sources:
    """The events of files and folders, each as a log event's message.

    A line of JSON lines stays byte for byte; an element of `Records` is written without blanks.
    Iteration raises SourceError naming the file.

    size: bytes of all files, 0 where that cannot be known, as of a pipe.
    position: how many of them are read; count: how many events they gave.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files = [file for path in paths for file in _files(path)]
        sizes = [file.stat().st_size for file in self._files if file.is_file()]
        self.size = sum(sizes) if len(sizes) == len(self._files) else 0
        self.position = 0
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        for file in self._files:
            for number, message in enumerate(self._of_file(file), 1):
                if len(message.encode("utf-8", "surrogatepass")) > MAX_LOG_EVENT_BYTES:
                    raise SourceError(
                        f"{file}: event {number} is larger than the {MAX_LOG_EVENT_BYTES:,} bytes"
                        " that CloudWatch Logs takes"
                    )
                self.count += 1
                yield message

    def _of_file(self, path: Path) -> Iterator[str]:
        before = self.position
        try:
            # Opened once: a pipe can be read only once.
            with path.open("rb") as raw:
                is_gzip = raw.peek(2)[:2] == _GZIP_MAGIC
                data: Any = gzip.GzipFile(fileobj=raw) if is_gzip else raw
                # A line ends with \n and keeps everything else.
                with io.TextIOWrapper(data, encoding="utf-8", newline="\n") as file:
                    for message in _of_text(path, file):
                        if self.size:
                            self.position = before + raw.tell()
                        yield message
        except OSError as error:
            raise SourceError.of(path, error) from error
        except (EOFError, zlib.error) as error:
            raise SourceError(f"{path}: {error}") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{path}: not UTF-8: {error}") from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.rglob("*") if each.name.endswith(SUFFIXES))
    if not files:
        raise SourceError(f"{path}: no file in it ends in {', '.join(SUFFIXES)}")
    return files


def _of_text(path: Path, file: IO[str]) -> Iterator[str]:
    start: list[str] = []
    for line in file:
        start.append(line)
        if line.strip():
            break
    if not start:
        return
    if isinstance(_json(start[-1]), dict):
        for line in itertools.chain(start, file):
            yield from _of_line(path, line)
        return
    document = _json("".join(start) + file.read())
    if isinstance(document, dict):
        document = document.get("Records", [document])
    yield from _of_records(path, document)


def _of_line(path: Path, line: str) -> Iterator[str]:
    message = line.rstrip("\n")
    if '"Records"' in line:
        document = _json(line)
        if isinstance(document, dict) and isinstance(document.get("Records"), list):
            yield from _of_records(path, document["Records"])
            return
    if message.strip():
        yield message


def _of_records(path: Path, records: Any) -> Iterator[str]:
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise SourceError(f"{path}: neither JSON lines nor a document with Records")
    yield from map(compact, records)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
