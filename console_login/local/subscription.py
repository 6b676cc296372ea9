"""A subscription filter: selects log events and packs them into Firehose records."""

import random
from collections.abc import Iterator

from console_login.events.envelope import Origin, compress, control_message, data_message
from console_login.local.filter_pattern import FilterPattern

# CloudWatch Logs packs events that arrive together into one record. Here the number of events is
# random, and no event waits longer than MAX_WAIT_SECONDS.
MAX_EVENTS_PER_ENVELOPE = 50
MAX_WAIT_SECONDS = 5.0

# A batch of PutLogEvents has at most 1 MiB, so a gzip record stays far below Firehose's 1,000 KiB.
MAX_ENVELOPE_BYTES = 1024 * 1024


class Subscription:
    """Selects and packs the log events of one log group.

    pattern: the filter pattern; None if there is no filter.
    seen, picked: numbers of log events offered and selected so far.
    """

    def __init__(
        self, pattern: FilterPattern | None, origin: Origin, randomness: random.Random
    ) -> None:
        self.pattern = pattern
        self.origin = origin
        self._randomness = randomness
        self._waiting: list[tuple[int, str]] = []
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._wanted = self._draw()
        self.seen = 0
        self.picked = 0

    def start(self, now: float) -> bytes:
        """Return the first record of a new filter."""
        return compress(control_message(int(now * 1000)))

    def offer(self, message: str, now: float) -> Iterator[bytes]:
        """Accept a log event; yield a record when enough events are waiting."""
        self.seen += 1
        if self.pattern is None or not self.pattern.matches(message):
            return
        size = len(message.encode("utf-8", "surrogatepass"))
        if self._waiting_bytes + size > MAX_ENVELOPE_BYTES:
            yield from self.flush()
        self.picked += 1
        if not self._waiting:
            self._waiting_since = now
        self._waiting.append((int(now * 1000), message))
        self._waiting_bytes += size
        if len(self._waiting) >= self._wanted:
            yield from self.flush()

    def deadline(self) -> float | None:
        """Return when the waiting events must be sent, or None if no event is waiting."""
        return self._waiting_since + MAX_WAIT_SECONDS if self._waiting else None

    def flush(self) -> Iterator[bytes]:
        """Yield a record with the waiting events, if any."""
        if self._waiting:
            first = self.picked - len(self._waiting)
            document = data_message(self.origin, self._waiting, first)
            self._waiting = []
            self._waiting_bytes = 0
            self._wanted = self._draw()
            yield compress(document)

    def _draw(self) -> int:
        return self._randomness.randint(1, MAX_EVENTS_PER_ENVELOPE)
