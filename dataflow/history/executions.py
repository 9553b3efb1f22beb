"""Executions of a past run: the first, retries of its flow, resumes; each with its own nodes, elements and logs."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from dataflow.database.rows import ExecutionRow
from dataflow.errors import HistoryError
from dataflow.history.logs import BODY, LogLine, Logs, lines_of
from dataflow.history.nodes import Nodes, PastNode
from dataflow.history.tables import Field, Table
from dataflow.states import FINAL, NAMES, State, StateType

if TYPE_CHECKING:
    from dataflow.database.reader import Reader
    from dataflow.history.elements import Elements

__all__ = ["Executions", "PastExecution"]

SHOWN_SLUGS = 8
"""So many nodes are named where none is similar to what was asked for."""


class PastExecution:
    """One attempt at a run, in one process.

    Args:
        reader: of the database.
        row: what the database has of it.
        number: 1 for the first of its run.
        is_dead: whether its process ended without a word.
    """

    def __init__(self, reader: Reader, row: ExecutionRow, number: int, *, is_dead: bool = False) -> None:
        self._reader = reader
        self.row = row
        self.number = number
        self._is_dead = is_dead and row.ended is None and row.state not in FINAL

    def __repr__(self) -> str:
        return f"<execution {self.number}: {self.state.name}>"

    @property
    def id(self) -> str:
        """Its identity."""
        return self.row.id

    @property
    def state(self) -> State[None]:
        """How it ended, or the state it is in."""
        kind = StateType.CRASHED if self._is_dead else StateType(self.row.state)
        if kind is StateType.AWAITING_RETRY and self.ended is not None:
            kind = StateType.FAILED  # the run awaits its next attempt, this one is over
        return State(type=kind, message=self.row.message)

    @property
    def started(self) -> float:
        """Seconds since the epoch."""
        return self.row.started

    @property
    def ended(self) -> float | None:
        """Seconds since the epoch; None if it has not ended, or ended without a word."""
        return self.row.ended

    @property
    def cluster(self) -> str:
        """Name or address of where it ran."""
        return self.row.cluster

    @property
    def process(self) -> str:
        """The process it ran in, and its machine."""
        return self.row.process

    @property
    def host(self) -> str:
        """Name of the machine of its process."""
        return self.row.host

    @property
    def user(self) -> str:
        """Who ran it."""
        return self.row.user

    @property
    def lost(self) -> int:
        """How many rows could not be kept, because the database was out of reach for too long."""
        return self.row.lost

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What else is known of where it ran."""
        known: dict[str, Any] = json.loads(self.row.facts)
        return known

    @cached_property
    def nodes(self) -> Nodes:
        """Its nodes, in the order of their calls."""
        return Nodes([PastNode(self, row, is_dead=self._is_dead) for row in self._reader.nodes(self.id)])

    def node(self, slug: str) -> PastNode:
        """A node by its name.

        Raises:
            HistoryError: there is none of this name.
        """
        for node in self.nodes:
            if node.slug == slug:
                return node
        slugs = [node.slug for node in self.nodes]
        near = difflib.get_close_matches(slug, slugs, n=3) or slugs[:SHOWN_SLUGS]
        more = ", …" if len(near) == SHOWN_SLUGS < len(slugs) else ""
        fix = f"one of {', '.join(near)}{more}" if near else ""
        raise HistoryError(f"no node is called {slug!r}", where=f"run {self.row.run_id}", fix=fix)

    def elements(self, node: str | None = None, **which: Any) -> Elements:
        """Its elements that have ended; see `PastRun.elements`."""
        number = None if node is None else self.node(node).number
        columns = importlib.import_module("dataflow.history.elements")  # numpy takes as long to load as all else here
        batches = {row.number: row for row in self._reader.batches(self.id)}
        slugs = {one.number: one.slug for one in self.nodes}
        segments = self._reader.segments(self.id, node=number)
        found: Elements = columns.Elements(columns.ElementColumns(segments, batches, slugs))
        return found.where(**which) if which else found

    def logs(self, node: str | None = None, **which: Any) -> Logs:
        """What its elements and the body of its flow logged; see `PastRun.logs`."""
        return Logs(self.new_logs(0, node, **which)[0])

    def new_logs(self, seen: int, node: str | None = None, **which: Any) -> tuple[list[LogLine], int]:
        """The lines that were written after others, and how far that is, to ask for those that come later.

        Args:
            seen: 0, or how far it was the last time.
            node: name of a node, ``"flow"`` for the body; lines of a node that is not there yet are none.
            which: as for `logs`.
        """
        numbers = {one.slug: one.number for one in self.nodes}
        is_of_body = node == BODY and node not in numbers
        if node is not None and node not in numbers and not is_of_body:
            return [], seen
        names = {one.number: (one.slug, one.is_mapped) for one in self.nodes}
        rows = self._reader.logs(self.id, node=None if node is None else numbers.get(node), after_id=seen)
        wanted = (row for _, row in rows if row.node is None or not is_of_body)
        return lines_of(wanted, names, **which), max((at for at, _ in rows), default=seen)


class Executions(Table[PastExecution]):
    """The attempts at a run, the first one first."""

    fields: ClassVar[tuple[Field[PastExecution], ...]] = (
        Field(name="execution", get=lambda one: one.number, kind="count"),
        Field(name="id", get=lambda one: one.id, shown=False),
        Field(name="state", get=lambda one: NAMES[one.state.type]),
        Field(name="started", get=lambda one: one.started, kind="time"),
        Field(name="ended", get=lambda one: one.ended, kind="time"),
        Field(name="cluster", get=lambda one: one.cluster),
        Field(name="host", get=lambda one: one.host),
        Field(name="user", get=lambda one: one.user, shown=False),
        Field(name="message", get=lambda one: one.state.message, shown=False),
    )
