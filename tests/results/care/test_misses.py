"""Why results were computed again, asked by an engine before it runs, and by people afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataflow_results.care.catalogue import Query
from dataflow_results.care.inventory import Entries, ReadOnlyFiles
from dataflow_results.care.misses import summed_up, why_computed, why_missed
from dataflow_results.errors import ResultMissing, StoreUnreachable
from dataflow_results.keying.explain import Reason
from dataflow_results.policies import INPUTS, NO_CACHE
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore
from tests.results.care.stores import DAY_SECONDS, NEW_YEAR, Task, save

LOAD = Task(name="load", parts={"steps.load": "5d0c41f2", "steps.read_csv": "90aa17e3"})
FIRST = Provenance(task="load", flow="weather", run_id="run-1", created_at=NEW_YEAR)
SECOND = replace(FIRST, run_id="run-2", created_at=NEW_YEAR + DAY_SECONDS)
MONTHS = {"month": ["2024-10", "2024-11", "2024-12"]}


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """One run of a map over three months."""
    store = ResultStore(tmp_path)
    LOAD.store(store, [1, 2, 3], FIRST, columns=MONTHS, constants={"station": "Zugspitze"})
    return store


def missed(
    store: ResultStore, task: Task, months: list[str], row: int = 0, *, station: str = "Zugspitze", **more: object
) -> str:
    """Why an element is not found, in words."""
    plan = task.plan({"station": station}, ["month"], "run-2")
    columns = {"month": months}
    keys = task.keys(plan, columns)
    results = store.task(task.identity.collection)
    return str(why_missed(results, plan, keys, row, columns=columns, now=NEW_YEAR + 2.0, **more))  # type: ignore[arg-type]


BY = "The nearest record was written by run run-1 on 2025-01-01 00:00 UTC."


def test_what_is_stored_is_told(store: ResultStore) -> None:
    """A key that is there is no miss, unless computing again was asked for."""
    assert missed(store, LOAD, MONTHS["month"], 1).startswith("A result of `load` with exactly this key is stored.")
    again = missed(store, LOAD, MONTHS["month"], 1, refreshed=True)
    assert again.startswith("A result of `load` is stored, but refresh_cache asked to compute it again.")


def test_the_smallest_difference_is_named(store: ResultStore) -> None:
    """A new element, a changed argument and a changed function are told apart."""
    assert missed(store, LOAD, ["2025-01"]) == (
        "No result of `load` for this element, which is new: argument `month` differs "
        f"('2024-10' before, '2025-01' now). All else is as it was. {BY}"
    )
    assert missed(store, LOAD, ["2024-11"], station="Brocken") == (
        f"No result of `load` for this: argument `station` differs ('Zugspitze' before, 'Brocken' now). {BY}"
    )
    changed = replace(LOAD, parts={**LOAD.parts, "steps.read_csv": "c2f64b08"})
    assert missed(store, changed, ["2024-11"]) == (
        f"No result of `load` for this: the source of `steps.read_csv` changed. {BY}"
    )


def test_nothing_stored_is_told(tmp_path: Path) -> None:
    """A task that never kept a result says so."""
    assert missed(ResultStore(tmp_path), LOAD, ["2024-11"]) == "No result of `load` is stored."


def test_a_deleted_result_is_told(store: ResultStore) -> None:
    """A record that was deleted is not called stored."""
    results = store.task(LOAD.identity.collection)
    plan = LOAD.plan({"station": "Zugspitze"}, ["month"], "run-2")
    results.delete(LOAD.keys(plan, MONTHS)[1])
    assert "was deleted" in missed(store, LOAD, MONTHS["month"], 1)


def test_an_expired_result_is_told(tmp_path: Path) -> None:
    """When it expired is said."""
    store = ResultStore(tmp_path)
    LOAD.store(
        store, [1, 2, 3], replace(FIRST, expires_at=NEW_YEAR + 1), columns=MONTHS, constants={"station": "Zugspitze"}
    )
    assert missed(store, LOAD, MONTHS["month"]).startswith("The result of `load` expired on 2025-01-01 00:00 UTC.")


def test_no_key_and_no_cache_are_told(store: ResultStore) -> None:
    """An argument that cannot be hashed, and a policy that keeps nothing, explain themselves."""
    plan = LOAD.plan({}, ["month"], "run-2")
    keys = LOAD.keys(plan, {"month": [object()]})
    assert why_missed(store.task("load-1"), plan, keys, 0).reason is Reason.NO_KEY
    uncached = replace(LOAD, policy=NO_CACHE).plan({}, ["month"], "run-2")
    assert why_missed(store.task("load-1"), uncached, LOAD.keys(uncached, MONTHS), 0).reason is Reason.NOT_CACHED


def test_a_store_that_does_not_answer_is_told(store: ResultStore) -> None:
    """A miss because the store is silent is not mistaken for a change."""

    class Silent(ReadOnlyFiles):
        def list(self, folder: str = "") -> Entries:
            raise StoreUnreachable("no answer", where=self.url)

    text = missed(ResultStore(Silent(store.files)), LOAD, ["2025-01"])
    assert text.startswith("The store could not be asked for results of `load`")


def test_people_ask_why_the_last_run_computed_again(store: ResultStore) -> None:
    """The newest map is compared with what was stored before it; what is said of all its elements is counted."""
    changed = replace(LOAD, parts={**LOAD.parts, "steps.read_csv": "c2f64b08"})
    changed.store(store, [1, 2, 3], SECOND, columns=MONTHS, constants={"station": "Zugspitze"})
    found = why_computed(store, Query(task="load"))
    assert [one.element.index for one in found] == [0, 1, 2]
    assert summed_up(found) == [(f"No result of `load` for this: the source of `steps.read_csv` changed. {BY}", 3)]


def test_one_element_or_key_can_be_asked_for(store: ResultStore) -> None:
    """An element whose argument changed is explained by itself, by its index or by its key."""
    months = {"month": ["2024-10", "2025-11", "2024-12"]}
    keys = LOAD.store(store, [1, 2, 3], SECOND, columns=months, constants={"station": "Zugspitze"})
    for found in (
        why_computed(store, Query(task="load"), element=1),
        why_computed(store, Query(task=LOAD.identity.collection), key=keys[1].hex()[:7]),
    ):
        (one,) = found
        assert one.why.reason is Reason.NEW_ELEMENT
        assert [(change.before, change.now) for change in one.why.changes] == [("'2024-10'", "'2025-11'")]


def test_batches_of_one_map_do_not_explain_each_other(tmp_path: Path) -> None:
    """In the first run nothing was stored, though its own earlier batches are."""
    store = ResultStore(tmp_path)
    for month in MONTHS["month"]:
        LOAD.store(store, [1], FIRST, columns={"month": [month]}, constants={"station": "Zugspitze"})
    found = why_computed(store, Query(task="load"))
    assert summed_up(found) == [("No result of `load` is stored.", 3)]


def test_a_moved_task_is_not_forgotten(store: ResultStore) -> None:
    """A function that went to another module has another collection, and its old results still explain it."""
    moved = replace(LOAD, module="pipeline.steps", policy=INPUTS)
    moved.store(store, [1, 2, 3], SECOND, columns=MONTHS, constants={"station": "Zugspitze"})
    found = why_computed(store, Query(task="load"), element=0)
    assert found[0].why.nearest is not None
    assert found[0].why.nearest.run_id == "run-1"


def test_results_without_a_policy_need_no_explanation(store: ResultStore) -> None:
    """A result under a key that follows from its place was never looked for."""
    save(store, {"a": 1}, collection="fit-00000000", at=NEW_YEAR)
    assert why_computed(store, Query(task="fit"))[0].why.reason is Reason.NOT_CACHED


def test_an_unknown_task_is_an_error(store: ResultStore) -> None:
    """Nothing to explain is said, not shown as an empty answer."""
    with pytest.raises(ResultMissing, match="nothing is stored that matches"):
        why_computed(store, Query(task="nobody"))
