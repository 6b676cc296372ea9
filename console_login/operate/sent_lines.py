"""The tags of an error object that record which of its lines were sent.

`redriven:STREAM` lists the lines; `all` at its end means that nothing is left to send.
`settled:STREAM` is the time at which an operator decided not to send the object.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from console_login.operate.access import one_line

MAX_TAGS = 10
MAX_VALUE_CHARACTERS = 256

# Words of a tag's value, which is never empty: no line was sent; nothing is left to send. `all`
# without ranges: every line was sent, or the ranges do not fit in the value.
_NOTHING = "-"
_COMPLETE = "all"
_LAST_LINE = 10**12 - 1

# S3 replaces all tags at once, unconditionally: another run can write between a read and a write.
_TRIES = 5

_RANGE = re.compile(r"([1-9][0-9]{0,11})(?:-([1-9][0-9]{0,11}))?")


class TagError(Exception):
    """An object whose tags cannot record what was sent; the message says why."""


class Lines:
    """A set of line numbers, stored as ranges: `1-500 502`."""

    def __init__(self, lines: Iterable[int] = ()) -> None:
        self._ranges: list[tuple[int, int]] = _merged((line, line) for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Lines":
        """Parse the output of `str`. Raises ValueError."""
        found = []
        for each in text.split():
            match = _RANGE.fullmatch(each)
            if match is None:
                raise ValueError(each)
            first = int(match[1])
            last = int(match[2] or first)
            if last < first:
                raise ValueError(each)
            found.append((first, last))
        return cls._of(_merged(found))

    @classmethod
    def _of(cls, ranges: list[tuple[int, int]]) -> "Lines":
        made = cls()
        made._ranges = ranges
        return made

    def __contains__(self, line: int) -> bool:
        index = bisect.bisect_right(self._ranges, (line, float("inf"))) - 1
        return index >= 0 and line <= self._ranges[index][1]

    def __or__(self, other: "Lines") -> "Lines":
        return self._of(_merged([*self._ranges, *other._ranges]))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._ranges)

    def __str__(self) -> str:
        return " ".join(self._words())

    def covers(self, other: "Lines") -> bool:
        """Whether this set contains every line of another set."""
        return len(self | other) == len(self)

    def leading(self, max_characters: int) -> "Lines":
        """Return the first ranges, as many as `str` writes in `max_characters`."""
        left = max_characters + 1
        for count, word in enumerate(self._words()):
            left -= len(word) + 1
            if left < 0:
                return self._of(self._ranges[:count])
        return self

    def _words(self) -> Iterator[str]:
        for first, last in self._ranges:
            yield str(first) if first == last else f"{first}-{last}"


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


EVERY_LINE = Lines.parse(f"1-{_LAST_LINE}")


class Progress(NamedTuple):
    """What an object's tags record: the lines that were sent, and whether the object is finished.

    is_complete: nothing is left to send; is_settled: an operator will not send the rest.
    """

    lines: Lines
    is_complete: bool
    is_settled: bool


def tag_of(stream_name: str) -> str:
    """Return the tag's name, with the stream: lines sent to another stream are not sent here."""
    return f"redriven:{stream_name}"


def settled_tag_of(stream_name: str) -> str:
    """Return the name of the tag that records an operator's decision."""
    return f"settled:{stream_name}"


def is_finished(tags: Mapping[str, str], stream_name: str) -> bool:
    """Whether an object's tags say that nothing is left to do: all is sent, or it is settled."""
    try:
        found = _progress(tags, stream_name)
    except TagError:
        return False
    return found.is_complete or found.is_settled


def _progress(tags: Mapping[str, str], stream_name: str) -> Progress:
    tag = tag_of(stream_name)
    is_settled = settled_tag_of(stream_name) in tags
    value = tags.get(tag, _NOTHING)
    if value == _COMPLETE:
        return Progress(EVERY_LINE, is_complete=True, is_settled=is_settled)
    words = value.removesuffix(f" {_COMPLETE}")
    try:
        lines = Lines.parse(words.removeprefix(_NOTHING))
    except ValueError as error:
        raise TagError(f"its tag {tag} is damaged: remove the tag to start over") from error
    return Progress(lines, is_complete=words != value, is_settled=is_settled)


class ProgressTags:
    """The tags of objects that record what was sent to one stream, and what will not be sent."""

    def __init__(self, s3: Any, bucket: str, stream_name: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._stream_name = stream_name
        self.tag = tag_of(stream_name)

    def read(self, key: str) -> Progress:
        """Return what an object's tags record.

        Raises TagError if the tag is damaged or no tag is free; AccessError.
        """
        tags = self._tags(key)
        found = _progress(tags, self._stream_name)
        if not found.is_settled:
            _check_free_tag(tags, self.tag)
        return found

    def record(self, key: str, sent: Lines, *, is_complete: bool = False) -> Lines:
        """Add lines to those recorded as sent; return all recorded lines, the first that fit.

        is_complete: whether nothing is left to send; a complete object stays complete. Keeps the
        owner's tags, and what another run writes meanwhile. Raises TagError, AccessError.
        """
        for _ in range(_TRIES):
            # Read again each time: a write replaces all tags, and others may write them too.
            tags = self._tags(key)
            _check_free_tag(tags, self.tag)
            before = _progress(tags, self._stream_name)
            is_done = before.is_complete or is_complete
            lines = before.lines | sent
            if is_done:
                recorded = lines
                value = f"{str(lines) or _NOTHING} {_COMPLETE}"
                if _LAST_LINE in lines or len(value) > MAX_VALUE_CHARACTERS:
                    value = _COMPLETE
            else:
                recorded = lines.leading(MAX_VALUE_CHARACTERS)
                value = str(recorded) or _NOTHING
            self._write(key, tags | {self.tag: value})
            after = _progress(self._tags(key), self._stream_name)
            if after.lines.covers(recorded) and after.is_complete >= is_done:
                return recorded
        raise TagError("something else keeps overwriting its tags")

    def check_writable(self, key: str) -> None:
        """Write the tag without new lines. Raises TagError, AccessError if that is rejected."""
        self.record(key, Lines())

    def settle(self, key: str, now: datetime) -> dict[str, str]:
        """Record that the rest of an object will not be sent; return its previous tags.

        Raises TagError, AccessError.
        """
        tag = settled_tag_of(self._stream_name)
        first: dict[str, str] | None = None
        for _ in range(_TRIES):
            tags = self._tags(key)
            first = tags if first is None else first
            _check_free_tag(tags, tag)
            self._write(key, tags | {tag: f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"})
            if tag in self._tags(key):
                return first
        raise TagError("something else keeps overwriting its tags")

    def _tags(self, key: str) -> dict[str, str]:
        with one_line():
            try:
                response = self._s3.get_object_tagging(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                raise TagError("it no longer exists") from error
        return {each["Key"]: each["Value"] for each in response["TagSet"]}

    def _write(self, key: str, tags: dict[str, str]) -> None:
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        with one_line():
            self._s3.put_object_tagging(Bucket=self._bucket, Key=key, Tagging={"TagSet": tag_set})


def _check_free_tag(tags: Mapping[str, str], tag: str) -> None:
    if tag not in tags and len(tags) >= MAX_TAGS:
        raise TagError(f"it has {MAX_TAGS} tags, the maximum: remove one to record what is sent")
