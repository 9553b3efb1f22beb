"""Stages: what runs together element by element, where that is cut, and that no path leaves a stage and returns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.annotations import allow_failure, flatten, mapped, unmapped
from dataflow.graph.nodes import TaskSpec
from dataflow.graph.stages import Stage, form_stages
from tests.graph.helpers import Sketch, of, spec
from tests.semantics.flows_strategy import Recipe, build, recipes


def load(x: Any = None) -> Any: ...


def work(x: Any, y: Any = None) -> Any: ...


def refine(x: Any, y: Any = None) -> Any: ...


def merge(x: Any, y: Any = None) -> Any: ...


def gather(xs: Any, y: Any = None) -> Any: ...


@pytest.fixture
def sketch() -> Sketch:
    """An empty graph."""
    return Sketch()


def with_batches(sketch: Sketch, function: Any, batch_size: int) -> None:
    """Let calls of this function have a batch size."""
    made = spec(function)
    sketch.specs[function] = TaskSpec(
        name=made.name, function=function, parameters=made.parameters, batch_size=batch_size
    )


def names(sketch: Sketch, *, cut_held: bool = False) -> list[str]:
    """The stages of a sketch, each as the slugs of its nodes."""
    return ["+".join(node.slug for node in stage.nodes) for stage in form_stages(sketch.graph.nodes, cut_held=cut_held)]


# Mapped nodes


def test_a_diamond_is_one_stage(sketch: Sketch) -> None:
    """Two maps of one map, and a map of both: one program per element."""
    top = sketch.map(load, [1, 2])
    left, right = sketch.map(work, of(top)), sketch.map(refine, of(top))
    sketch.map(merge, of(left), of(right))
    assert names(sketch) == ["load+work+refine+merge"]


def test_maps_over_lists_of_one_length_are_joined_by_who_zips_them(sketch: Sketch) -> None:
    """Two maps over lists of their own are two stages, until a third takes an element of each."""
    left, right = sketch.map(load, [1, 2]), sketch.map(work, [3, 4])
    assert names(sketch) == ["load", "work"]
    sketch.map(merge, of(right), of(left))
    assert names(sketch) == ["load+work+merge"]


def test_a_gather_cuts(sketch: Sketch) -> None:
    """A node that takes the whole list is a stage of its own, one level above."""
    numbers = sketch.map(load, [1, 2])
    sketch.call(gather, of(numbers))
    stages = form_stages(sketch.graph.nodes, cut_held=False)
    assert [(stage.nodes[0].slug, stage.level, stage.space is None) for stage in stages] == [
        ("load", 0, False),
        ("gather", 1, True),
    ]


CUTS = {
    "flatten": lambda numbers: {"x": flatten(of(numbers))},
    "allow_failure": lambda numbers: {"x": allow_failure(of(numbers))},
    "the whole beside the element": lambda numbers: {"x": of(numbers), "y": unmapped(of(numbers))},
    "allow_failure beside the element": lambda numbers: {"x": of(numbers), "y": allow_failure(of(numbers))},
    "one element beside the element": lambda numbers: {"x": of(numbers), "y": unmapped(of(numbers, 0))},
    "a slice": lambda numbers: {"x": of(numbers, range(1, 2))},
}


@pytest.mark.parametrize("kind", CUTS)
def test_more_than_the_same_element_cuts(sketch: Sketch, kind: str) -> None:
    """A map that needs anything but the same element of another cannot run with it."""
    numbers = sketch.map(load, [1, 2])
    sketch.map(work, **CUTS[kind](numbers))
    assert names(sketch) == ["load", "work"]


def test_a_difference_in_batch_size_cuts(sketch: Sketch) -> None:
    """Elements that shall stand in batches of different sizes cannot share them."""
    with_batches(sketch, work, 5)
    with_batches(sketch, refine, 5)
    first = sketch.map(load, [1, 2])
    second = sketch.map(work, of(first))
    sketch.map(refine, of(second))
    assert names(sketch) == ["load", "work+refine"]


def test_async_and_plain_functions_do_not_mix(sketch: Sketch) -> None:
    """A batch runs on an event loop or it does not."""
    made = spec(work)
    sketch.specs[work] = TaskSpec(name="work", function=work, parameters=made.parameters, is_async=True)
    sketch.map(work, of(sketch.map(load, [1, 2])))
    assert names(sketch) == ["load", "work"]


def test_waiting_element_by_element_fuses(sketch: Sketch) -> None:
    """``wait_for=mapped(…)`` needs the same element only; without it, all elements."""
    first = sketch.map(load, [1, 2])
    second = sketch.map(work, of(first), how={"wait_for": [mapped(of(first))]})
    sketch.map(refine, of(second), how={"wait_for": [of(first)]})
    assert names(sketch) == ["load+work", "refine"]


def test_a_path_over_a_gather_keeps_apart(sketch: Sketch) -> None:
    """A map that uses a map both directly and over a gather is above it, or its stage would wait for itself."""
    numbers = sketch.map(load, [1, 2])
    total = sketch.call(gather, of(numbers))
    sketch.map(work, of(numbers), unmapped(of(total)))
    assert names(sketch) == ["load", "gather", "work"]


def test_uses_inside_a_stage_are_not_outside(sketch: Sketch) -> None:
    """Only what comes from elsewhere is listed."""
    shared = sketch.call(load)
    first = sketch.map(work, [1, 2], unmapped(of(shared)))
    sketch.map(refine, of(first), unmapped(of(shared)))
    _, stage = form_stages(sketch.graph.nodes, cut_held=False)
    assert [used.node.slug for used in stage.outside] == ["load", "load"]


# Plain nodes


def test_a_plain_chain_is_one_stage(sketch: Sketch) -> None:
    """Each node feeds only the next: nothing is moved between them."""
    sketch.call(refine, of(sketch.call(work, of(sketch.call(load)), 5)))
    assert names(sketch) == ["load+work+refine"]


def test_a_plain_node_with_two_consumers_ends_its_stage(sketch: Sketch) -> None:
    """Its value is needed in two places."""
    top = sketch.call(load)
    sketch.call(work, of(top))
    sketch.call(refine, of(top))
    assert names(sketch) == ["load", "work", "refine"]


def test_a_plain_node_with_two_inputs_begins_its_stage(sketch: Sketch) -> None:
    """It waits for both, which may run beside each other."""
    sketch.call(merge, of(sketch.call(load)), of(sketch.call(work, 1)))
    assert names(sketch) == ["load", "work", "merge"]


def test_a_held_plain_node_ends_its_stage_where_the_body_goes_on(sketch: Sketch) -> None:
    """In the flow door a future may be asked for early; in the graph door nobody can ask before the end."""
    first = sketch.call(load)
    sketch.call(work, of(first))
    first.holders = 1
    assert names(sketch, cut_held=True) == ["load", "work"]
    assert names(sketch, cut_held=False) == ["load+work"]


PLAIN_CUTS = {
    "in a container": lambda first: {"x": [of(first)]},
    "allow_failure": lambda first: {"x": allow_failure(of(first))},
    "flatten": lambda first: {"x": flatten(of(first))},
    "flatten beside the value": lambda first: {"x": flatten(of(first)), "y": of(first)},
    "wait_for": lambda first: {"x": 1, "how": {"wait_for": [of(first)]}},
}


@pytest.mark.parametrize("kind", PLAIN_CUTS)
def test_more_than_the_value_cuts_a_chain(sketch: Sketch, kind: str) -> None:
    """A plain node that does not simply take the value of another is a stage of its own."""
    sketch.call(work, **PLAIN_CUTS[kind](sketch.call(load)))
    assert names(sketch) == ["load", "work"]


def test_a_value_that_is_used_twice_by_one_node_stays_in_its_chain(sketch: Sketch) -> None:
    """``merge(x, x)`` has one input."""
    first = sketch.call(load)
    sketch.call(merge, of(first), of(first))
    assert names(sketch) == ["load+merge"]


def test_nodes_that_were_sent_before_are_outside(sketch: Sketch) -> None:
    """What is sent later forms stages of its own, at level 0 among what is sent with it."""
    first = sketch.map(load, [1, 2])
    second = sketch.map(work, of(first))
    (stage,) = form_stages([second], cut_held=False)
    assert (stage.nodes, stage.level, [used.node for used in stage.outside]) == ((second,), 0, [first])


def test_a_long_chain_is_formed_without_recursion(sketch: Sketch) -> None:
    """Five thousand nodes behind each other are one stage."""
    node = sketch.call(load)
    for _ in range(5000):
        node = sketch.call(work, of(node))
    (stage,) = form_stages(sketch.graph.nodes, cut_held=False)
    assert len(stage.nodes) == 5001


# Any graph


def test_stages_come_after_those_they_use(sketch: Sketch) -> None:
    """A stage that began before another, and uses it through a later node, comes behind it."""
    first = sketch.call(load, 1)
    numbers = sketch.map(work, [1, 2], unmapped(of(first)))
    second = sketch.call(load, 2)
    sketch.map(refine, of(numbers), unmapped(of(second)))
    assert names(sketch) == ["load", "load-2", "work+refine"]


def order_of(stages: list[Stage]) -> dict[Any, int]:
    """The position of the stage of each node."""
    return {node: position for position, stage in enumerate(stages) for node in stage.nodes}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(recipe=recipes(max_steps=12), cut_held=st.booleans(), data=st.data())
def test_any_graph_falls_into_stages_in_an_order_that_can_be_run(
    recipe: Recipe, cut_held: bool, data: st.DataObject
) -> None:
    """Every node is in one stage; each use leads to an earlier stage, or to an earlier node of the same one; so no
    path leaves a stage and comes back, and the levels rise along every use.
    """
    graph = build(recipe)
    for node in graph.nodes:
        node.holders = data.draw(st.integers(0, 1))
        node.task = replace(node.task, batch_size=data.draw(st.sampled_from((None, None, 2))))
    stages = form_stages(graph.nodes, cut_held=cut_held)
    assert sorted(node.id for stage in stages for node in stage.nodes) == list(range(len(graph.nodes)))
    position = order_of(stages)
    for stage in stages:
        places = {node: place for place, node in enumerate(stage.nodes)}
        inside = [(node, used) for node in stage.nodes for used in node.inputs() if used.node in places]
        assert all(places[used.node] < places[node] for node, used in inside)
        assert all(used.depth == 0 and used.index is None and not used.allow_failure for _, used in inside)
        assert [used for node in stage.nodes for used in node.inputs() if used.node not in places] == list(
            stage.outside
        )
        for used in stage.outside:
            assert position[used.node] < position[stage.nodes[0]]
            assert stages[position[used.node]].level < stage.level


@settings(max_examples=60, deadline=None, derandomize=True)
@given(recipe=recipes(max_steps=10))
def test_a_stage_has_one_space_and_one_way_to_run(recipe: Recipe) -> None:
    """Its nodes share index space, batch size and kind of function; plain ones are a chain."""
    for stage in form_stages(build(recipe, batch_size=3).nodes, cut_held=False):
        spaces = {id(node.space.root()) if node.space else None for node in stage.nodes}
        assert spaces == {id(stage.space) if stage.space else None}
        assert len({(node.task.batch_size, node.task.is_async) for node in stage.nodes}) == 1
        if stage.space is None:
            for before, node in zip(stage.nodes, stage.nodes[1:], strict=False):
                assert {used.node for used in node.inputs()} == {before}
