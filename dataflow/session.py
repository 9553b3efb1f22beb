"""Runs: one execution of a flow on a cluster; the only place where graph, compiler and engine are wired together."""

from __future__ import annotations

import pickle
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from dataflow.compiler.program import Compiled, Compiler
from dataflow.engine.clusters import resolve_cluster
from dataflow.engine.columns import Column, size_of_value
from dataflow.engine.driver import Driver
from dataflow.engine.events import CancelAsked, Event, HoldersGone, StagesAdded
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.failures import Failure, exception_of, pack_error
from dataflow.errors import Cancelled, NotFinished
from dataflow.graph.nodes import Elements, Graph, Node
from dataflow.graph.stages import Stage, form_stages
from dataflow.settings import settings
from dataflow.states import State, StateType

__all__ = ["Run", "SummaryRow", "open_run", "start_graph"]

CACHED_BYTES = 64_000_000
SMALL_TYPES = frozenset({int, float, bool, complex, type(None)})
"""Types whose values are never large, so that they need not be asked."""
WHOLE_COLUMN_BYTES = 1_000_000
"""Columns up to this size are fetched whole when one element is asked for, since others mostly follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """What became of one node, in numbers."""

    node: str
    elements: int
    failed: int
    batches: int
    seconds: float
    """From the start of its first batch to the end of its last."""
    task_seconds: float
    """Sum of the durations of its elements."""
    engine_seconds: float
    """Time of its batches that was not spent in the user's functions, shared among the nodes of a stage."""


class Run:
    """One execution of a flow.

    Args:
        name: name of the flow.
        graph: the graph its nodes are added to.
        cluster: where to run; see `resolve_cluster`.
        cut_held: whether a plain node whose future is held must end its stage, so that its value comes early.

    Raises:
        ClusterError: the cluster cannot be used.
    """

    def __init__(self, name: str, graph: Graph, cluster: Any = None, *, cut_held: bool = True) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.name = name
        self.graph = graph
        self._cut_held = cut_held
        self._pending: list[Node] = []
        self._pending_since = 0.0
        self._pending_lock = Lock()
        self._send_now = False
        self._compiler = Compiler(_is_large)
        self._kept: frozenset[Node] = frozenset()
        self._columns: OrderedDict[str, Column] = OrderedDict()
        self._driver = Driver(self.id, resolve_cluster(cluster), prepare=self._due_stages, due=self._due_at)

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.name!r}>"

    # Sending

    def announce(self, node: Node) -> None:
        """A node was added; it is sent when something of the run is asked for, or shortly after."""
        with self._pending_lock:
            if not self._pending:
                self._pending_since = time.monotonic()
            self._pending.append(node)
            first = len(self._pending) == 1
        if first:
            self._driver.post(None)

    def send(self) -> None:
        """Send what was announced."""
        self._send_now = True
        self._driver.post(None)

    def keep(self, nodes: Sequence[Node]) -> None:
        """Keep the values of these nodes to the end of the run."""
        self._kept |= frozenset(nodes)

    def _due_at(self) -> float | None:
        return self._pending_since + settings().send_after_seconds if self._pending else None

    def _due_stages(self) -> list[Event]:
        """Stages of the announced nodes, if it is time to send them."""
        due = self._due_at()
        if due is None or not (self._send_now or time.monotonic() >= due):
            return []
        with self._pending_lock:
            nodes, self._pending = self._pending, []
            self._send_now = False
        stages = compile_stages(nodes, self._compiler, kept=self._kept, cut_held=self._cut_held)
        return [StagesAdded(tuple(stages), self._kept & frozenset(nodes))]

    # Waiting

    def wait(self, node: Node, index: int | None = None, timeout: float | None = None) -> bool:
        """Wait until a node, or one element of it, has ended; gives False if the timeout (seconds) came first."""
        self.send()
        return self._driver.wait(partial(self._done, node, index), timeout)

    def done(self, node: Node, index: int | None = None) -> bool:
        """Whether a node, or one element of it, has ended."""
        with self._driver.changed:
            return self._done(node, index)

    def _done(self, node: Node, index: int | None = None) -> bool:
        facts = self._facts(node)
        if facts is None:
            return False
        if index is None or node.space is None:
            return facts.ended
        return facts.segment_at(index) is not None or (facts.ended and index >= (facts.length or 0))

    def finish(self) -> None:
        """Wait until everything that was announced has ended."""
        self.send()
        self._driver.wait(self._all_done)

    def _all_done(self) -> bool:
        return not self._pending and all(facts.ended for facts in self._driver.machine.facts.values())

    def _facts(self, node: Node) -> NodeFacts | None:
        return self._driver.machine.facts.get(node)

    # Asking

    def length(self, node: Node, timeout: float | None = None) -> int:
        """Number of elements of a mapped node; waits only while that is unknown.

        Raises:
            NotFinished: it is still unknown after the timeout (seconds).
        """
        if node.space is not None and node.space.length is not None:
            return node.space.length
        self.send()
        known = self._driver.wait(
            lambda: (facts := self._facts(node)) is not None and facts.length is not None, timeout
        )
        facts = self._facts(node)
        if not known or facts is None or facts.length is None:
            raise NotFinished("the number of elements is not known yet", where=node.slug, fix="wait for it")
        return facts.length

    def done_count(self, node: Node) -> int:
        """How many elements of a node have ended."""
        facts = self._facts(node)
        return 0 if facts is None else facts.done

    def counts(self, node: Node) -> dict[StateType, int]:
        """How many elements of a node ended in each state."""
        facts = self._facts(node)
        return {} if facts is None else {StateType(state): number for state, number in facts.counts.items()}

    def completed_indices(self, node: Node, timeout: float | None = None) -> Iterator[int]:
        """Indices of the elements of a node in the order in which they ended.

        Raises:
            NotFinished: nothing more ended within the timeout (seconds) and some elements have not.
        """
        self.send()
        seen = 0
        while True:
            arrived = self._driver.wait(partial(self._more_arrived, node, seen), timeout)
            facts = self._facts(node)
            if not arrived or facts is None:
                raise NotFinished("some elements have not ended", where=node.slug, fix="wait longer")
            with self._driver.changed:
                segments = facts.arrivals[seen:]
                ended = facts.ended
            for segment in segments:
                yield from range(segment.start, segment.stop)
            seen += len(segments)
            if ended and seen == len(facts.arrivals):
                return

    def _more_arrived(self, node: Node, seen: int) -> bool:
        facts = self._facts(node)
        return facts is not None and (len(facts.arrivals) > seen or facts.ended)

    def ended_since(self, position: int) -> list[tuple[Node, int, int]]:
        """Nodes and their elements (start to stop) in the order in which they ended, from a position on."""
        with self._driver.changed:
            return [(facts.node, segment.start, segment.stop) for facts, segment in self._driver.machine.log[position:]]

    def wait_for_news(self, position: int, timeout: float | None = None) -> bool:
        """Wait until more has ended than that; gives False if the timeout (seconds) came first."""
        self.send()
        return self._driver.wait(lambda: len(self._driver.machine.log) > position, timeout)

    def state(self, node: Node, index: int | None = None) -> State[Any]:
        """The state of a node, or of one element of it, now."""
        with self._driver.changed:
            facts = self._facts(node)
            if facts is None:
                return State(type=StateType.PENDING, run=self)
            facts.looked_at |= facts.ended
            if index is None or node.space is None:
                return self._node_state(facts)
            return self._element_state(facts, index)

    def _node_state(self, facts: NodeFacts) -> State[Any]:
        kind = facts.state_type()
        if facts.node.space is None and facts.ended:
            return self._element_state(facts, 0)
        load = partial(self.value, facts.node) if facts.ended else None
        return State(type=kind, message=_node_message(facts, kind), run=self, load=load)

    def _element_state(self, facts: NodeFacts, index: int) -> State[Any]:
        segment = facts.segment_at(index)
        if segment is None:
            return State(type=StateType.PENDING, run=self)
        kind = StateType(segment.state_of(index))
        error = segment.error_of(index)
        data = self._error(facts, index, segment) if error else None
        report, offset = segment.report, segment.offset + index - segment.start
        return State(
            type=kind,
            message="" if data is None else f"{type(data).__name__}: {data}",
            data=data,
            attempt=0 if report is None or kind is StateType.UPSTREAM_FAILED else 1,
            started=None if report is None else report.started,
            seconds=None if report is None else report.steps[segment.step].durations()[offset],
            run=self,
            load=partial(self.value, facts.node, None if facts.node.space is None else index),
        )

    def value(
        self,
        node: Node,
        index: int | range | None = None,
        timeout: float | None = None,
        *,
        raise_on_failure: bool = True,
    ) -> Any:
        """The value of a node, of one element, or of some; waits for it.

        Raises:
            NotFinished: it has not ended within the timeout (seconds).
            Exception: the exception of the work itself, if it failed.
        """
        self._wait_or_raise(node, index, timeout)
        facts = self._driver.machine.facts[node]
        facts.looked_at = True
        if node.space is None:
            return self._single(facts, 0, raise_on_failure)
        if isinstance(index, int):
            return self._single(facts, index, raise_on_failure)
        values = self._many(facts, raise_on_failure)
        return values if index is None else [values[i] for i in index]

    def _wait_or_raise(self, node: Node, index: int | range | None, timeout: float | None) -> None:
        if not self.wait(node, index if isinstance(index, int) else None, timeout):
            limit = "" if timeout is None else f" within {timeout:g} s"
            raise NotFinished(f"it has not ended{limit}", where=node.slug, fix="wait longer, or without a timeout")

    def _single(self, facts: NodeFacts, index: int, raise_on_failure: bool) -> Any:
        with self._driver.changed:
            segment = facts.segment_at(index)
        if segment is None:
            raise IndexError(f"{facts.node.slug} has {facts.length} elements, there is no element {index}")
        if segment.state_of(index) != StateType.COMPLETED:
            error = self._error(facts, index, segment)
            if raise_on_failure:
                raise error
            return error
        return self._fetch_one(facts, index, segment)

    def _many(self, facts: NodeFacts, raise_on_failure: bool) -> list[Any]:
        with self._driver.changed:
            segments = list(facts.overlapping(0, facts.length or 0))
            failure = facts.first_failure()
        if failure is not None and raise_on_failure:
            raise self._error(facts, *failure)
        self._fetch_columns([segment.key for segment, _, _ in segments if segment.key is not None])
        values: list[Any] = []
        for segment, low, high in segments:
            if segment.key is None:
                values.extend(self._error(facts, index, segment) for index in range(low, high))
                continue
            column = self._columns[segment.key].values
            start = segment.offset + low - segment.start
            found = column[start : start + high - low] if high - low < len(column) else column
            values.extend(found if failure is None else map(_exception_or_value, found))
        self._trim()
        return values

    def _error(self, facts: NodeFacts, index: int, segment: Segment) -> BaseException:
        where = facts.node.slug if facts.node.space is None else f"{facts.node.slug}[{index}]"
        error = segment.error_of(index) or pack_error(Cancelled("it was cancelled", where=where))
        return exception_of(Failure(segment.state_of(index), error), where)

    def _fetch_one(self, facts: NodeFacts, index: int, segment: Segment) -> Any:
        if segment.key is None or segment.report is None:
            raise AssertionError(f"a completed element without a value: {facts.node.slug}[{index}]")
        riding = dict(segment.report.values).get(segment.step)
        if riding is not None:
            return pickle.loads(riding)
        offset = segment.offset + index - segment.start
        is_large = segment.report.count > 1 and sum(segment.report.sizes) > WHOLE_COLUMN_BYTES
        if is_large and segment.key not in self._columns:
            return self._driver.shell.fetch_part(segment.key, offset, offset + 1)[0]
        self._fetch_columns([segment.key])
        value = self._columns[segment.key].values[offset]
        self._trim()
        return value

    def _fetch_columns(self, keys: Sequence[str]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self._columns]
        if missing:
            self._columns.update(zip(missing, self._driver.shell.fetch(missing), strict=True))

    def _trim(self) -> None:
        """Forget fetched columns, oldest first, beyond a bound."""
        size = sum(column.size_bytes for column in self._columns.values())
        while self._columns and size > CACHED_BYTES:
            _, column = self._columns.popitem(last=False)
            size -= column.size_bytes

    # Failures

    def look(self, node: Node) -> None:
        """Somebody looked at this node, so that a failure of it is not silent."""
        facts = self._facts(node)
        if facts is not None:
            facts.looked_at |= facts.ended

    def failures_unseen(self) -> list[Node]:
        """Nodes that failed and that nobody looked at, neither at them nor at what rests on them."""
        with self._driver.changed:
            all_facts = list(self._driver.machine.facts.values())
        seen = {facts.node for facts in all_facts if facts.looked_at}
        for facts in reversed(all_facts):
            for used in facts.node.inputs():
                if used.allow_failure or facts.node in seen:
                    seen.add(used.node)
        unseen = [facts.node for facts in all_facts if facts.unsuccessful and facts.node not in seen]
        roots = [
            node for node in unseen if self._driver.machine.facts[node].state_type() is not StateType.UPSTREAM_FAILED
        ]
        return roots or unseen

    # Ending

    def cancel(self) -> None:
        """Cancel everything that has not ended; running batches end by themselves and are dropped."""
        error = pack_error(
            Cancelled("the run was cancelled before this ended", where=f"run {self.id} of {self.name!r}")
        )
        self.send()
        self._driver.post(CancelAsked(error))
        self._driver.wait(lambda: self._driver.machine.cancelled is not None, timeout=30)

    def close(self) -> None:
        """Drop everything the run has on the cluster; states stay, values do not."""
        self._driver.close()

    def hold(self, node: Node) -> None:
        """Somebody may ask for the value of this node."""
        node.holders += 1

    def drop(self, node: Node) -> None:
        """One fewer may ask for the value of this node."""
        node.holders -= 1
        if not node.holders:
            self._driver.post(HoldersGone(node))

    # Telling

    @property
    def nodes(self) -> list[Node]:
        """All nodes of the run, in the order they were added."""
        return self.graph.nodes

    @property
    def batches(self) -> int:
        """How many batches were sent so far."""
        return self._driver.machine.dispatcher.batches_sent

    def summary(self) -> list[SummaryRow]:
        """A row of numbers per node that was sent."""
        with self._driver.changed:
            return [_summary_row(facts) for facts in self._driver.machine.facts.values()]


def open_run(name: str, graph: Graph, cluster: Any = None) -> Run:
    """A run to which nodes are added while it goes on (the ``@flow`` door)."""
    return Run(name, graph, cluster)


def start_graph(
    name: str, nodes: Sequence[Node], cluster: Any = None, *, keep: Sequence[Node] = (), graph: Graph | None = None
) -> Run:
    """A run of nodes that are all known (the graph door); ``nodes`` come each after those it uses."""
    run = Run(name, graph if graph is not None else nodes[0].graph, cluster, cut_held=False)
    run.keep(keep)
    for node in nodes:
        run.announce(node)
    run.send()
    return run


def compile_stages(
    nodes: Sequence[Node], compiler: Compiler, *, kept: frozenset[Node], cut_held: bool
) -> list[tuple[Stage, Compiled]]:
    """The stages of nodes that are sent together, compiled."""
    stages = form_stages(nodes, cut_held=cut_held)
    used_outside: set[Node] = set(kept)
    depths: dict[Node, set[int]] = {}
    for stage in stages:
        used_outside.update(used.node for used in stage.outside)
        if stage.space is not None:
            _note_depths(stage, depths)

    def keeps(node: Node) -> bool:
        return node.holders > 0 or node in used_outside

    return [(stage, compiler.compile(stage, keeps=keeps, depths=depths)) for stage in stages]


def _note_depths(stage: Stage, depths: dict[Node, set[int]]) -> None:
    for node in stage.nodes:
        for _, argument in node.labelled_arguments():
            if isinstance(argument, Elements) and argument.input.depth and argument.input.index is None:
                depths.setdefault(argument.input.node, set()).add(argument.input.depth)


def _is_large(value: Any) -> bool:
    return type(value) not in SMALL_TYPES and size_of_value(value) > settings().large_argument_bytes


def _exception_or_value(value: Any) -> Any:
    return exception_of(value) if isinstance(value, Failure) else value


def _node_message(facts: NodeFacts, kind: StateType) -> str:
    if facts.node.space is None or not facts.unsuccessful:
        return ""
    words = {StateType.FAILED: "failed", StateType.CRASHED: "crashed", StateType.CANCELLED: "were cancelled"}
    words[StateType.UPSTREAM_FAILED] = "were not run because an input failed"
    parts = [f"{facts.counts[state]:,} {word}" for state, word in words.items() if facts.counts.get(state)]
    return f"of {facts.length:,} elements " + ", ".join(parts)


def _summary_row(facts: NodeFacts) -> SummaryRow:
    reports = {segment.report.batch: (segment.report, segment.step) for segment in facts.arrivals if segment.report}
    starts = [report.started for report, _ in reports.values()]
    ends = [report.started + report.seconds for report, _ in reports.values()]
    task_seconds = sum(sum(report.steps[step].durations()) for report, step in reports.values())
    inside = sum(sum(step.durations()) / len(report.steps) for report, _ in reports.values() for step in report.steps)
    total = sum(report.seconds / len(report.steps) for report, _ in reports.values())
    return SummaryRow(
        node=facts.node.slug,
        elements=facts.length or facts.done,
        failed=facts.unsuccessful,
        batches=len(reports),
        seconds=max(ends) - min(starts) if starts else 0.0,
        task_seconds=task_seconds,
        engine_seconds=max(0.0, total - inside),
    )
