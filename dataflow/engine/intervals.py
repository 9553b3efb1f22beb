"""Sets of indices as sorted, disjoint, half-open intervals: which elements are there, in few objects."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

__all__ = ["IntervalSet", "common"]


class IntervalSet:
    """A set of integers that mostly come in runs.

    Example:
        >>> found = IntervalSet()
        >>> found.add(0, 3); found.add(5, 9); found.add(3, 5)
        >>> list(found)
        [(0, 9)]
        >>> list(found.within(7, 20))
        [(7, 9)]
    """

    __slots__ = ("_starts", "_stops")

    def __init__(self, start: int = 0, stop: int = 0) -> None:
        self._starts = [start] if stop > start else []
        self._stops = [stop] if stop > start else []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def add(self, start: int, stop: int) -> None:
        """Add the indices from start to stop; neighbours are joined."""
        if stop <= start:
            return
        low = bisect_left(self._stops, start)
        high = bisect_right(self._starts, stop)
        if low < high:
            start, stop = min(start, self._starts[low]), max(stop, self._stops[high - 1])
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]

    def count(self) -> int:
        """Number of indices."""
        return sum(self._stops) - sum(self._starts)

    def within(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The intervals of this set cut to start and stop."""
        position = bisect_right(self._stops, start)
        while position < len(self._starts) and self._starts[position] < stop:
            yield max(start, self._starts[position]), min(stop, self._stops[position])
            position += 1

    def missing(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The intervals between start and stop that are not in this set."""
        for low, high in self.within(start, stop):
            if low > start:
                yield start, low
            start = high
        if start < stop:
            yield start, stop


def common(sets: Sequence[IntervalSet]) -> list[tuple[int, int]]:
    """The intervals that all sets have; at least one set is given.

    Example:
        >>> common([IntervalSet(0, 5), IntervalSet(3, 9)])
        [(3, 5)]
    """
    found = list(sets[0])
    for other in sets[1:]:
        found = [part for low, high in found for part in other.within(low, high)]
    return found
