"""How rows lie in tables: the name, the columns and the key of each; what SQL and SQLAlchemy's tables are made from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from operator import attrgetter
from threading import Lock
from typing import Any

from dataflow.database.rows import (
    ArtifactRow,
    BatchRow,
    ExecutionRow,
    LogRow,
    NodeRow,
    PlainNodesRow,
    RequestRow,
    Row,
    RunRow,
    SegmentRow,
    StateRow,
)

__all__ = ["NUMBER", "SHAPES", "Key", "Shape", "keyed"]

NUMBER = "number"
"""Column that rows without a key of their own are numbered by, in the order in which they came."""

Key = tuple[Any, ...]
"""The class of a row and what tells it from others of its class: a later row replaces one of an equal key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the rows of one class lie in their table."""

    row: type[Row]
    table: str
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    """Columns of each index besides the one of the key."""
    is_numbered: bool = False
    """Whether `NUMBER` is a column that the row itself does not have."""
    columns: tuple[str, ...]
    """The fields of the row."""
    flags: tuple[int, ...]
    """Positions of the columns that are true or false: SQLite gives numbers for them."""
    key_of: Callable[[Any], Any]
    values_of: Callable[[Any], tuple[Any, ...]]

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of the table."""
        return (*self.columns, NUMBER) if self.is_numbered else self.columns

    def all_values(self, rows: Mapping[Key, Row]) -> list[tuple[Any, ...]]:
        """The values of rows for `all_columns`."""
        if self.is_numbered:
            return [(*self.values_of(row), key[-1]) for key, row in rows.items()]
        return [self.values_of(row) for row in rows.values()]

    def row_of(self, columns: Sequence[str], values: Iterable[Any]) -> Any:
        """A row from its values; columns that are left out have their defaults."""
        named = dict(zip(columns, values, strict=True))
        for position in self.flags:
            name = self.columns[position]
            named[name] = bool(named[name])
        return self.row(**named)


class _Numbers:
    """Numbers that grow, also from one process to the next: microseconds since the epoch."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0

    def next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1_000)
            return self._last


_NUMBERS = _Numbers()


def default_of(column: Field[Any]) -> str | float | None:
    """What a column holds that was not given, as the row says it."""
    return None if column.default is MISSING else column.default


def keyed(row: Row) -> Key:
    """A row's key.

    Example:
        >>> from dataflow.database.rows import BatchRow
        >>> keyed(BatchRow(execution_id="e1", number=7, worker="w", started=0.0, seconds=1.0, count=100))[1:]
        ('e1', 7)
    """
    shape = SHAPES[type(row)]
    key = shape.key_of(row)
    return (type(row), key, _NUMBERS.next()) if shape.is_numbered else (type(row), *key)


def _tuple_of(names: tuple[str, ...]) -> Callable[[Any], Any]:
    """Always a tuple: `attrgetter` of a single name would give the bare value."""
    if len(names) > 1:
        return attrgetter(*names)
    only = attrgetter(*names)
    return lambda row: (only(row),)


def _shape(row: type[Row], table: str, *key: str, indexes: tuple[tuple[str, ...], ...] = ()) -> Shape:
    described = fields(row)
    names = tuple(column.name for column in described)
    is_numbered = NUMBER in key and NUMBER not in names
    return Shape(
        row=row,
        table=table,
        key=key,
        indexes=indexes,
        is_numbered=is_numbered,
        columns=names,
        flags=tuple(position for position, column in enumerate(described) if column.type == "bool"),
        key_of=attrgetter(key[0]) if is_numbered else _tuple_of(key),
        values_of=_tuple_of(names),
    )


_ALL = (
    _shape(RunRow, "runs", "id", indexes=(("started",), ("flow", "started"), ("parent",))),
    _shape(ExecutionRow, "executions", "id", indexes=(("run_id",),)),
    _shape(StateRow, "run_states", "run_id", "time", "state", "name"),
    _shape(NodeRow, "nodes", "execution_id", "number"),
    _shape(PlainNodesRow, "plain_nodes", "execution_id", "first"),
    _shape(BatchRow, "batches", "execution_id", "number"),
    _shape(SegmentRow, "segments", "execution_id", "node", "start"),
    _shape(LogRow, "logs", "execution_id", NUMBER),
    _shape(ArtifactRow, "artifacts", "id", indexes=(("run_id",), ("key", "updated"))),
    _shape(RequestRow, "requests", "id", indexes=(("run_id", "answered"),)),
)

SHAPES: Mapping[type[Row], Shape] = {shape.row: shape for shape in _ALL}
"""By the class of the row."""
