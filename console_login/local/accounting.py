"""Where every event went, counted from what lies in the bucket, by `eventID`."""

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from console_login.events.identity import Identity, identity

MAX_NAMED = 10


@dataclass(frozen=True)
class Account:
    """What became of the events.

    events: that came in; each is one of not_selected, delivered, in_error_prefix and missing.
    duplicates: copies beyond the first of delivered and failed events.
    missing_ids, unexpected_ids: the first of them, by `eventID`.
    """

    events: int
    not_selected: int
    delivered: int
    in_error_prefix: int
    duplicates: int
    missing: int
    unexpected: int
    missing_ids: list[str]
    unexpected_ids: list[str]

    @property
    def is_balanced(self) -> bool:
        return not self.missing and not self.unexpected


class Ledger:
    """Remembers the events that must be somewhere, and settles the account."""

    def __init__(self) -> None:
        self._expected: Counter[Identity] = Counter()

    def expect(self, message: str) -> None:
        """Remember an event that the filter picked."""
        self._expected[identity(message)] += 1

    def settle(self, events: int, delivered: Iterable[str], failed: Iterable[str]) -> Account:
        """Compare with what was found; `delivered` and `failed` are messages."""
        found = Counter(map(identity, delivered))
        kept = Counter(map(identity, failed))
        everywhere = found + kept
        unexpected = Counter(
            {key: count for key, count in everywhere.items() if key not in self._expected}
        )
        missing = self._expected - everywhere
        delivered_count = (self._expected & found).total()
        kept_count = ((self._expected - found) & kept).total()
        copies = everywhere - self._expected
        return Account(
            events=events,
            not_selected=events - self._expected.total(),
            delivered=delivered_count,
            in_error_prefix=kept_count,
            duplicates=copies.total() - unexpected.total(),
            missing=missing.total(),
            unexpected=unexpected.total(),
            missing_ids=_names(missing),
            unexpected_ids=_names(unexpected),
        )


def _names(identities: Iterable[Identity]) -> list[str]:
    names = {each.event_id or f"sha256:{each.digest}" for each in identities}
    return sorted(names)[:MAX_NAMED]


def delivered_lines(body: bytes) -> Iterator[str]:
    """Yield the lines of an object, plain or gzip.

    Read by the standard library, and not by the function's own code: a second opinion.
    """
    lines = _plain(body).decode().split("\n")
    if lines.pop():
        raise ValueError("an object's last line does not end")
    yield from lines


def failed_messages(body: bytes) -> Iterator[str]:
    """Yield the messages inside the source records of an error object, plain or gzip."""
    for line in delivered_lines(body):
        envelope: dict[str, Any] = json.loads(_plain(base64.b64decode(json.loads(line)["rawData"])))
        if envelope["messageType"] == "DATA_MESSAGE":
            for log_event in envelope["logEvents"]:
                yield log_event["message"]


def _plain(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
