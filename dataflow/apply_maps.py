"""`apply_map`: a function that adds nodes for one element adds them for all elements of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from dataflow.annotations import Annotation, mapped, strip, unmapped
from dataflow.blocks import Block, entered, flow_for
from dataflow.calls import Call
from dataflow.context import current_flow
from dataflow.control_flow import VALUE, itself, operation
from dataflow.errors import MapError
from dataflow.flow_edits import as_list
from dataflow.graph.containers import cut
from dataflow.graph.nodes import Reference
from dataflow.handles import Handle

if TYPE_CHECKING:
    from dataflow.flow_block import Flow
    from dataflow.flow_graph import FlowGraph

__all__ = ["apply_map"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a container the value of an element belongs."""

    position: int


def filled(container: Any, *values: Any) -> Any:
    """The container with values in their places."""
    opened = cut(container, lambda value: isinstance(value, Place))
    return opened.rebuilt([values[place.position] for place in opened.targets])


EACH = operation("each", itself)
FILLED = operation("container", filled)


class EachHandle(Handle):
    """Stands for the value of one element, whichever it is, of a mapped node."""

    __slots__ = ()

    stands_for_each = True

    @property
    def nout(self) -> int | None:
        """Number of values that each element unpacks to, where known."""
        return None if self.task is None else self.task.nout

    def _element_index(self, key: Any) -> None:
        return None  # an index is one into the value of the element


class Repeated(Block):
    """The block in which every call is repeated for all elements."""

    def __init__(self, flow: FlowGraph, first: EachHandle) -> None:
        super().__init__(flow)
        self._first = first

    def inside(self, call: Call) -> Call:
        """The call, as a map over those of its arguments that stand for an element."""
        if call.mapped:
            fix = f"call {call.task.name}(...): it is repeated for each element already"
            raise MapError("a map inside apply_map", where=call.task.name, fix=fix)
        arguments = tuple(self._iterated(value) for value in call.arguments)
        keywords = {name: self._iterated(value) for name, value in call.keywords.items()}
        waits = [self._iterated(value) for value in as_list(call.wait_for)]
        if not any(isinstance(value, mapped) for value in (*arguments, *keywords.values(), *waits)):
            waits.append(mapped(self._first))  # what uses no element is still done once for each
        return replace(call, arguments=arguments, keywords=keywords, wait_for=waits or None)

    def added(self, handle: Handle) -> Handle:
        """Take note of what a call inside gave; the caller gets what stands for each of its elements."""
        super().added(handle)
        return each_of(handle)

    def _iterated(self, value: Any) -> Any:
        bare, kinds, _ = strip(value)
        if isinstance(bare, Reference):
            return mapped(value) if isinstance(bare, EachHandle) and kinds.isdisjoint({mapped, unmapped}) else value
        if isinstance(value, Annotation):
            return value
        opened = cut(value, lambda found: isinstance(found, EachHandle))
        if not opened.targets:
            return value
        places = opened.rebuilt([Place(position) for position in range(len(opened.targets))])
        return mapped(self.flow.call(Call(task=FILLED, arguments=(places, *opened.targets), keywords={})))


def apply_map(function: Callable[..., Any], *arguments: Any, flow: FlowGraph | None = None, **keywords: Any) -> Any:
    """Call a function that adds nodes for one element, so that they are added as maps over all elements.

    The function is called once, with handles. Calls of tasks, operators, `case`, `switch`, `merge` and resources in it
    are repeated for each element. A map in it is an error.

    Args:
        function: what adds the nodes.
        arguments: what is iterated: handles and lists; those in ``unmapped(...)`` are the same for each element.
        flow: the flow; None: that of the block.
        keywords: likewise.

    Returns:
        What the function returns, with mapped handles in it.

    Raises:
        MapError: nothing is iterated, or it is inside another one.
        UsageError: outside ``with Flow(...)``.

    Example:
        >>> from dataflow import Flow, apply_map, case, merge, task
        >>> @task
        ... def is_even(x):
        ...     return x % 2 == 0
        >>> def halve_if_even(x):
        ...     with case(is_even(x), True):
        ...         half = x / 2
        ...     return merge(half, x)
        >>> with Flow("halves") as flow:
        ...     halves = apply_map(halve_if_even, range(4))
        >>> flow.run(cluster="inline").result[halves].result
        [0.0, 1, 1.0, 3]
    """
    found = flow_for(flow or current_flow.get(), "apply_map(...)", "task.map(...) in a @flow body", *arguments)
    if any(isinstance(block, Repeated) for block in found.blocks):
        raise MapError("apply_map inside apply_map", fix="call the function itself, or give one list that is flat")
    given = _Given(found)
    values = [given.one(value) for value in arguments]
    named = {name: given.one(value) for name, value in keywords.items()}
    if given.first is None:
        raise MapError(
            "nothing to iterate", where="apply_map(...)", fix="give a list or a handle without unmapped(...)"
        )
    with made_current(found), entered(Repeated(found, given.first)):
        return _of_all(found, function(*values, **named))


class _Given:
    """Arguments of an `apply_map`, as its function gets them."""

    def __init__(self, flow: FlowGraph) -> None:
        self.first: EachHandle | None = None
        self._flow = flow

    def one(self, value: Any) -> Any:
        """What stands for one element of an argument; of what is not iterated, the whole."""
        bare, kinds, _ = strip(value)
        is_mapped = isinstance(bare, Handle) and bare.is_mapped
        if unmapped in kinds:
            is_plain = len(kinds) == 1 and not is_mapped
            return bare if is_plain else self._flow.call(Call(task=VALUE, arguments=(value,), keywords={}))
        each = each_of(value if is_mapped and not kinds and value.index is None else self._opened(value))
        self.first = each if self.first is None else self.first
        return each

    def _opened(self, value: Any) -> Handle:
        waits = None if self.first is None else [mapped(self.first)]
        return self._flow.call(Call(task=EACH, arguments=(value,), keywords={}, mapped=True, wait_for=waits))


def each_of(handle: Handle) -> EachHandle:
    """What stands for each element of a mapped handle."""
    return EachHandle(handle.flow, handle.node, task=handle.task)


def _of_all(flow: FlowGraph, returned: Any) -> Any:
    opened = cut(returned, lambda value: isinstance(value, EachHandle))
    return opened.rebuilt([flow.handle(each) for each in opened.targets])


@contextmanager
def made_current(flow: FlowGraph) -> Iterator[None]:
    """Calls inside are calls of this flow."""
    token = current_flow.set(cast("Flow", flow))
    try:
        yield
    finally:
        current_flow.reset(token)
