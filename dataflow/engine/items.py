"""Literal inputs on the client: slices of sequences, and of generators only as much as is under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from dataflow.engine.intervals import IntervalSet

__all__ = ["GeneratorItems", "Pulled", "slice_of"]


def slice_of(source: Any, start: int, stop: int) -> Sequence[Any]:
    """Items start to stop of a sequence, by position."""
    by_position = getattr(source, "iloc", None)
    return (by_position if by_position is not None else source)[start:stop]  # type: ignore[no-any-return]


class Pulled(NamedTuple):
    """What a generator gave: how many items, whether there are no more, and what it raised."""

    items: int
    exhausted: bool
    error: Exception | None = None


@dataclass(slots=True)
class _Chunk:
    start: int
    items: list[Any]
    ended: IntervalSet = field(default_factory=IntervalSet)


class GeneratorItems:
    """Items taken from a generator, kept until the elements they became have ended.

    Example:
        >>> items = GeneratorItems(iter("abcd"))
        >>> items.pull(3).items, items.slice(1, 3), items.pull(3).exhausted
        (3, ['b', 'c'], True)
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._chunks: deque[_Chunk] = deque()
        self._taken = 0

    def pull(self, count: int) -> Pulled:
        """Take up to ``count`` items. What came before the generator raised is kept."""
        items: list[Any] = []
        error: Exception | None = None
        try:
            items.extend(islice(self._iterator, count))
        except Exception as raised:  # noqa: BLE001 - boundary: the user's generator; its exception is an outcome of the map
            error = raised
        if items:
            self._chunks.append(_Chunk(self._taken, items))
            self._taken += len(items)
        return Pulled(len(items), error is None and len(items) < count, error)

    def slice(self, start: int, stop: int) -> list[Any]:
        """Items start to stop."""
        found: list[Any] = []
        for chunk in self._chunks:
            low, high = max(start, chunk.start), min(stop, chunk.start + len(chunk.items))
            if low < high:
                found.extend(chunk.items[low - chunk.start : high - chunk.start])
        return found

    def forget(self, start: int, stop: int) -> None:
        """The elements start to stop have ended; chunks that nobody needs any more are dropped."""
        for chunk in self._chunks:
            low, high = max(start, chunk.start), min(stop, chunk.start + len(chunk.items))
            chunk.ended.add(low, high)
        self._chunks = deque(chunk for chunk in self._chunks if any(chunk.ended.missing(*_bounds(chunk))))


def _bounds(chunk: _Chunk) -> tuple[int, int]:
    return chunk.start, chunk.start + len(chunk.items)
