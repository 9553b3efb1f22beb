"""Kinds of nodes: what all calls of one task in one line have in common, found once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflow.database.plain_nodes import Kind
from dataflow.graph.nodes import Node, TaskSpec
from dataflow.recording.node_codec import encode_rules

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = ["Kinds"]


class Kinds:
    """Gives the kind of each node of a run.

    Args:
        run: the run; only read.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[tuple[TaskSpec, str, bool], Kind] = {}

    def of(self, node: Node) -> Kind:
        """The same for all calls of a loop; how results are kept is known as soon as a node of the task was sent."""
        memory = self._run.memory_of(node)
        place = (node.task, node.site, memory is None)
        kind = self._known.get(place)
        if kind is None:
            collection, store = ("", "") if memory is None else (memory.collection, memory.store.url)
            kind = Kind(task=node.task.name, collection=collection, store=store, rules=encode_rules(node))
            self._known[place] = kind
        return kind
