"""Watching a run: from what it has counted, now and then, to the lines that are shown; nothing of it per element."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from dataflow.causes.grouping import Causes
from dataflow.causes.values import Cause
from dataflow.engine.facts import NodeFacts
from dataflow.graph.nodes import Node
from dataflow.progress.lines import Line, Picture
from dataflow.progress.rates import Pace
from dataflow.run_tellings import Telling
from dataflow.states import StateType

__all__ = ["Watch"]

CACHED, CANCELLED, SKIPPED = int(StateType.CACHED), int(StateType.CANCELLED), int(StateType.SKIPPED)
WAITING = frozenset({StateType.AWAITING_RETRY, StateType.PAUSED})


MOST_INNER = 10
"""Of so many flows that a flow has called the nodes are shown."""
MOST_LOOKED_AT = 1_000
"""So many elements that have left their batch are looked at one by one; what they show is taken for all."""


def waiting_count(facts: NodeFacts) -> int:
    """How many elements of a node wait for another attempt, or an approval.

    Those of the nodes that run together with it leave the batch, too, and have it behind them or before them.
    """
    count = len(facts.provisional)
    looked_at = list(facts.provisional.items())[:MOST_LOOKED_AT] if count else []
    waiting = sum(segment.state_of(index) in WAITING for index, segment in looked_at)
    return round(waiting * count / len(looked_at)) if looked_at else 0


class Sum:
    """Elements of nodes, added up."""

    __slots__ = ("begun", "cached", "cancelled", "done", "failed", "is_known", "skipped", "total", "waiting")

    def __init__(self) -> None:
        self.done = self.total = self.failed = self.cancelled = self.cached = self.skipped = self.waiting = 0
        self.is_known = True
        """Whether all totals are known."""
        self.begun: float | None = None
        """When the first batch that has reported began."""

    def add(self, facts: NodeFacts) -> None:
        """Add a node that was sent."""
        self.done += facts.done
        self.total += facts.length or 0
        self.is_known &= facts.length is not None
        self.failed += facts.unsuccessful - facts.counts.get(CANCELLED, 0)
        self.cancelled += facts.counts.get(CANCELLED, 0)
        self.cached += facts.counts.get(CACHED, 0)
        self.skipped += facts.counts.get(SKIPPED, 0)
        self.waiting += waiting_count(facts)
        if self.begun is None and facts.arrivals and (report := facts.arrivals[0].report) is not None:
            self.begun = report.started

    def copy(self) -> Sum:
        """Another one with the same numbers."""
        twin = Sum()
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin


class Row:
    """What becomes one line: a mapped node, or the plain nodes of one task, of which there may be many."""

    __slots__ = ("_count", "_ended", "_open", "_pace", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._count = 0
        self._open: list[Node] = []
        self._ended = Sum()
        self._pace: Pace | None = None

    def add(self, node: Node) -> None:
        """Another node belongs to it."""
        self._count += 1
        self._open.append(node)

    def line(self, run: Telling, now: float, began: float) -> Line:
        """How far it is now. Nodes that have ended are not looked at again."""
        still_open: list[Node] = []
        unsent, going = [], []
        for node in self._open:
            facts = run.facts_of(node)
            if facts is None:
                unsent.append(node)
            elif facts.ended:
                self._ended.add(facts)
                continue
            else:
                going.append(facts)
            still_open.append(node)
        self._open = still_open
        total = self._ended.copy()
        for facts in going:
            total.add(facts)
        return self._line(total, unsent, now, began)

    def _line(self, found: Sum, unsent: Sequence[Node], now: float, began: float) -> Line:
        lengths = [1 if node.space is None else node.space.length for node in unsent]
        is_known = found.is_known and None not in lengths
        all_of_them = found.total + sum(length or 0 for length in lengths)
        return Line(
            name=self.name,
            nodes=self._count,
            done=found.done,
            total=all_of_them if is_known else None,
            failed=found.failed,
            cancelled=found.cancelled,
            cached=found.cached,
            skipped=found.skipped,
            waiting=found.waiting,
            rate=self._rate(found, now, began, is_ended=is_known and found.done >= all_of_them),
            is_begun=bool(found.done or found.waiting),
        )

    def _rate(self, found: Sum, now: float, began: float, *, is_ended: bool) -> float | None:
        if self._pace is None:
            if not found.done:
                return None
            # The clock of a worker may go otherwise than the one here.
            self._pace = Pace(now if found.begun is None else min(max(found.begun, began), now))
        self._pace.see(now, found.done)
        return self._pace.mean() if is_ended else self._pace.rate(now)


class Watch:
    """Looks at one run again and again; only one thread may.

    Args:
        run: what it looks at; it only reads numbers that others write, and does not hold them up.
        attempt: number of the attempt of the flow.
        prefix: of the names of its nodes.
    """

    def __init__(self, run: Telling, attempt: int = 1, prefix: str = "") -> None:
        self._run = run
        self._attempt = attempt
        self._prefix = prefix
        self._inner: dict[str, Watch] = {}
        """Of the runs that its flow has begun and that go on."""
        self._seen = 0
        self._rows: dict[tuple[bool, str], Row] = {}

    def look(self, now: float, *, began: float, state: str = "") -> Picture:
        """How far the run is.

        Args:
            now: the time, in seconds since the epoch.
            began: when the run began.
            state: name of its final state, if it has ended.
        """
        threads, batches = self._run.load
        return Picture(
            flow=self._run.name,
            run_id=self._run.id,
            seconds=now - began,
            threads=threads,
            batches=batches,
            lines=self.lines(now, began),
            attempt=self._attempt,
            state=state,
        )

    def lines(self, now: float, began: float) -> list[Line]:
        """Those of the run, then those of the flows that its body waits for now."""
        nodes = self._run.nodes
        for node in nodes[self._seen :]:
            self._row_of(node).add(node)
        self._seen = len(nodes)
        own = [row.line(self._run, now, began) for row in self._rows.values()]
        inner = [run for run in self._run.nested.runs if isinstance(run, Telling)][:MOST_INNER]
        self._inner = {
            run.id: self._inner.get(run.id) or Watch(run, prefix=f"{self._prefix}{run.name}/") for run in inner
        }
        return own + [line for watch in self._inner.values() for line in watch.lines(now, began)]

    def causes(self) -> list[Cause]:
        """Why elements failed, node by node."""
        found: list[Cause] = []
        for node in list(self._run.nodes):
            facts = self._run.facts_of(node)
            if facts is not None and facts.unsuccessful:
                causes = Causes()
                for segment in sorted(facts.arrivals, key=attrgetter("start")):
                    causes.add(facts, segment)
                found += causes.listed()
        return found

    def _row_of(self, node: Node) -> Row:
        is_mapped = node.space is not None
        key = (is_mapped, node.slug if is_mapped else node.task.name)
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = Row(f"{self._prefix}{node.slug}")
        return found
