"""Checks of a whole graph before anything runs: cycles, foreign nodes, lengths and indices that cannot fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence

from dataflow.errors import CycleError, HandleError, UsageError
from dataflow.graph.mapping import Iterated, lengths_differ
from dataflow.graph.nodes import Elements, Input, Items, Node, Rows, Space, inputs_of

__all__ = ["complaints", "topological_order"]


def complaints(nodes: Sequence[Node]) -> list[UsageError]:
    """Everything that is known to be wrong with a graph, each with its node, its argument and what to write instead.

    Args:
        nodes: all nodes of one flow.

    Returns:
        Errors that were not raised; none if the graph can run. Takes time linear in nodes and edges.

    Example:
        >>> from dataflow.graph.nodes import Graph, TaskSpec, Whole
        >>> graph, task = Graph("example"), TaskSpec(name="load", function=list, parameters=("x",))
        >>> load = Node(graph=graph, task=task, slug="load")
        >>> load.arguments = (Whole(Input(load)),)
        >>> [error.problem for error in complaints([load])]
        ['waits for itself: load -> load']
    """
    known = set(nodes)
    found: list[UsageError] = [_cycle_error(cycle) for cycle in _cycles(nodes)]
    for node in nodes:
        found.extend(_misplaced_inputs(node, known))
        found.extend(_unequal_lengths(node))
    return found


def topological_order(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, each after those it uses; nodes that are in order already keep it.

    Nodes that are used but are not among the given ones are taken to be there before.

    Raises:
        CycleError: a node waits, over others, for itself.
    """
    given = set(nodes)
    ordered: list[Node] = []
    entered: set[Node] = set()
    left: set[Node] = set()
    for start in nodes:
        stack = [(start, iter(_upstream(start, given)))] if start not in entered else []
        entered.add(start)
        while stack:
            node, waiting = stack[-1]
            inner = next(waiting, None)
            if inner is None:
                stack.pop()
                left.add(node)
                ordered.append(node)
            elif inner not in entered:
                entered.add(inner)
                stack.append((inner, iter(_upstream(inner, given))))
            elif inner not in left:
                raise _cycle_error(_cycles(nodes)[0])
    return ordered


def _upstream(node: Node, given: Collection[Node]) -> list[Node]:
    return [up for up in dict.fromkeys(used.node for used in node.inputs()) if up in given]


def _cycle_error(cycle: Sequence[Node]) -> CycleError:
    names = [node.slug for node in cycle]
    return CycleError(
        f"waits for itself: {' -> '.join([*names, names[0]])}",
        where=_place(cycle[0]),
        fix="take one of these dependencies away",
    )


def _cycles(nodes: Sequence[Node]) -> list[list[Node]]:
    """One cycle of every group of nodes that wait for each other, in the order in which values would flow."""
    given = set(nodes)
    upstream = {node: _upstream(node, given) for node in nodes}
    rest = _never_ready(upstream)
    return [_cycle_in(group, upstream) for group in _groups(rest, upstream) if _is_cyclic(group, upstream)]


def _never_ready(upstream: dict[Node, list[Node]]) -> list[Node]:
    """What is left after taking away, again and again, the nodes that wait for nothing."""
    consumers: dict[Node, list[Node]] = {node: [] for node in upstream}
    for node, used in upstream.items():
        for up in used:
            consumers[up].append(node)
    waiting = {node: len(used) for node, used in upstream.items()}
    ready = deque(node for node, count in waiting.items() if not count)
    while ready:
        for consumer in consumers[ready.popleft()]:
            waiting[consumer] -= 1
            if not waiting[consumer]:
                ready.append(consumer)
    return [node for node, count in waiting.items() if count]


def _groups(nodes: Sequence[Node], upstream: dict[Node, list[Node]]) -> Iterator[list[Node]]:
    """Strongly connected components (Tarjan's algorithm with a stack of its own, so that depth does not matter)."""
    numbers: dict[Node, int] = {}
    lowest: dict[Node, int] = {}
    members: dict[Node, None] = {}
    for start in nodes:
        stack = [] if start in numbers else [(start, iter(upstream[start]))]
        while stack:
            node, waiting = stack[-1]
            if node not in numbers:
                numbers[node] = lowest[node] = len(numbers)
                members[node] = None
            inner = next(waiting, None)
            if inner is not None and inner not in numbers:
                stack.append((inner, iter(upstream[inner])))
            elif inner is not None and inner in members:
                lowest[node] = min(lowest[node], numbers[inner])
            elif inner is None:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == numbers[node]:
                    yield _taken_until(members, node)


def _taken_until(members: dict[Node, None], last: Node) -> list[Node]:
    group: list[Node] = []
    while not group or group[-1] is not last:
        group.append(members.popitem()[0])
    return group


def _is_cyclic(group: Sequence[Node], upstream: dict[Node, list[Node]]) -> bool:
    return len(group) > 1 or group[0] in upstream[group[0]]


def _cycle_in(group: Sequence[Node], upstream: dict[Node, list[Node]]) -> list[Node]:
    """Follow nodes upstream inside the group until one comes again; starts at the cycle's first node of the flow."""
    inside = set(group)
    way: dict[Node, int] = {}
    node = group[0]
    while node not in way:
        way[node] = len(way)
        node = next(up for up in upstream[node] if up in inside)
    cycle = list(way)[way[node] :][::-1]
    first = min(range(len(cycle)), key=lambda position: cycle[position].id)
    return cycle[first:] + cycle[:first]


def _misplaced_inputs(node: Node, known: Collection[Node]) -> Iterator[UsageError]:
    for path, argument in node.labelled_arguments():
        for used in inputs_of(argument):
            problem = _misplacement(used, node, known, is_iterated=isinstance(argument, Elements))
            if problem:
                yield HandleError(problem[0], where=f"{_place(node)}, argument {path}", fix=problem[1])


def _misplacement(used: Input, node: Node, known: Collection[Node], *, is_iterated: bool) -> tuple[str, str] | None:
    """What is wrong with one use of a node, and what to write instead."""
    up = used.node
    if up.graph is not node.graph:
        return (
            f"uses {up.slug!r} of another flow ({up.graph.name!r})",
            f"call {up.task.name!r} in this flow too, or pass its value",
        )
    if up not in known:
        return (
            f"uses {up.slug!r}, which is not in this flow any more",
            f"add {up.slug!r} to the flow, or replace it here too",
        )
    if is_iterated and up.space is None and not used.depth:
        return (
            f"goes element-wise through {up.slug!r}, which is not mapped",
            f"map {up.slug!r}, or build this map again",
        )
    last = _last_index(used)
    length = up.space.length if up.space else None
    if last is not None and length is not None and last >= length:
        return f"uses element {last:,} of {up.slug!r}, which has {length:,}", "use an index below the length"
    return None


def _last_index(used: Input) -> int | None:
    return max(used.index, default=None) if isinstance(used.index, range) else used.index


def _unequal_lengths(node: Node) -> Iterator[UsageError]:
    """The builder refuses these at the call; nodes that were replaced later are seen here."""
    iterated = [
        Iterated(path=path, argument=argument, space=_space(argument))
        for path, argument in node.labelled_arguments()
        if isinstance(argument, Items | Rows | Elements)
    ]
    known = {each.length for each in iterated} - {None}
    if node.strict and len(known) > 1:
        yield lengths_differ(iterated, _place(node))


def _space(argument: Items | Rows | Elements) -> Space | None:
    if isinstance(argument, Elements) and not argument.input.depth and argument.input.index is None:
        return argument.input.node.space
    return None


def _place(node: Node) -> str:
    return f"{node.slug} at {node.site}" if node.site else node.slug
