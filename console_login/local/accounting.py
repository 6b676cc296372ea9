"""Account for every event: look for its `eventID` in the objects of the bucket."""

import base64
import contextlib
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from console_login.events.identity import Identity, identity

MAX_NAMED = 10


@dataclass(frozen=True)
class Account:
    """The numbers of events, by result.

    events: all events; each is counted in not_selected, delivered, in_error_prefix or missing.
    duplicates: extra copies of delivered and failed events.
    unexpected: events that were never sent, such as one with a changed byte.
    unexplained: duplicates that no injected fault explains.
    missing_ids, unexpected_ids, unexplained_ids: the first ids, by `eventID`.
    """

    events: int
    not_selected: int
    delivered: int
    in_error_prefix: int
    duplicates: int
    missing: int
    unexpected: int
    unexplained: int
    missing_ids: list[str]
    unexpected_ids: list[str]
    unexplained_ids: list[str]

    @property
    def is_balanced(self) -> bool:
        return not (self.missing or self.unexpected or self.unexplained)


class Ledger:
    """The expected events, for comparison with the delivered ones."""

    def __init__(self) -> None:
        self._expected: Counter[Identity] = Counter()
        self._explained: Counter[Identity] = Counter()

    def expect(self, message: str) -> None:
        """Add an event that the filter selected."""
        self._expected[identity(message)] += 1

    def explain(self, record: bytes) -> None:
        """Accept one more copy of each event in a record, because of a fault."""
        # A client of the endpoint can send any bytes as a record. No event is expected from them.
        with contextlib.suppress(ValueError, KeyError, TypeError, OSError, EOFError, zlib.error):
            self._explained.update(map(identity, messages(record)))

    def settle(self, events: int, delivered: Iterable[str], failed: Iterable[str]) -> Account:
        """Compare the expected events with the messages found, delivered and failed."""
        # `identity` treats carriage returns as blanks, but the function must not deliver any.
        found = Counter(identity(line.replace("\r", "\\r")) for line in delivered)
        kept = Counter(map(identity, failed))
        everywhere = found + kept
        unexpected = Counter(
            {key: count for key, count in everywhere.items() if key not in self._expected}
        )
        missing = self._expected - everywhere
        delivered_count = (self._expected & found).total()
        kept_count = ((self._expected - found) & kept).total()
        copies = everywhere - self._expected - unexpected
        unexplained = copies - self._explained
        return Account(
            events=events,
            not_selected=events - self._expected.total(),
            delivered=delivered_count,
            in_error_prefix=kept_count,
            duplicates=copies.total(),
            missing=missing.total(),
            unexpected=unexpected.total(),
            unexplained=unexplained.total(),
            missing_ids=_names(missing),
            unexpected_ids=_names(unexpected),
            unexplained_ids=_names(unexplained),
        )


def _names(identities: Iterable[Identity]) -> list[str]:
    names = {each.event_id or f"sha256:{each.digest}" for each in identities}
    return sorted(names)[:MAX_NAMED]


def delivered_lines(body: bytes) -> Iterator[str]:
    """Yield the lines of an object, plain or gzip.

    Uses the standard library instead of the function's code, as an independent check.
    """
    # A byte that is not UTF-8 shows that the line was changed.
    lines = _plain(body).decode(errors="backslashreplace").split("\n")
    if not lines[-1]:
        lines.pop()
    else:
        lines[-1] += " (no line break)"
    yield from lines


def failed_messages(body: bytes) -> Iterator[str]:
    """Yield the messages inside the source records of an error object, plain or gzip."""
    for line in delivered_lines(body):
        yield from messages(base64.b64decode(json.loads(line)["rawData"]))


def messages(record: bytes) -> Iterator[str]:
    """Yield the messages of the envelope in a record, plain or gzip."""
    envelope: dict[str, Any] = json.loads(_plain(record))
    if envelope["messageType"] == "DATA_MESSAGE":
        for log_event in envelope["logEvents"]:
            yield log_event["message"]


def _plain(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
