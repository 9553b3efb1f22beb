"""Serializers by name, by type, by registration and by entry point."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr
import zarr

from dataflow_results.digests import Buffer
from dataflow_results.errors import ReadingError, StoringError, UnknownFormat
from dataflow_results.serializers import (
    JsonSerializer,
    Serializer,
    TreeSerializer,
    choose,
    find_serializer,
    known_serializers,
    register_serializer,
    registry,
    resolve,
)

BUILT_IN = ["arrow", "bytes", "json", "numpy", "parquet", "pickle", "text", "zarr"]


@dataclass
class Shout:
    """A type with a serializer of its own."""

    word: str


@dataclass(frozen=True)
class ShoutSerializer:
    """What another distribution might bring."""

    name: str = "shout"
    safe: bool = True
    types = (f"{__name__.partition('.')[0]}.Shout",)

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Shout)

    def dump(self, value: Any) -> list[Buffer]:
        return [value.word.upper().encode()]

    def load(self, data: memoryview) -> Any:
        return Shout(str(data, "utf-8"))


@pytest.fixture
def fresh() -> Iterator[None]:
    """The registry as it is in a new process, before and after."""
    caches = (registry._entry_points, registry._types_of_entry_points, registry._for_type)
    for end in (False, True):
        registry._registered.clear()
        registry._registered_types.clear()
        for cached in caches:
            cached.cache_clear()
        if not end:
            yield


def test_all_built_in_ones_are_found_by_their_names() -> None:
    """Each name gives a serializer of that name; only pickle can run code."""
    assert known_serializers() == BUILT_IN
    found = [find_serializer(name) for name in BUILT_IN]
    assert [serializer.name for serializer in found] == BUILT_IN
    assert [serializer.name for serializer in found if not serializer.safe] == ["pickle"]
    assert [s.name for s in found if isinstance(s, TreeSerializer)] == ["zarr"]
    assert all(isinstance(s, Serializer) for s in found if s.name != "zarr")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("pickle", "pickle"),
        ("zstd(pickle)", "zstd(pickle)"),
        ("lz4(zstd(json))", "lz4(zstd(json))"),
        ("compressed/pickle", "zstd(pickle)"),
        ("compressed/json", "zstd(json)"),
        (JsonSerializer(allow_nan=True), "json"),
    ],
    ids=str,
)
def test_what_users_write_is_understood(spec: Any, name: str) -> None:
    """Names, wrapped names, the older spelling of compressed ones, and serializers themselves."""
    assert resolve(spec).name == name
    assert find_serializer(name).name == name


def test_nothing_said_stays_nothing() -> None:
    """None means: by the type of each value."""
    assert resolve(None) is None


@pytest.mark.parametrize(
    "spec",
    ["pikle", "compressed/", "zip(json)", "zstd(nothing)", "zstd()", "", 3, object()],
    ids=lambda spec: repr(spec).partition(" at ")[0],
)
def test_unknown_names_list_the_known_ones(spec: Any) -> None:
    """A name that is wrong when it is written is an error of storing, with a fix."""
    with pytest.raises(StoringError, match="instead: ") as caught:
        resolve(spec)
    if isinstance(spec, str):
        assert "arrow, bytes, json, numpy, parquet, pickle, text, zarr" in caught.value.fix


def test_unknown_names_in_records_are_unknown_formats() -> None:
    """A name that is met when reading is one of another version, or of a package that is missing here."""
    with pytest.raises(UnknownFormat, match="no serializer is called 'shout'"):
        find_serializer("shout")


def test_folders_are_not_compressed() -> None:
    """A wrapper takes buffers, and Zarr compresses its chunks itself."""
    with pytest.raises(StoringError, match="'zarr' compresses by itself"):
        resolve("zstd(zarr)")


LABELLED = xr.DataArray(np.zeros(200_000), dims="x")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "pickle"),
        (None, "pickle"),
        ([1], "pickle"),
        ("x", "text"),
        ("\ud800", "pickle"),
        (b"x", "bytes"),
        (bytearray(b"x"), "pickle"),
        (np.arange(3), "numpy"),
        (np.array([None]), "pickle"),
        (np.ma.masked_array([1]), "pickle"),
        (np.float64(1), "pickle"),
        (pd.DataFrame({"a": [1]}), "arrow"),
        (pd.DataFrame({"a": [1, "x"]}, dtype=object), "pickle"),
        (pd.Series([1]), "pickle"),
        (pl.DataFrame({"a": [1]}), "arrow"),
        (pa.table({"a": [1]}), "arrow"),
        (LABELLED, "zarr"),
        (LABELLED.to_dataset(name="a"), "zarr"),
        (LABELLED[:10], "pickle"),
        (zarr.array(np.arange(3)), "zarr"),
        (zarr.group(), "zarr"),
        (Shout("x"), "pickle"),
        (int, "pickle"),
        (lambda: 1, "pickle"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_the_type_decides_when_nothing_is_said(value: object, name: str) -> None:
    """Formats that others read where they are exact, pickle for all else, folders only for what is large."""
    assert choose(value).name == name
    assert choose(value, find_serializer("json")).name == "json"


def test_a_registered_serializer_is_found_and_chosen(fresh: None) -> None:
    """By its name and, if it says so, for its type."""
    register_serializer(ShoutSerializer())
    assert find_serializer("zstd(shout)").safe
    assert choose(Shout("x")).name == "pickle"
    register_serializer(ShoutSerializer(), types=ShoutSerializer.types)
    assert choose(Shout("x")).name == "shout"
    assert "shout" in known_serializers()


def test_a_serializer_given_by_itself_can_be_read_again(fresh: None) -> None:
    """Asking for it registers it in this process."""
    serializer = ShoutSerializer()
    assert resolve(serializer) is serializer
    assert find_serializer("shout") is serializer


@pytest.mark.parametrize("name", ["pickle", "two words", "zstd(x)", ""])
def test_names_that_are_taken_or_mean_something_are_refused(fresh: None, name: str) -> None:
    """Nobody replaces a built-in serializer: records that name it could not be read any more."""
    with pytest.raises(StoringError):
        register_serializer(ShoutSerializer(name=name))
    with pytest.raises(StoringError):
        resolve(ShoutSerializer(name="pickle"))


def test_other_distributions_bring_serializers_by_entry_points(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is found by name and by the types it names; one that cannot be loaded is told and left out."""
    good = EntryPoint("shout", f"{__name__}:ShoutSerializer", registry.ENTRY_POINTS)
    broken = EntryPoint("broken", "nowhere_to_be_found:Thing", registry.ENTRY_POINTS)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    monkeypatch.setattr(registry, "entry_points", lambda group: [good, broken])
    with pytest.warns(RuntimeWarning, match="serializer 'broken' cannot be loaded"):
        assert choose(Shout("x")).name == "shout"
    assert find_serializer("lz4(shout)").name == "lz4(shout)"
    with pytest.raises(ReadingError, match="nowhere_to_be_found"):
        find_serializer("broken")


def _this_module() -> Any:
    return type(sys)(__name__)


def test_no_package_of_tables_or_arrays_is_loaded_for_plain_values() -> None:
    """Choosing for plain values, in a new process, loads neither pandas nor pyarrow, zarr, xarray, zstandard or lz4."""
    program = (
        "import sys; from dataflow_results.serializers import choose, known_serializers\n"
        "class Own: pass\n"
        "[choose(v) for v in (1, 'x', b'x', [], Own())]; known_serializers()\n"
        "heavy = {'pandas', 'pyarrow', 'polars', 'zarr', 'xarray', 'zstandard', 'lz4', 'fsspec'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(Path(registry.__file__).parents[2])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.strip() == "[]"
