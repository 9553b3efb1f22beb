"""The order of writes: numbers that grow with the clock and never repeat in a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["ORDERS", "RANDOM_BITS", "Orders", "seconds_of"]

RANDOM_BITS = 11
"""Of an order, so many low bits are random: two processes rarely write at the same microsecond, and then differ."""
BELIEVED = 1 << 63
"""Orders from here on (the year 2112) come from a broken clock, and are not followed."""


class Orders:
    """Gives orders to packs: the microseconds of a clock, above all orders that were given or seen.

    Whoever has read a result and then replaces it is the newer one, even if its clock is behind.

    Example:
        >>> orders = Orders()
        >>> first = orders.next(lambda: 5.0)
        >>> orders.next(lambda: 4.0) == first + 1
        True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self, clock: Callable[[], float], after: int = 0) -> int:
        """An order for a new pack.

        Args:
            clock: seconds since the epoch.
            after: the highest order seen so far.
        """
        random = int.from_bytes(os.urandom(2), "big") >> (16 - RANDOM_BITS)
        now = (int(clock() * 1_000_000) << RANDOM_BITS) | random
        seen = after if after < BELIEVED else 0
        with self._lock:
            self._last = max(now, seen + 1, self._last + 1)
            return self._last


ORDERS = Orders()
"""The orders of this process."""


def seconds_of(order: int) -> float:
    """When an order was given, in seconds since the epoch."""
    return (order >> RANDOM_BITS) / 1_000_000
