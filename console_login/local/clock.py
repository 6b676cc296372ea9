"""The clocks of the local pipeline: real or simulated time."""

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch."""

    def now(self) -> float:
        """Return the current time."""


class SystemClock:
    """Real time."""

    def now(self) -> float:
        return time.time()


class SimulatedClock:
    """Simulated time, which advances only on request, so buffering needs no real time."""

    def __init__(self, start: float) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def advance_to(self, moment: float) -> None:
        """Advance to `moment`; a moment in the past changes nothing."""
        self._now = max(self._now, moment)
