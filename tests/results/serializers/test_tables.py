"""Tables: Arrow and Parquet give back the type, index and dtypes, or refuse."""

from __future__ import annotations

import datetime as dt
import decimal
import io
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dataflow_results.errors import CorruptResult, Unserializable
from dataflow_results.serializers import ArrowSerializer, ParquetSerializer, choose
from tests.results.serializers.round_trips import again, written

BOTH = pytest.mark.parametrize("serializer", [ArrowSerializer(), ParquetSerializer()], ids=["arrow", "parquet"])
DAYS = pd.DatetimeIndex(["2026-01-01", "2026-01-03", None], tz="Europe/Berlin", name="day")


def identical(left: Any, right: Any) -> None:
    """Two tables have one type and are equal in all that the type knows."""
    assert type(left) is type(right)
    if isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right, check_exact=True, check_freq=True, check_column_type=True)
        assert (left.attrs, type(left.columns), type(left.index)) == (
            right.attrs,
            type(right.columns),
            type(right.index),
        )
        assert all(a is b or a == b for a, b in zip(left.dtypes, right.dtypes, strict=True))
    elif isinstance(left, pl.DataFrame):
        assert left.schema == right.schema
        assert left.equals(right, null_equal=True)
    else:
        assert left.equals(right, check_metadata=True)


PANDAS = {
    "numbers": pd.DataFrame({"a": np.arange(3, dtype="u1"), "b": [1.5, np.nan, -0.0], "c": [True, False, True]}),
    "named index": pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 5], name="k")),
    "index of texts": pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    "many levels": pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "x"), (2, "y")], names=["n", None])
    ),
    "stepped range": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(10, 14, 2)),
    "numbered columns": pd.DataFrame(np.eye(2)),
    "int columns": pd.DataFrame([[1, 2]], columns=[5, 3]),
    "texts": pd.DataFrame({"a": ["x", None, "größe"]}, dtype="str"),
    "times": pd.DataFrame({"a": DAYS, "b": pd.to_timedelta([1, None, 3], unit="s"), "c": DAYS.tz_localize(None)}),
    "index of times": pd.DataFrame({"a": [1, 2, 3]}, index=DAYS),
    "seconds": pd.DataFrame({"a": np.array(["2026-01-01", "1600-01-01"], "M8[s]")}),
    "nullable": pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")}),
    "nullable floats": pd.DataFrame({"a": pd.array([1.5, None], "Float64")}),
    "no rows": pd.DataFrame({"a": np.zeros(0, "i2"), "b": pd.Series([], dtype="str")}),
    "no columns": pd.DataFrame(index=[1, 2]),
    "nothing": pd.DataFrame(),
    "arrow dtypes": pd.DataFrame({"a": pd.array([1, None], pd.ArrowDtype(pa.int32()))}),
    "periods": pd.DataFrame({"a": pd.period_range("2026-01", periods=2, freq="M")}),
    "intervals": pd.DataFrame({"a": pd.interval_range(0, 2)}),
    "attributes": None,
}
PANDAS["attributes"] = pd.DataFrame({"a": [1]})
PANDAS["attributes"].attrs["source"] = "somewhere"
CATEGORIES = pd.DataFrame({"a": pd.Categorical(["x", "y", "x"], categories=["z", "y", "x"], ordered=True)})


@BOTH
@pytest.mark.parametrize("name", PANDAS)
def test_pandas_comes_back_exactly_or_is_refused(serializer: Any, name: str) -> None:
    """Index, dtypes, names and attributes survive; whatever is accepted is identical."""
    frame = PANDAS[name]
    if not serializer.accepts(frame):
        assert (serializer.name, name) in REFUSED
        return
    identical(again(serializer, frame), frame)


REFUSED = {("parquet", "seconds"), ("parquet", "nested")}
"""What Parquet does not give back exactly: it has no seconds, and renames the items of lists."""


@BOTH
def test_categories_keep_their_order_and_those_that_nobody_uses(serializer: Any) -> None:
    """Compared by list: pandas takes unordered categories for equal in any order."""
    for frame in (CATEGORIES, CATEGORIES.assign(a=CATEGORIES["a"].cat.as_unordered())):
        loaded = again(serializer, frame)
        identical(loaded, frame)
        assert loaded["a"].cat.categories.tolist() == ["z", "y", "x"]


def test_categories_of_numbers_need_arrow() -> None:
    """Parquet makes plain numbers of them: refused there, exact in Arrow; without rows, Arrow forgets them too."""
    frame = pd.DataFrame({"a": pd.Categorical([3, 1, None], categories=[3, 2, 1])})
    identical(again(ArrowSerializer(), frame), frame)
    for serializer, value in ((ParquetSerializer(), frame), (ArrowSerializer(), frame.iloc[:0])):
        with pytest.raises(Unserializable, match="dtypes would be lost"):
            serializer.dump(value)


@pytest.mark.parametrize("unit", ["f8", "i8", "u2", "?", "M8[ns]"])
@given(data=st.data())
@settings(max_examples=25)
def test_frames_of_any_numbers_come_back(unit: str, data: st.DataObject) -> None:
    """Bit for bit where numbers are whole; floats are equal, NaN included."""
    column = data.draw(arrays.arrays(unit, st.integers(0, 5)))
    frame = pd.DataFrame({"x": column, "y": column[::-1]})
    identical(again(ArrowSerializer(), frame), frame)


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"a": [1, "x", None]}, dtype=object),
        pd.DataFrame({"a": [[1], [2]]}),
        pd.DataFrame({"a": [None, np.nan]}, dtype=object),
        pd.DataFrame({"a": [1]}, index=pd.Index([object()], dtype=object)),
        pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2026", periods=2, freq="D")),
        pd.DataFrame({"a": pd.Categorical(np.array([1, "x"], object))}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
        pd.Series([1, 2]),
        pl.DataFrame({"a": [object()]}),
        {"a": [1]},
    ],
    ids=[
        "object",
        "lists",
        "two kinds of nothing",
        "object index",
        "frequency",
        "mixed categories",
        "two of a name",
        "sparse",
        "series",
        "polars object",
        "dict",
    ],
)
def test_what_would_change_is_refused_with_a_fix(serializer: Any, value: object) -> None:
    """No table, or one whose objects, frequency or names the format does not know: told before anything is written."""
    assert not serializer.accepts(value)
    with pytest.raises(Unserializable, match="instead: "):
        serializer.dump(value)
    assert choose(value).name == "pickle"


@BOTH
@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [[1], [2]]}),
        pd.DataFrame({"a": [None, np.nan]}, dtype=object),
        pd.DataFrame({"a": [1]}, index=pd.Index([b"x"], dtype=object)),
        pd.DataFrame({"a": pd.Categorical([b"x"], categories=pd.Index([b"x"], dtype=object))}),
        pl.DataFrame({"a": [object()]}),
    ],
    ids=["lists", "two kinds of nothing", "index", "categories", "polars"],
)
def test_objects_are_refused_without_trying(serializer: Any, frame: Any) -> None:
    """Lists would come back as arrays, and NaN as None, though the dtype is the same: no trying tells that."""
    with pytest.raises(Unserializable, match="it holds Python objects"):
        serializer.dump(frame)


@BOTH
def test_the_same_structure_is_judged_by_its_own_objects(serializer: Any) -> None:
    """A verdict that is remembered for one table does not hide the objects of another."""
    assert serializer.accepts(pd.DataFrame({"a": [1.0]}))
    assert not serializer.accepts(pd.DataFrame({"a": [1.0]}, dtype=object))
    assert serializer.accepts(pd.DataFrame({"a": [2.0]}))


POLARS = {
    "plain": pl.DataFrame({"a": [1, None], "b": ["x", "größe"], "c": [1.5, float("nan")], "d": [b"x", None]}),
    "times": pl.DataFrame({"a": [dt.datetime(2026, 1, 1), None], "b": [dt.date(2026, 1, 1), None]}),  # noqa: DTZ001
    "durations": pl.DataFrame({"a": [dt.timedelta(seconds=1)], "b": [dt.time(1, 2)]}),
    "nested": pl.DataFrame({"a": [[1], []], "b": [{"x": 1}, {"x": None}]}),
    "decimals": pl.DataFrame({"a": [decimal.Decimal("1.50")]}),
    "enums": pl.DataFrame({"a": ["x"]}, schema={"a": pl.Enum(["y", "x"])}),
    "categories": pl.DataFrame({"a": ["x", "y", "x"]}, schema={"a": pl.Categorical}),
    "no rows": pl.DataFrame({"a": []}, schema={"a": pl.Int8}),
    "nothing": pl.DataFrame(),
    "nulls": pl.DataFrame({"a": [None, None]}),
}


@BOTH
@pytest.mark.parametrize("name", POLARS)
def test_polars_comes_back_exactly_or_is_refused(serializer: Any, name: str) -> None:
    """Whatever is accepted is identical; the usual types are accepted."""
    frame = POLARS[name]
    if not serializer.accepts(frame):
        assert (serializer.name, name) in REFUSED
        return
    identical(again(serializer, frame), frame)


ARROW = {
    "plain": pa.table({"a": [1, None], "b": ["x", None]}),
    "metadata": pa.table({"a": [1]}).replace_schema_metadata({b"source": b"somewhere", b"pandas": b"{}"}),
    "field metadata": pa.table([[1]], pa.schema([pa.field("a", pa.int8(), nullable=False, metadata={"u": "m"})])),
    "nested": pa.table({"a": [[1, 2], None], "b": [{"x": 1}, None]}),
    "no rows": pa.table({"a": pa.array([], pa.date32())}),
    "nothing": pa.table({}),
    "chunks": pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
}


@BOTH
@pytest.mark.parametrize("name", ARROW)
def test_arrow_comes_back_exactly_or_is_refused(serializer: Any, name: str) -> None:
    """Schema and metadata survive, and our own mark does not show."""
    table = ARROW[name]
    if not serializer.accepts(table):
        assert (serializer.name, name) in REFUSED
        return
    identical(again(serializer, table), table)


def test_other_tools_read_the_files() -> None:
    """Pandas reads what we write, index and all, by its own readers."""
    frame = PANDAS["named index"]
    identical(pd.read_parquet(io.BytesIO(written(ParquetSerializer(), frame))), frame)
    assert pa.ipc.open_file(written(ArrowSerializer(), frame)).read_all().column_names == ["a", "k"]


def test_arrow_writes_the_memory_of_the_columns() -> None:
    """No copy of a column of numbers is made to write it."""
    frame = pd.DataFrame({"a": np.arange(100_000.0)})
    addresses = {np.frombuffer(part, np.uint8).ctypes.data for part in ArrowSerializer().dump(frame) if len(part)}
    assert frame["a"].to_numpy().ctypes.data in addresses


def test_loaded_frames_can_be_written_to() -> None:
    """A frame that was read is as good as one that was made."""
    frame = again(ArrowSerializer(), pd.DataFrame({"a": np.arange(3.0), "b": [1, 2, 3]}))
    frame.loc[0, "a"] = 9.0
    assert frame["a"].tolist() == [9.0, 1.0, 2.0]


@BOTH
@pytest.mark.parametrize("cut", [0, 1, 7, 0.5, -1])
def test_cut_and_foreign_files_are_corrupt(serializer: Any, cut: float) -> None:
    """Neither a part of a file, nor a file of somebody else, is given back."""
    whole = written(serializer, PANDAS["numbers"])
    length = int(len(whole) * cut) if isinstance(cut, float) else cut
    with pytest.raises(CorruptResult):
        serializer.load(memoryview(whole[:length]))
    foreign = io.BytesIO()
    with pa.ipc.new_file(foreign, pa.schema([("a", pa.int8())])):
        pass
    with pytest.raises(CorruptResult):
        serializer.load(memoryview(foreign.getvalue()))
