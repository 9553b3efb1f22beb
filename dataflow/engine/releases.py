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

    def use(self, key: str) -> None:
        """One more segment of a node has its values in this column."""
        self._users_of_key[key] = self._users_of_key.get(key, 0) + 1

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
            self._users_of_key[segment.key] -= 1
            if not self._users_of_key[segment.key]:
                del self._users_of_key[segment.key]
                yield segment.key
