"""Plain nodes that stand in one row with thousands of others are read as if each had rows of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataflow.database.plain_nodes import Kind, PlainNode, pack_plain_nodes
from dataflow.database.reader import Reader
from dataflow.database.rows import NodeRow, SegmentRow
from tests.database.examples import execution_row, run_row

KIND = Kind(task="half", collection="", store="", rules="{}")


def plain_node(number: int, **changed: Any) -> PlainNode:
    """A call of `half` that took half a second, the third of batch 9."""
    node = PlainNode(
        number=number,
        slug=f"half-{number}",
        kind=0,
        uses="[]",
        state=2,
        seconds=0.5,
        started=100.0,
        ended=102.0,
        batch=9,
        step=0,
        offset=2,
        duration=b"\x00\x78",
        keys=b"",
        before_seconds=1.25,
    )
    return node._replace(**changed)


@pytest.fixture
def reader(url: str) -> Reader:
    """A database with nodes 3, 5 and 6 in one row."""
    reader = Reader(url)
    reader.put(
        [
            run_row(),
            execution_row(),
            pack_plain_nodes("e1", [plain_node(5), plain_node(3), plain_node(6, batch=10)], [KIND]),
        ]
    )
    return reader


def test_each_has_its_rows(reader: Reader) -> None:
    """In the order of their numbers, with all that rows of their own would hold."""
    assert [row.number for row in reader.nodes("e1")] == [3, 5, 6]
    assert reader.nodes("e1", number=5) == [
        NodeRow(
            execution_id="e1",
            number=5,
            slug="half-5",
            task="half",
            is_mapped=False,
            length=1,
            state=2,
            done=1,
            counts='{"2": 1}',
            seconds=0.5,
            started=100.0,
            ended=102.0,
        )
    ]
    assert [row.node for row in reader.segments("e1", batch=9)] == [3, 5]
    assert reader.segments("e1", 6) == [
        SegmentRow(
            execution_id="e1",
            node=6,
            start=0,
            stop=1,
            batch=10,
            step=0,
            offset=2,
            state=2,
            seconds=b"\x00\x78",
            before_seconds=1.25,
        )
    ]
    assert (reader.nodes("e1", number=4), reader.segments("e1", 4), reader.nodes("e2")) == ([], [], [])


def test_rows_of_their_own_replace_them(reader: Reader) -> None:
    """What is heard of such a node later stands in a row of its own, which is the one that counts."""
    node, segment = reader.nodes("e1", number=5)[0], reader.segments("e1", 5)[0]
    reader.put([replace(node, state=3), replace(segment, state=3)])
    assert [(row.number, row.state) for row in reader.nodes("e1")] == [(3, 2), (5, 3), (6, 2)]
    assert [(row.node, row.state) for row in reader.segments("e1")] == [(3, 2), (5, 3), (6, 2)]


def test_they_go_with_their_run(reader: Reader) -> None:
    """Nothing is left of them when the run is taken away."""
    reader.delete_runs(["r1"])
    assert (reader.nodes("e1"), reader.segments("e1")) == ([], [])
