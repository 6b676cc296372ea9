"""The interface of a backfill's sources: records for the stream, in slices that can be resumed."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from console_login.events.envelope import LogEvent, Origin, compact, compress, data_message_of
from console_login.operate.backfill_state import Plan

# In the envelopes instead of a filter's name, so that a failed record shows where it comes from.
FILTER_NAME = "console-login-backfill"

# The events of an envelope are as close in time as those that CloudWatch Logs sends together.
_ENVELOPE_MS = 5 * 60 * 1000
# Bytes of JSON. Keeps a record far below Firehose's 1,000 KiB, unless one event alone is larger.
_MAX_ENVELOPE_BYTES = 512 * 1024

# Called with the share of a plan that is done, from 0 to 1.
Watch = Callable[[float], None]


class Record(NamedTuple):
    """A record for the stream, and the number of log events in it."""

    data: bytes
    events: int


class LeftOut(NamedTuple):
    """An object that could not be read completely, and why."""

    key: str
    reason: str


class Slice(NamedTuple):
    """A part of a plan. position: where to continue after it; files: how many files it reads."""

    records: Iterator[Record | LeftOut]
    position: str
    files: int = 0


class Source(Protocol):
    """A source that events are read from."""

    @property
    def source(self) -> dict[str, str]:
        """What distinguishes this source from any other, for `Plan.source`."""

    def described(self) -> list[tuple[str, str]]:
        """Return a description of the source, as pairs of a heading and a value."""

    def first(self, start: int) -> int:
        """Return the first time from `start` on at which the source can have an event."""

    def slices(self, plan: Plan, position: str, watch: Watch) -> Iterator[Slice]:
        """Yield the remaining slices of a plan, in order.

        Raises AccessError, also while the records of a slice are read.
        """


class SentEvent(NamedTuple):
    """A log event, and the log stream that its envelope names."""

    log_stream: str
    event: LogEvent


def records(
    owner: str, log_group: str, found: Iterable[SentEvent | LeftOut]
) -> Iterator[Record | LeftOut]:
    """Yield the records for events. Each has events of one log stream and of a few minutes."""
    waiting: dict[str, _Envelope] = {}
    for each in found:
        if isinstance(each, LeftOut):
            yield each
            continue
        envelope = waiting.get(each.log_stream)
        if envelope is None or not envelope.fits(each.event):
            if envelope is not None:
                yield envelope.record()
            origin = Origin(owner, log_group, each.log_stream, FILTER_NAME)
            waiting[each.log_stream] = envelope = _Envelope(origin)
        envelope.add(each.event)
    for envelope in waiting.values():
        yield envelope.record()


class _Envelope:
    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._log_events: list[LogEvent] = []
        self._bytes = 0

    def fits(self, event: LogEvent) -> bool:
        is_near = abs(event.timestamp - self._log_events[0].timestamp) <= _ENVELOPE_MS
        return is_near and self._bytes + _size(event) <= _MAX_ENVELOPE_BYTES

    def add(self, event: LogEvent) -> None:
        self._log_events.append(event)
        self._bytes += _size(event)

    def record(self) -> Record:
        data = compress(data_message_of(self._origin, self._log_events))
        return Record(data, len(self._log_events))


def _size(event: LogEvent) -> int:
    """Return the bytes of an event in an envelope, where a quotation mark takes two."""
    return len(compact(event._asdict()).encode())
