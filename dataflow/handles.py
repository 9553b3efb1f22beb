"""What a call gives inside ``with Flow(...)``: a lazy handle of a node, with operators that add further nodes."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dataflow.calls import Call, Called, Operation
from dataflow.errors import HandleError
from dataflow.graph.nodes import Node, Reference, TaskSpec

if TYPE_CHECKING:
    from dataflow.flow_graph import FlowGraph

__all__ = ["Handle"]


def attribute_of(value: Any, name: str) -> Any:
    """The attribute ``name`` of a value; at module level, so that it pickles by its name."""
    return getattr(value, name)


def operation(name: str, function: Callable[..., Any]) -> Operation:
    """A function as something that a flow can call."""
    signature = inspect.signature(function)
    spec = TaskSpec(name=name, function=function, parameters=tuple(signature.parameters))
    return Operation(spec=spec, signature=signature)


_OPERATOR_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "power": operator.pow,
    "and": operator.and_,
    "or": operator.or_,
    "less": operator.lt,
    "less_or_equal": operator.le,
    "greater": operator.gt,
    "greater_or_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "not": operator.not_,
    "get_item": operator.getitem,
    "get_attribute": attribute_of,
}

OPERATORS: dict[Callable[..., Any], Operation] = {
    function: operation(name, function) for name, function in _OPERATOR_FUNCTIONS.items()
}
"""The functions that operators on handles become nodes of, each as one task."""

Binary = Callable[["Handle", Any], "Handle"]


def _binary(function: Callable[..., Any]) -> Binary:
    def method(self: Handle, other: Any) -> Handle:
        return self.apply(function, self, other)

    return method


def _reflected(function: Callable[..., Any]) -> Binary:
    def method(self: Handle, other: Any) -> Handle:
        return self.apply(function, other, self)

    return method


class Handle(Reference):
    """The value that a node will have, to be passed to other calls of the same flow.

    ``+ - * / // % ** &``, ``< <= > >=`` and indexing add a node each; ``==`` and hashing stay those of the object, so
    that handles can be kept in sets and dicts (write ``handle.is_equal(other)`` for a node). ``a | b`` makes ``b`` wait
    for ``a`` and gives ``b``.

    Example:
        >>> from dataflow import Flow, task
        >>> @task
        ... def two():
        ...     return 2
        >>> with Flow("sum") as flow:
        ...     four = two() + 2
        >>> flow.run(cluster="inline").result[four].result
        4
    """

    __slots__ = ("__weakref__", "_flow", "task")

    stands_for_each = False
    """Whether it stands for one element of its node, whichever that is, as inside `apply_map`."""

    def __init__(
        self,
        flow: FlowGraph | None,
        node: Node,
        index: int | range | None = None,
        *,
        task: Called | None = None,
    ) -> None:
        super().__init__(node, index)
        self._flow = flow
        self.task = task
        """What was called; None for a parameter and for a call that could not be read."""

    def __repr__(self) -> str:
        element = "" if self.index is None else f"[{self.index}]"
        return f"<{type(self).__name__} {self.node.slug}{element} of flow {self.node.graph.name!r}>"

    @property
    def flow(self) -> FlowGraph:
        """The flow it belongs to.

        Raises:
            HandleError: it belongs to none yet (a parameter made outside a flow).
        """
        if self._flow is None:
            raise HandleError(f"{self!r} belongs to no flow yet", fix="use it inside `with Flow(...)`")
        return self._flow

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.node.task.name

    @property
    def slug(self) -> str:
        """Its name in the flow: readable, unique, and equal in every identical build."""
        return self.node.slug

    @property
    def tags(self) -> frozenset[str]:
        """Tags of the task."""
        return frozenset() if self.task is None else self.task.tags

    @property
    def nout(self) -> int | None:
        """Number of values it unpacks to, where known."""
        return None if self.task is None or self.is_mapped else self.task.nout

    @property
    def is_mapped(self) -> bool:
        """Whether it stands for a list with one value for each element."""
        return self.node.space is not None and not isinstance(self.index, int)

    def apply(self, function: Callable[..., Any], *values: Any) -> Handle:
        """Add a node that applies one of `OPERATORS` to handles and values."""
        return self.flow.call(Call(task=OPERATORS[function], arguments=values, keywords={}))

    __add__ = _binary(operator.add)
    __sub__ = _binary(operator.sub)
    __mul__ = _binary(operator.mul)
    __truediv__ = _binary(operator.truediv)
    __floordiv__ = _binary(operator.floordiv)
    __mod__ = _binary(operator.mod)
    __pow__ = _binary(operator.pow)
    __and__ = _binary(operator.and_)
    __lt__ = _binary(operator.lt)
    __le__ = _binary(operator.le)
    __gt__ = _binary(operator.gt)
    __ge__ = _binary(operator.ge)
    __radd__ = _reflected(operator.add)
    __rsub__ = _reflected(operator.sub)
    __rmul__ = _reflected(operator.mul)
    __rtruediv__ = _reflected(operator.truediv)
    __rfloordiv__ = _reflected(operator.floordiv)
    __rmod__ = _reflected(operator.mod)
    __rpow__ = _reflected(operator.pow)
    __rand__ = _reflected(operator.and_)

    def is_equal(self, other: Any) -> Handle:
        """A node that says whether both values are equal."""
        return self.apply(operator.eq, self, other)

    def is_not_equal(self, other: Any) -> Handle:
        """A node that says whether the values differ."""
        return self.apply(operator.ne, self, other)

    def not_(self) -> Handle:
        """A node that negates the truth of the value."""
        return self.apply(operator.not_, self)

    def or_(self, other: Any) -> Handle:
        """A node for ``value | other``, because ``|`` between handles sets their order."""
        return self.apply(operator.or_, self, other)

    def attr(self, name: str) -> Handle:
        """A node that reads the attribute ``name`` of the value."""
        return self.apply(attribute_of, self, name)

    def __getitem__(self, key: Any) -> Handle:
        """One item of the value; of a mapped handle one element, or some of them, without gathering the rest."""
        index = self._element_index(key)
        if index is None:
            return self.apply(operator.getitem, self, key)
        return Handle(self._flow, self.node, index, task=self.task)

    def _element_index(self, key: Any) -> int | range | None:
        space = self.node.space
        if space is None or self.index is not None:
            return None
        if isinstance(key, slice) and space.length is not None:
            return range(*key.indices(space.length))
        if not isinstance(key, int) or (space.length is None and key < 0):
            return None
        if space.length is not None and not -space.length <= key < space.length:
            raise IndexError(f"{self!r} has {space.length} elements, so there is no element {key}")
        return key + space.length if key < 0 and space.length is not None else key

    def __iter__(self) -> Iterator[Handle]:
        """Its values one by one, where their number is known (``nout``, or ``-> tuple[int, str]``)."""
        if self.nout is None:
            what = "the list of a mapped task" if self.is_mapped else "a handle whose number of values is not known"
            fix = f"@task(nout=2) to unpack it, or {self.name}.map(...) over it, or loop inside a task"
            raise self._misuse(f"iterates over {what}", fix)
        return iter([self[position] for position in range(self.nout)])

    def __bool__(self) -> bool:
        raise self._misuse("asks for the truth of", "do the test inside a task, or use the state after flow.run()")

    def __len__(self) -> int:
        raise self._misuse("asks for the length of", "call len inside a task, or use the state after flow.run()")

    def __contains__(self, item: Any) -> bool:
        raise self._misuse("looks for an item in", "do the test inside a task")

    def _misuse(self, what: str, fix: str) -> HandleError:
        problem = f"the code {what} {self!r}, which has no value before the flow runs"
        return HandleError(problem, where=f"{self.node.slug} ({self.node.site})".removesuffix(" ()"), fix=fix)

    def __or__(self, other: Handle) -> Handle:
        """``a | b``: ``b`` waits for ``a``; gives ``b``, so that ``a | b | c`` is a chain."""
        if not isinstance(other, Handle):
            raise self._misuse("joins a plain value by | to", "handle.or_(value) for a node that computes `|`")
        self.set_downstream(other)
        return other

    def set_upstream(self, other: Any, *, key: str | None = None, mapped: bool = False) -> None:
        """Make it wait for ``other``, or take ``other`` as its argument ``key``."""
        link(self.flow, other, self, key=key, mapped=mapped)

    def set_downstream(self, other: Any, *, key: str | None = None, mapped: bool = False) -> None:
        """Make ``other`` wait for it, or take it as the argument ``key``."""
        link(self.flow, self, other, key=key, mapped=mapped)


def link(flow: FlowGraph, upstream: Any, downstream: Any, *, key: str | None, mapped: bool) -> None:
    """Make one task of a flow wait for another, or take its value as the argument ``key``."""
    if key is None:
        flow.set_dependencies(downstream, upstream_tasks=[upstream], mapped=mapped)
    else:
        flow.set_dependencies(downstream, keyword_tasks={key: upstream}, mapped=mapped)
