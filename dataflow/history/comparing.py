"""Comparing: what is different between two runs, node by node, from their rows; nothing is loaded or run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dataflow.causes.values import Cause, causes_from_json
from dataflow.database.rows import BatchRow, ExecutionRow, NodeRow, RunRow, SegmentRow
from dataflow.engine.durations import unpacked
from dataflow.history.comparisons import Change, Comparison, NodeChange, NodeNumbers, RunNumbers, StateChange
from dataflow.states import NAMES, StateType

if TYPE_CHECKING:
    from dataflow.database.reader import Reader

__all__ = ["Comparison", "Side", "compare", "compared"]

MOST_RANGES = 200
"""So many runs of elements are kept of a change; after that elements are only counted."""
RAN = np.isin(np.arange(256), [StateType.COMPLETED, StateType.FAILED, StateType.TIMED_OUT, StateType.CRASHED])
"""For each number of a state, whether durations of elements in it say how long the function took."""
UNKNOWN = int(StateType.PENDING)

States = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """All that is compared of one run: its last execution."""

    run: RunRow
    execution: ExecutionRow | None
    nodes: Sequence[NodeRow]
    batches: Sequence[BatchRow]
    segments: Sequence[SegmentRow]


def compare(reader: Reader, a: RunRow, b: RunRow) -> Comparison:
    """What is different between two runs; of each its last execution counts.

    Args:
        reader: of the database.
        a: the earlier run.
        b: the later one.
    """
    return compared(_side(reader, a), _side(reader, b))


def _side(reader: Reader, run: RunRow) -> Side:
    executions = reader.executions(run.id)
    if not executions:
        return Side(run=run, execution=None, nodes=(), batches=(), segments=())
    last = executions[-1]
    return Side(
        run=run,
        execution=last,
        nodes=reader.nodes(last.id),
        batches=reader.batches(last.id),
        segments=reader.segments(last.id),
    )


def compared(a: Side, b: Side) -> Comparison:
    """What is different between two sides."""
    before, after = SideColumns(a), SideColumns(b)
    both = [slug for slug in before.nodes if slug in after.nodes]
    return Comparison(
        a=before.numbers(),
        b=after.numbers(),
        parameters=_changes(_loaded(a.run.parameters), _loaded(b.run.parameters)),
        surroundings=_changes(before.surroundings(), after.surroundings()),
        removed=tuple(slug for slug in before.nodes if slug not in after.nodes),
        added=tuple(slug for slug in after.nodes if slug not in before.nodes),
        nodes=tuple(_node_change(slug, before, after) for slug in both),
    )


class SideColumns:
    """One side with its nodes by slug and its elements in columns."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self.nodes = {row.slug: row for row in side.nodes}

    @cached_property
    def _segments(self) -> dict[int, list[SegmentRow]]:
        by_node = attrgetter("node")
        return {node: list(rows) for node, rows in groupby(sorted(self._side.segments, key=by_node), by_node)}

    def numbers(self) -> RunNumbers:
        """The run in numbers."""
        run = self._side.run
        return RunNumbers(
            id=run.id,
            flow=run.flow,
            name=run.name,
            state=NAMES[StateType(run.state)],
            message=run.message,
            started=run.started,
            seconds=None if run.ended is None else run.ended - run.started,
        )

    def surroundings(self) -> dict[str, object]:
        """Where it ran, and what is known of that."""
        execution = self._side.execution
        if execution is None:
            return {}
        workers = sorted({row.worker for row in self._side.batches if row.worker})
        own = {"cluster": execution.cluster, "host": execution.host, "user": execution.user}
        used = {"workers used": str(len(workers))} if workers else {}
        return {name: text for name, text in {**own, **_loaded(execution.facts), **used}.items() if text}

    def states(self, slug: str) -> States:
        """The state of each element of a node; PENDING of what has not ended."""
        row = self.nodes[slug]
        segments = self._segments.get(row.number, [])
        states = np.full(max([row.length or 0, *(one.stop for one in segments)]), UNKNOWN, np.uint8)
        for one in segments:
            states[one.start : one.stop] = one.state or 0 if one.states is None else np.frombuffer(one.states, np.uint8)
        return states

    def node(self, slug: str, states: States) -> NodeNumbers:
        """A node in numbers."""
        row = self.nodes[slug]
        counts = {NAMES[StateType(int(kind))]: number for kind, number in _loaded(row.counts).items()}
        span = None if row.started is None or row.ended is None else row.ended - row.started
        ran = RAN[states]
        return NodeNumbers(
            state=NAMES[StateType(row.state)],
            length=row.length,
            done=row.done,
            counts=counts,
            seconds=row.seconds,
            median_seconds=self._median(row, ran),
            per_second=int(ran.sum()) / span if span else None,
        )

    def _median(self, row: NodeRow, ran: npt.NDArray[np.bool_]) -> float | None:
        """How long the element in the middle took, of those that ran."""
        seconds = np.full(len(ran), np.nan, np.float32)
        for one in self._segments.get(row.number, []):
            if one.seconds is not None:
                seconds[one.start : one.stop] = unpacked(one.seconds)
        there = seconds[ran & ~np.isnan(seconds)]
        return float(np.median(there) if len(there) > 1 else there[0]) if len(there) else None


def _loaded(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Change, ...]:
    """What is different, by name; what is on one side only is None on the other."""
    names = dict.fromkeys((*before, *after))
    return tuple(
        Change(name=name, before=_text(before.get(name)), after=_text(after.get(name)))
        for name in names
        if before.get(name) != after.get(name)
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _node_change(slug: str, before: SideColumns, after: SideColumns) -> NodeChange:
    old, new = before.states(slug), after.states(slug)
    had, has = before.nodes[slug], after.nodes[slug]
    gone, come = causes_from_json(had.causes), causes_from_json(has.causes)
    return NodeChange(
        node=slug,
        is_mapped=had.is_mapped or has.is_mapped,
        before=before.node(slug, old),
        after=after.node(slug, new),
        states=tuple(_state_changes(old, new)),
        gone=_without(gone, come),
        new=_without(come, gone),
    )


def _without(causes: Sequence[Cause], others: Sequence[Cause]) -> tuple[Cause, ...]:
    """The reasons that the other side does not have."""
    known = {(cause.state, *cause.root) for cause in others}
    return tuple(cause for cause in causes if (cause.state, *cause.root) not in known)


def _state_changes(old: States, new: States) -> Iterator[StateChange]:
    """Elements of both sides that ended in different states, grouped by both states; the most frequent first."""
    common = min(len(old), len(new))
    if np.array_equal(old[:common], new[:common]):  # as of most of many small nodes
        return
    pairs = old[:common].astype(np.uint16) * 256 + new[:common]
    pairs[old[:common] == new[:common]] = 0
    kinds, counts = np.unique(pairs[pairs > 0], return_counts=True)
    for kind, count in sorted(zip(kinds.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]):
        yield StateChange(
            before=NAMES[StateType(kind // 256)],
            after=NAMES[StateType(kind % 256)],
            count=count,
            elements=_ranges(np.flatnonzero(pairs == kind)),
        )


def _ranges(indices: npt.NDArray[np.intp]) -> tuple[tuple[int, int], ...]:
    """Consecutive indices as runs from start to stop; the first ones only.

    Example:
        >>> _ranges(np.array([1, 2, 3, 7]))
        ((1, 4), (7, 8))
    """
    ends = np.flatnonzero(np.diff(indices) > 1)
    starts = indices[np.concatenate(([0], ends + 1))][:MOST_RANGES]
    stops = indices[np.concatenate((ends, [len(indices) - 1]))][:MOST_RANGES] + 1
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))
