"""Zarr: arrays as folders of chunks that come back as they were, lazily, and verified."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dataflow_results.errors import CorruptResult, StoreFull, Unserializable
from dataflow_results.files import Files, open_files
from dataflow_results.serializers import ZarrSerializer, labelled
from dataflow_results.serializers.trees import check_tree

SERIALIZER = ZarrSerializer()
FOLDER = "trees/0a1b"
TIMES = np.array(["2000-01-01T00:00:00.000000001", "NaT", "1999-12-31"], "M8[ns]")


@pytest.fixture(params=["local", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """A store on disk and one in memory."""
    return open_files(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-{id(tmp_path)}")


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks so small that a test has many."""
    monkeypatch.setattr(labelled, "CHUNK_BYTES", 800)


def again(files: Files, value: Any) -> Any:
    """The value after it was written and read."""
    return SERIALIZER.load_tree(SERIALIZER.dump_tree(value, files, FOLDER), files, FOLDER)


def dataset() -> xr.Dataset:
    """A Dataset of every type that people have."""
    return xr.Dataset(
        {
            "whole": ("x", np.array([1, 2, 3], "i2")),
            "floats": (("x", "y"), np.array([[1.5, np.nan], [-0.0, 2], [3, 4]], "f4"), {"units": "m"}),
            "flags": ("x", [True, False, True]),
            "texts": ("x", ["a", "größe", ""]),
            "bytes": ("x", np.array([b"a", b"bc", b""])),
            "complex": ("x", np.array([1j, 2, 3])),
            "times": ("x", TIMES),
            "seconds": ("x", TIMES.astype("M8[s]")),
            "spans": ("x", TIMES - TIMES[0]),
            "numbers of days": ("x", [1.0, 2.0, 3.0], {"units": "days"}),
            "scalar": ((), np.int64(5)),
            "empty": ("none", np.zeros(0)),
        },
        coords={"x": [10, 20, 30], "month": ("x", pd.to_datetime(["2026-01-01", "2026-02-01", "2026-03-01"]))},
        attrs={"history": ["made", {"by": None}], "title": "größe"},
    )


def same(left: Any, right: Any) -> None:
    """Two labelled arrays are identical, dtypes and time units included."""
    xr.testing.assert_identical(left, right)
    for name in right.coords if isinstance(right, xr.DataArray) else right.variables:
        assert left[name].dtype == right[name].dtype, name


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        arrays.scalar_dtypes() | arrays.unicode_string_dtypes(max_len=5) | arrays.byte_string_dtypes(max_len=5),
        arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
    ),
)
def test_arrays_come_back_exactly_or_are_refused(tmp_path_factory: Any, array: np.ndarray) -> None:
    """Bit for bit, for every dtype and shape that is accepted, also empty ones and zeros with a sign."""
    if not SERIALIZER.accepts(array):
        assert array.dtype.kind in "mMSUf"
        return
    loaded = again(open_files(tmp_path_factory.mktemp("store")), array)
    assert type(loaded) is np.ndarray
    assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1", "?", "c16", "M8[ns]", "m8[s]", "S3", "U3"])
def test_the_usual_arrays_are_accepted(files: Files, dtype: str) -> None:
    """What is not refused above is what people use."""
    array = np.arange(12).astype("i8").astype(dtype).reshape(3, 4)
    loaded = again(files, array)
    assert loaded.dtype == array.dtype
    assert loaded.tolist() == array.tolist()


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("value", [-0.0, 0.0, np.nan, -np.nan, 1.0])
def test_chunks_of_one_number_keep_its_bits(files: Files, value: float) -> None:
    """Zarr leaves out chunks that are all fill: the sign of a zero must survive that."""
    array = np.full(300, value)
    assert again(files, array).tobytes() == array.tobytes()
    assert again(files, xr.DataArray(array)).to_numpy().tobytes() == array.tobytes()


def test_times_without_a_name_keep_their_unit(files: Files) -> None:
    """An array of times needs no name to come back exactly."""
    for unit in ("s", "ms", "us", "ns"):
        value = xr.DataArray(TIMES.astype(f"M8[{unit}]"), dims="x")
        same(again(files, value), value)


@pytest.mark.usefixtures("_small_chunks")
def test_large_arrays_are_many_chunks(files: Files) -> None:
    """An array is cut along its longest axis, and put together again."""
    array = np.random.default_rng(0).random((70, 30))
    assert np.array_equal(again(files, array), array)
    chunks = [entry for entry in files.list(FOLDER) if entry.name.rpartition("/")[2][0].isdigit()]
    assert len(chunks) > 20


@pytest.mark.usefixtures("_small_chunks")
def test_a_dataset_comes_back_identical_and_lazily(files: Files) -> None:
    """Values, dtypes, attributes, coordinates and time units; the data are read only when they are used."""
    value = dataset()
    loaded = again(files, value)
    assert not loaded["floats"].variable._in_memory
    same(loaded, value)
    assert loaded["times"].to_numpy().tobytes() == TIMES.tobytes()


@pytest.mark.parametrize("name", ["floats", None, "x"])
def test_an_array_with_labels_comes_back_identical_and_lazily(files: Files, name: str | None) -> None:
    """With a name, without one, and with the name of its own coordinate."""
    value = dataset()["x" if name == "x" else "floats"].rename(name)
    loaded = again(files, value)
    assert type(loaded) is xr.DataArray
    same(loaded, value)
    assert loaded.name == name


def test_what_was_read_can_be_stored_again(files: Files) -> None:
    """A lazy value that came from a store is written to another folder, chunk by chunk."""
    first = again(files, dataset())
    memory = SERIALIZER.dump_tree(first, files, "trees/second")
    same(SERIALIZER.load_tree(memory, files, "trees/second"), dataset())


def test_encodings_of_other_files_do_not_come_along(files: Files) -> None:
    """A variable that was packed into integers where it came from is stored with all its digits."""
    value = xr.Dataset({"a": ("x", [0.123456789, 1.0])})
    value["a"].encoding = {"scale_factor": 0.1, "dtype": "int16"}
    same(again(files, value), value)


@pytest.mark.parametrize("layout", [2, 3])
def test_arrays_of_zarr_are_copied_as_they_are(files: Files, tmp_path: Path, layout: Any) -> None:
    """Chunks, codecs, attributes and chunks that were never written; what comes back is a zarr.Array again."""
    source = zarr.open_group(str(tmp_path / "source.zarr"), mode="w", zarr_format=layout)
    value = source.create_array("a", shape=(10, 4), chunks=(3, 4), dtype="i4", fill_value=7, attributes={"unit": "m"})
    value[:4] = 1
    loaded = again(files, value)
    assert type(loaded) is zarr.Array
    assert (loaded.chunks, loaded.dtype, loaded.attrs.asdict(), loaded.fill_value) == (
        (3, 4),
        np.int32,
        {"unit": "m"},
        7,
    )
    assert np.array_equal(loaded[...], value[...])
    assert loaded.nchunks_initialized == 2
    group = SERIALIZER.load_tree(SERIALIZER.dump_tree(source, files, "trees/group"), files, "trees/group")
    assert type(group) is zarr.Group
    assert np.array_equal(group["a"][...], value[...])


def test_lazy_values_travel_between_processes(tmp_path: Path) -> None:
    """A lazily opened value pickles as the place of its files."""
    files = open_files(tmp_path)
    loaded = again(files, xr.DataArray(np.arange(100_000.0), dims="x"))
    travelled = pickle.dumps(loaded)
    assert len(travelled) < 20_000
    assert float(pickle.loads(travelled)[99_999]) == 99_999.0


def test_what_would_change_is_refused_with_a_fix(files: Files) -> None:
    """Objects, attributes that are no JSON or that xarray takes for its own, odd names, levels, and other types."""
    plain = xr.DataArray(np.arange(3), dims="x")
    levels = pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["a", "b"])
    for value in (
        np.array([None]),
        np.zeros(2, [("a", "i4")]),
        plain.astype(object),
        plain.assign_attrs(pair=(1, 2)),
        plain.assign_attrs(units="days since 2000-01-01"),
        plain.assign_attrs(scale_factor=2.0),
        plain.rename(5),
        xr.DataArray(np.zeros(2), coords=xr.Coordinates.from_pandas_multiindex(levels, "x")),
        plain.astype(">i4"),
        {"a": 1},
    ):
        assert not SERIALIZER.accepts(value)
        with pytest.raises(Unserializable, match="instead: "):
            SERIALIZER.dump_tree(value, files, FOLDER)
        assert files.list(FOLDER) == []


def test_what_dask_computes_is_refused(files: Files) -> None:
    """A graph is no value: it is to be computed before it is given back."""
    pytest.importorskip("dask.array")
    value = xr.DataArray(np.arange(6.0), dims="x").chunk(2)
    assert not SERIALIZER.accepts(value)
    with pytest.raises(Unserializable, match="not computed yet"):
        SERIALIZER.dump_tree(value, files, FOLDER)


class Failing:
    """Files of which the writes fail after some."""

    def __init__(self, files: Files, writes: int) -> None:
        self._files, self._writes = files, writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def write(self, name: str, parts: Any) -> None:
        self._writes -= 1
        if self._writes < 0:
            raise StoreFull("no space is left")
        self._files.write(name, parts)


def test_a_write_that_fails_leaves_no_files(files: Files) -> None:
    """What was written before the failure is removed, and the store's error is the error."""
    with pytest.raises(StoreFull):
        SERIALIZER.dump_tree(dataset(), Failing(files, 10), FOLDER)  # type: ignore[arg-type]
    assert files.list(FOLDER) == []


@pytest.mark.usefixtures("_small_chunks")
def test_every_changed_or_missing_file_is_noticed(files: Files) -> None:
    """Whatever file of a folder is changed or removed: CorruptResult, when it is opened or when it is used."""
    value = xr.DataArray(np.random.default_rng(0).random(300), dims="x", coords={"x": np.arange(300)})
    memory = SERIALIZER.dump_tree(value, files, FOLDER)
    check_tree(memory, files, FOLDER)
    entries = files.list(FOLDER)
    assert len(entries) > 8
    for entry in entries:
        data = files.read(entry.name)
        for changed in ([data[:-1]], [data + b" "], None):
            files.write(entry.name, changed) if changed else files.remove([entry.name])
            with pytest.raises(CorruptResult):
                check_tree(memory, files, FOLDER)
            if not entry.name.endswith((".zarray", ".zgroup", ".zattrs")):  # those are read from the consolidated one
                with pytest.raises(CorruptResult):
                    SERIALIZER.load_tree(memory, files, FOLDER).load()
        files.write(entry.name, [data])
    same(SERIALIZER.load_tree(memory, files, FOLDER), value)


def test_a_missing_chunk_is_never_taken_for_an_empty_one(files: Files) -> None:
    """Zarr fills chunks that do not exist; one that existed and has gone is corrupt."""
    memory = SERIALIZER.dump_tree(np.ones(3), files, FOLDER)
    files.remove([f"{FOLDER}/0"])
    with pytest.raises(CorruptResult, match="has gone"):
        SERIALIZER.load_tree(memory, files, FOLDER)


@pytest.mark.parametrize(
    "memory", [b"", b"{}", b"[]", b"null", b'{"kind": "x", "extra": {}, "manifest": "00"}', b"\xff"]
)
def test_foreign_memories_are_corrupt(files: Files, memory: bytes) -> None:
    """What the record remembers is not trusted to be ours."""
    with pytest.raises(CorruptResult):
        SERIALIZER.load_tree(memory, files, FOLDER)


def test_a_swapped_manifest_is_corrupt(files: Files) -> None:
    """The record's digest speaks for the manifest, and the manifest for every file."""
    memory = SERIALIZER.dump_tree(np.ones(3), files, FOLDER)
    files.write(f"{FOLDER}/manifest.json", [json.dumps({}).encode()])
    with pytest.raises(CorruptResult):
        SERIALIZER.load_tree(memory, files, FOLDER)


@given(st.lists(st.integers(0, 5000), max_size=3), st.sampled_from([1, 4, 8, 16]))
def test_chunks_fit_and_are_not_smaller_than_needed(shape: list[int], item_bytes: int) -> None:
    """A chunk is never above the bound, and at least a quarter of it if the array is larger."""
    chunks = labelled.chunk_shape(tuple(shape), item_bytes)
    size_bytes = int(np.prod(chunks, dtype=object)) * item_bytes
    whole = int(np.prod([max(1, n) for n in shape], dtype=object)) * item_bytes
    assert size_bytes <= labelled.CHUNK_BYTES
    assert size_bytes >= min(whole, labelled.CHUNK_BYTES // 4)
