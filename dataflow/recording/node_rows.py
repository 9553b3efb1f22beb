"""Rows of the nodes of one execution: the sums over their elements, kept up as elements end."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dataflow.causes.grouping import Causes
from dataflow.database.rows import NodeRow
from dataflow.engine.durations import duration_at, unpacked
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.graph.nodes import Node
from dataflow.recording.kinds import Kinds
from dataflow.recording.node_codec import encode_uses
from dataflow.states import StateType
from dataflow.summaries import node_message

if TYPE_CHECKING:
    from dataflow.engine.report import Report
    from dataflow.session import Run

__all__ = ["NodeRows"]

PATIENCE_SECONDS = 1.0
"""How long a node may be new without being written."""
PENDING, RUNNING = int(StateType.PENDING), int(StateType.RUNNING)


class Sums:
    """What is added up of the elements of a node."""

    __slots__ = ("causes", "ended", "fixed", "seconds", "started")

    def __init__(self, fixed: dict[str, Any]) -> None:
        self.fixed = fixed
        """Fields of the row that do not change."""
        self.seconds = 0.0
        self.started: float | None = None
        self.ended: float | None = None
        self.causes: Causes | None = None

    def add(self, facts: NodeFacts, segment: Segment) -> None:
        """Elements have ended."""
        report = segment.report
        if report is not None:
            self.seconds += _seconds(report, segment)
            end = report.started + report.seconds
            self.started = report.started if self.started is None else min(self.started, report.started)
            self.ended = end if self.ended is None else max(self.ended, end)
        if segment.failed():
            self.causes = self.causes or Causes()
            self.causes.add(facts, segment)


def _seconds(report: Report, segment: Segment) -> float:
    """The sum of the durations of some elements of a batch: often of all of them, or of the one of a plain node."""
    step, count = report.steps[segment.step], segment.stop - segment.start
    if count == 1:
        return duration_at(step.seconds, segment.offset)
    if count == report.count:
        return step.sum_seconds()
    return float(unpacked(step.seconds, segment.offset, count).sum())


class NodeRows:
    """Gives a row of each node that is new or has changed.

    Args:
        execution_id: of the execution.
        run: the run; only read.
        kinds: of its nodes.
        elsewhere: nodes that were written in another way, as long as nothing more is heard of them.
    """

    def __init__(self, execution_id: str, run: Run, kinds: Kinds, elsewhere: Container[Node] = ()) -> None:
        self._execution_id = execution_id
        self._run = run
        self._kinds = kinds
        self._elsewhere = elsewhere
        self._seen = 0
        """How many nodes of the graph have been looked at."""
        self._unwritten: deque[tuple[float, Node]] = deque()
        """When nodes were seen for the first time. Most have ended a moment later, and are written once."""
        self._sums: dict[Node, Sums] = {}
        self._open: dict[Node, bool] = {}
        """Mapped nodes that have not ended, and whether batches of them were under way when last looked."""
        self._waiting: dict[Node, int] = {}
        """Nodes of which elements wait for another attempt or an approval, and how many did when last looked."""

    def collect(self, new: Sequence[tuple[NodeFacts, Segment]], now: float, *, is_over: bool) -> Iterator[NodeRow]:
        """Rows of nodes that are new, of which elements have ended, or begun to run or to wait.

        Args:
            new: what ended since the last time.
            now: seconds on some clock.
            is_over: whether nobody will ask again.
        """
        changed: dict[Node, None] = {}
        for facts, segment in new:
            self._sums_of(facts.node).add(facts, segment)
            changed[facts.node] = None
        self._look_at_new(now)
        unwritten = self._overdue(float("inf") if is_over else now - PATIENCE_SECONDS)
        changed.update(dict.fromkeys((*unwritten, *self._newly_waiting(), *self._newly_busy())))
        return map(self._row, changed)

    @property
    def written(self) -> Container[Node]:
        """The nodes that rows were given of."""
        return self._sums

    def _look_at_new(self, now: float) -> None:
        nodes = self._run.nodes[self._seen :]
        self._seen += len(nodes)
        self._open.update(dict.fromkeys((node for node in nodes if node.space is not None), False))
        self._unwritten.extend((now, node) for node in nodes)

    def _overdue(self, since: float) -> Iterator[Node]:
        """Nodes that were new then, and of which nothing was written since."""
        while self._unwritten and self._unwritten[0][0] <= since:
            _, node = self._unwritten.popleft()
            if node not in self._sums and node not in self._elsewhere:
                yield node

    def _newly_waiting(self) -> Iterator[Node]:
        for node, count in self._run.waiting():
            if self._waiting.get(node, 0) != count:
                yield node
            self._waiting[node] = count

    def _newly_busy(self) -> list[Node]:
        found = [node for node, was_busy in self._open.items() if self._run.is_busy(node) != was_busy]
        self._open.update((node, not self._open[node]) for node in found)
        return found

    def _sums_of(self, node: Node) -> Sums:
        sums = self._sums.get(node)
        if sums is None:
            sums = self._sums[node] = Sums(self._fixed(node))
        return sums

    def _fixed(self, node: Node) -> dict[str, Any]:
        return {
            "execution_id": self._execution_id,
            "number": node.id,
            "slug": node.slug,
            "is_mapped": node.space is not None,
            "uses": encode_uses(node),
        }

    def _row(self, node: Node) -> NodeRow:
        sums, facts = self._sums_of(node), self._run.facts_of(node)
        known = {**sums.fixed, **self._kinds.of(node)._asdict()}
        if facts is None:
            length = 1 if node.space is None else node.space.length
            return NodeRow(**known, length=length, state=PENDING)
        kind = int(facts.state_type())
        if facts.ended:
            self._open.pop(node, None)
        return NodeRow(
            **known,
            length=facts.length,
            state=RUNNING if kind == PENDING and self._open.get(node) else kind,
            done=facts.done,
            counts=_json(tuple(_counts(facts).items())),
            seconds=sums.seconds,
            started=sums.started,
            ended=sums.ended if facts.ended else None,
            message=node_message(facts) if facts.length is not None else "",
            causes="[]" if sums.causes is None else sums.causes.to_json(),
        )


def _counts(facts: NodeFacts) -> dict[int, int]:
    """Number of elements by state, those that wait included."""
    counts = dict(facts.counts)
    for index, segment in list(facts.provisional.items()):
        kind = segment.state_of(index)
        if kind != PENDING:
            counts[kind] = counts.get(kind, 0) + 1
    return counts


@lru_cache(maxsize=256)
def _json(counts: tuple[tuple[int, int], ...]) -> str:
    """Counts as text; those of plain nodes are the same few."""
    return json.dumps({str(int(kind)): number for kind, number in counts})
