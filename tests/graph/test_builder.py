"""Calls as nodes: arguments stay as written, mistakes are told in full, and a call costs microseconds."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any

import pytest

from dataflow.annotations import flatten
from dataflow.errors import ArgumentError, HandleError, UsageError
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Constant, Graph, Input, Node, Template, Whole
from tests.graph.helpers import Sketch, keep, of, pair, spec


@pytest.fixture
def sketch() -> Sketch:
    """An empty graph."""
    return Sketch()


def everything(a: Any, /, b: Any, *rest: Any, c: Any, d: Any = 4, **named: Any) -> Any:
    """Every kind of parameter."""
    return a, b, rest, c, d, named


def test_arguments_stay_as_they_were_written(sketch: Sketch) -> None:
    """Positional stays positional, by name stays by name, and defaults are not bound."""
    node = sketch.call(everything, 1, 2, 3, c=5, extra=6)
    assert node.arguments == (Constant(1), Constant(2), Constant(3))
    assert node.keywords == {"c": Constant(5), "extra": Constant(6)}
    assert [name for name, _ in node.labelled_arguments()] == ["a", "b", "argument 2", "c", "extra"]


def test_the_function_can_be_called_with_what_the_node_holds(sketch: Sketch) -> None:
    """A call of every kind of parameter gives what the function itself gives."""
    node = sketch.call(everything, 1, 2, 3, c=5, extra=6)
    positional = [argument.value for argument in node.arguments]  # type: ignore[union-attr]
    named = {name: argument.value for name, argument in node.keywords.items()}  # type: ignore[union-attr]
    assert node.task.function(*positional, **named) == (1, 2, (3,), 5, 4, {"extra": 6})


def test_variable_arguments_are_iterated_one_by_one(sketch: Sketch) -> None:
    """In a map each of *args and **kwargs is an argument of its own."""
    node = sketch.map(everything, 1, [1, 2], [3, 4], c="text", extra=(5, 6))
    kinds = [type(argument).__name__ for _, argument in node.labelled_arguments()]
    assert kinds == ["Constant", "Items", "Items", "Constant", "Items"]


MISFITS: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "one missing": ((1,), {}, "nothing for y"),
    "all missing": ((), {}, "nothing for x, y"),
    "too many": ((1, 2, 3, 4), {}, "2 positional too many"),
    "unknown": ((1, 2), {"z": 3, "w": 4}, "no parameter named z, w"),
    "twice": ((1, 2), {"x": 3}, "two values for x"),
    "several": ((1,), {"x": 3, "z": 4}, "nothing for y; no parameter named z; two values for x"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_calls_that_do_not_fit(name: str, sketch: Sketch) -> None:
    """The error names the task, its signature, and everything that is missing, extra or repeated."""
    arguments, keywords, complaint = MISFITS[name]
    with pytest.raises(ArgumentError) as caught:
        sketch.call(pair, *arguments, how={"site": "flow.py:3"}, **keywords)
    assert caught.value.problem == f"the call does not fit pair(x: 'Any', y: 'Any') -> 'tuple[Any, Any]': {complaint}"
    assert caught.value.where == "pair at flow.py:3"
    assert sketch.graph.nodes == []


def test_a_call_that_fits_does_not_open_the_door_to_others(sketch: Sketch) -> None:
    """After a call that fits, one of the same task with other names or another number is still checked."""
    sketch.call(pair, 1, y=2)
    for arguments, keywords in [((1, 2), {"y": 3}), ((1,), {"x": 2}), ((1, 2, 3), {})]:
        with pytest.raises(ArgumentError, match="does not fit"):
            sketch.call(pair, *arguments, **keywords)


def test_positional_only_by_name_is_missing(sketch: Sketch) -> None:
    """A parameter that cannot be given by name stays missing, although **named takes the name."""
    with pytest.raises(ArgumentError, match=r"nothing for a, b$|nothing for a, b\n"):
        sketch.call(everything, a=1, c=2)


def test_slugs_are_numbered(sketch: Sketch) -> None:
    """Slugs are the names of tasks, counted; a given one is taken instead."""
    nodes = [sketch.call(keep, 1), sketch.call(keep, 1), sketch.call(pair, 1, 2)]
    nodes.append(sketch.call(keep, 1, how={"slug": "load"}))
    assert [node.slug for node in nodes] == ["keep", "keep-2", "pair", "load"]
    assert [node.id for node in nodes] == [0, 1, 2, 3]


def test_arguments_hold_references(sketch: Sketch) -> None:
    """References become inputs, by position, by name and nested; an element and some of them by index."""
    up = sketch.map(keep, [1, 2, 3])
    node = sketch.call(everything, of(up), of(up, 1), of(up, range(2)), c=of(up), extra=[of(up)])
    assert node.inputs() == [Input(up), Input(up, 1), Input(up, range(2)), Input(up), Input(up)]
    assert isinstance(node.keywords["extra"], Template)
    assert node.space is None


def test_a_failed_call_leaves_no_trace(sketch: Sketch) -> None:
    """After an error the graph has no new node, and the next slug is the one it would have been."""
    up = sketch.call(keep, 1)
    for wrong in (lambda: sketch.call(pair, of(up)), lambda: sketch.call(pair, 1, [flatten(of(up))])):
        with pytest.raises(UsageError):
            wrong()
    assert sketch.graph.nodes == [up]
    assert sketch.call(pair, 1, 2).slug == "pair"


def test_a_handle_of_another_flow_names_both(sketch: Sketch) -> None:
    """The error says which node of which flow was used where, and what to do."""
    other = Sketch("theirs").call(keep, 1)
    for call in (sketch.call, sketch.map):
        with pytest.raises(HandleError) as caught:
            call(pair, 1, of(other), how={"site": "flow.py:3"})
        text = str(caught.value)
        assert all(part in text for part in ("pair at flow.py:3, argument y", "'keep'", "'theirs'", "'sketch'"))


def test_the_noun_fits_the_door(sketch: Sketch) -> None:
    """A reference that has a result is called a future of a run, another one a handle of a flow."""
    reference = of(Sketch("theirs").call(keep, 1))

    class Future(type(reference)):  # type: ignore[misc]
        def result(self) -> None: ...

    with pytest.raises(HandleError, match="a handle of 'keep' from another flow"):
        sketch.call(keep, reference)
    with pytest.raises(HandleError, match="a future of 'keep' from another run"):
        sketch.call(keep, Future(reference.node))


def test_threads_may_share_a_builder() -> None:
    """Nodes added by several threads have positions and slugs of their own."""
    graph, task, signature = Graph("threads"), spec(keep), inspect.signature(keep)
    builder = Builder(graph)

    def work() -> None:
        for i in range(500):
            builder.call(task, signature, (i,), {})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [node.id for node in graph.nodes] == list(range(2000))
    assert len({node.slug for node in graph.nodes}) == 2000


def test_an_iterator_that_adds_nodes_while_it_is_read(sketch: Sketch) -> None:
    """Reading a generator inside a call may add further nodes to the same graph."""
    node = sketch.call(keep, flatten([sketch.call(keep, i).id] for i in range(3)))
    assert node.arguments == (Constant([0, 1, 2]),)


def _trees(builder: Builder, count: int) -> float:
    """Seconds a call of a chain of trees takes: each group of four uses the one before, its last uses the others."""
    task, signature = spec(pair), inspect.signature(pair)
    last: Any = 0
    start = time.perf_counter()
    for i in range(count // 4):
        left: Node = builder.call(task, signature, (last, i), {})
        right = builder.call(task, signature, (last, 2 * i), {})
        both = builder.call(task, signature, (of(left), of(right)), {})
        last = of(builder.call(task, signature, (of(both), 1), {}))
    return (time.perf_counter() - start) / count


def test_calls_are_cheap() -> None:
    """A plain call costs microseconds, and no more in a large graph than in a small one."""
    assert _trees(Builder(Graph("trees")), 20_000) < 60e-6  # about 8e-6 on an idle machine; three times that when busy
    graph = Graph("flat")
    builder, task, signature = Builder(graph), spec(keep), inspect.signature(keep)
    builder.call(task, signature, (5,), {})
    assert graph.nodes[0].arguments == (Constant(5),)
    assert builder.call(task, signature, (of(graph.nodes[0]),), {}).arguments == (Whole(Input(graph.nodes[0])),)
