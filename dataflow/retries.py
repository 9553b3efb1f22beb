"""Retries: how often failed work is tried again, after which delay, and for which errors. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["NO_RETRIES", "RetryPolicy", "exponential_backoff"]

MOST_DELAYS = 50
"""Longer lists of delays than this are refused, as in Prefect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often failed work is tried again.

    Example:
        >>> policy = RetryPolicy(retries=3, delays_seconds=(1.0, 10.0))
        >>> [policy.delay_seconds(attempt, 0.5) for attempt in (1, 2, 3, 4)]
        [1.0, 10.0, 10.0, None]
    """

    retries: int = 0
    delays_seconds: tuple[float, ...] = ()
    """Before the first, second, … retry; the last one stands for all that follow."""
    jitter_factor: float = 0.0
    """A delay is drawn between itself and itself times (1 + this)."""
    condition: Callable[[Any, Any, Any], bool] | None = None
    """``condition(task, task_run, state)`` says whether a failure is worth another try; None: every one is."""

    def delay_seconds(self, attempt: int, draw: float) -> float | None:
        """How long to wait after a failed attempt (the first is 1); None if it was the last one.

        Args:
            attempt: number of the attempt that failed.
            draw: a random number from 0 to 1, for the jitter.
        """
        if attempt > self.retries:
            return None
        if not self.delays_seconds:
            return 0.0
        delay = self.delays_seconds[min(attempt, len(self.delays_seconds)) - 1]
        return delay * (1 + self.jitter_factor * draw)

    @property
    def may_wait(self) -> bool:
        """Whether a retry may come after a delay."""
        return self.retries > 0 and any(self.delays_seconds)


NO_RETRIES = RetryPolicy()


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays that double: for ``retry_delay_seconds``. Gives a function from the number of retries to the delays.

    Example:
        >>> exponential_backoff(backoff_factor=2)(4)
        [2, 4, 8, 16]
    """

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2**retry for retry in range(min(retries, MOST_DELAYS))]

    return delays
