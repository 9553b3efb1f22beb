"""Releases: which columns are still needed, by whom, and when they can be dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dataflow.engine.facts import NodeFacts

__all__ = ["Releases"]


class Releases:
    """Counts, for each column on the cluster, the nodes whose values stand in it."""

    def __init__(self) -> None:
        self._kept: set[NodeFacts] = set()
        self._users_of_key: dict[str, int] = {}

    def keep(self, facts: Iterable[NodeFacts]) -> None:
        """The values of these nodes stay to the end of the run."""
        self._kept.update(facts)

    def use(self, key: str, number: int = 1) -> None:
        """So many more segments of nodes, or elements that are gone on with, need what stands there."""
        self._users_of_key[key] = self._users_of_key.get(key, 0) + number

    def let_go(self, key: str, number: int = 1) -> bool:
        """So many need it no more; says whether nobody does."""
        self._users_of_key[key] -= number
        return not self._users_of_key[key] and self._users_of_key.pop(key) == 0

    def is_unused(self, facts: NodeFacts) -> bool:
        """Whether a node has ended, nobody uses it any more, and nobody holds it."""
        if facts.released or not facts.ended or facts.pending_consumers:
            return False
        return not facts.node.holders and not facts.node.unsent_uses and facts not in self._kept

    def release(self, facts: NodeFacts) -> Iterator[str]:
        """Let go of the values of a node; gives the keys of columns that nobody needs any more."""
        facts.released = True
        for segment in facts.arrivals:
            if segment.key is None:
                continue
            if self.let_go(segment.key):
                yield segment.key
