"""Compares a store with a dict: random operations on two open stores at one place, and what must come out of both."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dataflow_results.packs.compaction import MANY_PACKS
from dataflow_results.store import ResultStore

__all__ = ["compare_with_dict"]

NAMES = "abcde"
names = st.sampled_from(NAMES)
values = st.one_of(st.none(), st.integers(), st.text(), st.binary(max_size=300))
which = st.integers(0, 1)


def compare_with_dict(place: Any, *, examples: int, steps: int) -> None:
    """Fail if a store at a place, which is emptied, ever tells anything else than a dict.

    Args:
        place: whatever `ResultStore` takes.
        examples: how many random sequences.
        steps: operations in each, at most.
    """

    class AgainstDict(_AgainstDict):
        at = place

    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None, database=None)
    run_state_machine_as_test(AgainstDict, settings=chosen)


class _AgainstDict(RuleBasedStateMachine):
    at: Any

    def __init__(self) -> None:
        super().__init__()
        self.stores = [self.opened(), self.opened()]
        files = self.stores[0].files
        files.remove([entry.name for entry in files.list()])
        self.model: dict[str, Any] = {}

    def opened(self) -> ResultStore:
        return ResultStore(self.at, inline_bytes=100)

    @rule(number=which, items=st.dictionaries(names, values, min_size=1))
    def put(self, number: int, items: dict[str, Any]) -> None:
        self.stores[number].exists("a")  # who has looked is newer than what it saw, whatever its clock says
        self.stores[number].put_many(items)
        self.model |= items

    @rule(number=which, name=names)
    def delete(self, number: int, name: str) -> None:
        self.stores[number].delete(name)
        self.model.pop(name, None)

    @rule(number=which)
    def open_again(self, number: int) -> None:
        self.stores[number] = self.opened()

    @rule(number=which)
    def merge(self, number: int) -> None:
        for filler in range(MANY_PACKS + 1):
            self.stores[number].put(f"filler{filler}", filler)

    @invariant()
    def agrees(self) -> None:
        for store in self.stores:
            assert store.get_many(NAMES) == self.model
            assert [name for name in store.list() if name in NAMES] == sorted(self.model)
