"""How many elements a batch gets and how many batches are sent ahead: pure decisions from what was measured."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace", "batch_size", "budget_seconds", "may_send"]

PILOT_BUDGET_SECONDS = 0.05
PILOT_ELEMENTS = 4096
BATCHES_AHEAD = 3
"""Batches per worker thread that are sent before the first of them has ended."""
SECONDS_AHEAD = 1.0
"""Work per worker thread that is sent ahead when batches are short."""
BATCH_OVERHEAD_SECONDS = 0.002
LARGEST_BATCH = 1_000_000
WORTH_SENDING_SECONDS = 0.1
"""Batches are not cut smaller than this for the sake of an even end, but for the last, a quarter of it."""
MOST_BATCHES_AHEAD = 1024
FORGETTING = 0.5
TAIL_SHARES = 4
"""The remaining elements are shared out in this many batches per thread, so that threads end together."""


@dataclass(slots=True)
class Pace:
    """How fast the elements of a stage were, later batches counting more."""

    elements: float = 0.0
    seconds: float = 0.0

    def learn(self, elements: int, seconds: float) -> None:
        """Add a batch."""
        self.elements = self.elements * FORGETTING + elements
        self.seconds = self.seconds * FORGETTING + seconds

    @property
    def seconds_per_element(self) -> float | None:
        """Mean duration of an element, or None before the first batch."""
        return self.seconds / self.elements if self.elements else None


def batch_size(
    *, chosen: int | None, pace: Pace, remaining: int, threads: int, batch_seconds: float, least: int = 1
) -> int:
    """How many elements the next batch gets.

    Args:
        chosen: what the user asked for, if anything.
        pace: what was measured.
        remaining: elements that are ready and not sent.
        threads: worker threads of the cluster.
        batch_seconds: how long a batch should take.
        least: elements that run at once in a batch (for async tasks), so that fewer would waste the batch.

    Example:
        >>> batch_size(chosen=None, pace=Pace(1000, 1.0), remaining=100_000, threads=2, batch_seconds=0.5)
        500
    """
    if chosen is not None:
        return min(chosen, remaining)
    share = -(-remaining // (threads * TAIL_SHARES))
    per_element = pace.seconds_per_element
    if per_element is None:
        return max(1, min(max(-(-share // 2), least), PILOT_ELEMENTS, remaining))
    by_time = int(batch_seconds / per_element) if per_element > 0 else LARGEST_BATCH
    worth_sending = int(WORTH_SENDING_SECONDS / per_element) if per_element > 0 else share
    size = max(1, min(by_time, max(share, worth_sending), LARGEST_BATCH))
    batches = max(-(-remaining // size), threads)
    even = min(max(-(-remaining // batches), worth_sending // TAIL_SHARES), size)
    return max(1, min(max(even, least), remaining))


def budget_seconds(*, chosen: int | None, pace: Pace, batch_seconds: float) -> float | None:
    """After how long a batch gives its rest back; None where the user chose the size."""
    if chosen is not None:
        return None
    return PILOT_BUDGET_SECONDS if pace.seconds_per_element is None else 2 * batch_seconds


def may_send(*, in_flight: int, in_flight_seconds: float, next_seconds: float | None, threads: int) -> bool:
    """Whether one more batch should be sent ahead of the workers.

    Args:
        in_flight: batches sent and not ended.
        in_flight_seconds: how long they should take, as measured.
        next_seconds: how long the next one should take; None before anything was measured.
        threads: worker threads of the cluster.
    """
    if in_flight < BATCHES_AHEAD * threads:
        return True
    if next_seconds is None or in_flight >= MOST_BATCHES_AHEAD:
        return False
    return in_flight_seconds + max(next_seconds, BATCH_OVERHEAD_SECONDS) <= SECONDS_AHEAD * threads
