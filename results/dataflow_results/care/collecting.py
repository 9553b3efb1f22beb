"""Care of a store: what nobody needs any more is thrown away, by age, by bytes, or because it was replaced.

Looking (`care_facts`), deciding (`garbage`) and doing are apart: a dry run looks and decides.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np

from dataflow_results.care.garbage import plan_collection, used_by
from dataflow_results.care.garbage_facts import Amount, Facts, PackTrim, Plan, Reason, Removal, Rules
from dataflow_results.care.gathering import gather_facts, objects_of
from dataflow_results.care.inventory import CollectionPacks, QuietProblems, read_packs, shelf_of
from dataflow_results.care.trimming import trim_pack
from dataflow_results.errors import ReadingError, ResultMissing
from dataflow_results.packs.compaction import no_merging

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array
    from dataflow_results.packs.shelf import Shelf
    from dataflow_results.store import ResultStore

__all__ = ["Collected", "collect"]

OUTSIDE: Final = frozenset({Reason.OBJECT, Reason.TREE})
REMOVED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was thrown away, or would be."""

    dry_run: bool
    amounts: dict[Reason, Amount]
    """How many and how much, by why."""
    kept: Amount
    """Results that would have gone, had no pin, lease or unfinished run needed them."""
    notes: tuple[str, ...] = ()
    """What could not be done, for people."""

    @property
    def total(self) -> Amount:
        """All together; files and results are counted alike."""
        return sum(self.amounts.values(), Amount())


def collect(
    store: ResultStore, rules: Rules | None = None, *, dry_run: bool = True, now: float | None = None
) -> Collected:
    """Throw away what may go.

    Always: rows that newer ones replaced, results that expired, what deletions leave, objects nobody uses, and what
    killed writers left. By the rules: old results, and the oldest ones where there is too much. Never: results that are
    pinned, under a live lease, or needed by a run that is not finished; and plain files whose names users chose.

    Others may read and write meanwhile. A value that is stored while this runs stays; a reader that had found a result
    which goes finds it missing.

    Args:
        store: the store.
        rules: what may go; None means what always goes.
        dry_run: only look and decide.
        now: seconds since the epoch; None asks the clock.

    Raises:
        CorruptResult: a pin cannot be read, so nobody knows what it keeps.
        StoreError: the store is in trouble.

    Example:
        >>> from dataflow_results.store import ResultStore
        >>> store = ResultStore("memory://care-example")
        >>> for value in (1, 2):
        ...     reference = store.put("answer", value)
        >>> collect(store).amounts[Reason.REPLACED].count
        1
        >>> report = collect(store, dry_run=False)
        >>> collect(store).amounts, store.get("answer")
        ({}, 2)
    """
    rules = rules or Rules()
    at = time.time() if now is None else now
    facts = gather_facts(store, rules, at)
    plan = plan_collection(facts, rules, at)
    notes = [] if dry_run else _perform(store, facts, plan, rules, at)
    return Collected(dry_run=dry_run, amounts=dict(plan.amounts), kept=plan.kept, notes=(*plan.notes, *notes))


def _perform(store: ResultStore, facts: Facts, plan: Plan, rules: Rules, now: float) -> list[str]:
    """Do what was decided; gives what could not be done."""
    # Packs whose rows are in a merged one go before that: without it they would be in force again.
    _remove(store, (removal for removal in plan.removals if removal.reason not in OUTSIDE))
    notes = []
    packs = {each.name: each for each in facts.packs}
    for collection, trims in groupby(plan.trims, lambda trim: trim.collection):
        with no_merging(store.files, collection, now) as held:
            notes += _Trimming(store, packs[collection]).perform(list(trims), alone=held)
    outside = [removal for removal in plan.removals if removal.reason in OUTSIDE]
    if outside:
        _remove(store, _unused_still(store, outside, now - rules.grace_seconds))
    return notes


def _remove(store: ResultStore, removals: Iterable[Removal]) -> None:
    names = [name for removal in removals for name in removal.names]
    for start in range(0, len(names), REMOVED_AT_ONCE):
        store.files.remove(names[start : start + REMOVED_AT_ONCE])


def _unused_still(store: ResultStore, removals: Sequence[Removal], before: float) -> list[Removal]:
    """Those that nobody began to use, and nobody wrote anew, since the facts were gathered."""
    old = {each.place for each in objects_of(store.files) if each.modified_at < before}
    packs = read_packs(store.files, store.signing_key)
    if not all(each.is_complete for each in packs):
        return []
    used: AbstractSet[str] = set().union(*map(used_by, packs))
    return [removal for removal in removals if removal.place in old and removal.place not in used]


class _Trimming:
    """Takes rows out of the packs of one collection."""

    def __init__(self, store: ResultStore, packs: CollectionPacks) -> None:
        self._shelf: Shelf = shelf_of(store.files, packs.name, store.signing_key, QuietProblems())
        self._there = frozenset(packs.left_behind)
        self._notes: list[str] = []
        self._now: dict[str, tuple[str, Array]] = {}
        """What became of a pack: its new id, and which of its rows are left."""

    def perform(self, trims: Sequence[PackTrim], *, alone: bool) -> list[str]:
        """First what is replaced, everywhere; then what replaces it. What could not be done is told.

        Args:
            trims: what goes.
            alone: nobody merges packs meanwhile. Otherwise what replaces others stays for the next time, because a
                merged pack could bring the others back.
        """
        done = [self._trim(trim, trim.first) for trim in trims if len(trim.first)]
        if all(done) and alone:
            for trim in trims:
                if len(trim.then):
                    self._trim(trim, trim.then)
        return self._notes

    def _trim(self, trim: PackTrim, rows: Array) -> bool:
        """Whether the rows are gone for sure."""
        identity, left = self._now.get(trim.pack, (trim.pack, np.arange(trim.rows)))
        staying = ~np.isin(left, rows)
        try:
            head = trim_pack(self._shelf, identity, np.flatnonzero(staying), self._there)
        except ResultMissing:  # somebody merged it: the next collection finds its rows there
            return False
        except ReadingError as error:
            self._notes.append(str(error))
            return False
        if head is not None:
            self._now[trim.pack] = (head.id, left[staying])
        return True
