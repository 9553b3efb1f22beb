"""Nodes in rows: what a node uses, and its rules, come back as they were; values do not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataflow import allow_failure, flatten, task, unmapped
from dataflow.database.rows import NodeRow
from dataflow.graph.nodes import Constant, Graph, Input, Node, Rows, Space, TaskSpec, Template, Whole
from dataflow.recording.node_codec import MOST_USES, decode_nodes, encode_rules, encode_uses, uses_left_out
from dataflow.states import StateType
from dataflow.triggers import any_failed, some_successful
from tests.history.remembered import ran

SPEC = TaskSpec(name="load", function=list, parameters=("source", "count"))


@task
def load(source: Any, count: int = 0) -> Any:
    return source


@task(retries=3, retry_delay_seconds=[1, 2], timeout_seconds=9, trigger=some_successful(0.5), tags=["b", "a"])
def careful(source: Any) -> Any:
    return source


@task(trigger=any_failed, skip_on_upstream_skip=False)
def judging(*sources: Any) -> int:
    return len(sources)


def row_of(node: Node, length: int | None = None) -> NodeRow:
    """The row of a node, as far as it tells of uses and rules."""
    return NodeRow(
        execution_id="e",
        number=node.id,
        slug=node.slug,
        task=node.task.name,
        is_mapped=node.space is not None,
        length=length,
        state=int(StateType.COMPLETED),
        uses=encode_uses(node),
        rules=encode_rules(node),
    )


def in_words(used: Input) -> tuple[Any, ...]:
    """A use, so that two of different graphs can be compared."""
    return used.node.slug, used.index, used.depth, used.allow_failure, used.judged


def uses(node: Node) -> list[Any]:
    """Every use of a node by parameter; of iterated rows the uses of each row."""
    found: list[Any] = []
    for label, argument in node.labelled_arguments():
        if isinstance(argument, Rows):
            rows = [Node(graph=Graph("row"), task=SPEC, slug="row", arguments=(row,)) for row in argument.rows]
            found.append((label, [[in_words(used) for used in row.inputs()] for row in rows]))
        elif inputs := Node(graph=Graph("one"), task=SPEC, slug="one", arguments=(argument,)).inputs():
            found.append((label, type(argument).__name__, [in_words(used) for used in inputs]))
    return found


def body() -> None:
    numbers = load.map(range(4))
    one = load.submit(1)
    load.map(numbers, count=unmapped(one))
    load.map(numbers[1:3], wait_for=[one])
    load.map(flatten(load.map([[1], [2, 3]])))
    load.map([numbers[0], 7, {"a": one, "b": [numbers[2]]}])
    load.submit({"all": numbers, "some": numbers[::2], "of": 3})
    load.submit(allow_failure(numbers))
    load.submit("nothing")
    careful.map(numbers)
    judging.submit(one, numbers[3])


def test_what_nodes_use_comes_back() -> None:
    """References by parameter with their index, depth and modifiers; in maps of rows those of each row."""
    nodes = ran(body).nodes
    again = decode_nodes([row_of(node) for node in nodes])
    assert [(node.slug, node.id) for node in again] == [(node.slug, node.id) for node in nodes]
    assert [uses(node) for node in again] == [uses(node) for node in nodes]
    assert sum(len(uses(node)) for node in nodes) > 10


def test_rules_come_back() -> None:
    """Retries, time limit, trigger, tags and the place of the call; of plain tasks nothing but that place."""
    nodes = ran(body).nodes
    again = {node.slug: node for node in decode_nodes([row_of(node) for node in nodes])}
    for node in nodes:
        rules, others = node.task.rules, again[node.slug].task.rules
        assert again[node.slug].site == node.site != ""
        for name in ("trigger", "tags", "timeout_seconds", "skip_on_upstream_skip", "judges"):
            assert getattr(others, name) == getattr(rules, name)
        assert others.retry.retries == rules.retry.retries
        assert others.retry.delays_seconds == rules.retry.delays_seconds
    assert json.loads(encode_rules(nodes[0])) == {"site": nodes[0].site}


def test_values_do_not_travel() -> None:
    """What a node is given is not in its row, and its function is not in the node that is made of it."""
    given = Template({"key": "password"}, (Input(_node("one")),))
    node = Node(graph=Graph("secret"), task=SPEC, slug="load", arguments=(Constant("password"), given))
    text = encode_uses(node) + encode_rules(node)
    assert "password" not in text
    assert decode_nodes([row_of(node)])[0].task.function is not SPEC.function


def _node(slug: str, graph: Graph | None = None) -> Node:
    return Node(graph=graph or Graph("other"), task=SPEC, slug=slug)


def test_maps_over_each_other_share_their_space() -> None:
    """What is mapped element by element over another map has its length; what opens a list has one of its own."""
    numbers, _, aligned, sliced, *_ = nodes = decode_nodes([row_of(node, length=4) for node in ran(body).nodes])
    spaces = [node.space for node in nodes if node.space is not None]
    assert isinstance(numbers.space, Space)
    assert aligned.space is not None
    assert aligned.space.root() is numbers.space.root()
    assert sliced.space is not None
    assert sliced.space.root() is not numbers.space.root()
    assert {space.length for space in spaces} == {4}


def test_many_uses_are_cut() -> None:
    """Of a list of futures, or of rows with futures, the first ones are kept, and the number of the others."""
    graph = Graph("many")
    nodes = [_node("load", graph) for _ in range(MOST_USES + 50)]
    many = tuple(Input(node) for node in nodes)
    gathers = Node(graph=graph, task=SPEC, slug="total", arguments=(Template(None, many),))
    maps = Node(graph=graph, task=SPEC, slug="each", arguments=(Rows(tuple(map(Whole, many))),), space=Space(len(many)))
    *_, total, each = decode_nodes([row_of(node) for node in graph.nodes])
    assert len(total.inputs()) == len(each.inputs()) == MOST_USES
    assert [uses_left_out(row_of(node)) for node in (gathers, maps, nodes[0])] == [50, 50, 0]
    assert len(encode_uses(gathers)) < 10_000


def test_rows_that_are_missing_are_left_out() -> None:
    """Uses of nodes that are not there are dropped; ids stay what they were."""
    rows = [row_of(node) for node in ran(body).nodes]
    again = decode_nodes(rows[2:])
    assert [node.id for node in again] == [row.number for row in rows[2:]]
    assert all(used.node in again for node in again for used in node.inputs())


@pytest.mark.parametrize("index", [None, 3, range(2, 9, 2)])
def test_each_index_comes_back(index: int | range | None) -> None:
    """Whole nodes, elements and slices are told apart."""
    graph = Graph("one")
    one = _node("one", graph)
    two = Node(graph=graph, task=SPEC, slug="two", arguments=(Whole(Input(one, index=index, judged=True)),))
    (used,) = decode_nodes([row_of(one), row_of(two)])[1].inputs()
    assert in_words(used) == ("one", index, 0, False, True)
