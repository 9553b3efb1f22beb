"""Rates: how many elements end in a second, and when the rest will have; pure arithmetic on times and counts."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

__all__ = ["Pace", "eta_seconds"]

WINDOW_SECONDS = 10.0
"""A rate is that of about the last so many seconds."""
GAPS = 3.0
"""And of at least so many times the longest pause between two batches, because batches come in herds."""
STALL = 2.0
"""If nothing comes for so many times the longest pause, the rate goes down."""


class Pace:
    """Finds a rate in counts that grow by whole batches, at any moment between two of them.

    Args:
        begun: when the first element was begun, in seconds.

    Example:
        >>> pace = Pace(begun=100.0)
        >>> pace.see(102.0, 500)
        >>> pace.rate(102.0), pace.mean()
        (250.0, 250.0)
    """

    __slots__ = ("_begun", "_samples")

    def __init__(self, begun: float) -> None:
        self._begun = begun
        self._samples: deque[tuple[float, int]] = deque([(begun, 0)])

    def see(self, now: float, done: int) -> None:
        """So many elements have ended by now."""
        last_time, last_done = self._samples[-1]
        if done <= last_done or now <= last_time:
            return
        self._samples.append((now, done))
        oldest = now - max(WINDOW_SECONDS, GAPS * self._longest_gap())
        while len(self._samples) > 2 and self._samples[1][0] <= oldest:
            self._samples.popleft()

    def rate(self, now: float) -> float | None:
        """Elements per second of late; None while none has ended.

        Between two batches it stays as it was: it is measured from batch to batch, because a moment between them says
        nothing, until the next batch is late.
        """
        (first_time, first_done), (last_time, last_done) = self._samples[0], self._samples[-1]
        if last_time == first_time:
            return None
        quiet = now - last_time
        late_seconds = quiet if quiet > STALL * self._longest_gap() else 0.0
        return (last_done - first_done) / (last_time - first_time + late_seconds)

    def mean(self) -> float | None:
        """Elements per second from the beginning to the last one that has ended; None while none has."""
        last_time, done = self._samples[-1]
        return done / (last_time - self._begun) if last_time > self._begun else None

    def _longest_gap(self) -> float:
        return max((later[0] - earlier[0] for earlier, later in pairwise(self._samples)), default=0.0)


def eta_seconds(done: int, total: int | None, rate: float | None) -> float | None:
    """How long the rest will take; None while that cannot be told.

    Example:
        >>> eta_seconds(40, 100, 20.0), eta_seconds(40, None, 20.0), eta_seconds(40, 100, None)
        (3.0, None, None)
    """
    return (total - done) / rate if total is not None and rate else None
