"""From rows of a pack to values: which blocks are read, in how few requests, and how their bytes become values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflow_results.errors import CorruptResult, ReadingError, ResultsError, StoreError
from dataflow_results.packs.columns import Array
from dataflow_results.packs.outside import OutsideFiles
from dataflow_results.packs.parts import External, Kind, PackHead
from dataflow_results.packs.rows import is_readable, load_rows
from dataflow_results.packs.shelf import Shelf
from dataflow_results.problems import Problem
from dataflow_results.serializers.registry import AnySerializer, find_serializer

__all__ = ["PackReader", "stretches_of"]

GAP_BLOCKS = 2
"""So many blocks that nobody wants are read as well, rather than asking once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReader:
    """Reads values from the packs of one collection."""

    shelf: Shelf
    outside: OutsideFiles
    safe: bool
    on_damage: Callable[[PackHead], None]
    """Told of a pack that was set aside."""

    def read(self, head: PackHead, rows: Array) -> list[Any]:
        """The values of rows, in order; where one cannot be read, a ReadingError stands in its place.

        Raises:
            StoreError: the store does not answer.
        """
        numbers, kinds = head.column("serializer")[rows], head.column("kind")[rows]
        refused = {
            number: error
            for number in np.unique(numbers).tolist()
            if (error := is_readable(head.serializers[number], safe=self.safe))
        }
        if not refused and not kinds.any():
            return self._inline(head, rows)
        values: list[Any] = [refused.get(number) for number in numbers.tolist()]
        allowed = np.array([value is None for value in values])
        inline, outside = np.flatnonzero(allowed & (kinds == 0)), np.flatnonzero(allowed & (kinds != 0))
        _scatter(values, inline, self._inline(head, rows[inline]))
        _scatter(values, outside, self._outside(head, rows[outside]))
        return values

    def _outside(self, head: PackHead, rows: Array) -> list[Any]:
        numbers, kinds = head.column("serializer")[rows], head.column("kind")[rows]
        items = [
            (Kind(kind), head.externals[row], find_serializer(head.serializers[number]))
            for row, kind, number in zip(rows.tolist(), kinds.tolist(), numbers.tolist(), strict=True)
        ]
        values = _without_trouble(self.outside.load(items))
        for place, value in enumerate(values):
            if isinstance(value, CorruptResult):
                values[place] = self._distrusted(*items[place], value)
        return values

    def _distrusted(self, kind: Kind, external: External, serializer: AnySerializer, error: CorruptResult) -> Any:
        """What a second look gives; an object that stays damaged is removed, for it has the name of the right one."""
        again = _without_trouble(self.outside.load([(kind, external, serializer)]))[0]
        if not isinstance(again, CorruptResult) or kind is Kind.FILE:  # people may change their own files
            return again
        if kind is Kind.OBJECT:
            self.outside.forget_object(external)
        self.shelf.problems.report(Problem(where=external.name, error=error, set_aside=kind is Kind.OBJECT))
        return again

    def _inline(self, head: PackHead, rows: Array) -> list[Any]:
        if not len(rows):
            return []
        blocks = np.searchsorted(head.block_rows, rows, "right") - 1
        stretches = stretches_of(blocks)
        datas = [
            self._trusted(head, *pair) for pair in zip(stretches, self.shelf.read_blocks(head, stretches), strict=True)
        ]
        if len(stretches) == 1:
            return _decode(head, stretches[0], rows, datas[0])
        values: list[Any] = [None] * len(rows)
        for stretch, data in zip(stretches, datas, strict=True):
            here = np.flatnonzero((blocks >= stretch.start) & (blocks < stretch.stop))
            _scatter(values, here, _decode(head, stretch, rows[here], data))
        return values

    def _trusted(self, head: PackHead, stretch: range, data: bytes | ResultsError) -> bytes | ReadingError:
        """The data; if it looked damaged, after reading it once more."""
        if isinstance(data, CorruptResult):
            if self.shelf.doubt(head.id, data) is not None:
                data = self.shelf.read_blocks(head, [stretch])[0]
            if isinstance(data, CorruptResult):
                self.on_damage(head)
        if isinstance(data, bytes | ReadingError):
            return data
        raise data


def stretches_of(blocks: Array) -> list[range]:
    """Adjacent blocks as ranges; small gaps between them are taken along.

    Example:
        >>> stretches_of(np.array([9, 1, 0, 3]))
        [range(0, 4), range(9, 10)]
    """
    wanted = np.unique(blocks)
    cuts = np.flatnonzero(np.diff(wanted) > GAP_BLOCKS + 1) + 1
    return [range(int(part[0]), int(part[-1]) + 1) for part in np.split(wanted, cuts)]


def _decode(head: PackHead, stretch: range, rows: Array, data: bytes | ReadingError) -> list[Any]:
    """The values of rows that lie in a stretch of blocks."""
    if not isinstance(data, bytes):
        return [data] * len(rows)
    first, end = head.block_rows[stretch.start], head.block_rows[stretch.stop]
    ends = np.cumsum(head.column("length")[first:end], dtype=np.int64)
    stops = ends[rows - first]
    starts = stops - head.column("length")[rows]
    numbers = head.column("serializer")[rows]
    used = np.unique(numbers).tolist()
    if len(used) == 1:
        return load_rows(head.serializers[used[0]], data, starts, stops)
    values: list[Any] = [None] * len(rows)
    for number in used:
        here = np.flatnonzero(numbers == number)
        _scatter(values, here, load_rows(head.serializers[number], data, starts[here], stops[here]))
    return values


def _scatter(values: list[Any], places: Array, given: Sequence[Any]) -> None:
    for place, value in zip(places.tolist(), given, strict=True):
        values[place] = value


def _without_trouble(values: list[Any]) -> list[Any]:
    """The values, unless the store itself is in trouble."""
    for value in values:
        if isinstance(value, StoreError):
            raise value
    return values
