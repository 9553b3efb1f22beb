"""Elision: work that need not be done, because what needs it is in the store; and how it is done after all when asked.

A node whose policy is LINEAGE has a key before anything upstream has run. If its result is found, nothing is run for
its sake, and its result is loaded when somebody needs it. If user code later asks for the value of a node that was left
out, a twin of it is run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from dataflow.compiler.lineage import Lineage
from dataflow.compiler.memory import Memories, Memory
from dataflow.engine.facts import NodeFacts
from dataflow.graph.nodes import Node
from dataflow.graph.rewiring import rewire, twin_of

__all__ = ["Elision", "Shortened", "shorten"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortened:
    """What is left to do of some nodes."""

    run: list[Node]
    found: list[Node]
    """Their results are only loaded."""
    unneeded: list[Node]


def shorten(nodes: Sequence[Node], found: AbstractSet[Node]) -> Shortened:
    """Leave out what only leads to results that were found.

    Args:
        nodes: to be sent together, each after those it uses.
        found: those of them whose result is in the store.
    """
    uses = {node: {used.node for used in node.inputs()} for node in nodes}
    used = set().union(*uses.values())
    awaited = {given.input.node for node in nodes for given in node.after if hasattr(given, "input")}
    needed: set[Node] = set()
    for node in reversed(nodes):
        if node not in used or node in awaited:
            needed.add(node)
        if node in needed and node not in found:
            needed |= uses[node]
    return Shortened(
        run=[node for node in nodes if node in needed and node not in found],
        found=[node for node in nodes if node in needed and node in found],
        unneeded=[node for node in nodes if node not in needed],
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Elision:
    """Decides for one run what need not be done.

    Args:
        memories: how results are kept.
        lineage: gives keys.
        facts_of: what is known of a node, None before it was sent.
    """

    memories: Memories
    lineage: Lineage
    facts_of: Callable[[Node], NodeFacts | None]
    _twins: dict[Node, Node] = field(default_factory=dict)
    _is_used: bool = False
    """Whether anything was left out so far."""

    def shorten(self, nodes: Sequence[Node]) -> Shortened:
        """What is left to do of nodes that are to be sent, each after those it uses."""
        if self._is_used:
            nodes = list(self._with_values(nodes))
        found = self._found(nodes)
        if not found:
            return Shortened(run=list(nodes), found=[], unneeded=[])
        self._is_used = True
        return shorten(nodes, found)

    def _found(self, nodes: Iterable[Node]) -> set[Node]:
        """The plain nodes whose result is in the store already."""
        by_place: dict[tuple[str, str], list[tuple[Node, Memory]]] = {}
        for node in nodes:
            memory = self.memories.of(node.task)
            if memory is not None and memory.is_lineage and not memory.refresh and node.space is None:
                by_place.setdefault((memory.store.url, memory.collection), []).append((node, memory))
        return {node for together in by_place.values() for node in self._look_up(together)}

    def _look_up(self, together: Sequence[tuple[Node, Memory]]) -> Iterable[Node]:
        memory = together[0][1]
        keys = b"".join(self.lineage.key(node) for node, _ in together)
        stored = memory.store.open().task(memory.collection).find(keys, now=time.time()).stored
        return [together[position][0] for position in stored.tolist()]

    def lacks_value(self, node: Node, index: int | None = None) -> bool:
        """Whether a node (or an element of it) succeeded without being run, so that it has no value at hand."""
        facts = self.facts_of(node) if self._is_used else None
        if facts is None or not facts.ended:
            return False
        segments = facts.segments if index is None else [facts.segment_at(index)]
        return any(s is not None and s.key is None and s.all_completed() for s in segments)

    def _with_values(self, nodes: Sequence[Node]) -> Iterable[Node]:
        """The nodes, and before those that use what was left out the twins of that."""
        twins = set(self._twins.values())
        for node in sorted(nodes, key=lambda one: one not in twins):  # a twin may have been asked for after its user
            new: list[Node] = []
            if any(self.lacks_value(used.node) for used in node.inputs()):
                swap = partial(self._twin, new=new)
                node.arguments = tuple(rewire(given, swap) for given in node.arguments)
                node.keywords = {name: rewire(given, swap) for name, given in node.keywords.items()}
            yield from new
            yield node

    def revive(self, node: Node) -> tuple[Node, list[Node]]:
        """The twin of a node that was left out, and the nodes to be sent for it, each after those it uses."""
        new: list[Node] = []
        return self._twin(node, new), new

    def _twin(self, node: Node, new: list[Node]) -> Node:
        """A node that has, or will have, the value: itself, or its twin."""
        if not self.lacks_value(node):
            return node
        if node not in self._twins:
            for up in self._left_out_before(node):
                self._twins[up] = twin_of(up, lambda used: self._twins.get(used, used))
                new.append(self._twins[up])
        return self._twins[node]

    def _left_out_before(self, node: Node) -> list[Node]:
        """The nodes without a value that one is made from, and itself, in the order in which they were added."""
        found, waiting = {node}, [node]
        while waiting:
            for used in waiting.pop().inputs():
                if used.node not in found and used.node not in self._twins and self.lacks_value(used.node):
                    found.add(used.node)
                    waiting.append(used.node)
        return sorted(found, key=lambda one: one.id)
