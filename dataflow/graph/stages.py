"""Stages: which nodes run together, element by element, as one small program.

Nodes of one index space that feed each other element-wise become one stage, and so does a plain node with the plain
node that alone feeds it. Two rules keep this right:

- *Levels.* An edge that needs more than the same element (a gather, an unmapped node, a flatten), or that crosses a
  difference in options, puts the consumer at least one level above. Only nodes of one level share a stage, so no path
  can leave a stage and come back to it.
- *Held plain values.* Where user code may ask for the value of a plain node while the rest goes on (the ``@flow``
  door), that node ends its stage, so that its value does not wait for its consumer.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from dataflow.graph.nodes import Argument, Elements, Input, Items, Node, Rows, Space, Whole, inputs_of
from dataflow.known_limits import effective
from dataflow.rules import Rules
from dataflow.triggers import manual_only

__all__ = ["Stage", "form_stages"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Nodes that run together; ``space`` is None for a chain of plain nodes."""

    nodes: tuple[Node, ...]
    """In an order in which each comes after the nodes it uses."""
    level: int
    """Number of barriers before it among the nodes sent together; deeper stages are run first."""
    space: Space | None
    outside: tuple[Input, ...]
    """Every use that its nodes make of nodes outside it."""

    @property
    def strict(self) -> bool:
        """Whether iterated arguments of different lengths are an error; nodes that only iterate over others of the
        stage have no say.
        """
        own = set(self.nodes)
        return all(node.strict for node in self.nodes if any(_is_brought(given, own) for given in _given(node)))


def _given(node: Node) -> list[Argument]:
    return [argument for _, argument in node.labelled_arguments()]


def _is_brought(argument: Argument, own: Container[Node]) -> bool:
    """Whether an argument is iterated and does not come from the stage itself."""
    match argument:
        case Items() | Rows():
            return True
        case Elements(used):
            return used.node not in own
        case _:
            return False


def form_stages(nodes: Sequence[Node], *, cut_held: bool) -> list[Stage]:
    """Group nodes into stages.

    Args:
        nodes: nodes to be sent together, each after the nodes it uses.
        cut_held: whether a plain node that user code holds must end its stage.
    """
    inputs_of_node = {node: tuple(node.inputs()) for node in nodes}
    consumers = _count_consumers(inputs_of_node.values())
    levels: dict[Node, int] = {}
    group_of: dict[Node, list[Node]] = {}
    groups: list[list[Node]] = []
    for node, inputs in inputs_of_node.items():
        near = _near(node, inputs, levels)
        if near and node.space is None and not _is_chain_link(node, inputs, near, consumers, cut_held):
            near = []
        level = levels[node] = _level(levels, inputs, near)
        own = _join([group_of[up] for up in near if levels[up] == level], group_of, groups)
        own.append(node)
        group_of[node] = own
    order = {node: position for position, node in enumerate(nodes)}
    stages = [_stage(group, levels, order, inputs_of_node) for group in groups if group]
    return sorted(stages, key=attrgetter("level"))  # an edge between stages always leads to a higher level


def _near(node: Node, inputs: tuple[Input, ...], levels: dict[Node, int]) -> list[Node]:
    """Nodes of which only the same element is needed, by every use that is made of them."""
    far = {used.node for used in inputs if used.node not in levels or not _is_near(node, used)}
    return [used.node for used in inputs if used.node not in far]


def _stage(
    group: list[Node], levels: dict[Node, int], order: dict[Node, int], inputs_of_node: dict[Node, tuple[Input, ...]]
) -> Stage:
    if len(group) == 1:
        outside = inputs_of_node[group[0]]
    else:
        group.sort(key=order.__getitem__)
        own = set(group)
        outside = tuple(used for node in group for used in inputs_of_node[node] if used.node not in own)
    space = group[0].space
    return Stage(tuple(group), levels[group[0]], space.root() if space else None, outside)


def _count_consumers(all_inputs: Iterable[tuple[Input, ...]]) -> dict[Node, int]:
    counts: dict[Node, int] = {}
    for inputs in all_inputs:
        for up in {used.node for used in inputs} if len(inputs) > 1 else [used.node for used in inputs]:
            counts[up] = counts.get(up, 0) + 1
    return counts


def _level(levels: dict[Node, int], inputs: tuple[Input, ...], near: list[Node]) -> int:
    level = 0
    for used in inputs:
        before = levels.get(used.node)
        if before is not None:
            level = max(level, before if used.node in near else before + 1)
    return level


def _is_near(node: Node, used: Input) -> bool:
    """Whether the edge needs only the same element of a node that can share a batch with this one."""
    up = used.node
    if used.depth or used.index is not None or used.allow_failure or up.task.is_async != node.task.is_async:
        return False
    if node.space is not None and node.task.rules.trigger == manual_only:
        return False  # approvals may take days: what a map has done before is seen as done, and can be cancelled
    if up.task.batch_size != node.task.batch_size or not _same_limits(up.task.rules, node.task.rules):
        return False
    if node.space is None or up.space is None:
        return node.space is up.space
    return node.space.root() is up.space.root() and _only_element_wise(node, up)


def _same_limits(rules: Rules, others: Rules) -> bool:
    """Whether an element needs places of the same limits for both, so that one step does not hold those of another."""
    return rules.limits == others.limits or effective(rules.limits) == effective(others.limits)


def _only_element_wise(node: Node, up: Node) -> bool:
    arguments = [argument for _, argument in node.labelled_arguments()]
    return all(
        isinstance(argument, Elements) for argument in arguments if any(used.node is up for used in inputs_of(argument))
    )


def _is_chain_link(
    node: Node, inputs: tuple[Input, ...], near: list[Node], consumers: dict[Node, int], cut_held: bool
) -> bool:
    """Whether a plain node uses exactly one node, which nobody else uses or may ask for."""
    if len({used.node for used in inputs}) != 1 or node.after:
        return False
    up = near[0]
    if consumers[up] != 1 or (cut_held and up.holders > 0):
        return False
    arguments = (*node.arguments, *node.keywords.values())
    return all(isinstance(argument, Whole) for argument in arguments if inputs_of(argument)) and not any(
        used.allow_failure for used in inputs
    )


def _join(found: list[list[Node]], group_of: dict[Node, list[Node]], groups: list[list[Node]]) -> list[Node]:
    """The one group that the found groups become, a new one if there are none."""
    if not found:
        groups.append([])
        return groups[-1]
    largest = max(found, key=len)
    for other in found:
        if other is not largest and other:
            for node in other:
                group_of[node] = largest
            largest.extend(other)
            other.clear()
    return largest
