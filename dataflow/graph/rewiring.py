"""Rewiring: copies of nodes and arguments in which other nodes stand in the places of some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dataflow.graph.nodes import Argument, Collection, Elements, Input, Node, Rows, Template, Whole

__all__ = ["rewire", "twin_of"]

Swap = Callable[[Node], Node]


def rewire(argument: Argument, swap: Swap) -> Argument:
    """The argument with other nodes in the places of those it uses.

    Example:
        >>> from dataflow.graph.nodes import Graph, TaskSpec
        >>> graph, task = Graph("example"), TaskSpec(name="load", function=list, parameters=())
        >>> one, other = Node(graph=graph, task=task, slug="one"), Node(graph=graph, task=task, slug="other")
        >>> rewire(Whole(Input(one)), lambda node: other).input.node
        <Node other>
    """
    match argument:
        case Whole(used):
            return Whole(_swapped(used, swap))
        case Elements(used):
            return Elements(_swapped(used, swap))
        case Template(skeleton, inputs):
            return Template(skeleton, tuple(_inner(inner, swap) for inner in inputs))
        case Rows(rows):
            return Rows(tuple(rewire(row, swap) for row in rows))  # type: ignore[misc]  # rows stay rows
        case _:
            return argument


def twin_of(node: Node, swap: Swap) -> Node:
    """Another node for the same call, with other nodes in the places of those it uses. It is not part of the graph."""
    twin = object.__new__(Node)
    for name in Node.__slots__:
        if name != "__weakref__":
            setattr(twin, name, getattr(node, name))
    twin.holders = twin.unsent_uses = 0
    twin.arguments = tuple(rewire(argument, swap) for argument in node.arguments)
    twin.keywords = {name: rewire(argument, swap) for name, argument in node.keywords.items()}
    twin.after = ()  # what had to come before came before the node itself
    return twin


def _inner(inner: Input | Collection, swap: Swap) -> Input | Collection:
    return _swapped(inner, swap) if isinstance(inner, Input) else inner


def _swapped(used: Input, swap: Swap) -> Input:
    return replace(used, node=swap(used.node))
