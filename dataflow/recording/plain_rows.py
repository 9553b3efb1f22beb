"""Rows of many plain nodes at once: of those that ended well before anything was written of them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING

from dataflow.database.plain_nodes import Kind, PlainNode, pack_plain_nodes
from dataflow.database.rows import PlainNodesRow
from dataflow.engine.durations import DURATION_BYTES, unpacked
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.graph.nodes import Node
from dataflow.recording.kinds import Kinds
from dataflow.recording.node_codec import encode_uses
from dataflow.recording.segment_rows import element_begins
from dataflow.states import StateType
from dataflow_results.digests import DIGEST_BYTES

if TYPE_CHECKING:
    from dataflow.engine.report import Report

__all__ = ["PlainRows"]

WELL = frozenset({int(StateType.COMPLETED), int(StateType.CACHED)})
NODES_AT_ONCE = 4096
"""So many nodes stand in one row: who asks for one of them unpacks all."""

Entry = tuple[NodeFacts, Segment]


class _Columns:
    """What a step of a batch did, opened once for all the nodes that were in it."""

    __slots__ = ("before_seconds", "durations", "ended", "keys", "seconds", "states")

    def __init__(self, report: Report, number: int) -> None:
        step = report.steps[number]
        self.states = step.all_states(report.count)
        self.durations, self.keys = step.seconds, step.keys
        self.seconds: list[float] = unpacked(step.seconds).tolist()
        self.before_seconds: list[float] = element_begins(report).tolist()
        self.ended = report.started + report.seconds


class PlainRows:
    """Gives rows of plain nodes that ended well.

    Args:
        execution_id: of the execution.
        kinds: of the nodes of its run.
    """

    def __init__(self, execution_id: str, kinds: Kinds) -> None:
        self._execution_id = execution_id
        self._kinds = kinds
        self.taken: set[Node] = set()
        """The nodes that stand in rows of many."""

    def take(self, new: Sequence[Entry], written: Container[Node]) -> tuple[list[PlainNodesRow], list[Entry]]:
        """Rows of what is new, and what of it is to be told in rows of its own.

        Args:
            new: what ended since the last time.
            written: nodes that have rows of their own.
        """
        plain: list[Entry] = []
        rest: list[Entry] = []
        for entry in new:
            (plain if _is_plain(*entry) and entry[0].node not in written else rest).append(entry)
        self.taken.update(facts.node for facts, _ in plain)
        return list(self._rows(plain)), rest

    def _rows(self, plain: Sequence[Entry]) -> Iterator[PlainNodesRow]:
        for first in range(0, len(plain), NODES_AT_ONCE):
            kinds: dict[Kind, int] = {}
            columns: dict[tuple[int, int], _Columns] = {}
            nodes = [self._plain_node(*entry, kinds, columns) for entry in plain[first : first + NODES_AT_ONCE]]
            yield pack_plain_nodes(self._execution_id, nodes, list(kinds))

    def _plain_node(
        self, facts: NodeFacts, segment: Segment, kinds: dict[Kind, int], columns: dict[tuple[int, int], _Columns]
    ) -> PlainNode:
        node, report, offset = facts.node, segment.report, segment.offset
        assert report is not None
        place = (report.batch, segment.step)
        known = columns.get(place)
        if known is None:
            known = columns[place] = _Columns(report, segment.step)
        return PlainNode(
            number=node.id,
            slug=node.slug,
            kind=kinds.setdefault(self._kinds.of(node), len(kinds)),
            uses=encode_uses(node),
            state=known.states[offset],
            seconds=known.seconds[offset],
            started=report.started,
            ended=known.ended,
            batch=report.batch,
            step=segment.step,
            offset=offset,
            duration=known.durations[offset * DURATION_BYTES : (offset + 1) * DURATION_BYTES],
            keys=known.keys[offset * DIGEST_BYTES : (offset + 1) * DIGEST_BYTES],
            before_seconds=known.before_seconds[offset],
        )


def _is_plain(facts: NodeFacts, segment: Segment) -> bool:
    """Whether nothing is to be told of a node but where it ran, and when."""
    if facts.node.space is not None or segment.report is None or len(facts.arrivals) != 1:
        return False
    step, offset = segment.report.steps[segment.step], segment.offset
    few = (step.errors, step.tries, step.notes)
    return step.state(offset) in WELL and not (any(few) and any(offset in column for column in few))
