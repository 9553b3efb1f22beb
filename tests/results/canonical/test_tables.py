"""Tables and labelled arrays: content counts, not chunks, blocks, offsets or what lies under a missing value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import xarray as xr

from dataflow_results.canonical import encode

NUMBERS = pa.array([1, 2, None, 4])
LISTS = pa.array([[1], None, [], [2, 3]])
WORDS = ["a", None, "", "long" * 30]
NESTED = pa.array([{"x": 1, "y": ["a"]}, None, {"x": None, "y": []}])
MAPS = pa.array([[("a", 1)], None, [], [("b", 2), ("c", None)]], pa.map_(pa.string(), pa.int64()))


def chunked(array: pa.Array) -> pa.ChunkedArray:
    """The same content in uneven chunks, one of them empty."""
    return pa.chunked_array([array.slice(0, 1), array.slice(1, 0), array.slice(1)])


def whole(array: pa.Array) -> pa.ChunkedArray:
    """The content as one chunk."""
    return pa.chunked_array([array])


def sliced(array: pa.Array) -> pa.Array:
    """The same content, at an offset in a larger array."""
    return pa.concat_arrays([array, array, array]).slice(len(array), len(array))


def under_null(value: int) -> pa.Array:
    """An array with a chosen value in memory under its null."""
    return pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1, value], "i8").tobytes())]
    )


ARROW = {
    "numbers": NUMBERS,
    "booleans": pa.array([True, None, False, True]),
    "strings": pa.array(WORDS),
    "large strings": pa.array(WORDS, pa.large_string()),
    "string views": pa.array(WORDS, pa.string_view()),
    "binary": pa.array([b"a", None, b"bc"]),
    "fixed binary": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "lists": LISTS,
    "large lists": LISTS.cast(pa.large_list(pa.int64())),
    "fixed lists": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
    "structs": NESTED,
    "maps": MAPS,
    "dictionaries": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "times": pa.array([1, None, 3], pa.timestamp("us", "UTC")),
    "decimals": pa.array([1, None, 3], pa.decimal128(9, 2)),
    "nulls": pa.nulls(3),
    "half floats": pa.array(np.array([1, 2], np.float16)),
}


@pytest.mark.parametrize("array", ARROW.values(), ids=ARROW)
def test_chunks_and_offsets_do_not_matter(array: pa.Array) -> None:
    """An arrow array has one form, however it is cut and wherever it begins in memory."""
    assert encode(chunked(array)) == encode(whole(array))
    assert encode(sliced(array)) == encode(array)


@pytest.mark.parametrize("array", [held for name, held in ARROW.items() if name != "nulls"])
def test_arrow_content_matters(array: pa.Array) -> None:
    """Reversed, an arrow array has another form."""
    assert encode(pa.array(array.to_pylist()[::-1], array.type)) != encode(array)
    assert encode(array.slice(0, 1)) != encode(array)


frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0], "c": ["x", None, "y"]})
multi = pd.MultiIndex.from_product([["a", "b"], [1, 2]])
dataset = xr.Dataset({"t": (("x", "y"), np.arange(6.0).reshape(2, 3))}, coords={"x": [1, 2]}, attrs={"unit": "K"})
matrix = sp.csr_array(np.array([[0, 1.0], [2.0, 0]]))
unsorted = sp.csr_array((np.array([2.0, 1.0, 1.0]), np.array([1, 0, 0]), np.array([0, 2, 3])), shape=(2, 2))

SAME: list[tuple[str, Any, Any]] = [
    ("under a null", under_null(7), under_null(8)),
    (
        "index type of a dictionary",
        ARROW["dictionaries"],
        ARROW["dictionaries"].cast(pa.dictionary(pa.int8(), pa.string())),
    ),
    ("tables", pa.table({"a": chunked(NUMBERS)}), pa.table({"a": NUMBERS})),
    ("blocks", frame[["a", "b"]], pd.DataFrame({"a": frame["a"].copy(), "b": frame["b"].copy()})),
    ("a frame of a matrix", pd.DataFrame(np.arange(6.0).reshape(3, 2)), pd.DataFrame({0: [0.0, 2, 4], 1: [1.0, 3, 5]})),
    ("unused levels", multi[:2], pd.MultiIndex.from_product([["a"], [1, 2]])),
    (
        "strings held by numpy or arrow",
        pd.Series(WORDS, dtype=pd.StringDtype("python", na_value=np.nan)),
        pd.Series(WORDS, dtype=pd.StringDtype("pyarrow", na_value=np.nan)),
    ),
    (
        "polars chunks",
        pl.concat([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], rechunk=False),
        pl.DataFrame({"a": [1, 2]}),
    ),
    ("encoding of a dataset", dataset, dataset.copy(deep=True)),
    ("entries out of order", unsorted, unsorted.sorted_indices()),
]

DIFFERENT: list[tuple[str, Any, Any]] = [
    ("null and zero", pa.array([1, None]), pa.array([1, 0])),
    ("where the nulls are", pa.array([1, None, 1]), pa.array([1, 1, None])),
    ("empty list and null", pa.array([[], [1]]), pa.array([None, [1]])),
    ("list limits", pa.array([[1, 2], [3]]), pa.array([[1], [2, 3]])),
    ("string limits", pa.array(["ab", "c"]), pa.array(["a", "bc"])),
    ("arrow types", pa.array([1], pa.int64()), pa.array([1], pa.uint64())),
    ("number of nulls", pa.nulls(1), pa.nulls(2)),
    ("table columns", pa.table({"a": [1]}), pa.table({"b": [1]})),
    ("metadata", pa.table({"a": [1]}), pa.table({"a": [1]}).replace_schema_metadata({"k": "v"})),
    ("scalars", pa.scalar(1), pa.scalar(2)),
    ("values", frame, frame.assign(a=[1.0, 2.0, 4.0])),
    ("column names", frame, frame.rename(columns={"a": "z"})),
    ("column order", frame, frame[["b", "a", "c"]]),
    ("index", frame, frame.set_axis([1, 2, 3])),
    ("dtype", frame, frame.astype({"a": "float32"})),
    ("series and frame", frame["a"], frame[["a"]]),
    ("series names", frame["a"], frame["a"].rename("b")),
    ("missing", pd.Series([1, None], dtype="Int64"), pd.Series([1, 0], dtype="Int64")),
    ("missing as NaN or NA", pd.Series(["a"], dtype="str"), pd.Series(["a"], dtype="string")),
    ("categories", pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["a"])),
    ("ordered", pd.Categorical(["a"], ["a"], ordered=True), pd.Categorical(["a"], ["a"])),
    ("zones", pd.date_range("2026", periods=2, tz="UTC"), pd.date_range("2026", periods=2, tz="Europe/Berlin")),
    ("frequency", pd.date_range("2026", periods=2), pd.DatetimeIndex(["2026-01-01", "2026-01-02"])),
    ("levels", multi, multi.swaplevel()),
    ("intervals", pd.Interval(0, 1), pd.Interval(0, 1, closed="left")),
    ("interval arrays", pd.interval_range(0, 2), pd.interval_range(1, 3)),
    ("periods", pd.Period("2026-01"), pd.Period("2026-02")),
    ("period arrays", pd.period_range("2026-01", periods=2), pd.period_range("2026-02", periods=2)),
    ("sparse columns", pd.arrays.SparseArray([0, 1]), pd.arrays.SparseArray([1, 0])),
    ("moments", pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02")),
    ("spans", pd.Timedelta("1s"), pd.Timedelta("2s")),
    ("NA and NaT", pd.NA, pd.NaT),
    ("offsets", pd.offsets.Day(1), pd.offsets.Day(2)),
    ("arrow columns", pd.Series([1], dtype="int64[pyarrow]"), pd.Series([2], dtype="int64[pyarrow]")),
    ("objects", pd.Series([1, "a"], dtype=object), pd.Series([1, "b"], dtype=object)),
    ("polars values", pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})),
    ("polars types", pl.Series([1], dtype=pl.Int8), pl.Series([1], dtype=pl.Int16)),
    ("polars names", pl.Series("a", [1]), pl.Series("b", [1])),
    ("polars column order", pl.DataFrame({"a": [1], "b": [1]}), pl.DataFrame({"b": [1], "a": [1]})),
    ("polars and pandas", pl.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]})),
    ("polars enums", pl.Series(["a"], dtype=pl.Categorical), pl.Series(["a"])),
    ("xarray values", dataset, dataset + 1),
    ("xarray attrs", dataset, dataset.assign_attrs(unit="C")),
    ("xarray coords", dataset, dataset.assign_coords(x=[1, 3])),
    ("dims", dataset["t"], dataset["t"].rename(y="z")),
    ("data array names", dataset["t"], dataset["t"].rename("u")),
    ("trees", xr.DataTree(dataset), xr.DataTree(dataset, children={"c": xr.DataTree(dataset)})),
    ("sparse values", matrix, matrix * 2),
    ("sparse kinds", matrix, matrix.tocoo()),
    ("sparse shapes", sp.csr_array((2, 3)), sp.csr_array((3, 2))),
]


def named(cases: list[tuple[str, Any, Any]]) -> list[Any]:
    """Cases as parameters of a test."""
    return [pytest.param(one, other, id=name) for name, one, other in cases]


@pytest.mark.parametrize(("one", "other"), named(SAME))
def test_these_are_the_same(one: Any, other: Any) -> None:
    """How a library holds the content does not matter."""
    assert encode(one) == encode(other)


@pytest.mark.parametrize(("one", "other"), named(DIFFERENT))
def test_these_differ(one: Any, other: Any) -> None:
    """What a function can tell apart has two forms, and each has its own every time."""
    assert encode(one) != encode(other)
    assert encode(one) == encode(one)
    assert encode(other) == encode(other)


def test_attributes_of_a_frame_count() -> None:
    """What is written into frame.attrs is part of the value."""
    noted = frame.copy()
    noted.attrs["unit"] = "K"
    assert encode(noted) != encode(frame)


def test_versions_in_metadata_do_not_count() -> None:
    """A table made from a frame is the same, whichever version of pandas wrote its index into the metadata."""
    table = pa.Table.from_pandas(frame)
    metadata = dict(table.schema.metadata or {})
    older = {b"pandas": metadata[b"pandas"].replace(pd.__version__.encode(), b"2.0.0")}
    assert older != metadata
    assert encode(table.replace_schema_metadata(older)) == encode(table)
