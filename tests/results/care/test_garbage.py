"""What may go: decided from facts, rules and a time, without touching a store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dataflow_results.care.catalogue import Query
from dataflow_results.care.garbage import plan_collection
from dataflow_results.care.garbage_facts import Amount, Facts, Leftover, Plan, Protected, Reason, Rules
from dataflow_results.care.garbage_rows import tree_of
from dataflow_results.care.inventory import CollectionPacks, read_packs
from dataflow_results.errors import UnknownFormat
from dataflow_results.packs.compaction import MANY_PACKS
from dataflow_results.problems import Problem
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore
from tests.results.care.stores import DAY_SECONDS, key_of, save
from tests.results.servers import Place

LOAD, CLEAN = "load-0a1b2c3d", "clean-4e5f6a7b"
NOW = 100 * DAY_SECONDS


@pytest.fixture
def store(memory: Place) -> ResultStore:
    return ResultStore(memory.url, inline_bytes=1_000, signing_key="")


def facts_of(store: ResultStore, **more: object) -> Facts:
    """The packs of a store; all else as it is said."""
    return Facts(packs=tuple(read_packs(store.files, None)), **more)  # type: ignore[arg-type]


def counts(plan: Plan) -> dict[Reason, int]:
    """How many go, by why."""
    return {reason: amount.count for reason, amount in plan.amounts.items()}


def at(days: float) -> float:
    """So many days before now."""
    return NOW - days * DAY_SECONDS


def test_nothing_goes_from_a_store_in_use(store: ResultStore) -> None:
    """Results that are in force stay for ever if nobody says otherwise."""
    save(store, {"a": 1, "b": 2}, at=at(99))
    plan = plan_collection(facts_of(store), Rules(), NOW)
    assert (plan.trims, plan.removals, counts(plan)) == ((), (), {})


def test_replaced_rows_go_first_and_what_replaces_them_later(store: ResultStore) -> None:
    """Of two rows with one key the old one goes now; the new one, though expired, only when the old one is gone."""
    save(store, {"a": 1, "b": 1}, at=at(3))
    save(store, {"a": 2, "c": 2}, at=at(2), expires_at=at(1))
    old, new = plan_collection(facts_of(store), Rules(), NOW).trims
    assert (old.first.tolist(), old.then.tolist()) == ([0], [])
    assert (new.first.tolist(), new.then.tolist()) == ([1], [0])


def test_deletions_go_after_a_day(store: ResultStore) -> None:
    """A deletion stays for a day, because somebody may be merging what it deletes."""
    save(store, {"a": 1}, at=at(9))
    store.task(LOAD).delete(key_of("a"))
    facts = facts_of(store)
    deleted_at = float(facts.packs[0].heads[1].column("created_at")[0])
    early = counts(plan_collection(facts, Rules(), deleted_at + 0.9 * DAY_SECONDS))
    late = counts(plan_collection(facts, Rules(), deleted_at + 1.1 * DAY_SECONDS))
    assert (early, late) == ({Reason.REPLACED: 1}, {Reason.REPLACED: 1, Reason.DELETED: 1})


def test_age_counts_for_what_is_asked_for(store: ResultStore) -> None:
    """Old results of the named task go, young ones and those of others stay."""
    save(store, {"a": 1}, collection=LOAD, at=at(10))
    save(store, {"b": 1}, collection=LOAD, at=at(1))
    save(store, {"c": 1}, collection=CLEAN, at=at(10))
    facts = facts_of(store)
    assert counts(plan_collection(facts, Rules(max_age_seconds=5 * DAY_SECONDS), NOW)) == {Reason.OLD: 2}
    only_load = Rules(max_age_seconds=5 * DAY_SECONDS, only=Query(task="load"))
    assert counts(plan_collection(facts, only_load, NOW)) == {Reason.OLD: 1}


def test_the_oldest_batches_go_until_the_rest_fits(store: ResultStore) -> None:
    """A limit takes whole batches, the oldest first, and no more than it must."""
    for day in (5, 4, 3):
        save(store, {f"{day}": b"x" * 900, f"{day}+": b"y" * 900}, at=at(day))
    facts = facts_of(store)
    sizes = [head.size_bytes for head in facts.packs[0].heads]
    for kept in (3, 2, 1, 0):
        plan = plan_collection(facts, Rules(max_bytes=sum(sizes[3 - kept :])), NOW)
        gone = [trim.pack for trim in plan.trims]
        assert gone == [head.id for head in facts.packs[0].heads[: 3 - kept]]


def test_batches_of_a_merged_pack_go_one_by_one(store: ResultStore) -> None:
    """A merged pack holds many batches: only the oldest of them go."""
    for day in range(MANY_PACKS + 1):
        save(store, {f"{day}": b"x" * 900}, at=at(50 - day))
    facts = facts_of(store)
    ((head,),) = (packs.heads for packs in facts.packs)
    (trim,) = plan_collection(facts, Rules(max_bytes=head.size_bytes * 3 // 4), NOW).trims
    assert trim.first.tolist() == list(range(9)), "a quarter of 33, the oldest"


def test_a_shared_object_is_counted_once(store: ResultStore) -> None:
    """Two results that share 5,000 bytes do not make 10,000; dropping one of them frees nothing of that."""
    for day in (5, 4):
        save(store, {f"{day}": b"x" * 5_000}, at=at(day))
    facts = facts_of(store)
    heads = sum(head.size_bytes for head in facts.packs[0].heads)
    assert counts(plan_collection(facts, Rules(max_bytes=heads + 5_000), NOW)) == {}
    assert counts(plan_collection(facts, Rules(max_bytes=heads // 2 + 4_999), NOW)) == {Reason.OVER_LIMIT: 2}


PROTECTIONS: dict[str, Callable[[], Protected]] = {
    "a pinned task": lambda: Protected(tasks={"load"}),
    "a pinned collection": lambda: Protected(tasks={LOAD}),
    "a pinned or unfinished run": lambda: Protected(runs={"r1"}),
    "a collection that a living run uses": lambda: Protected(collections={LOAD}),
    "a pinned result, or a lease": lambda: Protected(keys={LOAD: {key_of("a")}}),
}


@pytest.mark.parametrize("name", PROTECTIONS)
@pytest.mark.parametrize(
    "rules", [Rules(max_age_seconds=1.0), Rules(max_bytes=0), Rules()], ids=["age", "bytes", "expiry"]
)
def test_protected_results_stay(store: ResultStore, name: str, rules: Rules) -> None:
    """Whatever is asked for, what somebody needs stays; the report says that it did."""
    save(store, {"a": 1}, at=at(10), run_id="r1", expires_at=at(5) if rules == Rules() else None)
    facts = facts_of(store)
    assert sum(counts(plan_collection(facts, rules, NOW)).values()) == 1
    plan = plan_collection(facts_of(store, protected=PROTECTIONS[name]()), rules, NOW)
    assert plan.trims == ()
    assert plan.kept.count == (0 if rules.max_bytes == 0 else 1)


def test_protected_results_count_for_the_limit(store: ResultStore) -> None:
    """If what is pinned takes all the room there is, everything else goes."""
    save(store, {"a": b"x" * 900}, at=at(9), run_id="pinned")
    save(store, {"b": b"x" * 900}, at=at(1), run_id="other")
    facts = facts_of(store, protected=Protected(runs={"pinned"}))
    plan = plan_collection(facts, Rules(max_bytes=1_000), NOW)
    assert counts(plan) == {Reason.OVER_LIMIT: 1}
    assert plan.trims[0].pack == facts.packs[0].heads[1].id


def test_plain_files_are_never_taken(store: ResultStore) -> None:
    """A result in a file whose name the user chose neither ages nor counts."""
    results = store.task(LOAD)
    provenance = Provenance(task="load", created_at=at(50))
    results.save(key_of("a"), ["text"], provenance, targets=["tables/a.txt"])
    facts = facts_of(store)
    assert counts(plan_collection(facts, Rules(max_age_seconds=1.0, max_bytes=0), NOW)) == {}


def objects(store: ResultStore, modified_at: float) -> tuple[Leftover, ...]:
    """The objects of a store as if they had been written at a time."""
    return tuple(
        Leftover(reason=Reason.OBJECT, names=(each.name,), size_bytes=each.size_bytes, modified_at=modified_at)
        for each in store.files.list("objects")
    )


def test_objects_go_with_the_last_result_that_uses_them(store: ResultStore) -> None:
    """An object stays as long as one result needs it, and for the time of grace."""
    save(store, {"a": b"x" * 5_000}, at=at(10))
    save(store, {"b": b"x" * 5_000, "c": b"y" * 6_000}, at=at(1))
    (used, other) = sorted(objects(store, at(2)), key=lambda each: each.size_bytes)
    age = Rules(max_age_seconds=5 * DAY_SECONDS)
    assert counts(plan_collection(facts_of(store, objects=(used, other)), age, NOW)) == {Reason.OLD: 1}
    everything = Rules(max_age_seconds=0.0)
    plan = plan_collection(facts_of(store, objects=(used, other)), everything, NOW)
    assert counts(plan) == {Reason.OLD: 3, Reason.OBJECT: 2}
    assert plan.amounts[Reason.OBJECT].size_bytes == 11_000
    young = plan_collection(facts_of(store, objects=objects(store, NOW - 3_599.0)), everything, NOW)
    assert counts(young) == {Reason.OLD: 3}


def test_objects_of_unknown_age_stay(store: ResultStore) -> None:
    """Where the store does not tell when a file was written, it counts as new."""
    lone = Leftover(reason=Reason.OBJECT, names=("objects/ab/x",), size_bytes=1, modified_at=float("inf"))
    assert counts(plan_collection(facts_of(store, objects=(lone,)), Rules(), NOW)) == {}


def test_no_object_goes_while_a_pack_cannot_be_read(store: ResultStore) -> None:
    """Who does not know all packs does not know what is unused."""
    lone = Leftover(reason=Reason.OBJECT, names=("objects/ab/x",), size_bytes=1, modified_at=0.0)
    unknown = Problem(where="load/1", error=UnknownFormat("newer"), set_aside=False)
    packs = CollectionPacks(name="load", heads=(), in_force=(), left_behind={}, unreadable=(unknown,))
    plan = plan_collection(Facts(packs=(packs,), objects=(lone,)), Rules(), NOW)
    assert counts(plan) == {}
    assert "cannot be read: 1" in plan.notes[0]
    assert counts(plan_collection(Facts(packs=(), objects=(lone,)), Rules(), NOW)) == {Reason.OBJECT: 1}


@pytest.mark.parametrize(
    ("reason", "days"), [(Reason.UNFINISHED, 1), (Reason.LEASE, 1), (Reason.SET_ASIDE, 30), (Reason.RUN, 90)]
)
def test_what_is_left_over_goes_when_it_is_old_enough(reason: Reason, days: float) -> None:
    """Each kind has its time."""
    young, old = (
        Leftover(reason=reason, names=(f"{age}",), size_bytes=7, modified_at=at(age))
        for age in (days - 0.1, days + 0.1)
    )
    plan = plan_collection(Facts(packs=(), others=(young, old)), Rules(), NOW)
    assert [removal.names for removal in plan.removals] == [old.names]
    assert plan.amounts == {reason: Amount(count=1, size_bytes=7)}


def test_a_merged_pack_that_was_left_behind_goes(store: ResultStore) -> None:
    """A pack whose rows are in a merged one is removed as a file, and its rows count once."""
    packs = CollectionPacks(name="load", heads=(), in_force=(), left_behind={"0" * 16 + "-" + "1" * 12: 90})
    plan = plan_collection(Facts(packs=(packs,)), Rules(), NOW)
    assert plan.removals[0].names == ("tasks/load/packs/" + "0" * 16 + "-" + "1" * 12 + ".pack",)


def test_only_folders_the_store_made_are_its_own() -> None:
    """A user's folder below trees/ is not taken for one of the store's."""
    made = "trees/" + "a" * 32
    assert [tree_of(name) for name in (f"{made}/zarr.json", made, "trees/mine/c/0", "other/x")] == [made, made, "", ""]


def test_many_rows_are_judged_quickly(store: ResultStore) -> None:
    """A hundred thousand rows are judged without a loop over them."""
    keys = np.random.default_rng(1).bytes(20 * 100_000)
    store.task(LOAD).save(keys, list(range(100_000)), Provenance(task="load", created_at=at(10)))
    facts = facts_of(store)
    plan = plan_collection(facts, Rules(max_age_seconds=1.0), NOW)
    assert plan.amounts[Reason.OLD].count == 100_000
