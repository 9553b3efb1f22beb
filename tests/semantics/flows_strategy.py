"""A strategy that generates flows as recipes: plain values that print well, shrink well and can be built many times."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask
from hypothesis import strategies as st

from dataflow.annotations import allow_failure, flatten, mapped, unmapped
from dataflow.errors import UsageError
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Graph, Node, Reference, TaskSpec
from tests.semantics.functions import FUNCTIONS, PLAIN_NAMES, specs

__all__ = ["Recipe", "build", "recipes"]

SLOW = ("dawdle", "perish")
WRAPPERS = {"allow_failure": allow_failure, "flatten": flatten, "mapped": mapped, "unmapped": unmapped}
ANNOTATIONS = (
    ("allow_failure",),
    ("flatten",),
    ("unmapped",),
    ("mapped",),
    ("flatten", "flatten"),
    ("flatten", "allow_failure"),
    ("allow_failure", "unmapped"),
)


@dataclass(frozen=True)
class Use:
    """A reference to an earlier step: to all of it, to one element, or to the first ``index.stop`` elements."""

    step: int
    index: int | range | None = None


@dataclass(frozen=True)
class Wrapped:
    """A value in annotations, the innermost first."""

    value: Any
    by: tuple[str, ...]


@dataclass(frozen=True)
class Lazy:
    """A generator of these items, which nobody knows the length of."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Delayed:
    """A value that dask.delayed computes."""

    value: Any


@dataclass(frozen=True)
class Step:
    """One call; ``second_by_name`` passes the second argument as a keyword."""

    function: str
    arguments: tuple[Any, ...]
    mapped: bool = False
    strict: bool = True
    wait_for: tuple[Any, ...] = ()
    second_by_name: bool = False


Recipe = tuple[Step, ...]


def build(
    recipe: Recipe, batch_size: int | None = None, more: Callable[[str], Mapping[str, Any]] = lambda name: {}
) -> Graph:
    """Make the graph of a recipe; node k is the call of step k. ``more`` gives options of a task by its name.

    Raises:
        UsageError: the builder refuses a call.
    """
    graph = Graph("generated")
    builder = Builder(graph)
    tasks = specs(batch_size, more)
    nodes: list[Node] = []
    for step in recipe:
        nodes.append(_call(builder, tasks, step, nodes))
    return graph


def _call(builder: Builder, tasks: Mapping[str, TaskSpec], step: Step, nodes: Sequence[Node]) -> Node:
    real = [_real(_iterable(argument) if step.mapped else argument, nodes) for argument in step.arguments]
    by_name = {"y": real.pop()} if step.second_by_name and len(real) == 2 else {}
    return builder.call(
        tasks[step.function],
        inspect.signature(FUNCTIONS[step.function]),
        tuple(real),
        by_name,
        wait_for=[_real(each, nodes) for each in step.wait_for] or None,
        mapped=step.mapped,
        strict=step.strict,
        site="recipe",
    )


def _iterable(value: Any) -> Any:
    """A generator is one only where it is iterated; as a plain argument it could not travel."""
    return iter(value.items) if isinstance(value, Lazy) else value


def _real(value: Any, nodes: Sequence[Node]) -> Any:
    """A recipe's argument as the builder gets it."""
    match value:
        case Use(step, index):
            return Reference(nodes[step], _possible(nodes[step], index))
        case Wrapped(inner, by):
            real = _real(inner, nodes)
            for name in by:
                real = WRAPPERS[name](real)
            return real
        case Lazy(items):
            return list(items)
        case Delayed(inner):
            return dask.delayed(list if isinstance(inner, list) else int)(inner)
        case list() | tuple():
            return type(value)(_real(item, nodes) for item in value)
        case dict():
            return {key: _real(item, nodes) for key, item in value.items()}
    return value


def _possible(node: Node, index: int | range | None) -> int | range | None:
    """The index, as far as both doors can make such a reference: slices need a known length, plain nodes have none."""
    if node.space is None:
        return None
    if isinstance(index, range):
        return None if node.space.length is None else range(min(index.stop, node.space.length))
    return index


@st.composite
def recipes(draw: st.DrawFn, max_steps: int = 7, ruled: tuple[str, ...] = ()) -> Recipe:
    """Flows of up to ``max_steps`` calls; a call that the builder refuses is made not strict, or plain, or left out.

    ``ruled`` names further tasks: such that retry, take too long, skip, loop, judge their inputs or give states.
    """
    length = draw(st.integers(0, 5))
    recipe: Recipe = ()
    for _ in range(draw(st.integers(1, max_steps))):
        drawn = draw(_steps(len(recipe), length, ruled))
        for step in (drawn, replace(drawn, strict=False), replace(drawn, mapped=False)):
            if not _takes_long(recipe, step) and _is_accepted((*recipe, step)):
                recipe = (*recipe, step)
                break
    return recipe


def _takes_long(recipe: Recipe, step: Step) -> bool:
    """Whether a flow would have a second step that may come to its time limit or lose its process, which is slow."""
    return step.function.startswith(SLOW) and any(earlier.function.startswith(SLOW) for earlier in recipe)


def _is_accepted(recipe: Recipe) -> bool:
    try:
        build(recipe)
    except UsageError:
        return False
    return True


@functools.cache
def _steps(earlier: int, length: int, ruled: tuple[str, ...]) -> st.SearchStrategy[Step]:
    arguments = _arguments(earlier, length)
    plain = st.sampled_from(PLAIN_NAMES)
    return st.builds(
        Step,
        function=st.one_of(plain, st.sampled_from(ruled)) if ruled else plain,
        arguments=st.lists(arguments, min_size=1, max_size=2).map(tuple),
        mapped=st.sampled_from((True, True, False)),
        strict=st.sampled_from((True, True, True, False)),
        wait_for=_waits(earlier, length),
        second_by_name=st.booleans(),
    )


def _waits(earlier: int, length: int) -> st.SearchStrategy[tuple[Any, ...]]:
    if not earlier:
        return st.just(())
    uses = _uses(earlier, length)
    return st.one_of(st.just(()), st.just(()), st.tuples(st.one_of(uses, _annotated(uses))))


def _arguments(earlier: int, length: int) -> st.SearchStrategy[Any]:
    """Scalars, lists (mostly of one length, so that zips fit), references, references in containers, annotations."""
    scalars = st.integers(0, 9)
    lists = st.lists(scalars, min_size=length, max_size=length)
    kinds = [scalars, lists, lists, st.lists(scalars, max_size=5), st.lists(lists, min_size=1, max_size=3)]
    kinds += [st.builds(Delayed, scalars), st.builds(Lazy, lists.map(tuple))]
    if earlier:
        uses = _uses(earlier, length)
        inner = st.one_of(scalars, uses, uses, st.builds(Delayed, scalars))
        rows = st.lists(st.one_of(inner, st.tuples(inner)), min_size=length, max_size=length)
        containers = st.one_of(rows, st.dictionaries(st.sampled_from("ab"), st.one_of(inner, st.lists(inner))))
        kinds += [uses, uses, uses, uses, _annotated(uses), _annotated(uses), containers, _annotated(containers)]
    else:
        kinds.append(_annotated(st.lists(lists, min_size=1, max_size=3)))
    return st.one_of(kinds)


def _uses(earlier: int, length: int) -> st.SearchStrategy[Use]:
    elements = st.integers(0, max(length - 1, 0))
    first_two = st.just(range(min(length, 2)))
    indices = st.one_of(st.none(), st.none(), st.none(), elements, first_two)
    return st.builds(Use, step=st.integers(0, earlier - 1), index=indices)


def _annotated(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Wrapped]:
    return st.builds(Wrapped, value=values, by=st.sampled_from(ANNOTATIONS))
