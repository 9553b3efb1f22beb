"""Tables of what is remembered: lists whose fields are named once, and given as text, HTML, pandas, Arrow or JSON."""

from __future__ import annotations

import html
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, ClassVar, Final, Generic, TypeVar, overload

from dataflow.errors import UsageError
from dataflow.quantities import shown_here, shown_number, shown_seconds

__all__ = ["Field", "Table", "aligned", "html_table", "optional_package", "utc"]

T = TypeVar("T")

GAP: Final = "  "
SHOWN_ROWS: Final = 50
"""So many rows stand in a notebook or in a text; the others are counted."""
EXTRAS: Final = {"pandas": "pandas", "pyarrow": "dask-dataflow[arrow]"}
"""What to install for a package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(Generic[T]):
    """One column of a table."""

    name: str
    get: Callable[[T], Any]
    kind: str = "text"
    """``"text"``, ``"count"``, ``"few"`` (a count that is mostly 0, which is not shown), ``"seconds"``, ``"time"``
    (seconds since the epoch)."""
    shown: bool = True
    """Whether people see it; programs always do."""

    @property
    def is_number(self) -> bool:
        """Whether it stands at the right."""
        return self.kind in {"count", "few", "seconds"}

    def text(self, row: T) -> str:
        """What people read."""
        value = self.get(row)
        return "" if value is None else TEXTS[self.kind](value)


TEXTS: Final[dict[str, Callable[[Any], str]]] = {
    "text": str,
    "count": shown_number,
    "few": lambda count: shown_number(count) if count else "",
    "seconds": shown_seconds,
    "time": shown_here,
}


def utc(seconds: float | None) -> str | None:
    """A time as programs read it: ISO 8601, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def optional_package(name: str) -> ModuleType:
    """A package that is not needed for anything else.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)  # loaded when asked for: it takes longer to load than all else here
    except ImportError:
        raise UsageError(f"{name} is not installed", fix=f"pip install {EXTRAS[name]}") from None


class Table(Sequence[T]):
    """A list of remembered things that also gives itself as a table."""

    fields: ClassVar[tuple[Field[Any], ...]] = ()

    def __init__(self, rows: Sequence[T] = ()) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, position: int) -> T: ...
    @overload
    def __getitem__(self, position: slice) -> Table[T]: ...
    def __getitem__(self, position: int | slice) -> T | Table[T]:
        return type(self)(self._rows[position]) if isinstance(position, slice) else self._rows[position]

    def __iter__(self) -> Iterator[T]:
        return iter(self._rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A dictionary for each row, as programs read it: times in ISO 8601, UTC."""
        return [
            {field.name: utc(field.get(row)) if field.kind == "time" else field.get(row) for field in self.fields}
            for row in self._rows
        ]

    def to_pandas(self) -> Any:
        """A pandas `DataFrame`; times are in UTC.

        Raises:
            UsageError: pandas is not installed.
        """
        pandas = optional_package("pandas")
        return pandas.DataFrame(
            {
                field.name: pandas.to_datetime(column, unit="s", utc=True) if field.kind == "time" else column
                for field, column in self._columns()
            }
        )

    def to_arrow(self) -> Any:
        """A `pyarrow.Table`; times are in UTC.

        Raises:
            UsageError: pyarrow is not installed.
        """
        pa = optional_package("pyarrow")
        types = {
            "text": pa.string(),
            "count": pa.int64(),
            "few": pa.int64(),
            "seconds": pa.float64(),
            "time": pa.timestamp("us", tz="UTC"),
        }
        return pa.table(
            {
                field.name: pa.array(map(_moment, column) if field.kind == "time" else column, types[field.kind])
                for field, column in self._columns()
            }
        )

    def _columns(self) -> Iterator[tuple[Field[Any], list[Any]]]:
        return ((field, [field.get(row) for row in self._rows]) for field in self.fields)

    def _shown(self) -> tuple[list[Field[Any]], list[list[str]]]:
        """What people see: columns in which something stands, and the first rows."""
        rows = self._rows[:SHOWN_ROWS]
        texts = [(field, [field.text(row) for row in rows]) for field in self.fields if field.shown]
        used = [(field, column) for field, column in texts if any(column)]
        return [field for field, _ in used], [list(row) for row in zip(*(column for _, column in used), strict=True)]

    def _more(self) -> str:
        return f"{len(self) - SHOWN_ROWS:,} more" if len(self) > SHOWN_ROWS else ""

    def __repr__(self) -> str:
        if not self._rows:
            return f"<no {type(self).__name__.lower()}>"
        fields, rows = self._shown()
        numbers = [field.is_number for field in fields]
        lines = aligned([[field.name.upper() for field in fields], *rows], numbers)
        return "\n".join([*lines, *filter(None, [self._more()])])

    def _repr_html_(self) -> str:
        fields, rows = self._shown()
        return html_table([field.name for field in fields], rows, [field.is_number for field in fields], self._more())


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def aligned(rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> list[str]:
    """Lines in which the cells of each column stand below each other, numbers at the right.

    Example:
        >>> aligned([["NODE", "DONE"], ["load", "7"]], [False, True])
        ['NODE  DONE', 'load     7']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in rows
    ]


def html_table(titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool], more: str = "") -> str:
    """A table that a notebook shows."""
    sides = ["right" if is_number else "left" for is_number in numbers]
    head = "".join(
        f'<th style="text-align:{side}">{html.escape(t)}</th>' for t, side in zip(titles, sides, strict=True)
    )
    lines = [
        "".join(f'<td style="text-align:{side}">{html.escape(t)}</td>' for t, side in zip(row, sides, strict=True))
        for row in rows
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    end = f"<p>{html.escape(more)}</p>" if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{end}"
