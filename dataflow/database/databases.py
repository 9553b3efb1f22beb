"""What the writer and the reader need of a database, whichever it is; SQLite files have no need of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from dataflow.database.rows import Row
from dataflow.database.shapes import Key, Shape

__all__ = ["Database", "Link", "Parameters", "Statement"]

Parameters = Mapping[str, Any]
Statement = str
"""SQL with parameters as ``:name``."""


class Link(Protocol):
    """A connection, for as long as a block lasts."""

    def ask(self, statement: Statement, parameters: Parameters = ...) -> Iterable[Sequence[Any]]:
        """The rows that a statement gives."""
        ...

    def many(self, statement: Statement, parameters: Sequence[Parameters]) -> None:
        """Run a statement once for each of the parameters."""
        ...

    def replace(self, shape: Shape, rows: Mapping[Key, Row]) -> None:
        """Write rows of one class in place of those with equal keys."""
        ...


class Database(Protocol):
    """A database of runs. Used by one thread at a time."""

    problems: tuple[type[Exception], ...]
    """What it raises if it cannot do what it is asked."""
    refusals: tuple[type[Exception], ...]
    """Those of them that say that a row cannot be kept, while others can."""

    def quote(self, name: str) -> str:
        """A name as SQL: some columns are called like words of the language."""
        ...

    def version(self) -> str | None:
        """Which form its tables have; None if it has none yet, or is not there at all."""
        ...

    def create(self) -> None:
        """Make it with all its tables, unless somebody else just did."""
        ...

    def upgrade(self) -> None:
        """Bring its tables into the newest form, unless somebody else just did."""
        ...

    def reading(self) -> AbstractContextManager[Link]:
        """A connection that reads."""
        ...

    def writing(self) -> AbstractContextManager[Link]:
        """A transaction: all that is written in the block, or nothing if the block raises."""
        ...

    def is_in_place(self) -> bool:
        """Whether it still is what was opened: False if the file was taken away."""
        ...

    def is_busy(self, error: Exception) -> bool:
        """Whether an error says only that somebody else is writing."""
        ...

    def is_broken(self, error: Exception) -> bool:
        """Whether an error says that it will never work."""
        ...

    def tidy(self) -> None:
        """What may be put off until nobody waits."""
        ...

    def shrink(self) -> None:
        """Give space that deleted rows have left back to the system, where that is not done by itself."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...

    def forget(self) -> None:
        """Let go of connections without closing them: they belong to the process this one was forked from."""
        ...
