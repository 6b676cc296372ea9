"""The time that the local pipeline's stations go by."""

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch."""

    def now(self) -> float:
        """Return the present time."""


class SystemClock:
    """Real time."""

    def now(self) -> float:
        return time.time()


class SimulatedClock:
    """Time that passes only when it is told to: minutes of buffering take none."""

    def __init__(self, start: float) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def advance_to(self, moment: float) -> None:
        """Go on to `moment`; a moment that has passed changes nothing."""
        self._now = max(self._now, moment)
