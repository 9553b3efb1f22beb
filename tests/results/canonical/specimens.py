"""One value of each kind that has a canonical form; run as a module it prints their forms."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import pathlib
import re
import uuid
import zoneinfo
from typing import Any, NamedTuple

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import scipy.sparse as sp
import xarray as xr

from dataflow_results.canonical import encode

__all__ = ["SPECIMENS"]

LIMIT = 3
CHOICES = {str, int, float}


class Color(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Config:
    name: str
    tags: frozenset[str]


@attrs.define
class Car:
    wheels: int = 4


class Model(pydantic.BaseModel):
    rate: float
    tags: set[str]


def cleaned(value: int) -> int:
    """A helper."""
    return min(value, LIMIT)


def task(values: list[int], scale: float = 2.5) -> list[float]:
    """A function with a helper, a default, a comprehension and a set."""
    return [cleaned(value) * scale for value in values if value in {1, 2, 3} or cleaned in CHOICES]


def looped() -> list[Any]:
    """A list in itself."""
    made: list[Any] = [1]
    made.append(made)
    return made


WORDS = frozenset({"a", "b", "c", "d", "e"})
FRAME = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", None], "c": pd.Categorical(["u", "v"])})
GRID = xr.Dataset({"t": (("x", "y"), np.arange(6.0).reshape(2, 3))}, coords={"x": [1, 2]})

SPECIMENS: dict[str, Any] = {
    "None": None,
    "bools": [True, False],
    "int": 1,
    "big int": -(2**70),
    "float": 0.1,
    "nan": float("nan"),
    "complex": 1 + 2j,
    "str": "äöü",
    "long str": "a" * 100,
    "bytes": b"\x00\xff",
    "list": [1, "a", [None]],
    "long list": list(range(1000)),
    "tuple": (1, 2),
    "set": set(WORDS),
    "frozenset": WORDS,
    "dict": {"b": 1, "a": {"c": WORDS}},
    "cycle": looped(),
    "enum": Color.RED,
    "named tuple": Point(1, 2),
    "dataclass": Config("a", WORDS),
    "attrs": Car(),
    "pydantic": Model(rate=0.5, tags=set(WORDS)),
    "counter": collections.Counter("hello"),
    "path": pathlib.PurePosixPath("a/b"),
    "datetime": dt.datetime(2026, 3, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "utc": dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
    "date": dt.date(2026, 3, 1),
    "time": dt.time(12),
    "timedelta": dt.timedelta(days=1, seconds=2),
    "decimal": decimal.Decimal("1.10"),
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=7),
    "pattern": re.compile("a+", re.IGNORECASE),
    "range": range(1, 10, 2),
    "slice": slice(1, None),
    "partial": functools.partial(int, base=2),
    "exception": ValueError("a"),
    "builtin": len,
    "class": int,
    "numpy scalar": np.float32(1.5),
    "array": np.arange(100, dtype="i4").reshape(10, 10),
    "small array": np.array([1.0]),
    "dates": np.array(["2026-03-01"], "M8[D]"),
    "object array": np.array([1, "a", None], object),
    "structured": np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    "masked": np.ma.array([1, 2], mask=[False, True]),
    "frame": FRAME,
    "series": pd.Series([1, None], dtype="Int64"),
    "date index": pd.date_range("2026-03-01", periods=3, tz="UTC"),
    "timestamp": pd.Timestamp("2026-03-01"),
    "arrow table": pa.table({"a": [1, None], "b": [["x"], []]}),
    "arrow array": pa.array(["a", None]),
    "polars": pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "xarray": GRID,
    "data array": GRID["t"],
    "sparse": sp.csr_array(np.array([[0, 1.0], [2.0, 0]])),
    "function": task,
    "lambda": lambda x: x + LIMIT,
    "source class": Config,
}


def main() -> None:
    """Print the form of each, one to a line."""
    for name, value in SPECIMENS.items():
        print(f"{name}: {encode(value).hex()}")


if __name__ == "__main__":
    main()
