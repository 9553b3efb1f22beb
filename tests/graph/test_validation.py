"""Whole graphs: every mistake that can be seen before a run is found at once, and order is found in linear time."""

from __future__ import annotations

import sys
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import CycleError, HandleError, MapLengthError
from dataflow.graph.nodes import Elements, Input, Items, Node, Whole
from dataflow.graph.validation import complaints, topological_order
from tests.graph.helpers import Sketch, keep, of, pair


def nodes_with(edges: list[tuple[int, int]], count: int) -> list[Node]:
    """Nodes 0…count-1; each edge makes the second wait for the first, wherever it stands."""
    sketch = Sketch()
    nodes = [sketch.call(keep, i) for i in range(count)]
    for start, end in edges:
        nodes[end].after += (Whole(Input(nodes[start])),)
    return nodes


def test_a_graph_from_the_builder_has_no_complaints() -> None:
    """What the builder let through is right."""
    sketch = Sketch()
    first = sketch.map(keep, [1, 2])
    second = sketch.map(pair, of(first), [3, 4])
    sketch.call(pair, of(second), y=of(second, 1), how={"wait_for": [of(first)]})
    assert complaints(sketch.graph.nodes) == []


def test_a_cycle_names_its_nodes() -> None:
    """Only the nodes on the cycle are named, in the order of the values, and not those that wait for it."""
    (error,) = complaints(nodes_with([(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)], 5))
    assert isinstance(error, CycleError)
    assert error.problem == "waits for itself: keep-2 -> keep-3 -> keep-4 -> keep-2"
    assert error.where == "keep-2"


def test_all_cycles_are_told() -> None:
    """Cycles apart from each other, one behind the other, and a node that waits for itself: one error each."""
    found = complaints(nodes_with([(0, 1), (1, 0), (1, 2), (2, 3), (3, 2), (4, 4)], 5))
    assert sorted(error.problem.removeprefix("waits for itself: ") for error in found) == [
        "keep -> keep-2 -> keep",
        "keep-3 -> keep-4 -> keep-3",
        "keep-5 -> keep-5",
    ]


def test_a_long_cycle_needs_no_recursion() -> None:
    """A cycle far longer than the recursion limit is named whole."""
    count = 5 * sys.getrecursionlimit()
    (error,) = complaints(nodes_with([*pairwise(range(count)), (count - 1, 0)], count))
    assert error.problem.count(" -> ") == count


def test_order_of_a_graph_with_a_cycle_is_an_error() -> None:
    """The same error as the complaint."""
    with pytest.raises(CycleError, match="keep -> keep-2 -> keep"):
        topological_order(nodes_with([(0, 1), (1, 0)], 2))


def test_order_is_kept_where_it_is_right() -> None:
    """Nodes in order stay in order; an edge that points back moves only what it must."""
    nodes = nodes_with([(0, 2), (1, 2)], 4)
    assert topological_order(nodes) == nodes
    nodes = nodes_with([(3, 1)], 4)
    assert [node.id for node in topological_order(nodes)] == [0, 3, 1, 2]
    assert topological_order(nodes[:2]) == nodes[:2], "a node that is not given is taken to be there"


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14))
def test_order_and_cycles_agree(edges: list[tuple[int, int]]) -> None:
    """For any graph: either each node can follow what it uses, or there is a cycle complaint."""
    nodes = nodes_with(edges, 8)
    cycles = complaints(nodes)
    if cycles:
        with pytest.raises(CycleError):
            topological_order(nodes)
        return
    order = topological_order(nodes)
    assert sorted(node.id for node in order) == list(range(8))
    assert all(order.index(nodes[start]) < order.index(nodes[end]) for start, end in edges)


def test_nodes_of_another_flow_and_nodes_taken_away() -> None:
    """An input from another flow, and one that is not among the nodes, are told with the argument."""
    theirs = Sketch("theirs").call(keep, 1)
    sketch = Sketch()
    gone, node = sketch.call(keep, 1), sketch.call(pair, 1, 2)
    node.arguments = (Whole(Input(theirs)), Whole(Input(gone)))
    first, second = complaints([node])
    assert (type(first), type(second)) == (HandleError, HandleError)
    assert str(first).startswith("pair, argument x: uses 'keep' of another flow ('theirs')")
    assert str(second).startswith("pair, argument y: uses 'keep', which is not in this flow any more")


def test_lengths_and_indices_that_cannot_fit() -> None:
    """Unequal lengths, an element behind the end and going through a plain node are seen, all at once."""
    sketch = Sketch()
    up, plain = sketch.map(keep, [1, 2]), sketch.call(keep, 1)
    node, other = sketch.map(pair, of(up), [3, 4]), sketch.call(pair, 1, 2)
    node.arguments = (Elements(Input(up)), Items([1, 2, 3], 3))
    other.arguments = (Whole(Input(up, 2)), Elements(Input(plain)))
    length, index, through = complaints(sketch.graph.nodes)
    assert isinstance(length, MapLengthError)
    assert "x has 2, y has 3" in length.problem
    assert index.problem == "uses element 2 of 'keep', which has 2"
    assert through.problem == "goes element-wise through 'keep-2', which is not mapped"


def seconds_to_check(count: int) -> float:
    """How long a graph of so many nodes, and twice as many edges, takes."""
    nodes = nodes_with([*pairwise(range(count)), *((0, i) for i in range(1, count))], count)
    start = time.perf_counter()
    assert complaints(nodes) == []
    assert topological_order(nodes[::-1]) == nodes
    return time.perf_counter() - start


def test_large_graphs_take_linear_time() -> None:
    """Ten times the nodes and edges take about ten times as long, not a hundred times."""
    assert min(seconds_to_check(20_000) for _ in range(3)) < 40 * max(seconds_to_check(2_000) for _ in range(3))
