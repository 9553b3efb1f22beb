"""Containers cut open: what is looked for is found at any depth, and other values are put in its places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from dataflow.annotations import Annotation, strip
from dataflow.errors import ArgumentError
from dataflow.graph.kinds import ATOMIC, Kind, kind_of
from dataflow.graph.nodes import Reference, Slot

__all__ = ["Cut", "cut", "fill", "find", "is_dask_collection", "is_lazy"]


class _Layer:
    """A container that is being looked through: its children, and which of them are targets or hold one."""

    __slots__ = ("changes", "children", "container", "kind", "origin", "pending", "position")

    def __init__(self, container: Any, kind: Kind, children: Sequence[Any], origin: _Origin) -> None:
        self.container = container
        self.kind = kind
        self.children = children
        self.origin = origin
        self.pending: Iterator[int] = iter(range(len(children)))
        self.position = 0
        """The child that is being looked at."""
        self.changes: list[tuple[int, int]] = []
        """(position, id) of each child that is a target or holds one."""


_Origin = tuple[_Layer | None, int]
"""The container that something was found in first, and its position there."""


class Cut:
    """A container cut open at its targets; ``rebuilt`` puts other values in their places and changes nothing in place.

    Example:
        >>> opened = cut({"a": [1, Slot(0)]}, lambda value: isinstance(value, Slot))
        >>> opened.targets, opened.path(0, "x")
        ((Slot(position=0),), "x['a'][1]")
        >>> opened.rebuilt(["new"])
        {'a': [1, 'new']}
    """

    __slots__ = ("_layers", "_origins", "targets", "value")

    def __init__(self, value: Any, targets: list[Any], origins: list[_Origin], layers: list[_Layer]) -> None:
        self.value = value
        self.targets = tuple(targets)
        """What was looked for: each object once, in the order of finding."""
        self._origins = origins
        self._layers = layers

    def rebuilt(self, replacements: Sequence[Any]) -> Any:
        """The container with ``replacements[k]`` in every place of ``targets[k]``; parts without targets are shared.

        Raises:
            ArgumentError: a container on the way to a target cannot be copied.
        """
        new = {id(target): value for target, value in zip(self.targets, replacements, strict=True)}
        for layer in self._layers:
            children = list(layer.children)
            for position, key in layer.changes:
                children[position] = new[key]
            new[id(layer.container)] = _rebuilt(layer, children)
        return new.get(id(self.value), self.value)

    def path(self, position: int, name: str) -> str:
        """Where a target was found first, written behind the name of the whole: ``x['a'][2].field``."""
        return _path(self._origins[position], name)


def _rebuilt(layer: _Layer, children: list[Any]) -> Any:
    try:
        return layer.kind.rebuild(layer.container, children)
    except Exception as error:
        raise ArgumentError(
            f"a {type(layer.container).__name__} cannot be copied to put a value into it: {error}",
            where=_path(layer.origin, "value"),
            fix="put the future into a list, tuple, dict or dataclass, or pass it as an argument of its own",
        ) from error


def _path(origin: _Origin, name: str) -> str:
    labels: list[str] = []
    layer, position = origin
    while layer is not None:
        labels.append(layer.kind.label(layer.container, position))
        layer, position = layer.origin
    return name + "".join(reversed(labels))


class _Walk:
    """One pass through a value, depth first, without recursion; each container is looked through once."""

    def __init__(self, is_target: Callable[[Any], bool], plain: dict[int, Any]) -> None:
        self.is_target = is_target
        self.plain = plain
        """Containers known to hold no target, by id; kept alive, so that no id is used twice."""
        self.holding: set[int] = set()
        self.open: dict[int, _Layer] = {}
        self.loops: list[tuple[_Layer, int]] = []
        self.targets: list[Any] = []
        self.origins: list[_Origin] = []
        self.done: list[_Layer] = []

    def run(self, value: Any) -> Cut:
        layer = self._meet(value, (None, 0))
        while layer is not None:
            layer = self._next_open(layer) or self._close(layer)
        self._refuse_loops()
        return Cut(value, self.targets, self.origins, self.done)

    def _next_open(self, layer: _Layer) -> _Layer | None:
        children = layer.children
        for position in layer.pending:
            child = children[position]
            if type(child) not in ATOMIC:
                inner = self._meet(child, (layer, position))
                if inner is not None:
                    return inner
        return None

    def _meet(self, value: Any, origin: _Origin) -> _Layer | None:
        """Note a value; a container that has to be looked through first is given back."""
        key = id(value)
        if key in self.plain:
            return None
        if key in self.holding:
            self._note(origin, key)
        elif key in self.open:
            self.loops.append((self.open[key], key))
        elif self.is_target(value):
            self.targets.append(value)
            self.origins.append(origin)
            self._note(origin, key)
        elif kind := kind_of(type(value)):
            return self._enter(value, kind, origin)
        return None

    def _enter(self, container: Any, kind: Kind, origin: _Origin) -> _Layer | None:
        children = kind.children(container)
        if ATOMIC.issuperset(map(type, children)):
            self.plain[id(container)] = container
            return None
        layer = self.open[id(container)] = _Layer(container, kind, children, origin)
        return layer

    def _note(self, origin: _Origin, key: int) -> None:
        self.holding.add(key)
        parent, position = origin
        if parent is not None:
            parent.changes.append((position, key))

    def _close(self, layer: _Layer) -> _Layer | None:
        key = id(layer.container)
        del self.open[key]
        if layer.changes:
            self.done.append(layer)
            self._note(layer.origin, key)
        else:
            self.plain[key] = layer.container
        return layer.origin[0]

    def _refuse_loops(self) -> None:
        for layer, key in self.loops:
            if key in self.holding:
                raise ArgumentError(
                    f"a {type(layer.container).__name__} holds both itself and a future",
                    where=_path(layer.origin, "value"),
                    fix="take the future out of it and pass it as an argument of its own",
                )


def cut(value: Any, is_target: Callable[[Any], bool], plain: dict[int, Any] | None = None) -> Cut:
    """Find what is looked for in a value, in containers of any depth; cycles and shared containers are seen once.

    Args:
        value: anything; strings, arrays, data frames and all else that is no container are leaves.
        is_target: what is looked for. It is not asked about values of the types in ``ATOMIC``.
        plain: containers known to hold no target, kept between calls that look for the same.

    Raises:
        ArgumentError: a container holds both itself and a target.
    """
    return _Walk(is_target, {} if plain is None else plain).run(value)


def _find_laziness(cls: type) -> Callable[[Any], bool] | None:
    """How instances of a class are asked whether they are references or Dask collections; None if they never are."""
    if issubclass(cls, Reference | Annotation):
        return lambda _: True
    if not any("__dask_graph__" in vars(base) for base in cls.__mro__):
        return None
    if any(base.__module__.partition(".")[0] in {"dask", "dask_expr", "dask_cudf"} for base in cls.__mro__):
        return lambda _: True  # always a collection, and asking for its graph can be slow
    return lambda value: value.__dask_graph__() is not None  # such as xarray, which wraps both


_laziness: Callable[[type], Callable[[Any], bool] | None] = lru_cache(maxsize=4096)(_find_laziness)


def is_lazy(value: Any) -> bool:
    """Whether a value stands for one that is not there yet: a reference, an annotation or a Dask collection."""
    ask = _laziness(type(value))
    return ask is not None and ask(value)


def is_dask_collection(value: Any) -> bool:
    """Whether a value is a Dask collection or ``delayed`` object."""
    return not isinstance(value, Reference | Annotation) and is_lazy(value)


def _is_reference(value: Any) -> bool:
    return isinstance(value, Reference | Annotation)


def find(value: Any) -> list[Reference]:
    """Every reference in a value, at any depth and inside annotations; each object once, in the order of finding.

    Example:
        >>> from dataflow.graph.nodes import Graph, Node, TaskSpec
        >>> load = Node(graph=Graph("example"), task=TaskSpec(name="load", function=list, parameters=()), slug="load")
        >>> [reference.node for reference in find({"a": [1, (Reference(load), 2)]})]
        [<Node load>]
    """
    found: dict[int, Reference] = {}
    waiting = [value]
    while waiting:
        for target in cut(waiting.pop(), _is_reference).targets:
            if isinstance(target, Reference):
                found.setdefault(id(target), target)
            else:
                waiting.append(strip(target)[0])
    return list(found.values())


def _is_slot(value: Any) -> bool:
    return type(value) is Slot


def fill(skeleton: Any, values: Sequence[Any]) -> Any:
    """The container that a skeleton stands for, with ``values[k]`` in the place of slot k.

    Raises:
        ArgumentError: a container of the skeleton cannot be copied.

    Example:
        >>> fill({"a": [Slot(0), 1], "b": Slot(1)}, ["x", "y"])
        {'a': ['x', 1], 'b': 'y'}
    """
    opened = cut(skeleton, _is_slot)
    return opened.rebuilt([values[slot.position] for slot in opened.targets])
