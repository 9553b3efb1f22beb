"""Changes of a graph after its calls: edges as values, edits of a call, and calls moved to other nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dataflow.annotations import Annotation
from dataflow.calls import Call
from dataflow.graph.containers import cut
from dataflow.graph.nodes import Argument, Elements, Input, Node, Reference, Rows, inputs_of
from dataflow.handles import Handle

__all__ = ["Edge", "Edit", "as_list", "edges_of", "moved_call", "stand_in", "with_edit"]


@dataclass(frozen=True, slots=True)
class Edge:
    """One use of a task by another; ``key`` is the argument, or None where it only waits."""

    upstream_task: Handle
    downstream_task: Handle
    key: str | None = None
    mapped: bool = False
    flattened: bool = False


def edges_of(handles: Mapping[Node, Handle], only: Handle | None = None) -> Iterator[Edge]:
    """Every edge between nodes of a flow, or those that lead to one of them."""
    for node, handle in handles.items() if only is None else [(only.node, only)]:
        waits_from = len(node.arguments) + len(node.keywords)
        for position, (label, argument) in enumerate(node.labelled_arguments()):
            key = label if position < waits_from else None
            for used in inputs_of(argument):
                mapped = isinstance(argument, Elements | Rows)
                yield Edge(handles[used.node], handle, key, mapped, _is_flattened(argument, used))


def _is_flattened(argument: Argument, used: Input) -> bool:
    iterates_value = isinstance(argument, Elements) and (used.node.space is None or used.index is not None)
    return used.depth > int(iterates_value)


@dataclass(slots=True)
class Edit:
    """What was added to a call since its node was built."""

    waits: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)

    @property
    def only_waits_whole(self) -> bool:
        """Whether it can be added to the node without building the call anew."""
        return not self.keywords and not any(isinstance(wait, Annotation) for wait in self.waits)


def with_edit(call: Call, edit: Edit) -> Call:
    """The call with an edit in it; a keyword takes the place of a positional argument of that name."""
    names = call.task.spec.parameters
    arguments = list(call.arguments)
    keywords = dict(call.keywords)
    for name, value in edit.keywords.items():
        position = names.index(name) if name in names else len(arguments)
        if position < len(arguments):
            arguments[position] = value
        else:
            keywords[name] = value
    waits = [*as_list(call.wait_for), *edit.waits]
    return replace(call, arguments=tuple(arguments), keywords=keywords, wait_for=waits or None)


def as_list(wait_for: Any) -> list[Any]:
    """What ``wait_for=`` was given, as a list."""
    if wait_for is None:
        return []
    return list(wait_for) if isinstance(wait_for, list | tuple | set | frozenset) else [wait_for]


def moved_call(call: Call, move: Callable[[Reference], Any]) -> Call:
    """The call with every reference in its arguments replaced by what ``move`` gives for it."""
    return replace(
        call,
        arguments=tuple(_moved(value, move) for value in call.arguments),
        keywords={name: _moved(value, move) for name, value in call.keywords.items()},
        wait_for=_moved(call.wait_for, move),
    )


def stand_in(used: Reference, old: Node, new: Any) -> Any:
    """What stands for a reference when the node ``old`` is replaced by a handle or a value."""
    if used.node is not old:
        return used
    if used.index is None:
        return new
    return [new[position] for position in used.index] if isinstance(used.index, range) else new[used.index]


def _moved(value: Any, move: Callable[[Reference], Any]) -> Any:
    if isinstance(value, Reference):
        return move(value)
    if isinstance(value, Annotation):
        return type(value)(_moved(value.value, move))
    opened = cut(value, _is_marked)
    return opened.rebuilt([_moved(target, move) for target in opened.targets]) if opened.targets else value


def _is_marked(value: Any) -> bool:
    return isinstance(value, Reference | Annotation)
