"""The store in the hands of users and of an engine: secrets, safe mode, signing, trouble, plain files, coroutines."""

from __future__ import annotations

import asyncio
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dataflow_results.errors import (
    CorruptResult,
    ReadingError,
    ResultMissing,
    StoreDenied,
    StoreUnreachable,
    StoreUrlError,
    UnknownFormat,
    UnsafeFormat,
    Unserializable,
)
from dataflow_results.files import open_files
from dataflow_results.locations import LocalResult
from dataflow_results.packs.encoding import encode_pack
from dataflow_results.problems import ResultsWarning
from dataflow_results.records import Provenance
from dataflow_results.store import SIGNING_KEY_VARIABLE, ResultStore, load, open_store
from dataflow_results.testing.counting import CountingFiles
from dataflow_results.testing.faults import EVERY_CALL, Fault, FaultyFiles
from dataflow_results.testing.suite import keys_of, pack_names
from tests.results.servers import Place, on
from tests.results.store.contents import content, key

ABOUT = Provenance(task="t", created_at=1.0)


def save(store: ResultStore, *numbers: int) -> None:
    """One batch with a tuple for each number."""
    store.task("t").save(keys_of(*numbers), [(number,) for number in numbers], ABOUT)


def found(store: ResultStore, *numbers: int) -> list[Any]:
    """What is loaded for the numbers."""
    return store.task("t").load(store.task("t").find(keys_of(*numbers), now=2.0))


# columns and serializers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [1, -(2**63), 2**63 - 1],
        [1, 2**63],
        [True, False],
        [True, 1],
        [1.5, -0.0, float("inf")],
        [1, 1.0],
        ["a", "", "größe"],
        ["a", "\udc80"],
        [b"a", b""],
        [None, None],
        [None, 1, "a"],
        [np.int64(1), np.int64(2)],
        [{"a": [1]}, (2,)],
        [np.arange(3), "a", np.arange(2.0)],
    ],
    ids=repr,
)
def test_values_keep_their_types(local: Place, values: list[Any]) -> None:
    """Columns of one plain type, mixed ones, and those just outside: each value is equal and of its own type."""
    store = ResultStore(local.url)
    store.task("t").save(keys_of(*range(len(values))), values, ABOUT)
    back = found(ResultStore(local.url), *range(len(values)))
    assert list(map(repr, back)) == list(map(repr, values))
    assert list(map(type, back)) == list(map(type, values))


def test_some_rows_of_each_form(local: Place) -> None:
    """Rows picked here and there out of columns and pickles, near and far, come in the order asked for."""
    store = ResultStore(local.url)
    for collection, values in {
        "numbers": list(range(100_000)),
        "texts": [f"text {n}" for n in range(100_000)],
        "tuples": [(n, "x") for n in range(100_000)],
    }.items():
        store.task(collection).save(keys_of(*range(100_000)), values, ABOUT)
        results = ResultStore(local.url).task(collection)
        asked = [99_999, 5, 70_000, 6, 5]
        assert results.load(results.find(keys_of(*asked), now=2.0)) == [values[row] for row in asked]


def test_no_columns_for_a_named_serializer(local: Place) -> None:
    """Who names a serializer gets it, and its refusals: JSON does not take a tuple, and the others are stored."""
    store = ResultStore(local.url, serializer="json")
    saved = store.task("t").save(keys_of(1, 2), [1, (2,)], ABOUT)
    assert isinstance(saved.errors[1], Unserializable)
    assert store.task("t").heads()[0].serializers == ("json",)
    assert store.task("t").save(keys_of(3), [1], ABOUT, serializer="pickle").errors == {}


def test_large_batches_become_several_packs(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of more bytes than a pack should have is split, and found as one."""
    monkeypatch.setattr("dataflow_results.packs.writing.LARGEST_PACK_BYTES", 1000)
    store = ResultStore(local.url)
    values = ["x" * 300 + str(n) for n in range(20)]
    saved = store.task("t").save(keys_of(*range(20)), values, ABOUT)
    assert len(saved.packs) == 6
    assert found(ResultStore(local.url), *range(20)) == values


# plain files ---------------------------------------------------------------------------------------------------------


def test_targets_are_plain_files(local: Place) -> None:
    """Values with a target lie in files that other tools read; one that people changed is not the result any more."""
    store = ResultStore(local.url)
    store.task("t").save(
        keys_of(1, 2), [{"a": 1}, {"b": 2}], ABOUT, serializer="json", targets=["out/1.json", "out/2.json"]
    )
    assert Path(local.url, "out/1.json").read_text(encoding="utf-8") == '{"a":1}'
    assert found(ResultStore(local.url), 1, 2) == [{"a": 1}, {"b": 2}]
    Path(local.url, "out/1.json").write_text('{"a":2}', encoding="utf-8")
    changed, kept = found(ResultStore(local.url), 1, 2)
    assert isinstance(changed, CorruptResult)
    assert kept == {"b": 2}
    assert Path(local.url, "out/1.json").exists()


# trust ---------------------------------------------------------------------------------------------------------------


def test_safe_mode(local: Place) -> None:
    """In safe mode a pickle is refused unopened; columns and JSON are read, and written."""
    ResultStore(local.url).put("pickled", (1, 2))
    safe = ResultStore(local.url, safe=True)
    safe.put_many({"number": 1, "list": [1, {"a": None}]})
    safe.put("text", "a")
    assert safe.get_many(["pickled", "number", "list", "text"]) == {"number": 1, "list": [1, {"a": None}], "text": "a"}
    with pytest.raises(UnsafeFormat):
        safe.get("pickled", None)
    with pytest.raises(Unserializable):
        safe.put("tuple", (1, 2))


def test_the_key_comes_from_the_environment(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signing key is read from the environment; it travels in no pickle, and is missed where it is not set."""
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, "very-secret")
    store = ResultStore(local.url)
    store.put("a", 1)
    sent = pickle.dumps(store)
    assert b"very-secret" not in sent
    assert pickle.loads(sent).get("a") == 1
    assert "very-secret" not in repr(store)
    monkeypatch.delenv(SIGNING_KEY_VARIABLE)
    with pytest.raises(StoreUrlError, match="signing key"):
        pickle.loads(sent)


def test_an_unknown_serializer_is_said(local: Place) -> None:
    """A record of a serializer that is not known here is an error in its place, and stays for others."""
    store = ResultStore(local.url)
    save(store, 1)
    name = pack_names(store, "t")[0]
    identity = name.rpartition("/")[2].removesuffix(".pack")
    parts, _ = encode_pack(identity, "t", content({"a": b"x"}, 7, serializers=["theirs"]))
    store.files.write(name, parts)
    results = ResultStore(local.url).task("t")
    (value,) = results.load(results.find(key("a"), now=2.0))
    assert isinstance(value, UnknownFormat)
    assert "theirs" in str(value)
    assert store.files.exists(name)


# trouble -------------------------------------------------------------------------------------------------------------


def test_one_bad_read_is_no_damage(local: Place) -> None:
    """A bit that flips on its way is noticed; read again, the value is there and nothing is set aside."""
    save(ResultStore(local.url), *range(3))
    store = ResultStore(FaultyFiles(open_files(local.url), {"read": {2: Fault.FLIPPED}}))
    assert found(store, 0, 1, 2) == [(0,), (1,), (2,)]
    assert store.problems == []


def test_a_read_only_store_is_read(local: Place) -> None:
    """A damaged pack in a store that cannot be written to is refused and reported, and stays where it is."""
    save(ResultStore(local.url), 1)
    save(ResultStore(local.url), 2)
    files = open_files(local.url)
    name = pack_names(ResultStore(local.url), "t")[0]
    files.write(name, [files.read(name)[:-1]])
    denied = {name: {EVERY_CALL: Fault.DENIED} for name in ("write", "create", "remove")}
    store = ResultStore(FaultyFiles(files, denied))
    with pytest.warns(ResultsWarning):
        values = found(store, 1, 2)
    assert isinstance(values[0], ResultMissing)
    assert values[1] == (2,)
    assert [problem.set_aside for problem in store.problems] == [False]
    with pytest.raises(StoreDenied):
        save(store, 3)


@pytest.mark.parametrize("operation", ["list", "read"])
def test_an_unreachable_store_is_no_miss(local: Place, operation: str) -> None:
    """A store that does not answer raises: only its user can decide to compute everything again."""
    save(ResultStore(local.url), 1)
    store = ResultStore(FaultyFiles(open_files(local.url), {operation: {EVERY_CALL: Fault.UNREACHABLE}}))
    with pytest.raises(StoreUnreachable):
        found(store, 1)


def test_a_torn_write_is_missing(local: Place) -> None:
    """Half a pack under its final name, as weak stores leave it, is an error for the writer and missing for readers."""
    torn = FaultyFiles(open_files(local.url), {"write": {2: Fault.TORN}})
    with pytest.raises(StoreUnreachable):
        save(ResultStore(torn), 1)
    store = ResultStore(local.url)
    with pytest.warns(ResultsWarning):
        assert isinstance(found(store, 1)[0], ResultMissing)
    save(store, 1)
    assert found(ResultStore(local.url), 1) == [(1,)]


def test_a_lost_answer_does_no_harm(local: Place) -> None:
    """A batch whose answer was lost was stored: it is found, and storing it again changes nothing."""
    lost = FaultyFiles(open_files(local.url), {"write": {2: Fault.LOST_ANSWER}})
    with pytest.raises(StoreUnreachable):
        save(ResultStore(lost), 1)
    save(ResultStore(local.url), 1)
    assert found(ResultStore(local.url), 1) == [(1,)]


def test_a_stale_listing_hides_nothing_known(local: Place) -> None:
    """What this process has stored is found even if the listing is older."""
    store = ResultStore(FaultyFiles(open_files(local.url), {"list": {EVERY_CALL: Fault.STALE}}))
    assert isinstance(found(store, 1)[0], ResultMissing)
    save(store, 1)
    store.task("t").refresh()
    assert found(store, 1) == [(1,)]


def test_a_removed_pack_is_missing(local: Place) -> None:
    """A pack that somebody removed behind our back is missing, in what was found already and when asked again."""
    store = ResultStore(local.url)
    store.task("t").save(keys_of(1, 2), ["x" * 200_000, "y" * 200_000], ABOUT)
    results = ResultStore(local.url).task("t")
    before = results.find(keys_of(1), now=2.0)
    store.files.remove(pack_names(store, "t"))
    assert isinstance(results.load(before)[0], ResultMissing)
    assert results.find(keys_of(1), now=2.0).missing.tolist() == [0]


def test_a_value_that_cannot_be_rebuilt(local: Place) -> None:
    """A value whose class is gone is an error in its place, not damage: it stays for processes that have the class."""
    store = ResultStore(local.url)
    module = ModuleType("module_that_goes_away")
    exec("class Thing: pass", vars(module))
    sys.modules[module.__name__] = module
    store.task("t").save(keys_of(1, 2), [module.Thing(), (2,)], ABOUT)
    del sys.modules[module.__name__]
    broken, kept = found(ResultStore(local.url), 1, 2)
    assert isinstance(broken, ReadingError)
    assert kept == (2,)
    assert len(pack_names(store, "t")) == 1


def test_a_newer_layout_is_refused(local: Place) -> None:
    """A store laid out by a later version is not read, nor written to."""
    store = ResultStore(local.url)
    store.files.write("format.json", [b'{"layout": 2}'])
    for use in (lambda: store.get("a"), lambda: store.put("a", 1)):
        with pytest.raises(UnknownFormat, match="layout 2"):
            use()


# requests ------------------------------------------------------------------------------------------------------------


@on("local", "moto")
def test_a_map_costs_few_requests(place: Place) -> None:
    """Twenty batches cost one write each plus one; all of them again cost one listing and one read each plus one."""
    files = CountingFiles(ResultStore(place).files)
    results = ResultStore(files).task("t")
    batches = [range(start, start + 500) for start in range(0, 10_000, 500)]
    for batch in batches:
        results.find(keys_of(*batch), now=2.0, fresh_after=0.0)
        results.save(keys_of(*batch), list(batch), ABOUT)
    assert files.counts == {"write": 21, "list": 1, "read": 1}
    files.reset()
    results = ResultStore(files).task("t")
    for batch in batches:
        assert results.load(results.find(keys_of(*batch), now=2.0)) == list(batch)
    assert files.counts == {"list": 1, "read": 21}


def test_fresh_enough_is_not_listed_again(local: Place) -> None:
    """A look-up that misses lists the store unless it was listed after the moment the caller names."""
    files = CountingFiles(open_files(local.url))
    results = ResultStore(files).task("t")
    for fresh_after, listings in ((None, 1), (None, 2), (0.0, 2), (9e9, 3)):
        results.find(keys_of(1), now=2.0, fresh_after=fresh_after)
        assert files.counts["list"] == listings


# doors ---------------------------------------------------------------------------------------------------------------


def test_ways_to_name_a_place(local: Place) -> None:
    """A path, a URL, a Path and a location name the same store; a reference needs none of them."""
    reference = ResultStore(local.url).put("a", 1)
    for location in (f"file://{local.url}", Path(local.url), LocalResult(local.url)):
        assert ResultStore(location).get("a") == 1
    assert load(str(reference)) == 1


def test_one_store_for_each_place_in_a_process(local: Place) -> None:
    """Opened twice, a store is the same; with other options it is not."""
    assert open_store(local.url) is open_store(local.url)
    assert open_store(local.url) is not open_store(local.url, safe=True)


def test_no_secret_is_shown() -> None:
    """Credentials in a URL or in options appear in no repr."""
    pytest.importorskip("s3fs")
    store = ResultStore("s3://bucket/folder", storage_options={"key": "AKIASECRET", "secret": "hidden"})
    assert repr(store) == "ResultStore('s3://bucket/folder')"
    assert "SECRET" not in repr(store.task("t")) + repr(store.aio)


def test_collections(local: Place) -> None:
    """Collections are listed; a name that would leave the folder is refused."""
    store = ResultStore(local.url)
    save(store, 1)
    store.put("a", 1)
    assert list(store.collections()) == ["t", "values"]
    for name in ("../up", "a/b", "", ".hidden"):
        with pytest.raises(StoreUrlError):
            store.task(name)


def test_keys_of_the_wrong_length(local: Place) -> None:
    """A key that is neither a name nor a digest, and keys that do not fit the values, are mistakes of the caller."""
    store = ResultStore(local.url)
    with pytest.raises(ValueError, match="20 bytes"):
        store.put(b"short", 1)
    with pytest.raises(ValueError, match="40 bytes"):
        store.task("t").save(keys_of(1), [1, 2], ABOUT)


def test_coroutines(local: Place) -> None:
    """The awaited face does what the other does, many at a time."""

    async def use() -> Any:
        store = ResultStore(local.url).aio
        await asyncio.gather(*(store.put(f"k{n}", n) for n in range(10)))
        await store.delete("k0")
        return await store.list(), await store.exists("k0"), await store.get("k9"), await store.get("k0", "default")

    assert asyncio.run(use()) == ([f"k{n}" for n in range(1, 10)], False, 9, "default")


def test_safe_mode_may_be_said_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With DATAFLOW_RESULTS_SAFE no pickle of a store is opened, whoever opens it."""
    ResultStore(tmp_path).put("set", {1, 2})
    monkeypatch.setenv("DATAFLOW_RESULTS_SAFE", "1")
    with pytest.raises(UnsafeFormat):
        open_store(tmp_path).get("set")
