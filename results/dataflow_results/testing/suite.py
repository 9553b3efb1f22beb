"""What every store must fulfil: tests for any URL and for any implementation of `Files`, to be inherited.

Subclass `StoreTests` in a test file and give it a fixture ``place``: whatever `ResultStore` takes, fresh and empty::

    class TestOurFiles(StoreTests):
        @pytest.fixture
        def place(self, tmp_path):
            return OurFiles(tmp_path)
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dataflow_results.digests import digest
from dataflow_results.errors import CorruptResult, ResultMissing, StoringError, UntrustedResult
from dataflow_results.packs.compaction import MANY_PACKS
from dataflow_results.packs.encoding import DATA_START_BYTES
from dataflow_results.problems import ResultsWarning
from dataflow_results.records import Provenance, ResultReference
from dataflow_results.store import ResultStore
from dataflow_results.testing.counting import CountingFiles

__all__ = ["StoreTests", "keys_of", "pack_names"]

VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "number": 10**30,
    "float": -0.0,
    "text": "größe \u2603",
    "surrogate": "\udc80",
    "bytes": b"\0\1",
    "list": [1, (2, {"a": {3}})],
    "empty": "",
}
FAR = 4e9
"""Seconds since the epoch, long after any test."""


def keys_of(*numbers: int) -> bytes:
    """Keys as an engine makes them: 20 bytes for each number."""
    return b"".join(digest(b"test", number.to_bytes(8, "big")) for number in numbers)


def pack_names(store: ResultStore, collection: str) -> list[str]:
    """The files of all packs of a collection, oldest first."""
    return [entry.name for entry in store.files.list(f"tasks/{collection}/packs")]


def provenance(**fields: Any) -> Provenance:
    """Where the results of a test come from."""
    return Provenance(**{"task": "test", "created_at": 1.0, **fields})


class Unstorable:
    """A value that no serializer takes."""

    def __reduce__(self) -> Any:
        raise TypeError("not this one")


class StoreTests:
    """Tests of one store; a subclass gives the fixture ``place``."""

    other_processes = True
    """Whether other processes can see the place."""

    examples, steps = 10, 15
    """How often, and for how long, the store is compared with a dict; less where each request costs."""

    def for_another_process(self, place: Any) -> tuple[ResultStore, Mapping[str, str]]:
        """A store at the place that may be pickled, and the environment variables that hold its credentials."""
        return ResultStore(place), {}

    # values ----------------------------------------------------------------------------------------------------------

    def test_values_come_back(self, place: Any) -> None:
        """Each value comes back equal and of its own type, ``None`` too, also from a store that is opened anew."""
        store = ResultStore(place)
        for key, value in VALUES.items():
            store.put(key, value)
        for opened in (store, ResultStore(place)):
            found = {key: opened.get(key) for key in VALUES}
            assert {key: repr(value) for key, value in found.items()} == {key: repr(v) for key, v in VALUES.items()}
            assert [type(value) for value in found.values()] == [type(value) for value in VALUES.values()]

    def test_many_values_with_one_write(self, place: Any) -> None:
        """Many values go in and out at once; the store gets one pack."""
        store = ResultStore(place)
        store.put_many({f"k{n}": n for n in range(100)})
        assert len(pack_names(store, "values")) == 1
        assert store.get_many(["k1", "absent", "k99"]) == {"k1": 1, "k99": 99}
        assert store.exists_many(["k1", "absent"]) == [True, False]

    def test_absent(self, place: Any) -> None:
        """An absent key is an error, or the default."""
        store = ResultStore(place)
        assert store.get("absent", 5) == 5
        assert store.get("absent", None) is None
        try:
            store.get("absent")
        except ResultMissing as error:
            assert "absent" in str(error)  # noqa: PT017 - this file is shipped, and works without pytest
        else:
            raise AssertionError("ResultMissing expected")

    def test_overwrite_and_delete(self, place: Any) -> None:
        """The newest value is in force in every open store; a deleted key is absent until it is stored again."""
        store, other = ResultStore(place), ResultStore(place)
        store.put("a", 1)
        assert other.get("a") == 1
        store.put("a", 2)
        assert other.get("a") == 2
        other.delete("a")
        assert not store.exists("a")
        assert store.get("a", None) is None
        store.put("a", 3)
        assert other.get("a") == 3

    def test_list(self, place: Any) -> None:
        """Names are listed by prefix, without those that were deleted."""
        store = ResultStore(place)
        store.put_many({"a/1": 1, "a/2": 2, "b": 3})
        store.delete("a/1")
        assert list(ResultStore(place).list("a/")) == ["a/2"]
        assert list(store.list()) == ["a/2", "b"]

    def test_reference(self, place: Any) -> None:
        """A reference, written as text and read again, gives the value."""
        reference = ResultStore(place).put("a", {"x": 1})
        assert ResultStore(place).load(ResultReference.parse(str(reference))) == {"x": 1}

    def test_large_values_are_shared(self, place: Any) -> None:
        """Equal large values take one file; they come back writable."""
        store = ResultStore(place, inline_bytes=1000)
        array = np.arange(1000.0)
        store.put_many({"a": array, "b": array.copy(), "c": array + 1})
        assert len(store.files.list("objects")) == 2
        found = ResultStore(place).get("b")
        found += 1
        assert np.array_equal(found, ResultStore(place).get("c"))

    # batches ---------------------------------------------------------------------------------------------------------

    def test_batch(self, place: Any) -> None:
        """A batch is found and loaded in order, whatever the order of asking; one key more is missing."""
        results = ResultStore(place).task("t")
        results.save(keys_of(*range(50)), [f"v{n}" for n in range(50)], provenance())
        again = ResultStore(place).task("t")
        found = again.find(keys_of(7, 99, 3), now=FAR)
        assert found.missing.tolist() == [1]
        assert again.load(found, [2, 0]) == ["v3", "v7"]
        assert again.provenance_of(found, 0) == provenance()

    def test_one_bad_value(self, place: Any) -> None:
        """A value that cannot be stored is an error of its own position; the others are stored."""
        results = ResultStore(place).task("t")
        saved = results.save(keys_of(0, 1, 2), [(0,), Unstorable(), (2,)], provenance())
        assert list(saved.errors) == [1]
        assert isinstance(saved.errors[1], StoringError)
        found = results.find(keys_of(0, 1, 2), now=FAR)
        assert found.missing.tolist() == [1]
        assert results.load(found, [0, 2]) == [(0,), (2,)]

    def test_expiration(self, place: Any) -> None:
        """A result is found until it expires, and says afterwards that it has."""
        results = ResultStore(place).task("t")
        results.save(keys_of(1), ["old"], provenance(expires_at=100.0))
        assert results.find(keys_of(1), now=99.0).stored.tolist() == [0]
        found = results.find(keys_of(1, 2), now=100.0)
        assert found.missing.tolist() == [0, 1]
        assert found.expired.tolist() == [True, False]

    def test_one_element_is_one_request(self, place: Any) -> None:
        """One element of a large pack is read with one request that fetches a small part of it."""
        results = ResultStore(place).task("t")
        results.save(keys_of(*range(300)), [(n, "x" * 5000) for n in range(300)], provenance())
        store = ResultStore(place)
        files = CountingFiles(store.files)
        counted = ResultStore(files).task("t")
        found = counted.find(keys_of(123), now=FAR)
        files.reset()
        assert counted.load(found) == [(123, "x" * 5000)]
        assert files.counts == {"read": 1}
        assert files.bytes_read < 100_000

    def test_look_up_costs_few_requests(self, place: Any) -> None:
        """What others stored is found with one listing, one read for each pack, and one for the layout."""
        store = ResultStore(place)
        for start in range(0, 500, 100):
            store.task("t").save(keys_of(*range(start, start + 100)), list(range(start, start + 100)), provenance())
        files = CountingFiles(store.files)
        results = ResultStore(files).task("t")
        found = results.find(keys_of(*range(500)), now=FAR)
        assert results.load(found) == list(range(500))
        assert files.counts == {"list": 1, "read": 6}

    # damage ----------------------------------------------------------------------------------------------------------

    def test_cut_short(self, place: Any) -> None:
        """A pack that lacks its end is set aside and reported; its rows are missing."""
        self._damaged(place, lambda data: data[:-1])

    def test_cut_in_the_head(self, place: Any) -> None:
        """So is one that lacks most of its head."""
        self._damaged(place, lambda data: data[: DATA_START_BYTES + 3])

    def test_foreign(self, place: Any) -> None:
        """So is a file that is no pack at all, and an empty one."""
        self._damaged(place, lambda _: b"something else entirely" * 100)
        self._damaged(place, lambda _: b"", collection="u")

    def test_changed_head(self, place: Any) -> None:
        """So is one with a changed key: it is not found under the wrong one."""
        self._damaged(place, lambda data: _flipped(data, DATA_START_BYTES + 400))

    def test_pack_of_another_collection(self, place: Any) -> None:
        """So is a pack that was copied here from elsewhere: its keys mean something else there."""
        store = ResultStore(place)
        store.task("here").save(keys_of(1), ["here"], provenance())
        store.task("there").save(keys_of(1), ["there"], provenance())
        there = store.files.read(pack_names(store, "there")[0])
        store.files.write(pack_names(store, "here")[0], [there])
        self._expect_missing(place, "here", keys_of(1))

    def _damaged(self, place: Any, change: Callable[[bytes], bytes], collection: str = "t") -> None:
        store = ResultStore(place)
        store.task(collection).save(keys_of(1, 2), [("one",), ("two",)], provenance())
        store.task(collection).save(keys_of(3), ["three"], provenance())
        name = pack_names(store, collection)[0]
        store.files.write(name, [change(store.files.read(name))])
        self._expect_missing(place, collection, keys_of(1, 2))
        assert not store.files.exists(name)
        assert store.files.exists(f"set-aside/{collection}/{name.rpartition('/')[2]}")
        results = ResultStore(place).task(collection)
        assert results.load(results.find(keys_of(3), now=FAR)) == ["three"]

    def _expect_missing(self, place: Any, collection: str, keys: bytes) -> None:
        store = ResultStore(place)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = store.task(collection).find(keys, now=FAR)
            store.task(collection).find(keys, now=FAR)
        assert len(found.missing) == len(keys) // 20
        assert [warning.category for warning in caught] == [ResultsWarning]
        assert [problem.set_aside for problem in store.problems] == [True]
        assert isinstance(store.problems[0].error, CorruptResult)

    def test_changed_data(self, place: Any) -> None:
        """A changed value is never given: its place says why, the pack is set aside, and it can be stored again."""
        store = ResultStore(place)
        store.task("t").save(keys_of(1, 2), [("one",), ("two",)], provenance())
        name = pack_names(store, "t")[0]
        store.files.write(name, [_flipped(store.files.read(name), -5)])
        fresh = ResultStore(place)
        results = fresh.task("t")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            values = results.load(results.find(keys_of(1, 2), now=FAR))
        assert [type(value) for value in values] == [CorruptResult, CorruptResult]
        assert [warning.category for warning in caught] == [ResultsWarning]
        assert results.find(keys_of(1, 2), now=FAR).missing.tolist() == [0, 1]
        results.save(keys_of(1), [("one",)], provenance())
        again = ResultStore(place).task("t")
        assert again.load(again.find(keys_of(1), now=FAR)) == [("one",)]

    def test_changed_object(self, place: Any) -> None:
        """A changed large value is never given; stored again, it comes back."""
        store = ResultStore(place, inline_bytes=100)
        store.put("a", b"x" * 1000)
        name = store.files.list("objects")[0].name
        store.files.write(name, [b"y" * 1000])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert ResultStore(place).get("a", "nothing") == "nothing"
        assert [warning.category for warning in caught] == [ResultsWarning]
        store.put("b", b"x" * 1000)
        assert ResultStore(place).get("b") == b"x" * 1000

    def test_signing(self, place: Any) -> None:
        """With a signing key, what is unsigned or signed with another key counts as missing, and is left in peace."""
        ResultStore(place, signing_key="").task("t").save(keys_of(1), ["unsigned"], provenance())
        ResultStore(place, signing_key="other").task("t").save(keys_of(2), ["foreign"], provenance())
        store = ResultStore(place, signing_key="ours")
        store.task("t").save(keys_of(3), ["ours"], provenance())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = store.task("t").find(keys_of(1, 2, 3), now=FAR)
        assert found.stored.tolist() == [2]
        assert store.task("t").load(found, [2]) == ["ours"]
        assert len(caught) == 2
        assert {type(problem.error) for problem in store.problems} == {UntrustedResult}
        assert len(pack_names(store, "t")) == 3

    # many at once ----------------------------------------------------------------------------------------------------

    def test_concurrent_writers(self, place: Any) -> None:
        """What many threads store at the same time is all there, through packs being merged."""
        store = ResultStore(place)
        batches = [range(start, start + 5) for start in range(0, 300, 5)]

        def write(batch: range) -> None:
            store.task("t").save(keys_of(*batch), list(batch), provenance())

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, batches))
        results = ResultStore(place).task("t")
        assert results.load(results.find(keys_of(*range(300)), now=FAR)) == list(range(300))
        assert len(pack_names(store, "t")) < len(batches)

    def test_merging(self, place: Any) -> None:
        """Merged packs say what their sources said: newest values, absent keys, batches, elements, pre-images."""
        results = ResultStore(place).task("t")
        for number in range(MANY_PACKS):
            fields = provenance(node=f"n{number}", created_at=float(number), preimage=b"p%d" % number)
            results.save(keys_of(number, 1000), [number, f"last {number}"], fields, indices=np.array([number, 7]))
        results.delete(keys_of(3))
        assert len(pack_names(ResultStore(place), "t")) == 1
        again = ResultStore(place).task("t")
        found = again.find(keys_of(5, 3, 1000), now=FAR)
        assert found.missing.tolist() == [1]
        assert again.load(found, [0, 2]) == [5, f"last {MANY_PACKS - 1}"]
        assert again.provenance_of(found, 0) == provenance(node="n5", created_at=5.0)
        assert again.index_of(found, 0) == 5
        assert (5.0, [0], b"p5") in [(a.created_at, rows.tolist(), b) for a, rows, b in again.preimages()]

    def test_reader_survives_merging(self, place: Any) -> None:
        """Who looked up before packs were merged gets the values afterwards."""
        writer, reader = ResultStore(place).task("t"), ResultStore(place)
        big = [(n, "x" * 6000) for n in range(60)]
        writer.save(keys_of(*range(60)), big, provenance())
        found = reader.task("t").find(keys_of(*range(60)), now=FAR)
        before = pack_names(reader, "t")
        for number in range(100, 100 + MANY_PACKS):
            writer.save(keys_of(number), [number], provenance())
        assert not set(before) & set(pack_names(reader, "t"))
        assert reader.task("t").load(found) == big

    def test_another_process(self, place: Any) -> None:
        """A store that was pickled reads and writes in another process."""
        if not self.other_processes:
            return
        store = ResultStore(place)
        store.put("a", {"from": "here"})
        sent, environment = self.for_another_process(place)
        given = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", OTHER_PROCESS],
            input=pickle.dumps(sent),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert given.returncode == 0, given.stderr.decode()
        assert store.get("b") == {"seen": {"from": "here"}}

    # against a model -------------------------------------------------------------------------------------------------

    def test_against_a_dict(self, place: Any) -> None:
        """Whatever is done in whatever order, by whichever of two open stores, a dict says what must come out."""
        model = importlib.import_module("dataflow_results.testing.model")  # here: only this test needs hypothesis
        model.compare_with_dict(place, examples=self.examples, steps=self.steps)


OTHER_PROCESS = """
import pickle, sys
store = pickle.load(sys.stdin.buffer)
store.put("b", {"seen": store.get("a")})
"""


def _flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)
