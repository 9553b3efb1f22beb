"""Rows that wait to be written: bounded in memory, and what could not be kept is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from dataflow.database.rows import (
    ArtifactRow,
    BatchRow,
    ExecutionRow,
    LogRow,
    NodeRow,
    PlainNodesRow,
    Row,
    RunRow,
    SegmentRow,
    StateRow,
)
from dataflow.database.shapes import Key, keyed

__all__ = ["Pending"]

LIMIT_BYTES: Final = 64_000_000
ROW_BYTES: Final = 400
"""What a row takes besides its texts and blobs."""
LEFT_AFTER_DROPPING: Final = 0.9
"""Of the limit, so that not every further row has to drop one."""
LEAST_MISSED: Final = ((SegmentRow, LogRow), (ArtifactRow, BatchRow), (NodeRow, PlainNodesRow, StateRow))
"""What is dropped first, when memory is full: single elements and lines, before whole nodes. Runs are never dropped."""


class Pending:
    """Rows in the order in which they came; a later row takes the place of an earlier one of the same key.

    Args:
        limit_bytes: how much is kept in memory while the database takes nothing.

    Example:
        >>> from dataflow.database.rows import BatchRow
        >>> pending = Pending()
        >>> for seconds in (2.0, 3.0):
        ...     row = BatchRow(execution_id="e1", number=1, worker="w", started=0.0, seconds=seconds, count=1)
        ...     pending.add([row])
        >>> [row.seconds for row in pending.first(10).values()]
        [3.0]
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._rows: dict[Key, Row] = {}
        self._sizes: dict[Key, int] = {}
        self._lost: dict[str, int] = {}
        """By execution."""
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Let rows wait."""
        for row in rows:
            key, size_bytes = keyed(row), _bytes_of(row)
            self.size_bytes += size_bytes - self._sizes.get(key, 0)
            self._rows[key], self._sizes[key] = row, size_bytes
        if self.size_bytes > self._limit_bytes:
            self._drop()

    def first(self, count: int, most_bytes: int = LIMIT_BYTES) -> dict[Key, Row]:
        """The rows that have waited longest, executions with the number of rows they have lost until now."""
        chosen: dict[Key, Row] = {}
        size_bytes = 0
        for key, row in islice(self._rows.items(), count):
            size_bytes += self._sizes[key]
            if chosen and size_bytes > most_bytes:
                break
            chosen[key] = self._with_lost(row)
        return chosen

    def remove(self, written: Mapping[Key, Row]) -> None:
        """These are in the database."""
        for key in written:
            self._forget(key)

    def lose(self, row: Row) -> None:
        """Count a row that cannot be kept."""
        execution_id = getattr(row, "execution_id", "")
        if execution_id:
            self._lost[execution_id] = self._lost.get(execution_id, 0) + 1

    def loss(self) -> str:
        """For messages: how many rows could not be kept until now."""
        count = sum(self._lost.values())
        return f"{count:,} rows were lost" if count else "no rows were lost"

    def clear(self) -> None:
        """Nothing of this will ever be written."""
        self._rows.clear()
        self._sizes.clear()
        self.size_bytes = 0

    def _with_lost(self, row: Row) -> Row:
        if isinstance(row, ExecutionRow) and (lost := self._lost.get(row.id)):
            return replace(row, lost=row.lost + lost)
        return row

    def _drop(self) -> None:
        wanted_bytes = int(self._limit_bytes * LEFT_AFTER_DROPPING)
        for classes in LEAST_MISSED:
            for key in [key for key in self._rows if key[0] in classes]:
                if self.size_bytes <= wanted_bytes:
                    return
                self.lose(self._forget(key))

    def _forget(self, key: Key) -> Row:
        self.size_bytes -= self._sizes.pop(key)
        return self._rows.pop(key)


def _bytes_of(row: Row) -> int:
    large = _LARGE.get(type(row))
    return ROW_BYTES if large is None else ROW_BYTES + sum(map(len, filter(None, large(row))))


_LARGE: dict[type[Row], Callable[[Any], tuple[Any, ...]]] = {
    SegmentRow: attrgetter("states", "seconds", "keys", "rare"),
    NodeRow: attrgetter("causes", "uses"),
    PlainNodesRow: lambda row: (row.columns,),
    LogRow: lambda row: (row.lines,),
    ArtifactRow: lambda row: (row.data,),
    RunRow: lambda row: (row.arguments, row.parameters),
}
"""The fields of rows that may be large; all others together are `ROW_BYTES`."""
