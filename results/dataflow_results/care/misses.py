"""Why results were computed again: `dataflow_results.keying.explain` bound to what a store holds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataflow_results.care.catalogue import BatchRecord, ElementRecord, Query, elements_in, matching_batches
from dataflow_results.care.finding import begins_with
from dataflow_results.care.inventory import CollectionPacks, QuietProblems, ReadOnlyFiles, read_packs, shelf_of
from dataflow_results.errors import ReadingError, ResultMissing, StoreError
from dataflow_results.keying.explain import Candidate, Explanation, explain
from dataflow_results.keying.explain import Reason as Why
from dataflow_results.keying.preimages import BatchPreimage, pack_preimage, unpack_preimage

if TYPE_CHECKING:
    from dataflow_results.keying.keys import KeyPlan, Keys
    from dataflow_results.packs.columns import Array
    from dataflow_results.packs.parts import PackHead
    from dataflow_results.store import ResultStore
    from dataflow_results.task_results import TaskResults

__all__ = ["Computed", "summed_up", "why_computed", "why_missed"]

MOST_BATCHES: Final = 100
"""The nearest record is looked for among so many, the newest ones."""
ALWAYS: Final = float("-inf")
"""A time at which nothing has expired."""
DELETED: Final = "the record with exactly this key was deleted, or was set aside because it is damaged"


def why_missed(
    results: TaskResults,
    plan: KeyPlan,
    keys: Keys,
    row: int,
    *,
    columns: Mapping[str, Sequence[Any]] | None = None,
    shared: Mapping[str, Any] | None = None,
    refreshed: bool = False,
    now: float | None = None,
) -> Explanation:
    """Why one element of a batch is not answered from the store.

    Args:
        results: of the task.
        plan: made the keys.
        keys: of the batch.
        row: position of the element in the batch.
        columns: the values the keys were made of; given, differences are named by their path inside an argument.
        shared: the same for arguments that all elements share.
        refreshed: whether computing again was asked for.
        now: seconds since the epoch; None asks the clock.

    Example:
        >>> from dataflow_results.keying.plans import CallArguments, make_plan
        >>> from dataflow_results.policies import INPUTS
        >>> from dataflow_results.store import ResultStore
        >>> from dataflow_results.keying.identity import TaskIdentity
        >>> identity = TaskIdentity(name="f", module_qualname="m.f")
        >>> plan = make_plan(identity, INPUTS, CallArguments(names=("x",)))
        >>> results = ResultStore("memory://misses-example").task(identity.collection)
        >>> print(why_missed(results, plan, plan.keys({"x": [1]}, {}, 1, range(1)), 0))
        No result of `f` is stored.
    """
    at = time.time() if now is None else now
    task = plan.identity.name
    if row in keys.errors:
        return explain(keys.errors[row], [], now_seconds=at, task=task)
    wanted = unpack_preimage(pack_preimage(plan, keys, [row], columns=columns, shared=shared)).row(0)
    try:
        candidates = list(islice(_candidates_of(results), MOST_BATCHES))
        found = results.find(keys[row], now=at)
    except StoreError as error:
        return explain(wanted, [], now_seconds=at, problem=error)
    why = explain(wanted, candidates, now_seconds=at, refreshed=refreshed)
    if why.reason is Why.STORED and len(found.missing):
        return replace(why, reason=Why.UNUSABLE, detail=DELETED)
    return why


def _candidates_of(results: TaskResults) -> Iterator[Candidate]:
    for provenance, rows, packed in results.preimages():
        preimage = _unpacked(packed)
        if preimage is not None:
            yield Candidate(provenance=provenance, preimage=preimage, rows=rows.tolist())


def _unpacked(packed: bytes) -> BatchPreimage | None:
    """A pre-image; None if it is damaged, or of a newer version: it explains nothing then."""
    try:
        return unpack_preimage(packed) if packed else None
    except ReadingError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """One result, and why it was computed although others of its task were stored."""

    element: ElementRecord
    why: Explanation


def why_computed(
    store: ResultStore, query: Query, *, element: int | None = None, key: str = "", most: int = 20
) -> list[Computed]:
    """Why the newest results that match were computed, and not found among those stored before them.

    Args:
        store: the store; nothing in it is changed.
        query: which results; usually a task, or a task and a run.
        element: only this element; None means all of the newest map.
        key: only the result whose key begins with these digits.
        most: so many results at most.

    Raises:
        ResultMissing: nothing is stored that matches.
        StoreError: the store does not answer.
    """
    packs = [each for each in read_packs(store.files, store.signing_key) if _holds(each, query)]
    if element is None and not key:
        chosen = list(islice(_newest_map(packs, query), most))
    else:
        chosen = _newest_of(_asked_for(packs, query, element, key))[:most]
    if not chosen:
        fix = "`dataflow results ls` says what is stored"
        raise ResultMissing("nothing is stored that matches", where=store.url, fix=fix)
    batches = _Batches(store, packs)
    return [Computed(element=one, why=batches.explain(one)) for one in chosen]


def _newest_map(packs: Sequence[CollectionPacks], query: Query) -> Iterator[ElementRecord]:
    """What the last run stored of one node, the newest batch first."""
    batches = matching_batches(packs, query, ALWAYS)
    for batch in batches:
        if batch is batches[0] or (batch.run_id and _map_of(batch) == _map_of(batches[0])):
            holder = next(each for each in packs if each.name == batch.collection)
            yield from (one for one in elements_in(holder, query, now=ALWAYS) if _is_in(one, batch))


def _map_of(batch: BatchRecord) -> tuple[str, str, str]:
    return batch.collection, batch.run_id, batch.node


def _is_in(element: ElementRecord, batch: BatchRecord) -> bool:
    return (element.pack, element.section) == (batch.pack, batch.section)


def _newest_of(found: Sequence[ElementRecord]) -> list[ElementRecord]:
    """Those of the newest batch."""
    last = max(found, key=lambda one: one.provenance.created_at, default=None)
    return [one for one in found if last and (one.pack, one.section) == (last.pack, last.section)]


def _asked_for(packs: Sequence[CollectionPacks], query: Query, element: int | None, key: str) -> list[ElementRecord]:
    which = partial(_is_asked_for, element=element, key=key)
    return [one for each in packs for one in elements_in(each, query, now=ALWAYS, which=which)]


def _is_asked_for(head: PackHead, *, element: int | None, key: str) -> Array:
    asked = begins_with(head, key)
    return asked if element is None else asked & (head.column("index") == element)


def _holds(packs: CollectionPacks, query: Query) -> bool:
    """Whether a collection is about the task that is asked for."""
    named = Query(task=query.task)
    return any(named.matches_names(each.provenance, packs.name) for head in packs.heads for each in head.sections)


def summed_up(computed: Iterable[Computed]) -> list[tuple[str, int]]:
    """What explanations say, each text with the number of results it is said of, the most frequent first."""
    return Counter(str(one.why) for one in computed).most_common()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batch:
    """One batch of a pack."""

    head: PackHead
    section: int
    candidate: Candidate
    newest_order: int


class _Batches:
    """All batches of some collections that have a pre-image, the newest first."""

    def __init__(self, store: ResultStore, packs: Sequence[CollectionPacks]) -> None:
        self._files = ReadOnlyFiles(store.files)
        self._signing_key = store.signing_key
        places = [(head, section) for each in packs for head in each.heads for section in range(len(head.sections))]
        newest = sorted(places, key=lambda place: _newest_order(*place), reverse=True)
        found = (self._batch(*place) for place in newest)
        self._all = list(islice((batch for batch in found if batch is not None), MOST_BATCHES))

    def _batch(self, head: PackHead, section: int) -> _Batch | None:
        span = head.sections[section].preimage
        rows = np.flatnonzero(head.column("section") == section)
        if span is None or not len(rows):
            return None
        shelf = shelf_of(self._files, head.collection, self._signing_key, QuietProblems())
        try:
            preimage = _unpacked(shelf.read_preimage(head, span))
        except ResultMissing:  # merged or collected meanwhile
            return None
        if preimage is None:
            return None
        candidate = Candidate(
            provenance=head.provenance(int(rows[0])),
            preimage=preimage,
            rows=head.column("origin")[rows].astype(np.int64).tolist(),
        )
        return _Batch(head=head, section=section, candidate=candidate, newest_order=_newest_order(head, section))

    def explain(self, element: ElementRecord) -> Explanation:
        """Why an element was not answered from what was stored before it."""
        own = next((batch for batch in self._all if _is_of(element, batch)), None)
        if own is None:
            return Explanation(reason=Why.NOT_CACHED, task=element.provenance.task)
        wanted = own.candidate.preimage.row(int(own.head.column("origin")[element.row]))
        before = [batch.candidate for batch in self._all if _is_before(batch, own)]
        return explain(wanted, before, now_seconds=element.provenance.created_at)


def _newest_order(head: PackHead, section: int) -> int:
    rows = head.column("section") == section
    return int(head.column("order")[rows].max()) if rows.any() else 0


def _is_before(batch: _Batch, own: _Batch) -> bool:
    """Whether a batch was stored before another one, and not by the same map of the same run."""
    this, that = batch.candidate.provenance, own.candidate.provenance
    together = this.run_id == that.run_id != "" and this.node == that.node
    return batch.newest_order < own.newest_order and not together


def _is_of(element: ElementRecord, batch: _Batch) -> bool:
    return (element.pack, element.section) == (batch.head.id, batch.section)
