"""Which lines of an error object are known to be sent, remembered in tags of the object.

`redriven:STREAM` has the lines; with `all` at its end, nothing of the object is left to send.
`settled:STREAM` has the time at which an operator decided that the object is not to be sent.
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

# Words of a tag's value, so that none is empty: no line was sent; nothing is left to send. The
# latter alone: every line was sent, or more ranges than a value has room for.
_NOTHING = "-"
_WHOLE = "all"
_LAST_LINE = 10**12 - 1

# S3 writes tags as a whole and on no condition: another run can write between a read and a write.
_TRIES = 5

_RANGE = re.compile(r"([1-9][0-9]{0,11})(?:-([1-9][0-9]{0,11}))?")


class TagError(Exception):
    """An object whose tags cannot hold what is known of it; the message says why."""


class Lines:
    """A set of line numbers, kept as ranges: `1-500 502`."""

    def __init__(self, lines: Iterable[int] = ()) -> None:
        self._ranges: list[tuple[int, int]] = _merged((line, line) for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Lines":
        """Read what `str` wrote. Raises ValueError."""
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
        """Whether every line of another set is in this one."""
        return len(self | other) == len(self)

    def leading(self, max_characters: int) -> "Lines":
        """Return the first ranges, as many as `str` writes into so many characters."""
        room = max_characters + 1
        for count, word in enumerate(self._words()):
            room -= len(word) + 1
            if room < 0:
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


class Known(NamedTuple):
    """What the tags of an object say: lines that were sent, and whether nothing is left to do.

    is_whole: nothing of it is left to send; is_settled: an operator will not send what is left.
    """

    lines: Lines
    is_whole: bool
    is_settled: bool


def tag_of(stream_name: str) -> str:
    """Return the tag's name: what went to another stream, for a trial, is not sent to this one."""
    return f"redriven:{stream_name}"


def settled_tag_of(stream_name: str) -> str:
    """Return the name of the tag that an operator's decision writes."""
    return f"settled:{stream_name}"


def is_whole(tags: Mapping[str, str], stream_name: str) -> bool:
    """Whether an object's tags say that nothing of it is left to do: all sent, or settled."""
    try:
        found = _known(tags, stream_name)
    except TagError:
        return False
    return found.is_whole or found.is_settled


def _known(tags: Mapping[str, str], stream_name: str) -> Known:
    tag = tag_of(stream_name)
    is_settled = settled_tag_of(stream_name) in tags
    value = tags.get(tag, _NOTHING)
    if value == _WHOLE:
        return Known(EVERY_LINE, is_whole=True, is_settled=is_settled)
    words = value.removesuffix(f" {_WHOLE}")
    try:
        lines = Lines.parse(words.removeprefix(_NOTHING))
    except ValueError as error:
        raise TagError(f"its tag {tag} is damaged: remove it to begin anew") from error
    return Known(lines, is_whole=words != value, is_settled=is_settled)


class Memory:
    """Remembers, in tags of each object, what was sent to one stream, and what will not be."""

    def __init__(self, s3: Any, bucket: str, stream_name: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._stream_name = stream_name
        self.tag = tag_of(stream_name)

    def known(self, key: str) -> Known:
        """Return what an object's tags say.

        Raises TagError where the tag is not ours to read, or no tag is free; AccessError.
        """
        tags = self._tags(key)
        found = _known(tags, self._stream_name)
        if not found.is_settled:
            _check_room(tags, self.tag)
        return found

    def recall(self, key: str) -> Lines:
        """Return the lines known to be sent. Raises as `known`."""
        return self.known(key).lines

    def remember(self, key: str, sent: Lines, *, is_whole: bool = False) -> Lines:
        """Add lines to those known to be sent; return those remembered, the first that fit.

        is_whole: whether nothing is left to send; what was whole before stays so. The owner's tags
        stay, and so does what another run writes meanwhile. Raises TagError, AccessError.
        """
        for _ in range(_TRIES):
            # Read anew each time: the tags are written as a whole, and others may write them too.
            tags = self._tags(key)
            _check_room(tags, self.tag)
            before = _known(tags, self._stream_name)
            lines = before.lines | sent
            if before.is_whole or is_whole:
                remembered = lines
                value = f"{str(lines) or _NOTHING} {_WHOLE}"
                if _LAST_LINE in lines or len(value) > MAX_VALUE_CHARACTERS:
                    value = _WHOLE
            else:
                remembered = lines.leading(MAX_VALUE_CHARACTERS)
                value = str(remembered) or _NOTHING
            self._write(key, tags | {self.tag: value})
            after = _known(self._tags(key), self._stream_name)
            if after.lines.covers(remembered) and after.is_whole >= (before.is_whole or is_whole):
                return remembered
        raise TagError("others write its tags all the time")

    def check(self, key: str) -> None:
        """Write what is known already. Raises TagError, AccessError where that is refused."""
        self.remember(key, Lines())

    def settle(self, key: str, now: datetime) -> dict[str, str]:
        """Remember that nobody will send what is left of an object; return its tags from before.

        Raises TagError, AccessError.
        """
        tag = settled_tag_of(self._stream_name)
        first: dict[str, str] | None = None
        for _ in range(_TRIES):
            tags = self._tags(key)
            first = tags if first is None else first
            _check_room(tags, tag)
            self._write(key, tags | {tag: f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"})
            if tag in self._tags(key):
                return first
        raise TagError("others write its tags all the time")

    def _tags(self, key: str) -> dict[str, str]:
        with one_line():
            try:
                answer = self._s3.get_object_tagging(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                raise TagError("it is gone") from error
        return {each["Key"]: each["Value"] for each in answer["TagSet"]}

    def _write(self, key: str, tags: dict[str, str]) -> None:
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        with one_line():
            self._s3.put_object_tagging(Bucket=self._bucket, Key=key, Tagging={"TagSet": tag_set})


def _check_room(tags: Mapping[str, str], tag: str) -> None:
    if tag not in tags and len(tags) >= MAX_TAGS:
        raise TagError(f"it has {MAX_TAGS} tags, and none is free to remember what is sent")
