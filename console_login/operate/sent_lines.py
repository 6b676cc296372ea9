"""Which lines of an object are known to be sent, remembered in a tag of the object.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from console_login.operate.access import one_line

MAX_TAGS = 10
MAX_VALUE_CHARACTERS = 256

# Values of a tag, so that none is empty: of no line, and of every line that there was to send.
_NOTHING = "-"
_WHOLE = "all"
_LAST_LINE = 10**12 - 1

_RANGE = re.compile(r"([1-9][0-9]{0,11})(?:-([1-9][0-9]{0,11}))?")


class TagError(Exception):
    """An object whose tags cannot hold what is sent of it; the message says why."""


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


def tag_of(stream_name: str) -> str:
    """Return the tag's name: what went to another stream, for a trial, is not sent to this one."""
    return f"redriven:{stream_name}"


def is_whole(tags: Mapping[str, str], stream_name: str) -> bool:
    """Whether an object's tags say that nothing of it is left to send to a stream."""
    return tags.get(tag_of(stream_name)) == _WHOLE


class Memory:
    """Remembers, in a tag of each object, which lines were sent to one stream."""

    def __init__(self, s3: Any, bucket: str, stream_name: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self.tag = tag_of(stream_name)

    def recall(self, key: str) -> Lines:
        """Return the lines known to be sent.

        Raises TagError where the tag is not ours to read, or no tag is free; AccessError.
        """
        return self._sent(self._tags(key))

    def remember(self, key: str, sent: Lines, *, is_whole: bool = False) -> Lines:
        """Add lines to those known to be sent; return those remembered, the first that fit.

        is_whole: whether nothing is left to send. The owner's tags stay. Raises TagError,
        AccessError.
        """
        # Read anew each time: the tags are written as a whole, and others may write them too.
        tags = self._tags(key)
        if is_whole:
            self._write(key, tags | {self.tag: _WHOLE})
            return sent
        known = (self._sent(tags) | sent).leading(MAX_VALUE_CHARACTERS)
        self._write(key, tags | {self.tag: str(known) or _NOTHING})
        return known

    def check(self, key: str) -> None:
        """Write what is known already. Raises TagError, AccessError where that is refused."""
        self.remember(key, Lines())

    def _tags(self, key: str) -> dict[str, str]:
        with one_line():
            try:
                answer = self._s3.get_object_tagging(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                raise TagError("it is gone") from error
        return {each["Key"]: each["Value"] for each in answer["TagSet"]}

    def _sent(self, tags: dict[str, str]) -> Lines:
        if self.tag not in tags and len(tags) >= MAX_TAGS:
            raise TagError(f"it has {MAX_TAGS} tags, and none is free to remember what is sent")
        try:
            value = tags.get(self.tag, _NOTHING).removeprefix(_NOTHING)
            return Lines.parse(f"1-{_LAST_LINE}" if value == _WHOLE else value)
        except ValueError as error:
            raise TagError(f"its tag {self.tag} is damaged: remove it to begin anew") from error

    def _write(self, key: str, tags: dict[str, str]) -> None:
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        with one_line():
            self._s3.put_object_tagging(Bucket=self._bucket, Key=key, Tagging={"TagSet": tag_set})
