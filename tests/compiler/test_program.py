"""Programs: which slot of an element's frame holds what, what plain nodes share, and what guards a step."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

from dataflow.annotations import allow_failure, unmapped
from dataflow.compiler.program import ByKey, Compiled, Compiler, Guard, Step
from dataflow.graph.nodes import Constant, Elements, Input, Items, Node, Template, Whole
from dataflow.graph.stages import form_stages
from tests.graph.helpers import Sketch, of


def load(x: Any = None) -> Any:
    return x


def work(x: Any, y: Any = None, z: Any = None) -> Any:
    return x, y, z


def refine(x: Any, y: Any = None) -> Any:
    return x, y


def compiled(sketch: Sketch, *, large: Callable[[Any], bool] = lambda value: False, **how: Any) -> list[Compiled]:
    """Every stage of a sketch; the last node is kept."""
    last = sketch.graph.nodes[-1]
    compiler = Compiler(large)
    keeps = how.get("keeps", lambda node: node is last)
    depths = how.get("depths", {})
    stages = form_stages(sketch.graph.nodes, cut_held=False)
    return [compiler.compile(stage, keeps=keeps, depths=depths) for stage in stages]


def step(function: Callable[..., Any], positional: tuple[int, ...], guards: tuple[int, ...], **named: int) -> Step:
    """A step as it should be compiled."""
    keywords = tuple(named.items())
    return Step(name=function.__name__, function=function, positional=positional, keywords=keywords, guards=guards)


# Mapped stages


def test_constants_come_first_then_shared_values_then_columns() -> None:
    """One frame holds constants, broadcasts, columns and a slot per step, in this order."""
    sketch = Sketch()
    shared = sketch.call(load)
    sketch.map(work, [1, 2], unmapped(of(shared)), "constant")
    _, found = compiled(sketch)
    program = found.program
    assert (program.constants, program.broadcasts, program.columns) == (("constant",), 1, 1)
    assert program.steps == (step(work, positional=(2, 1, 0), guards=(2, 1)),)
    assert found.broadcasts == (Whole(Input(shared)),)
    assert found.columns == (Items([1, 2], 2),)


def test_a_fused_step_takes_the_slot_of_the_step_before() -> None:
    """What one step gives is not moved; the next reads its slot. Only the last value leaves the batch."""
    sketch = Sketch()
    first = sketch.map(load, [1, 2])
    sketch.map(refine, of(first), 7)
    (found,) = compiled(sketch)
    assert found.program.constants == (7,)
    assert found.program.steps == (step(load, (1,), (1,)), step(refine, (2, 0), (2,)))
    assert (found.program.name, found.program.outputs) == ("load+refine", (1,))


def test_what_is_used_twice_has_one_slot() -> None:
    """An element, a shared node and a constant that stand in two places are placed once."""
    sketch = Sketch()
    numbers, shared, table = sketch.call(load), sketch.call(load), [1, 2, 3]
    first = sketch.map(work, of(numbers), unmapped(of(shared)), unmapped(table))
    sketch.map(work, of(first), unmapped(of(shared)), unmapped(table))
    found = compiled(sketch)[-1]
    assert (found.program.constants, found.broadcasts) == ((table,), (Whole(Input(shared)),))
    assert found.columns == (Elements(Input(numbers, depth=1)),)
    assert [each.positional for each in found.program.steps] == [(2, 1, 0), (3, 1, 0)]


def test_keyword_arguments_keep_their_names() -> None:
    """They reach the function by name."""
    sketch = Sketch()
    sketch.map(work, [1, 2], z=[3, 4])
    (found,) = compiled(sketch)
    assert found.program.steps == (step(work, (0,), (0, 1), z=1),)


def test_large_constants_are_shared_by_key() -> None:
    """A constant that is large is no part of the program."""
    sketch = Sketch()
    sketch.map(work, [1, 2], unmapped("large"), "small")
    (found,) = compiled(sketch, large=lambda value: value == "large")
    assert found.program.constants == ("small",)
    assert [type(source) for source in found.broadcasts] == [ByKey]


def test_containers_with_nodes_are_filled_once_per_batch() -> None:
    """A dictionary with a future in it is the same for every element."""
    sketch = Sketch()
    shared = sketch.call(load)
    sketch.map(work, [1, 2], unmapped({"table": of(shared)}))
    _, found = compiled(sketch)
    assert [type(source) for source in found.broadcasts] == [Template]


def test_failures_that_are_allowed_are_no_step_slot() -> None:
    """An element whose failure is allowed comes as a column, where exceptions take the place of values."""
    sketch = Sketch()
    numbers = sketch.map(load, [1, 2])
    sketch.map(refine, allow_failure(of(numbers)))
    _, found = compiled(sketch)
    assert found.columns == (Elements(Input(numbers, allow_failure=True)),)


# Guards


def test_waiting_guards_a_step_without_an_argument() -> None:
    """``wait_for`` moves no data: its slot is looked at, and passed to nobody."""
    sketch = Sketch()
    before = sketch.call(load)
    sketch.map(refine, [1, 2], how={"wait_for": [of(before)]})
    _, found = compiled(sketch)
    assert found.broadcasts == (Guard(Input(before)),)
    assert found.program.steps == (step(refine, (1,), (1, 0)),)


def test_constants_guard_nothing() -> None:
    """A constant cannot have failed, so nobody looks."""
    sketch = Sketch()
    sketch.map(work, [1], 2, 3)
    (found,) = compiled(sketch)
    assert found.program.steps[0].guards == (2,)


# Plain nodes


def test_plain_nodes_of_one_shape_share_a_program() -> None:
    """Calls that differ in their values only have one program and one key, so that they can share a batch."""
    sketch = Sketch()
    for value in range(3):
        sketch.call(work, value, y=value)
    found = compiled(sketch, keeps=lambda node: True)
    assert len({id(each.program) for each in found}) == 1
    assert len({each.key for each in found}) == 1
    assert [each.columns for each in found] == [(Constant(value), Constant(value)) for value in range(3)]


def test_plain_chains_of_one_shape_share_a_program() -> None:
    """Three chains of two nodes each are three elements of one program."""
    sketch = Sketch()
    for value in range(3):
        sketch.call(refine, of(sketch.call(load, value)))
    found = compiled(sketch, keeps=lambda node: node.task.name == "refine")
    assert len(found) == 3
    assert len({each.key for each in found}) == 1
    assert found[0].program.steps == (step(load, (0,), (0,)), step(refine, (1,), (1,)))


def test_plain_nodes_of_other_shapes_do_not_share() -> None:
    """Another task, another number of arguments, another name, another output: each has a program of its own."""
    sketch = Sketch()
    nodes = [
        sketch.call(work, 1),
        sketch.call(refine, 1),
        sketch.call(work, 1, 2),
        sketch.call(work, 1, z=2),
        sketch.call(work, 1),
    ]
    found = compiled(sketch, keeps=lambda node: node is not nodes[4])
    assert len({each.key for each in found}) == 5


def test_a_chain_is_no_call_with_a_value() -> None:
    """``refine(load(x))`` and ``refine(x)`` after some other node are not mistaken for each other."""
    sketch = Sketch()
    sketch.call(refine, of(sketch.call(load, 1)), 2)
    sketch.call(refine, 2, of(sketch.call(load, 1)))
    first, second = compiled(sketch, keeps=lambda node: node.task.name == "refine")
    assert first.key != second.key
    assert (first.program.steps[1].positional, second.program.steps[1].positional) == ((2, 1), (1, 2))


def test_large_plain_arguments_travel_by_key() -> None:
    """Each node names its own object."""
    sketch = Sketch()
    sketch.call(work, "large")
    sketch.call(work, "small")
    first, second = compiled(sketch, large=lambda value: value == "large")
    assert [type(each.columns[0]) for each in (first, second)] == [ByKey, Constant]


# Measures and travelling


def test_lists_that_are_opened_are_measured_where_they_are_made() -> None:
    """The step whose values are iterated reports how many they hold, at each depth that is asked for."""
    sketch = Sketch()
    items = sketch.call(load)
    (found,) = compiled(sketch, depths={items: {2, 1}})
    assert found.program.measures == ((0, 1), (0, 2))


def test_async_tasks_make_async_programs() -> None:
    """So that the worker runs them on a loop."""

    async def later(x: Any) -> Any:
        return x

    sketch = Sketch()
    sketch.map(load, [1])
    assert [each.program.is_async for each in compiled(sketch)] == [False]
    task = sketch.specs[load]
    made = type(task)(name="later", function=later, parameters=("x",), is_async=True)
    sketch.builder.call(made, inspect.signature(later), ([1],), {}, mapped=True)
    assert [each.program.is_async for each in compiled(sketch)] == [False, True]


def test_a_program_knows_no_graph() -> None:
    """What travels to workers holds functions and constants, and no node of the client's graph."""
    sketch = Sketch()
    sketch.map(work, [1, 2], unmapped(of(sketch.call(load))), 3)
    _, found = compiled(sketch)
    names = pickle.dumps(found.program)
    assert b"dataflow.graph" not in names
    assert Node.__name__.encode() not in names
    assert pickle.loads(names) == found.program
