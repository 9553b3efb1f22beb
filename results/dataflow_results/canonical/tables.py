"""pandas and polars: tables, columns and indexes by their logical content, not by how memory holds it.

Neither library is imported here: a value of pandas is only ever met when pandas is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dataflow_results.canonical.encoder import Handler, Walk
from dataflow_results.canonical.forms import Parts
from dataflow_results.canonical.refusals import Refusal

__all__ = ["find_pandas_handler", "find_polars_handler"]


def _named(label: str, take: Callable[[Any], Mapping[str, Any]]) -> Handler:
    return lambda value, _: Parts(label, take(value))


def _frame(frame: Any) -> dict[str, Any]:
    columns = {f".iloc[:, {position}]": column.array for position, (_, column) in enumerate(frame.items())}
    return {".columns": frame.columns, ".index": frame.index, ".attrs": frame.attrs, **columns}


def _series(series: Any) -> dict[str, Any]:
    return {".name": series.name, ".array": series.array, ".index": series.index, ".attrs": series.attrs}


def _index(index: Any) -> dict[str, Any]:
    return {".name": index.name, ".array": index.array, ".freq": _frequency(index)}


def _range_index(index: Any) -> dict[str, Any]:
    return {".name": index.name, ".range": (index.start, index.stop, index.step)}


def _multi_index(index: Any) -> dict[str, Any]:
    levels = {f".levels[{level}]": index.get_level_values(level).array for level in range(index.nlevels)}
    return {".names": list(index.names), **levels}


def _frequency(value: Any) -> str | None:
    frequency = getattr(value, "freq", None)
    return None if frequency is None else getattr(frequency, "freqstr", str(frequency))


def _categorical(values: Any) -> dict[str, Any]:
    return {".categories": values.categories, ".codes": np.asarray(values.codes), ".ordered": values.ordered}


def _dates(values: Any) -> dict[str, Any]:
    return {".dtype": str(values.dtype), ".asi8": values.asi8}


def _intervals(values: Any) -> dict[str, Any]:
    return {".left": values.left, ".right": values.right, ".closed": values.closed}


def _masked(values: Any) -> dict[str, Any]:
    missing = np.asarray(values.isna())
    filled = values.to_numpy(dtype=values.dtype.numpy_dtype, na_value=values.dtype.numpy_dtype.type(0))
    return {".dtype": str(values.dtype), ".isna()": missing, ".values": filled}


def _strings(values: Any) -> dict[str, Any]:
    # whether pyarrow holds the strings depends on what is installed, so it must not count
    missing = np.asarray(values.isna())
    texts = np.asarray(values.to_numpy(dtype=object, na_value=None))
    nan = isinstance(values.dtype.na_value, float)
    return {".dtype": f"string, missing is {'NaN' if nan else 'NA'}", ".isna()": missing, ".values": texts.tolist()}


def _sparse(values: Any) -> dict[str, Any]:
    return {".dtype": str(values.dtype), ".dense": np.asarray(values)}


def _arrow_backed(values: Any) -> dict[str, Any]:
    return {".arrow": values.__arrow_array__()}


def _other_extension(values: Any) -> dict[str, Any]:
    return {".dtype": str(values.dtype), ".elements": list(values)}


def _timestamp(value: Any) -> dict[str, Any]:
    return {
        ".value": value.value,
        ".unit": value.unit,
        ".tz": getattr(value, "tzinfo", None),
        ".fold": getattr(value, "fold", 0),
    }


def _dtype(dtype: Any) -> dict[str, Any]:
    if hasattr(dtype, "categories"):
        return {".categories": dtype.categories, ".ordered": dtype.ordered}
    return {".text": str(dtype)}


PANDAS: Mapping[str, Handler] = {
    "DataFrame": _named("pandas.DataFrame", _frame),
    "Series": _named("pandas.Series", _series),
    "MultiIndex": _named("pandas.MultiIndex", _multi_index),
    "RangeIndex": _named("pandas.RangeIndex", _range_index),
    "Index": _named("pandas.Index", _index),
    "Categorical": _named("pandas.Categorical", _categorical),
    "DatetimeArray": _named("pandas.DatetimeArray", _dates),
    "TimedeltaArray": _named("pandas.TimedeltaArray", _dates),
    "PeriodArray": _named("pandas.PeriodArray", _dates),
    "IntervalArray": _named("pandas.IntervalArray", _intervals),
    "SparseArray": _named("pandas.SparseArray", _sparse),
    "BaseStringArray": _named("pandas.StringArray", _strings),
    "StringArray": _named("pandas.StringArray", _strings),
    "ArrowStringArray": _named("pandas.StringArray", _strings),
    "ArrowExtensionArray": _named("pandas.ArrowExtensionArray", _arrow_backed),
    "NumpyExtensionArray": lambda value, _: Parts("pandas.NumpyExtensionArray", {".values": value.to_numpy()}),
    "BaseMaskedArray": _named("pandas.BaseMaskedArray", _masked),
    "ExtensionArray": _named("pandas.ExtensionArray", _other_extension),
    "Timestamp": _named("pandas.Timestamp", _timestamp),
    "Timedelta": _named("pandas.Timedelta", _timestamp),
    "Period": _named("pandas.Period", lambda value: {".ordinal": value.ordinal, ".freq": value.freqstr}),
    "Interval": _named("pandas.Interval", _intervals),
    "NAType": _named("pandas.NA", lambda _: {}),
    "NaTType": _named("pandas.NaT", lambda _: {}),
    "BaseOffset": _named(
        "pandas.offset", lambda value: {".freq": value.freqstr, ".n": value.n, ".kwds": dict(value.kwds)}
    ),
    "ExtensionDtype": _named("pandas.dtype", _dtype),
}
"""Handlers by the name of a class of pandas; the first class of the MRO that is named here decides."""


def find_pandas_handler(cls: type) -> Handler | None:
    """The handler of a type of pandas, or of a class built on one."""
    return _find(cls, "pandas", PANDAS)


def _find(cls: type, library: str, handlers: Mapping[str, Handler]) -> Handler | None:
    names = (base.__name__ for base in cls.__mro__ if base.__module__.partition(".")[0] == library)
    return next((handlers[name] for name in names if name in handlers), None)


def _polars_frame(frame: Any, _walk: Walk) -> Parts:
    return Parts(
        "polars.DataFrame",
        {f"[{name!r}]": frame.get_column(name) for name in frame.columns}
        | {".columns": frame.columns, ".height": frame.height},
    )


def _polars_series(series: Any, _walk: Walk) -> Parts:
    if str(series.dtype) == "Object":
        return Parts("polars.Series", {".name": series.name, ".dtype": "Object", ".values": series.to_list()})
    if "pyarrow" not in sys.modules:
        _load_pyarrow()
    return Parts("polars.Series", {".name": series.name, ".dtype": str(series.dtype), ".values": series.to_arrow()})


def _load_pyarrow() -> None:
    try:
        __import__("pyarrow")  # optional: needed once a value of polars is met
    except ImportError as error:
        problem = "the content of a polars table is read through pyarrow, which is not installed"
        raise Refusal(problem, instead="pip install pyarrow") from error


def _lazy_frame(_value: Any, _walk: Walk) -> Parts:
    problem = "a polars LazyFrame is a plan, whose data is not known"
    raise Refusal(problem, instead="pass .collect() of it, or the path it reads", pickle_may_help=False)


POLARS: Mapping[str, Handler] = {
    "DataFrame": _polars_frame,
    "Series": _polars_series,
    "LazyFrame": _lazy_frame,
    "DataType": lambda value, _: Parts("polars.dtype", {".text": repr(value)}),
}
"""Handlers by the name of a class of polars."""


def find_polars_handler(cls: type) -> Handler | None:
    """The handler of a type of polars."""
    return _find(cls, "polars", POLARS)
