"""Log lines of a past run, each with the element that said it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import ClassVar, NamedTuple

from dataflow.database.columns import Line, unpack_lines
from dataflow.database.rows import LogRow
from dataflow.errors import HistoryError
from dataflow.history.tables import Field, Table
from dataflow.quantities import shown_clock

__all__ = ["BODY", "LogLine", "Logs", "level_of", "lines_of"]

PRINTED = "print"
BODY = "flow"
"""What the body of the flow is called where lines are shown and chosen, unless a node is called so."""


class LogLine(NamedTuple):
    """One thing that was logged or printed."""

    time: float
    """Seconds since the epoch."""
    level: int
    """As of `logging`; 0 for what was printed."""
    place: str
    """``"load[17]"``, ``"load"`` for a plain node; empty for the body of the flow."""
    message: str
    logger: str
    """Name of the logger; ``"print"`` for what was printed."""
    node: str | None
    """Slug of the node; None for the body of the flow."""
    index: int | None  # type: ignore[assignment]  # a field, not the method that tuples have
    """Index of the element; None for a plain node and for the body of the flow."""
    attempt: int

    @property
    def level_name(self) -> str:
        """``"INFO"``; ``"print"`` for what was printed."""
        return logging.getLevelName(self.level) if self.level else PRINTED

    def __str__(self) -> str:
        place = (self.place or BODY) + (f" (attempt {self.attempt})" if self.attempt > 1 else "")
        return f"{shown_clock(self.time)} | {self.level_name:<7} | {place} | {self.message}"


class Logs(Table[LogLine]):
    """Lines of logs in the order of their times."""

    fields: ClassVar[tuple[Field[LogLine], ...]] = (
        Field(name="time", get=lambda line: line.time, kind="time"),
        Field(name="level", get=lambda line: line.level_name),
        Field(name="place", get=lambda line: line.place),
        Field(name="attempt", get=lambda line: line.attempt, kind="count", shown=False),
        Field(name="logger", get=lambda line: line.logger, shown=False),
        Field(name="message", get=lambda line: line.message),
    )

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "<no logs>"


def level_of(level: int | str | None) -> int:
    """The number of a level.

    Raises:
        HistoryError: there is no such level.

    Example:
        >>> level_of("warning"), level_of(None)
        (30, 0)
    """
    if level is None or isinstance(level, int):
        return level or 0
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise HistoryError(f"{level!r} is no level of logs", fix="DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return levels[level.upper()]


def lines_of(
    rows: Iterable[LogRow],
    nodes: Mapping[int, tuple[str, bool]],
    *,
    index: int | None = None,
    level: int | str | None = None,
    text: str | None = None,
) -> list[LogLine]:
    """The lines in some rows, in the order of their times.

    Args:
        rows: of one execution.
        nodes: slug of each node, and whether it is mapped, by number.
        index: only of this element.
        level: at least this; a number or a name.
        text: only lines in which this stands.
    """
    least = level_of(level)
    found = _read(row for row in rows if row.highest_level >= least)
    wanted = (
        _placed(row, line, nodes)
        for row, line in found
        if line.level >= least and (index is None or line.element == index) and (text is None or text in line.message)
    )
    return sorted(wanted, key=attrgetter("time"))


def _read(rows: Iterable[LogRow]) -> Iterator[tuple[LogRow, Line]]:
    return ((row, line) for row in rows for line in unpack_lines(row.lines))


def _placed(row: LogRow, line: Line, nodes: Mapping[int, tuple[str, bool]]) -> LogLine:
    slug, is_mapped = (None, False) if row.node is None else nodes.get(row.node, (f"node {row.node}", True))
    index = line.element if is_mapped else None
    place = f"{slug}[{index}]" if index is not None else slug or ""
    return LogLine(line.time, line.level, place, line.message, line.logger, slug, index, line.attempt)
