"""Plain nodes that ended well, thousands in one row: packed in columns, and given back as the rows they stand for.

A loop of submits makes a node for each call, with one element each. Two rows for each of them would take longer to
write than the node took to run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import msgpack

from dataflow.database.columns import FAST
from dataflow.database.rows import NodeRow, PlainNodesRow, SegmentRow

__all__ = ["Kind", "PlainNode", "node_rows", "pack_plain_nodes", "segment_rows"]


class Kind(NamedTuple):
    """What calls of one task in one line have in common; the fields are those of `NodeRow`."""

    task: str
    collection: str
    store: str
    rules: str


class PlainNode(NamedTuple):
    """What one node has of its own; the fields are those of `NodeRow` and `SegmentRow`."""

    number: int
    slug: str
    kind: int
    """Position of its kind among those of the row."""
    uses: str
    state: int
    seconds: float
    started: float
    ended: float
    batch: int
    step: int
    offset: int
    duration: bytes
    """As `SegmentRow.seconds`."""
    keys: bytes
    before_seconds: float


@dataclass(frozen=True, slots=True)
class _Packed:
    """The nodes of one row."""

    kinds: Sequence[Kind]
    nodes: dict[int, PlainNode]


def pack_plain_nodes(execution_id: str, nodes: Sequence[PlainNode], kinds: Sequence[Kind]) -> PlainNodesRow:
    """A row of some nodes, at least one."""
    numbers = [node.number for node in nodes]
    columns = msgpack.packb([list(kinds), *zip(*nodes, strict=True)])
    return PlainNodesRow(
        execution_id=execution_id,
        first=min(numbers),
        last=max(numbers),
        count=len(nodes),
        columns=zlib.compress(columns, FAST),
    )


@lru_cache(maxsize=32)  # a story goes from one node to the next
def _unpacked(columns: bytes) -> _Packed:
    kinds, *of_nodes = msgpack.unpackb(zlib.decompress(columns))
    nodes = (PlainNode(*fields) for fields in zip(*of_nodes, strict=True))
    return _Packed([Kind(*fields) for fields in kinds], {node.number: node for node in nodes})


def node_rows(row: PlainNodesRow, number: int | None = None, *, complete: bool = True) -> Iterator[NodeRow]:
    """The rows that a row stands for.

    Args:
        row: of many nodes.
        number: only of this node.
        complete: with ``uses`` and ``rules``.

    Example:
        >>> node = PlainNode(7, "add-8", 0, "[]", 2, 0.5, 100.0, 101.0, 3, 0, 4, b"", b"", 0.25)
        >>> row = pack_plain_nodes("e1", [node], [Kind("add", "", "", "{}")])
        >>> [(found.number, found.slug, found.task, found.seconds) for found in node_rows(row)]
        [(7, 'add-8', 'add', 0.5)]
    """
    packed = _unpacked(row.columns)
    for node in _chosen(packed, number):
        kind = packed.kinds[node.kind]
        yield NodeRow(
            execution_id=row.execution_id,
            number=node.number,
            slug=node.slug,
            task=kind.task,
            is_mapped=False,
            length=1,
            state=node.state,
            done=1,
            counts=f'{{"{node.state}": 1}}',
            seconds=node.seconds,
            started=node.started,
            ended=node.ended,
            collection=kind.collection,
            store=kind.store,
            **({"uses": node.uses, "rules": kind.rules} if complete else {}),
        )


def segment_rows(row: PlainNodesRow, number: int | None = None, *, batch: int | None = None) -> Iterator[SegmentRow]:
    """The rows of the elements that a row stands for: one of each node.

    Args:
        row: of many nodes.
        number: only of this node.
        batch: only of this batch.
    """
    for node in _chosen(_unpacked(row.columns), number):
        if batch in (None, node.batch):
            yield SegmentRow(
                execution_id=row.execution_id,
                node=node.number,
                start=0,
                stop=1,
                batch=node.batch,
                step=node.step,
                offset=node.offset,
                state=node.state,
                seconds=node.duration,
                keys=node.keys or None,
                before_seconds=node.before_seconds,
            )


def _chosen(packed: _Packed, number: int | None) -> Iterator[PlainNode]:
    if number is None:
        yield from packed.nodes.values()
    elif number in packed.nodes:
        yield packed.nodes[number]
