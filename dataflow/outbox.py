"""The outbox of a run: nodes that were added and not yet sent, and when it is time to send them."""

from __future__ import annotations

import time
from collections.abc import Container
from threading import Lock

from dataflow.graph.nodes import Node
from dataflow.settings import settings

__all__ = ["Outbox"]

PAUSE_SECONDS = 0.01
"""A body that has added no node for this long is busy elsewhere."""
LONGEST_WAIT_SECONDS = 0.4
"""Nodes are sent after this long in any case."""


class Outbox:
    """Collects nodes, so that those added together are sent together. Used from several threads."""

    __slots__ = ("_asked", "_last_at", "_lock", "_nodes", "_since", "last_taken")

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self.last_taken: Node | None = None
        """The last node that was taken; once the machine knows it, it knows all that were taken."""
        self._since = self._last_at = 0.0
        self._asked = False
        self._lock = Lock()

    def __bool__(self) -> bool:
        return bool(self._nodes)

    def add(self, node: Node) -> bool:
        """Add a node; gives whether it is the first since the last were taken."""
        now = time.monotonic()
        with self._lock:
            for used in node.inputs():
                used.node.unsent_uses += 1
            if not self._nodes:
                self._since = now
            self._last_at = now
            self._nodes.append(node)
            return len(self._nodes) == 1

    def ask(self) -> None:
        """Somebody waits for what is in it."""
        with self._lock:
            self._asked = bool(self._nodes)  # with nothing to send, the next node must not be sent alone

    def due_at(self) -> float | None:
        """When the nodes are sent unasked: soon, but not while the body is adding more all the time; None if empty."""
        if not self._nodes:
            return None
        soon = self._since + settings().send_after_seconds
        return min(max(soon, self._last_at + PAUSE_SECONDS), soon + LONGEST_WAIT_SECONDS)

    def is_due(self) -> bool:
        """Whether it is time to send what is in it."""
        due = self.due_at()
        return due is not None and (self._asked or time.monotonic() >= due)

    def is_sent(self, known: Container[Node]) -> bool:
        """Whether all that was ever added is known to the machine; ``known`` are the nodes it knows."""
        is_empty, last = not self._nodes, self.last_taken  # in this order, the opposite of that in take
        return is_empty and (last is None or last in known)

    def take(self) -> list[Node]:
        """Empty it; gives the nodes in the order in which they were added."""
        with self._lock:
            self.last_taken = self._nodes[-1] if self._nodes else self.last_taken  # before it looks empty
            nodes, self._nodes = self._nodes, []
            self._asked = False
            for node in nodes:
                for used in node.inputs():
                    used.node.unsent_uses -= 1
            return nodes
