"""The SQL of the database of runs: plain text with named parameters, alike for SQLite and for servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dataflow.database.databases import Link, Parameters
from dataflow.database.rows import Row
from dataflow.database.shapes import SHAPES, Key

__all__ = ["Query", "Words", "put"]

AT_ONCE = 500
"""How many values one statement compares a column with: databases have a limit."""


class Words:
    """Statements in the spelling of one database.

    Args:
        quote: makes a name into SQL.

    Example:
        >>> from dataflow.database.rows import StateRow
        >>> Words(lambda name: f'"{name}"').delete(StateRow, "run_id")
        'DELETE FROM "run_states" WHERE "run_id" = :run_id'
    """

    def __init__(self, quote: Callable[[str], str]) -> None:
        self.quote = quote

    def delete(self, row: type[Row], *columns: str) -> str:
        """Deletes the rows whose columns have the values given."""
        return f"DELETE FROM {self.quote(SHAPES[row].table)} WHERE {' AND '.join(map(self.equals, columns))}"

    def insert(self, row: type[Row]) -> str:
        """Inserts a row."""
        shape = SHAPES[row]
        values = ", ".join(f":{name}" for name in shape.all_columns)
        return f"INSERT INTO {self.quote(shape.table)} ({self.names(shape.all_columns)}) VALUES ({values})"

    def select(self, row: type[Row], columns: Sequence[str]) -> str:
        """Gives columns of all rows; conditions follow."""
        return f"SELECT {self.names(columns)} FROM {self.quote(SHAPES[row].table)}"

    def names(self, columns: Iterable[str]) -> str:
        """A list of columns."""
        return ", ".join(map(self.quote, columns))

    def equals(self, column: str) -> str:
        """That a column has the value given under its name."""
        return f"{self.quote(column)} = :{column}"


class Query:
    """A question for rows of one class, put together from conditions."""

    def __init__(self, words: Words, row: type[Row], *, without: Iterable[str] = ()) -> None:
        left_out = set(without)
        self._words = words
        self._shape = SHAPES[row]
        self.columns = tuple(name for name in self._shape.columns if name not in left_out)
        self._conditions: list[str] = []
        self._parameters: dict[str, Any] = {}
        self._end = ""

    def equal(self, **values: Any) -> Query:
        """Only rows whose columns have these values; None stands for any."""
        given = {name: value for name, value in values.items() if value is not None}
        return self.where(" AND ".join(map(self._words.equals, given)), given) if given else self

    def among(self, column: str, values: Sequence[Any] | None) -> Query:
        """Only rows whose column has one of the values; None stands for any."""
        if values is None:
            return self
        named = {f"{column}_{number}": value for number, value in enumerate(values)}
        return self.where(
            f"{self._words.quote(column)} IN ({', '.join(f':{name}' for name in named)})" if named else "1 = 0", named
        )

    def where(self, condition: str, parameters: Parameters) -> Query:
        """Only rows for which a condition holds, written as SQL."""
        self._conditions.append(condition)
        self._parameters |= parameters
        return self

    def ordered(self, *columns: str, newest_first: bool = False, limit: int | None = None) -> Query:
        """In the order of columns, no more than so many."""
        direction = " DESC" if newest_first else ""
        self._end = f" ORDER BY {', '.join(self._words.quote(column) + direction for column in columns)}"
        if limit is not None:
            self._end += " LIMIT :limit"
            self._parameters["limit"] = limit
        return self

    def rows(self, link: Link) -> list[Any]:
        """The rows."""
        statement = self._words.select(self._shape.row, self.columns)
        return [self._shape.row_of(self.columns, values) for values in self.ask(link, statement)]

    def ask(self, link: Link, statement: str) -> Iterable[Sequence[Any]]:
        """What a statement gives under the conditions."""
        where = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        return link.ask(f"{statement}{where}{self._end}", self._parameters)


def put(link: Link, rows: Mapping[Key, Row]) -> None:
    """Write rows of any classes, each in place of the one with an equal key."""
    by_class: dict[type[Row], dict[Key, Row]] = {}
    for key, row in rows.items():
        by_class.setdefault(type(row), {})[key] = row
    for row_class, of_class in by_class.items():
        link.replace(SHAPES[row_class], of_class)
