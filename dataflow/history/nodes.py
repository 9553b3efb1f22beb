"""Nodes of a past run: what became of them, in numbers, and why their elements failed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from dataflow.database.rows import NodeRow
from dataflow.history.tables import Field, Table
from dataflow.states import FINAL, NAMES, UNSUCCESSFUL, State, StateType

if TYPE_CHECKING:
    from dataflow.causes.values import Cause
    from dataflow.history.executions import PastExecution

__all__ = ["Nodes", "PastNode"]

NO_WORD = "its run ended without a word"


class PastNode:
    """One node of an execution, as it was last written down.

    Args:
        execution: that it belongs to.
        row: what the database has of it.
        is_dead: whether the run ended without a word: then this node did, too.
    """

    def __init__(self, execution: PastExecution, row: NodeRow, *, is_dead: bool = False) -> None:
        self._execution = execution
        self._row = row
        self._is_dead = is_dead and row.state not in FINAL and row.state != StateType.PENDING

    def __repr__(self) -> str:
        length = "?" if self.length is None else f"{self.length:,}"
        return f"<{self.slug}: {self.state.name}, {self.done:,} of {length}>"

    @property
    def slug(self) -> str:
        """What it is called: ``"load"``, ``"load-2"``."""
        return self._row.slug

    @property
    def number(self) -> int:
        """Its position in the graph of its execution."""
        return self._row.number

    @property
    def task(self) -> str:
        """Name of its task."""
        return self._row.task

    @property
    def is_mapped(self) -> bool:
        """Whether its call was repeated for each element of what was mapped over."""
        return self._row.is_mapped

    @property
    def kind(self) -> StateType:
        """The type of its state."""
        return StateType.CRASHED if self._is_dead else StateType(self._row.state)

    @property
    def state(self) -> State[None]:
        """What became of it, without its value."""
        return State(type=self.kind, message=NO_WORD if self._is_dead else self._row.message)

    @property
    def length(self) -> int | None:
        """Number of its elements; None if that was not known."""
        return self._row.length

    @property
    def done(self) -> int:
        """How many of them have ended."""
        return self._row.done

    @cached_property
    def counts(self) -> dict[StateType, int]:
        """How many elements are in which state."""
        return {StateType(int(kind)): count for kind, count in json.loads(self._row.counts).items()}

    @property
    def failed(self) -> int:
        """How many elements have ended without a value, other than by being skipped."""
        return sum(count for kind, count in self.counts.items() if kind in UNSUCCESSFUL)

    def count(self, kind: StateType) -> int:
        """How many elements are in a state."""
        return self.counts.get(kind, 0)

    @property
    def seconds(self) -> float:
        """Sum of the durations of its elements."""
        return self._row.seconds

    @property
    def mean_seconds(self) -> float | None:
        """How long an element took; None if none has ended."""
        ran = self.done - self.count(StateType.CACHED) - self.count(StateType.UPSTREAM_FAILED)
        return self._row.seconds / ran if ran > 0 and self._row.seconds else None

    @property
    def started(self) -> float | None:
        """When its first batch began, in seconds since the epoch."""
        return self._row.started

    @property
    def ended(self) -> float | None:
        """When its last batch ended, in seconds since the epoch."""
        return self._row.ended

    @property
    def collection(self) -> str:
        """Where in their store its results are; empty if they were not kept."""
        return self._row.collection

    @property
    def store(self) -> str:
        """URL of the store of its results; empty if they were not kept."""
        return self._row.store

    @property
    def causes(self) -> list[Cause]:
        """Why elements failed, the most frequent reason first."""
        return [] if self._row.causes == "[]" else self._causes

    @cached_property
    def _causes(self) -> list[Cause]:
        causes = importlib.import_module("dataflow.causes.values")  # most nodes have none
        found: list[Cause] = causes.causes_from_json(self._row.causes)
        return found

    def to_dict(self) -> dict[str, Any]:
        """What is known of it, as programs read it: times in ISO 8601, UTC."""
        counts = {NAMES[kind]: count for kind, count in self.counts.items()}
        return {**Nodes([self]).to_dicts()[0], "counts": counts, "causes": list(map(asdict, self.causes))}

    def elements(self, **which: Any) -> Any:
        """Its elements that have ended; see `PastRun.elements` for how to choose among them."""
        return self._execution.elements(self.slug, **which)

    def logs(self, **which: Any) -> Any:
        """What its elements logged; see `PastRun.logs` for how to choose."""
        return self._execution.logs(self.slug, **which)


def _counted(*kinds: StateType) -> Callable[[PastNode], int]:
    return lambda node: sum(map(node.count, kinds))


class Nodes(Table[PastNode]):
    """The nodes of an execution, in the order of their calls."""

    fields: ClassVar[tuple[Field[PastNode], ...]] = (
        Field(name="node", get=lambda node: node.slug),
        Field(name="task", get=lambda node: node.task, shown=False),
        Field(name="state", get=lambda node: NAMES[node.kind]),
        Field(name="elements", get=lambda node: node.length, kind="count"),
        Field(name="done", get=lambda node: node.done, kind="count"),
        Field(name="failed", get=lambda node: node.failed, kind="few"),
        Field(name="cached", get=_counted(StateType.CACHED), kind="few"),
        Field(name="skipped", get=_counted(StateType.SKIPPED), kind="few"),
        Field(name="waiting", get=_counted(StateType.AWAITING_RETRY, StateType.PAUSED), kind="few"),
        Field(name="seconds", get=lambda node: node.seconds, kind="seconds"),
        Field(name="each", get=lambda node: node.mean_seconds, kind="seconds"),
        Field(name="started", get=lambda node: node.started, kind="time", shown=False),
        Field(name="ended", get=lambda node: node.ended, kind="time", shown=False),
        Field(name="message", get=lambda node: node.state.message, shown=False),
    )
