"""Tables of artifacts: rows and columns out of whatever holds a table, in types that JSON knows, and not too many.

Frames are recognised by the methods they offer, so none of their libraries is imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dataflow.errors import UsageError

__all__ = ["CELL_CHARACTERS", "TABLE_BYTES", "TABLE_ROWS", "Table", "table_of"]

TABLE_ROWS = 10_000
"""More rows than this of one table are not kept."""

TABLE_BYTES = 1_000_000
"""Nor rows that come after so much JSON."""

CELL_CHARACTERS = 10_000
"""A longer text in a cell is cut."""

WHERE = "create_table_artifact"
FIX = "give a list of dicts, a dict of lists, a list of lists, or a pandas, polars or Arrow table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells."""

    columns: tuple[str, ...] | None
    """None if the columns have no names."""
    rows: tuple[tuple[Any, ...], ...]
    total_rows: int
    """How many there were before the table was cut."""

    @property
    def is_cut(self) -> bool:
        """Whether only the first rows are kept."""
        return len(self.rows) < self.total_rows

    @property
    def value(self) -> list[Any]:
        """A list of dicts; of lists, if the columns have no names."""
        if self.columns is None:
            return [list(row) for row in self.rows]
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def table_of(given: Any) -> Table:
    """The table, cleaned and cut.

    Args:
        given: dicts, lists, or a frame.

    Raises:
        UsageError: it is none of these, or its columns have different lengths.

    Example:
        >>> table_of({"city": ["Bonn", "Ulm"], "rain": [1.5, float("nan")]}).value
        [{'city': 'Bonn', 'rain': 1.5}, {'city': 'Ulm', 'rain': None}]
    """
    columns, rows, total = _grid(given)
    names = None if columns is None else tuple(str(name) for name in columns)
    return Table(columns=names, rows=tuple(_kept(rows)), total_rows=total)


Grid = tuple[Sequence[Any] | None, Sequence[Sequence[Any]], int]
"""Names of the columns, the first rows, and how many rows there are."""


def _grid(given: Any) -> Grid:
    for offers, read in _FRAMES:
        if all(hasattr(given, name) for name in offers):
            return read(given)
    if isinstance(given, Mapping):
        return _of_columns(given, None)
    if isinstance(given, list | tuple):
        return _of_rows(given)
    raise _no_table(f"{type(given).__name__} {_cut(repr(given), 60)} is no table")


def _of_rows(rows: Sequence[Any]) -> Grid:
    """The rows that can be kept at all; columns of dicts in the order in which they are first met."""
    first = rows[:TABLE_ROWS]
    if all(isinstance(row, Mapping) for row in first):
        columns = list(dict.fromkeys(name for row in first for name in row))
        return columns, [[row.get(name) for name in columns] for row in first], len(rows)
    if all(isinstance(row, list | tuple) for row in first):
        width = max(map(len, first), default=0)
        return None, [[*row, *[None] * (width - len(row))] for row in first], len(rows)
    odd = (n for n, row in enumerate(first) if type(row) is not type(first[0]))
    position = next(odd, 0)
    row = first[position]
    raise _no_table(f"row {position} of the table is {type(row).__name__} {_cut(repr(row), 60)}")


def _of_columns(columns: Mapping[Any, Any], total: int | None) -> Grid:
    """Columns side by side; ``total`` says how long they were before they were cut."""
    alone = next((name for name, column in columns.items() if _is_cell(column)), None)
    if alone is not None:
        raise _no_table(f"column {alone!r} of the table is {_cut(repr(columns[alone]), 60)}, no list")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise _no_table(f"the columns of the table have different lengths: {lengths}")
    rows = list(islice(zip(*columns.values(), strict=True), TABLE_ROWS))
    return list(columns), rows, max(lengths.values(), default=0) if total is None else total


def _of_pandas(frame: Any) -> Grid:
    """With its index, unless that only counts."""
    cut = frame.head(TABLE_ROWS)
    counts = cut.index.names == [None] and getattr(cut.index.dtype, "kind", "") in "iu"
    split = cut.to_dict(orient="split")
    if counts:
        return split["columns"], split["data"], len(frame)
    names = ["" if name is None else name for name in cut.index.names]
    before = [index if isinstance(index, tuple) else (index,) for index in split["index"]]
    rows = [[*index, *row] for index, row in zip(before, split["data"], strict=True)]
    return [*names, *split["columns"]], rows, len(frame)


_FRAMES: tuple[tuple[tuple[str, ...], Callable[[Any], Grid]], ...] = (
    (("to_frame", "name", "head"), lambda series: _grid(series.to_frame())),  # pandas, polars: one column
    (("to_dicts", "head"), lambda frame: _of_columns(frame.head(TABLE_ROWS).to_dict(as_series=False), len(frame))),
    (("to_pydict", "slice"), lambda table: _of_columns(table.slice(0, TABLE_ROWS).to_pydict(), table.num_rows)),
    (("to_dict", "head", "index"), _of_pandas),
    (("tolist", "shape"), lambda array: (*_of_rows(array[:TABLE_ROWS].tolist())[:2], len(array))),
)
"""What a kind of frame can be told by, and how its first rows are read: series, polars, Arrow, pandas, numpy."""


def _kept(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Clean rows as long as they take up no more than is kept."""
    kept, left = [], TABLE_BYTES
    for row in rows:
        clean = tuple(_clean(cell) for cell in row)
        left -= len(json.dumps(clean, ensure_ascii=False).encode()) + 2
        if left < 0:
            break
        kept.append(clean)
    return kept


def _clean(cell: Any) -> Any:
    """The cell in a type that JSON has; what is no number is null."""
    if cell is None or isinstance(cell, bool | int):
        return cell
    if isinstance(cell, float):
        return float(cell) if math.isfinite(cell) else None
    if isinstance(cell, str):
        return _cut(str(cell), CELL_CHARACTERS)
    if isinstance(cell, Mapping):
        return {str(name): _clean(inner) for name, inner in cell.items()}
    if isinstance(cell, list | tuple | set | frozenset):
        return [_clean(inner) for inner in cell]
    return _clean_other(cell)


def _clean_other(cell: Any) -> Any:
    """Numbers and arrays of numpy are what they hold, times are written as ISO says, anything else is its text."""
    if hasattr(cell, "tolist"):
        plain = cell.tolist()
        return _clean(plain) if type(plain) is not type(cell) else _cut(str(cell), CELL_CHARACTERS)
    if type(cell).__name__ in ("NaTType", "NAType"):  # what pandas writes where nothing is
        return None
    if hasattr(cell, "isoformat"):
        return cell.isoformat()
    return _cut(str(cell), CELL_CHARACTERS)


def _is_cell(value: Any) -> bool:
    """Whether it is no row or column but something that stands in one."""
    return isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__") or not hasattr(value, "__iter__")


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _no_table(problem: str) -> UsageError:
    return UsageError(problem, where=WHERE, fix=FIX)
