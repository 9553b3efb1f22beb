"""The order of writes: numbers that grow with the clock and never repeat in a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["RANDOM_BITS", "next_order", "seconds_of"]

RANDOM_BITS = 11
"""Of an order, so many low bits are random: two processes rarely write at the same microsecond, and then differ."""

_lock = threading.Lock()
_last = 0


def next_order(clock: Callable[[], float], after: int) -> int:
    """An order for a new pack: the microseconds of the clock, above all orders this process gave or saw.

    Whoever has read a result and then replaces it is the newer one, even if its clock is behind.

    Args:
        clock: seconds since the epoch.
        after: the highest order seen so far.

    Example:
        >>> first = next_order(lambda: 5.0, 0)
        >>> next_order(lambda: 4.0, 0) > first
        True
    """
    global _last  # noqa: PLW0603 - the one counter of the process
    random = int.from_bytes(os.urandom(2), "big") >> (16 - RANDOM_BITS)
    now = (int(clock() * 1_000_000) << RANDOM_BITS) | random
    with _lock:
        _last = max(now, after + 1, _last + 1)
        return _last


def seconds_of(order: int) -> float:
    """When an order was given, in seconds since the epoch."""
    return (order >> RANDOM_BITS) / 1_000_000
