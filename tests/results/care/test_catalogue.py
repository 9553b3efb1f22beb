"""The catalogue: batches and single results found by what is known of them, in few requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow_results.care.catalogue import BatchRecord, Query, elements_of, grouped, list_batches
from dataflow_results.care.finding import find_elements, preimage_of
from dataflow_results.care.usage import areas_of
from dataflow_results.errors import UnknownFormat
from dataflow_results.files import open_files
from dataflow_results.packs.layout import LAYOUT_FILE
from dataflow_results.packs.parts import Kind
from dataflow_results.store import ResultStore
from dataflow_results.testing.counting import CountingFiles
from tests.results.care.stores import key_of, save
from tests.results.servers import Place

LOAD, CLEAN = "load-0a1b2c3d", "clean-4e5f6a7b"


@pytest.fixture
def store(memory: Place) -> ResultStore:
    """Two runs of one flow, and a result of another."""
    store = ResultStore(memory.url, inline_bytes=1_000)
    save(store, {"a": 1, "b": 2}, collection=LOAD, at=10.0, flow="etl", run_id="r1", node="load")
    save(store, {"c": 3}, collection=LOAD, at=20.0, flow="etl", run_id="r2", node="load")
    save(store, {"x": b"z" * 5_000}, collection=CLEAN, at=15.0, flow="other", run_id="r1", node="clean")
    return store


def short(batches: list[BatchRecord]) -> list[tuple[str, str, int]]:
    """Task, run and number of results of each batch."""
    return [(batch.task, batch.run_id, batch.results) for batch in batches]


def test_batches_are_listed_newest_first(store: ResultStore) -> None:
    """Every batch is there with what was said of it."""
    found = list_batches(store)
    assert short(found) == [("load", "r2", 1), ("clean", "r1", 1), ("load", "r1", 2)]
    assert (found[1].size_bytes, found[1].outside, found[1].serializers) == (5_000, 1, ("bytes",))
    assert (found[2].first_index, found[2].last_index, found[2].created_at) == (0, 1, 10.0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(task="load"), [("load", "r2", 1), ("load", "r1", 2)]),
        (Query(task=CLEAN), [("clean", "r1", 1)]),
        (Query(run_id="r1"), [("clean", "r1", 1), ("load", "r1", 2)]),
        (Query(flow="etl", run_id="r1"), [("load", "r1", 2)]),
        (Query(node="clean"), [("clean", "r1", 1)]),
        (Query(since=15.0), [("load", "r2", 1), ("clean", "r1", 1)]),
        (Query(until=15.0), [("load", "r1", 2)]),
        (Query(min_bytes=1_000), [("clean", "r1", 1)]),
        (Query(task="nobody"), []),
    ],
)
def test_queries_choose(store: ResultStore, query: Query, expected: list[tuple[str, str, int]]) -> None:
    """Each field of a query chooses by what it says."""
    assert short(list_batches(store, query)) == expected


def test_only_what_is_given_counts(store: ResultStore) -> None:
    """Replaced, deleted and expired results are not listed."""
    save(store, {"a": 11}, collection=LOAD, at=30.0, run_id="r3")
    store.task(LOAD).delete(key_of("b"))
    save(store, {"d": 4}, collection=LOAD, at=31.0, expires_at=40.0, run_id="r4")
    assert short(list_batches(store, Query(task="load"), now=39.0)) == [
        ("load", "r4", 1),
        ("load", "r3", 1),
        ("load", "r2", 1),
    ]
    assert short(list_batches(store, Query(task="load"), now=40.0)) == [("load", "r3", 1), ("load", "r2", 1)]


def test_batches_are_put_together(store: ResultStore) -> None:
    """Groups add up, the one with the newest batch first."""
    groups = grouped(list_batches(store), ["task"])
    assert [(group.names, group.results, group.batches, group.last_at) for group in groups] == [
        (("load",), 3, 2, 20.0),
        (("clean",), 1, 1, 15.0),
    ]
    with pytest.raises(ValueError, match="colour"):
        grouped([], ["colour"])


def test_elements_of_a_batch(store: ResultStore) -> None:
    """One can look into a batch, down to key, size, serializer and place of each result."""
    (batch,) = list_batches(store, Query(task="clean"))
    (element,) = elements_of(store, batch=batch)
    assert (element.key, element.kind, element.size_bytes, element.given) == (key_of("x"), Kind.OBJECT, 5_000, True)
    assert store.files.exists(f"objects/{element.place[:2]}/{element.place}")
    assert [one.key for one in elements_of(store, Query(run_id="r1", task="load"))] == [key_of("a"), key_of("b")]


def test_results_are_found_by_what_people_have(store: ResultStore) -> None:
    """A reference, collection/key, the first digits of a key, and a user's name all lead to the same result."""
    reference = store.put("answer", 42)
    digits = reference.key.hex()
    for text in (str(reference), f"values/{digits}", digits[:5], digits[:6], "answer"):
        (found,) = find_elements(store, text)
        assert (found.collection, found.key, found.name) == ("values", reference.key, "answer")
    assert find_elements(store, digits[:3]) == []
    assert find_elements(store, f"load-0a1b2c3d/{digits}") == []


def test_a_replaced_result_is_told_from_the_one_in_force(store: ResultStore) -> None:
    """All records of a key are found, and only the newest says that it is given."""
    save(store, {"a": 11}, collection=LOAD, at=30.0, run_id="r3")
    found = find_elements(store, key_of("a").hex())
    assert [(one.provenance.run_id, one.given) for one in found] == [("r3", True), ("r1", False)]


def test_no_preimage_is_told(store: ResultStore) -> None:
    """A result that was kept without a policy has none."""
    assert preimage_of(store, find_elements(store, key_of("a").hex())[0]) is None


def test_looking_costs_one_listing_and_a_read_a_pack(tmp_path: Path) -> None:
    """A catalogue of 40 batches in 4 collections costs a listing of packs, the layout, and 40 range reads; no write."""
    files = CountingFiles(open_files(tmp_path))
    store = ResultStore(files)
    for number in range(40):
        save(store, {f"{number}": number}, collection=f"t{number % 4}-00000000", at=float(number))
    files.reset()
    assert sum(batch.results for batch in list_batches(store)) == 40
    assert dict(files.counts) == {"list": 1, "read": 41}


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """A damaged pack is left out and left where it is."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1}, at=1.0)
    save(store, {"b": 2}, at=2.0)
    first, _ = sorted(tmp_path.glob("tasks/*/packs/*"))
    first.write_bytes(first.read_bytes()[:-3])
    assert [batch.created_at for batch in list_batches(store)] == [2.0]
    assert first.exists()
    assert not (tmp_path / "set-aside").exists()


def test_a_newer_layout_is_refused(store: ResultStore) -> None:
    """What lies in a newer layout is not guessed at."""
    store.files.write(LAYOUT_FILE, [b'{"layout": 99}'])
    with pytest.raises(UnknownFormat, match="layout 99"):
        list_batches(store)


def test_areas_add_up(store: ResultStore) -> None:
    """Every file of a store belongs to one area."""
    store.files.write("tables/2026.csv", [b"a,b\n"])
    areas = {area.name: (area.files, area.size_bytes) for area in areas_of(store)}
    assert areas["plain files"] == (1, 4)
    assert areas["objects"] == (1, 5_000)
    assert sum(size for _, size in areas.values()) == sum(entry.size_bytes for entry in store.files.list())
