"""What tests of the graph share: tasks made of functions, and a graph that is built call by call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Graph, Node, Reference, TaskSpec

__all__ = ["Sketch", "keep", "of", "pair", "spec"]

Function = Callable[..., Any]


def spec(function: Function) -> TaskSpec:
    """A task of a function, with the names of the parameters that can be passed by position."""
    by_position = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = inspect.signature(function).parameters.values()
    names = tuple(parameter.name for parameter in parameters if parameter.kind in by_position)
    return TaskSpec(name=function.__name__, function=function, parameters=names)


class Sketch:
    """A graph under construction; ``call`` and ``map`` give the node, ``of`` a reference to one."""

    def __init__(self, name: str = "sketch") -> None:
        self.graph = Graph(name)
        self.builder = Builder(self.graph)
        self.specs: dict[Function, TaskSpec] = {}

    def call(
        self, function: Callable[..., Any], *arguments: Any, how: dict[str, Any] | None = None, **named: Any
    ) -> Node:
        """A plain call; ``how`` are options of the builder."""
        task = self.specs.setdefault(function, spec(function))
        return self.builder.call(task, inspect.signature(function), arguments, named, **(how or {}))

    def map(
        self, function: Callable[..., Any], *arguments: Any, how: dict[str, Any] | None = None, **named: Any
    ) -> Node:
        """A mapped call."""
        return self.call(function, *arguments, how={"mapped": True, **(how or {})}, **named)


def of(node: Node, index: int | range | None = None) -> Reference:
    """A reference to a node, one element of it, or some."""
    return Reference(node, index)


def keep(x: Any) -> Any:
    """Give the argument back."""
    return x


def pair(x: Any, y: Any) -> tuple[Any, Any]:
    """Two arguments."""
    return x, y
