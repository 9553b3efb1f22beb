"""Past runs: what happened in a run, asked of the database, in this process or another one, now or weeks later."""

from __future__ import annotations

import html
import importlib
import json
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from dataflow.database.rows import ExecutionRow, RunRow
from dataflow.errors import HistoryError
from dataflow.history.executions import Executions, PastExecution
from dataflow.history.filters import States
from dataflow.history.liveness import AT_REST, seen_state
from dataflow.history.logs import BODY, Logs
from dataflow.history.nodes import Nodes, PastNode
from dataflow.history.resuming import ENDED_EARLY, WAITING, Resuming, asked_text, resuming_of, take_up
from dataflow.history.tables import Field, Table, utc
from dataflow.quantities import shown_here, shown_seconds
from dataflow.states import NAMES, State, StateType

if TYPE_CHECKING:
    from dataflow.artifacts.views import Artifact
    from dataflow.database.reader import Reader
    from dataflow.history.comparing import Comparison
    from dataflow.history.elements import Elements
    from dataflow.stories import Story
    from dataflow_results.records import ResultReference

__all__ = ["PastRun", "Runs"]


class PastRun:
    """A run as the database remembers it at the moment; ask `dataflow.history.run` again for what came after.

    Args:
        reader: of the database.
        row: what the database has of it.
    """

    def __init__(self, reader: Reader, row: RunRow) -> None:
        self._reader = reader
        self.row = row

    # What it was

    @property
    def id(self) -> str:
        """Its identity."""
        return self.row.id

    @property
    def flow(self) -> str:
        """Name of its flow."""
        return self.row.flow

    @property
    def name(self) -> str:
        """What it was called: ``flow_run_name``, else as its flow."""
        return self.row.name

    @property
    def parent(self) -> str | None:
        """Id of the run that it was begun in."""
        return self.row.parent or None

    def begun(self, limit: int | None = None) -> Runs:
        """Runs that were begun in it, the newest first: flows called in flows, work that elements submitted.

        Args:
            limit: so many at most.
        """
        return Runs([PastRun(self._reader, row) for row in self._reader.runs(limit=limit, parent=self.id)])

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The parameters of its flow, each as a short text."""
        known: dict[str, str] = json.loads(self.row.parameters)
        return known

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return tuple(json.loads(self.row.tags))

    # What became of it

    @cached_property
    def state(self) -> State[None]:
        """What became of it, without its value; Crashed if its process ended without a word."""
        rows = [] if self.row.state in AT_REST else self._execution_rows
        return seen_state(self.row, rows[-1] if rows else None, time.time())

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended, and its process is at work on it."""
        return self.state.type not in AT_REST

    def again(self) -> PastRun:
        """The run as it is remembered by now."""
        return PastRun(self._reader, self._reader.run(self.id) or self.row)

    @property
    def started(self) -> float:
        """Seconds since the epoch."""
        return self.row.started

    @property
    def ended(self) -> float | None:
        """Seconds since the epoch; of a run that crashed its last sign of life; None if it goes on."""
        if self.row.ended is not None or not self.state.is_final():
            return self.row.ended
        return self._execution_rows[-1].heartbeat

    @property
    def seconds(self) -> float:
        """How long it took, or has taken up to now."""
        return (time.time() if self.ended is None else self.ended) - self.started

    @property
    def states(self) -> list[tuple[float, State[None]]]:
        """The states it came into, each with its time in seconds since the epoch."""
        rows = self._reader.states(self.id)
        told = [(row.time, State[None](type=StateType(row.state), name=row.name, message=row.message)) for row in rows]
        is_told = not told or told[-1][1].type is self.state.type or not self.state.is_crashed()
        return told if is_told else [*told, (self.ended or self.started, self.state)]

    @cached_property
    def executions(self) -> Executions:
        """Its executions, the first one first: retries of the flow, resumes."""
        is_dead, last = self.state.is_crashed(), len(self._execution_rows)
        found = enumerate(self._execution_rows, start=1)
        return Executions(
            [PastExecution(self._reader, row, number, is_dead=is_dead or number < last) for number, row in found]
        )

    @property
    def cluster(self) -> str:
        """Name or address of where it ran last."""
        return self._execution_rows[-1].cluster if self._execution_rows else ""

    @cached_property
    def resuming(self) -> Resuming | None:
        """How it is resumed; None if it cannot be, or need not."""
        # Of what died in its first moments no node was written down: then only the store knows what it has kept.
        keeps_results = not self.nodes or any(node.collection for node in self.nodes)
        row = self._reader.run(self.id) or self.row  # lists of runs leave the arguments out
        return resuming_of(row, self.state, keeps_results=keeps_results)

    @property
    def asks(self) -> list[str]:
        """What it asks people for: ``"pause-1: Choice (sample: string, weight: number = 1.0)"``."""
        rows = self._reader.requests(self.id, open_only=True) if self.state.type in WAITING else []
        return list(filter(None, map(asked_text, rows)))

    @property
    def is_resumable(self) -> bool:
        """Whether it ended before its time, and can be resumed without running again what is kept."""
        return self.resuming is not None

    def resume(self, run_input: Any = None) -> State[Any]:
        """Take it up again here, by the file and the arguments it was run with: what it has kept is not run again.

        Args:
            run_input: what it asked for when it was suspended, or when its process ended.

        Raises:
            HistoryError: it cannot be resumed, or only by its flow: see `resuming`.
            InputError: the input does not fit; nothing was run.
        """
        if self.resuming is None:
            fix = "runs can be resumed that ended before their time and have kept results, or were suspended"
            kept_nothing = ", and has kept no results" if self.state.type in ENDED_EARLY else ""
            raise HistoryError(f"it is {self.state.name}{kept_nothing}", where=f"run {self.id}", fix=fix)
        if not self.resuming.command:
            problem = "it was not kept where its flow is, or with which arguments it was called"
            raise HistoryError(problem, where=f"run {self.id}", fix=self.resuming.python)
        return take_up(self._reader.run(self.id) or self.row, run_input)

    # What is in it

    @property
    def nodes(self) -> Nodes:
        """The nodes of its last execution, in the order of their calls."""
        return self.executions[-1].nodes if self.executions else Nodes()

    def node(self, slug: str) -> PastNode:
        """A node of its last execution by its name.

        Raises:
            HistoryError: there is none of this name.
        """
        return self._last.node(slug)

    def elements(
        self,
        node: str | None = None,
        *,
        state: States | None = None,
        exception: str | type | None = None,
        worker: str | None = None,
        longer_than_seconds: float | None = None,
        limit: int | None = None,
    ) -> Elements:
        """Elements of its last execution that have ended and fit everything that is given.

        Args:
            node: name of their node; ``"load[17]"`` is one element of it.
            state: a state or several, by type or name.
            exception: type of their exception, or its name with or without its module.
            worker: name of the worker they ran on.
            longer_than_seconds: those that took longer.
            limit: the first of them.

        Raises:
            HistoryError: there is no such node.
            UsageError: there is no such state.
        """
        node, index = _node_and_index(node)
        found = self._last.elements(node).where(index=index)
        return found.where(
            state=state, exception=exception, worker=worker, longer_than_seconds=longer_than_seconds, limit=limit
        )

    def logs(
        self,
        node: str | None = None,
        *,
        index: int | None = None,
        level: int | str | None = None,
        text: str | None = None,
    ) -> Logs:
        """What its elements and the body of its flow logged and printed, in all its executions.

        Args:
            node: name of a node, ``"load[17]"`` for one element, ``"flow"`` for the body.
            index: index of an element.
            level: at least this level, ``"WARNING"`` or its number; what was printed has level 0.
            text: only lines in which this stands.

        Raises:
            HistoryError: there is no such node or level.
        """
        if index is None:
            node, index = _node_and_index(node)
        if node not in {None, BODY} and not any(node == one.slug for each in self.executions for one in each.nodes):
            self.node(node)  # says what there is
        return Logs([line for one in self.executions for line in one.logs(node, index=index, level=level, text=text)])

    def artifacts(self, key: str | None = None) -> list[Artifact]:
        """What it made to be looked at; of each key the newest version.

        Args:
            key: only this one.
        """
        made = importlib.import_module("dataflow.history.made")  # loaded when asked for: most runs make none
        rows = self._reader.artifacts(run_id=self.id, key=key)
        found: list[Artifact] = made.artifacts_made(self._reader, rows)
        return found

    def story(self, place: Any) -> Story:
        """What happened to a node or an element (``"load[17]"``), state by state, each with its reason.

        Raises:
            UsageError: there is no such node or element in its last execution.
        """
        stories = importlib.import_module("dataflow.history.stories")  # here and below: not needed to list and show
        story: Story = stories.story_of(self._reader, self._last.row, place)
        return story

    def result(self, place: Any, *, storage: Any = None, raise_on_failure: bool = True) -> Any:
        """The kept value of a node or an element; of a map a list. Loading it runs code of whoever wrote it.

        Args:
            place: ``"load"``, ``"load[17]"``, or a pair of a slug and an index.
            storage: the store, where it needs more than its URL: a location with options, or an open store.
            raise_on_failure: whether the exception of what failed is raised; else it stands in the place of the value.

        Raises:
            UsageError: there is no such node or element.
            NotFinished: it had not ended.
            ResultMissing: it was not kept, or is not in the store any more.
            StoreError: the store does not answer.
            Exception: what failed raises what it raised in the run.
        """
        results = importlib.import_module("dataflow.history.results")
        return results.result_of(
            self._reader, self.row, self._last.row, place, storage=storage, raise_on_failure=raise_on_failure
        )

    def reference(self, place: Any) -> ResultReference | None:
        """Where the kept value of an element lies; None if it was not kept.

        Raises:
            UsageError: there is no such node or element, or the node is mapped and no element was said.
            NotFinished: it had not ended.
        """
        results = importlib.import_module("dataflow.history.results")
        found: ResultReference | None = results.reference_of(self._reader, self.row, self._last.row, place)
        return found

    def compare(self, other: PastRun | str) -> Comparison:
        """How a later run differs from this one.

        Args:
            other: the run, or its id.

        Raises:
            HistoryError: there is no such run.
        """
        row = self._reader.run(other) if isinstance(other, str) else other.row
        if row is None:
            raise HistoryError(f"there is no run {other!r}", where=f"history {self._reader.where}", fix="see runs()")
        comparing = importlib.import_module("dataflow.history.comparing")
        comparison: Comparison = comparing.compare(self._reader, self.row, row)
        return comparison

    # As a table

    def to_pandas(self) -> Any:
        """Its nodes as a pandas `DataFrame`."""
        return self.nodes.to_pandas()

    def to_arrow(self) -> Any:
        """Its nodes as a `pyarrow.Table`."""
        return self.nodes.to_arrow()

    def to_dict(self) -> dict[str, Any]:
        """What is known of it and its nodes, as programs read it: times in ISO 8601, UTC."""
        return {
            **Runs([self]).to_dicts()[0],
            "parent_place": self.row.parent_place,
            "parameters": dict(self.parameters),
            "tags": list(self.tags),
            "cluster": self.cluster,
            "is_resumable": self.is_resumable,
            "states": [
                {"time": utc(moment), "state": state.name, "message": state.message} for moment, state in self.states
            ],
            "executions": self.executions.to_dicts(),
            "nodes": [node.to_dict() for node in self.nodes],
        }

    @cached_property
    def _execution_rows(self) -> list[ExecutionRow]:
        return self._reader.executions(self.id)

    @property
    def _last(self) -> PastExecution:
        return self.executions[-1]

    def _head(self) -> str:
        took = f"{shown_seconds(self.seconds)}" if self.state.is_final() else f"since {shown_seconds(self.seconds)}"
        return f"run {self.id} of {self.flow!r}: {self.state.name}, {shown_here(self.started)}, {took}"

    def __repr__(self) -> str:
        return "\n".join([self._head(), *filter(None, [self.state.message]), repr(self.nodes)])

    def _repr_html_(self) -> str:
        message = f"<p>{html.escape(self.state.message)}</p>" if self.state.message else ""
        return f"<p><b>{html.escape(self._head())}</b></p>{message}{self.nodes._repr_html_()}"


def _node_and_index(place: str | None) -> tuple[str | None, int | None]:
    """What ``"load[17]"`` means: a node, and which of its elements."""
    if place is None or "[" not in place:
        return place, None
    places = importlib.import_module("dataflow.places")  # it loads graphs, which lists of runs do not need
    found: tuple[str, int | None] = places.parse_place(place)
    return found


class Runs(Table[PastRun]):
    """Runs, the newest first."""

    fields: ClassVar[tuple[Field[PastRun], ...]] = (
        Field(name="run", get=lambda run: run.id),
        Field(name="flow", get=lambda run: run.flow),
        Field(name="name", get=lambda run: run.name, shown=False),
        Field(name="state", get=lambda run: NAMES[run.state.type]),
        Field(name="started", get=lambda run: run.started, kind="time"),
        Field(name="ended", get=lambda run: run.ended, kind="time", shown=False),
        Field(name="seconds", get=lambda run: run.seconds, kind="seconds"),
        Field(name="parent", get=lambda run: run.parent),
        Field(name="message", get=lambda run: run.state.message, shown=False),
    )
