"""Merging packs changes nothing that anybody can see, whoever merges and whenever they die."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_results.errors import StoreUnreachable
from dataflow_results.files import open_files
from dataflow_results.packs.compaction import (
    MANY_PACKS,
    SMALL_PACK_BYTES,
    compact,
    copied_rows,
    merged,
    no_merging,
    packs_to_merge,
)
from dataflow_results.packs.encoding import encode_pack
from dataflow_results.packs.index import KeyIndex
from dataflow_results.packs.parts import Kind, pack_id
from dataflow_results.packs.shelf import check_pack
from dataflow_results.problems import ResultsWarning
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore
from dataflow_results.testing.faults import EVERY_CALL, Fault, FaultyFiles
from dataflow_results.testing.suite import keys_of, pack_names
from tests.results.servers import Place
from tests.results.store.contents import COLLECTION, key, pack

DAY = 86_400.0
rows = st.dictionaries(st.integers(0, 6), st.sampled_from([b"", b"one", b"value" * 9, None]), min_size=1)


def saved(place: Any, batches: int, **options: Any) -> ResultStore:
    """A store with this many packs of one row each."""
    store = ResultStore(place, **options)
    for number in range(batches):
        store.task("t").save(keys_of(number), [number], Provenance(task="t", created_at=0.0))
    return store


def values_of(store: ResultStore, count: int) -> list[Any]:
    """What another process finds."""
    results = store.task("t")
    return results.load(results.find(keys_of(*range(count)), now=1.0))


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=8))
def test_merging_keeps_what_is_in_force(packs: list[dict[int, bytes | None]]) -> None:
    """A merged pack holds, for each key, the newest row with its bytes and order, and nothing else."""
    sources = [pack(items, order) for order, items in enumerate(packs, 1)]
    truth = {name: (order, value) for order, items in enumerate(packs, 1) for name, value in items.items()}
    content = merged([(head, data) for data, head in sources])
    assert content is not None
    identity = pack_id(99, b"merged")
    data = b"".join(encode_pack(identity, COLLECTION, content)[0])
    head = check_pack(data, where=f"{COLLECTION}/{identity}")
    ends = head.column("length").cumsum().tolist()
    found = {
        bytes(head.keys[20 * row : 20 * row + 20]): (
            int(head.column("order")[row]),
            None if head.column("kind")[row] == Kind.TOMBSTONE else bytes(data[head.data_start :][start:end]),
        )
        for row, (start, end) in enumerate(zip([0, *ends], ends, strict=False))
    }
    assert found == {key(name): value for name, value in truth.items()}
    assert head.replaces == tuple(sorted(source.id for _, source in sources))


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=9), st.booleans()), min_size=1, max_size=20))
def test_copied_rows_are_those_rows(items: list[tuple[bytes, bool]]) -> None:
    """Any rows of a pack, with their bytes, names and pre-image, and without the bytes of the others."""
    names = [f"row {number}" for number in range(len(items))]
    data, head = pack({number: item[0] for number, item in enumerate(items)}, 1, names=names)
    kept = [number for number, (_, stays) in enumerate(items) if stays]
    if not kept:
        return
    copy = copied_rows([(head, data)], [np.array(kept)])
    assert copy.keys == b"".join(map(key, kept))
    assert bytes(copy.data) == b"".join(items[number][0] for number in kept)
    assert copy.names == [names[number] for number in kept]
    assert (len(copy.sections), [bytes(part) for part in copy.preimages]) == (1, [b"made of"])


def test_only_one_at_a_time_keeps_others_from_merging(local: Place) -> None:
    """The second is told that somebody merges, takes nothing away from the first, and may when that one has ended."""
    files = open_files(local.url)
    with no_merging(files, "t", 0.0) as first:
        with no_merging(files, "t", 299.0) as second:
            assert (first, second) == (True, False)
        assert files.exists("tasks/t/merging")
    with no_merging(files, "t", 299.0) as third:
        assert third is True
    assert not files.exists("tasks/t/merging")


def test_when_to_merge() -> None:
    """Up to 32 small packs are left alone; large ones always; the oldest are merged first, up to 64 MiB together."""
    names = [pack_id(order, b"unique") for order in range(1, 101)]
    assert packs_to_merge(dict.fromkeys(names[:MANY_PACKS], 10)) == []
    assert packs_to_merge(dict.fromkeys(names[: MANY_PACKS + 1], 10)) == names[: MANY_PACKS + 1]
    assert packs_to_merge(dict.fromkeys(names, SMALL_PACK_BYTES)) == []
    assert packs_to_merge(dict.fromkeys(reversed(names), 2 * 1024 * 1024)) == names[:32]


def test_tombstones_are_kept_for_a_day() -> None:
    """An old tombstone is left out of a pack of everything; a young one stays."""
    young, old = int(2 * DAY * 1_000_000) << 11, 1
    sources = [pack({"a": None}, old), pack({"b": None}, young)]
    content = merged([(head, data) for data, head in sources], drop_tombstones_before=DAY)
    assert content is not None
    assert content.keys == key("b")
    assert merged([(head, data) for data, head in sources[:1]], drop_tombstones_before=DAY) is None


def test_equal_batches_are_said_once() -> None:
    """Values that were put one by one share one entry about where they come from, and keep their own times."""
    sources = [pack({n: b"x"}, n + 1, preimages=[b""]) for n in range(5)]
    content = merged([(head, data) for data, head in sources])
    assert content is not None
    assert len(content.sections) == 1
    assert content.columns["created_at"].tolist() == [1.5] * 5


def test_two_who_merge_write_the_same_file(local: Place) -> None:
    """Merging the same packs gives the same name and bytes, so that doing it twice is harmless."""
    store = saved(local.url, MANY_PACKS)
    names = pack_names(store, "t")
    copies = {name: store.files.read(name) for name in names}
    store.task("t").save(keys_of(100), [100], Provenance(task="t", created_at=0.0))
    (first,) = pack_names(store, "t")
    for name, data in copies.items():
        store.files.write(name, [data])  # the other one has not seen yet that they are gone
    assert values_of(ResultStore(local.url), MANY_PACKS) == list(range(MANY_PACKS))
    assert first in pack_names(store, "t")


def test_a_crash_before_the_sources_are_removed(local: Place) -> None:
    """Sources that were left behind are not read again, and the next merge removes them."""
    files = FaultyFiles(open_files(local.url), {"remove": {EVERY_CALL: Fault.UNREACHABLE}})
    store = ResultStore(files)
    for number in range(MANY_PACKS):
        store.task("t").save(keys_of(number), [number], Provenance(task="t", created_at=0.0))
    with pytest.warns(ResultsWarning, match="does not answer"):
        store.task("t").save(keys_of(MANY_PACKS), [MANY_PACKS], Provenance(task="t", created_at=0.0))
    assert len(pack_names(store, "t")) == MANY_PACKS + 2
    files.script = {}
    files.inner.remove(["tasks/t/merging"])
    other = ResultStore(local.url)
    assert values_of(other, MANY_PACKS + 1) == list(range(MANY_PACKS + 1))
    assert len(other.task("t").heads()) == 1
    for number in range(100, 100 + MANY_PACKS):
        other.task("t").save(keys_of(number), [number], Provenance(task="t", created_at=0.0))
    assert len(pack_names(other, "t")) == 1
    assert values_of(ResultStore(local.url), MANY_PACKS + 1) == list(range(MANY_PACKS + 1))


def test_trouble_while_merging_does_not_fail_the_batch(local: Place) -> None:
    """The batch is stored before packs are merged: a store that fails then is reported, and the batch counts."""
    store = saved(local.url, MANY_PACKS)
    faulty = ResultStore(FaultyFiles(store.files, {"list": {2: Fault.UNREACHABLE}}))
    faulty.task("t").refresh()
    with pytest.warns(ResultsWarning, match="does not answer"):
        done = faulty.task("t").save(keys_of(50), [50], Provenance(task="t", created_at=0.0))
    assert len(done.packs) == 1
    assert isinstance(faulty.problems[0].error, StoreUnreachable)
    assert values_of(ResultStore(local.url), 51)[50] == 50


def test_who_merges_says_so(local: Place) -> None:
    """While somebody merges, others leave it to them; one who died is waited for five minutes at most."""
    store = saved(local.url, MANY_PACKS)
    store.files.write("tasks/t/merging", [b'{"at": 5e9}'])
    store.task("t").save(keys_of(90), [90], Provenance(task="t", created_at=0.0))
    shelf, heads = store.task("t")._shelf, store.task("t").heads()
    assert len(heads) == MANY_PACKS + 1
    assert compact(shelf, heads, now=5e9 + 299) == ([], [])
    added, gone = compact(shelf, heads, now=5e9 + 301)
    assert (len(added), len(gone)) == (1, MANY_PACKS + 1)
    assert not store.files.exists("tasks/t/merging")


def test_signed_packs_are_left_alone_without_the_key(local: Place) -> None:
    """Who does not know the key cannot sign what it merges, so it does not merge what is signed."""
    saved(local.url, MANY_PACKS, signing_key="ours")
    without = ResultStore(local.url, signing_key="")
    without.task("t").refresh()
    for number in range(200, 203):
        without.task("t").save(keys_of(number), [number], Provenance(task="t", created_at=0.0))
    assert len(pack_names(without, "t")) == MANY_PACKS + 3
    with pytest.warns(ResultsWarning, match="not signed"):
        assert values_of(ResultStore(local.url, signing_key="ours"), MANY_PACKS) == list(range(MANY_PACKS))


def test_a_damaged_source_is_left_out(local: Place) -> None:
    """Merging verifies what it copies: a damaged pack is set aside, its rows are missing, the others are there."""
    store = saved(local.url, MANY_PACKS)
    name = pack_names(store, "t")[3]
    data = bytearray(store.files.read(name))
    data[-1] ^= 1
    store.files.write(name, [bytes(data)])
    store.task("t")._setup.cache.drop("t/" + name.rpartition("/")[2].removesuffix(".pack"))
    with pytest.warns(ResultsWarning, match="checksum"):
        store.task("t").save(keys_of(60), [60], Provenance(task="t", created_at=0.0))
    other = ResultStore(local.url).task("t")
    assert other.find(keys_of(*range(MANY_PACKS)), now=1.0).missing.tolist() == [3]
    assert store.files.exists(name.replace("tasks/t/packs", "set-aside/t"))


def test_index_of_merged_packs_agrees() -> None:
    """Looking up in the sources and in the merged pack gives the same answer."""
    sources = [pack({"a": b"1", "b": b"2"}, 1), pack({"b": None, "c": b"3"}, 2)]
    content = merged([(head, data) for data, head in sources])
    assert content is not None
    identity = pack_id(3, b"merged")
    _, head = encode_pack(identity, COLLECTION, content)
    before, after = KeyIndex(), KeyIndex()
    before.update(add=[source for _, source in sources])
    after.update(add=[head])
    keys = key("a") + key("b") + key("c")
    assert before.find(keys, 0.0).missing.tolist() == after.find(keys, 0.0).missing.tolist() == [1]
