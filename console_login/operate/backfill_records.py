"""What a source of a backfill gives: records for the stream, in slices to go on from."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from console_login.events.envelope import LogEvent, Origin, compact, compress, data_message_of
from console_login.operate.backfill_state import Plan

# Stands in the envelopes where a filter's name does, so that a failed record says where it is from.
FILTER_NAME = "console-login-backfill"

# As together as what CloudWatch Logs sends.
_ENVELOPE_MS = 5 * 60 * 1000
# Of JSON. A record is far below Firehose's 1,000 KiB then, unless one event alone is not.
_MAX_ENVELOPE_BYTES = 512 * 1024

# Is told which share of a plan is done, from 0 to 1.
Watch = Callable[[float], None]


class Record(NamedTuple):
    """A record for the stream, and how many log events it holds."""

    data: bytes
    events: int


class LeftOut(NamedTuple):
    """An object that could not be read, or not to its end, and why."""

    key: str
    reason: str


class Slice(NamedTuple):
    """A part of a plan. position: what to go on from when it is done; files: how many it reads."""

    records: Iterator[Record | LeftOut]
    position: str
    files: int = 0


class Source(Protocol):
    """Where events are read from."""

    @property
    def source(self) -> dict[str, str]:
        """What tells it from any other source, for `Plan.source`."""

    def described(self) -> list[tuple[str, str]]:
        """Return what is read, a heading and a value each."""

    def first(self, start: int) -> int:
        """Return the first moment from `start` on of which there can be an event."""

    def slices(self, plan: Plan, position: str, watch: Watch) -> Iterator[Slice]:
        """Yield what is left of a plan, in order. Raises AccessError, as the records do."""


class SentEvent(NamedTuple):
    """A log event and the log stream that it is sent under."""

    log_stream: str
    event: LogEvent


def records(
    owner: str, log_group: str, found: Iterable[SentEvent | LeftOut]
) -> Iterator[Record | LeftOut]:
    """Yield records of events: one log stream and a few minutes in each."""
    waiting: dict[str, _Envelope] = {}
    for each in found:
        if isinstance(each, LeftOut):
            yield each
            continue
        envelope = waiting.get(each.log_stream)
        if envelope is None or not envelope.has_room_for(each.event):
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

    def has_room_for(self, event: LogEvent) -> bool:
        is_near = abs(event.timestamp - self._log_events[0].timestamp) <= _ENVELOPE_MS
        return is_near and self._bytes + _size(event) <= _MAX_ENVELOPE_BYTES

    def add(self, event: LogEvent) -> None:
        self._log_events.append(event)
        self._bytes += _size(event)

    def record(self) -> Record:
        data = compress(data_message_of(self._origin, self._log_events))
        return Record(data, len(self._log_events))


def _size(event: LogEvent) -> int:
    """Return an event's bytes in an envelope, where quotation marks take two."""
    return len(compact(event._asdict()).encode())
