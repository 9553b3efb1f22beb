"""Recalling: what the engine knew of the nodes of an execution, made again from rows when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataflow.database.columns import unpack_rare
from dataflow.database.rows import BatchRow, ExecutionRow, NodeRow, SegmentRow
from dataflow.engine.durations import DURATION_BYTES, split
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.report import Report, StepReport, Try
from dataflow.graph.nodes import Node
from dataflow.places import find_place
from dataflow.recording.node_codec import decode_nodes
from dataflow.states import StateType
from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.keying.positions import position_keys
from dataflow_results.records import ResultReference

if TYPE_CHECKING:
    from dataflow.database.reader import Reader

__all__ = ["KeptAt", "Recalled"]

ABSENT = StepReport(states=int(StateType.PENDING), seconds=b"", errors={})
"""Stands for the other steps of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAt:
    """Where the results of a node lie."""

    url: str
    collection: str
    run_id: str
    by_place: bool
    """Whether keys follow from the run, the node and the index of the element."""

    def reference(self, slug: str, index: int, key: bytes) -> ResultReference:
        """Where the result of one element lies; ``key`` is empty if it follows from the place."""
        found = key or position_keys(self.run_id, slug, (index,))
        return ResultReference(url=self.url, collection=self.collection, key=found)


class Recalled:
    """The nodes of one execution and what is known of them, as far as it is asked for.

    Args:
        reader: of the database.
        execution: the execution.
        place: what is asked about: ``"load"``, ``"load[17]"``.
        exact_times: whether it is to be known when this element began; of all others only their batch is known.

    Raises:
        UsageError: there is no such node.
    """

    def __init__(self, reader: Reader, execution: ExecutionRow, place: Any, *, exact_times: bool = False) -> None:
        self._reader = reader
        self._exact_times = exact_times
        self._execution = execution
        rows = reader.nodes(execution.id, complete=True)
        self._rows = {row.number: row for row in rows}
        self.node, self.index = find_place(decode_nodes(rows), place)
        self._known: dict[int, NodeFacts | None] = {}

    def row_of(self, node: Node) -> NodeRow:
        """The row that a node was made of."""
        return self._rows[node.id]

    def facts_of(self, node: Node) -> NodeFacts | None:
        """What was known of a node; None if it was not sent."""
        if node.id not in self._known:
            self._known[node.id] = self._facts(node)
        return self._known[node.id]

    def kept_at(self, node: Node) -> KeptAt | None:
        """Where the results of a node lie; None if they were not kept."""
        row = self.row_of(node)
        if not row.collection:
            return None
        by_place = not any(segment.keys for segment in self._segments_of(node))
        return KeptAt(url=row.store, collection=row.collection, run_id=self._execution.run_id, by_place=by_place)

    @cached_property
    def _batches(self) -> dict[int, BatchRow]:
        return {row.number: row for row in self._reader.batches(self._execution.id)}

    def _segments_of(self, node: Node) -> Sequence[SegmentRow]:
        return self._reader.segments(self._execution.id, node=node.id)

    def _facts(self, node: Node) -> NodeFacts | None:
        row, segments = self.row_of(node), self._segments_of(node)
        if not segments and row.state == StateType.PENDING:
            return None
        facts = NodeFacts(node, level=0)
        facts.length = row.length
        for segment in segments:
            facts.add(self._segment(segment, asked=self._exact_times and node is self.node))
        facts.failed_as_whole = _failed_as_whole(row, segments)
        return facts

    def _segment(self, row: SegmentRow, *, asked: bool) -> Segment:
        rare = unpack_rare(row.rare)
        if row.batch is None:
            return Segment(row.start, row.stop, None, 0, None, 0, row.state or 0, rare.errors.get(0))
        exact = asked and self._asked_index(row) in range(row.start, row.stop)
        steps, offset = self._all_steps(row) if exact else _own_step(row)
        return Segment(row.start, row.stop, None, offset, self._report(row, steps), row.step)

    def _asked_index(self, row: SegmentRow) -> int | None:
        """The index that was asked for, counted from the start."""
        index, length = self.index, self._rows[row.node].length
        if self.node.space is None:
            return 0
        return index + length if index is not None and index < 0 and length is not None else index

    def _report(self, row: SegmentRow, steps: tuple[StepReport, ...]) -> Report:
        batch = self._batches.get(row.batch or 0)
        if batch is None:  # its row was lost, as rows are where the database was out of reach for long
            began = self._rows[row.node].started or self._execution.started
            batch = BatchRow(
                execution_id=row.execution_id, number=row.batch or 0, worker="", started=began, seconds=0.0, count=0
            )
        return Report(
            batch=batch.number,
            count=batch.count,
            started=batch.started,
            seconds=batch.seconds,
            steps=steps,
            worker=batch.worker,
        )

    def _all_steps(self, row: SegmentRow) -> tuple[tuple[StepReport, ...], int]:
        """All that the batch did with these elements, after what it did before them; and their offset in that."""
        rows = self._reader.segments(self._execution.id, batch=row.batch)
        same = {one.step: one for one in rows if one.offset == row.offset}
        count = row.stop - row.start
        before = split(row.before_seconds)
        idle = bytes(len(before))
        steps = [_step(same.get(step), count, before if step == 0 else idle) for step in range(max(same) + 1)]
        return tuple(steps), len(before) // DURATION_BYTES


def _own_step(row: SegmentRow) -> tuple[tuple[StepReport, ...], int]:
    """What the batch did with these elements in this step; and their offset in that."""
    return (ABSENT,) * row.step + (_step(row, row.stop - row.start, b""),), 0


def _step(row: SegmentRow | None, count: int, before: bytes) -> StepReport:
    """What a row tells, in columns that begin with a few entries for what was before."""
    idle = len(before) // DURATION_BYTES
    if row is None:
        return StepReport(states=int(StateType.PENDING), seconds=before + bytes(DURATION_BYTES * count), errors={})
    rare = unpack_rare(row.rare)
    states = row.state if row.states is None else bytes(idle) + row.states
    return StepReport(
        states=states or 0,
        seconds=before + (row.seconds or bytes(DURATION_BYTES * count)),
        errors={idle + position: error for position, error in rare.errors.items()},
        keys=bytes(idle * DIGEST_BYTES) + row.keys if row.keys else b"",
        tries={idle + position: tuple(Try(*one) for one in many) for position, many in rare.tries.items()},
        notes={idle + position: note for position, note in rare.notes.items()},
    )


def _failed_as_whole(row: NodeRow, segments: Sequence[SegmentRow]) -> bool:
    """Whether the elements of a map never came to be, so that one stands for all."""
    if not row.is_mapped or row.length != 1 or len(segments) != 1:
        return False
    return segments[0].batch is None and segments[0].state != StateType.CANCELLED
