"""Labelled arrays (xarray) in Zarr: encoded so that they come back exactly, opened again lazily."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from dataflow_results.errors import ResultsError
from dataflow_results.serializers.protocol import optional
from dataflow_results.serializers.texts import JsonSerializer

__all__ = [
    "CHUNK_BYTES",
    "ZARR_FORMAT",
    "chunk_shape",
    "is_small_and_loaded",
    "labelled_difference",
    "labelled_objection",
    "read_labelled",
    "write_labelled",
]

CHUNK_BYTES = 8 * 1024 * 1024
"""Zarr works on ten chunks at once, so that a value needs about 100 MB beside itself, however large it is."""
ZARR_FORMAT = 2
"""Version 3 has no settled way yet to store texts and times."""
SINGLE = "__value__"
"""What the data of a DataArray are called in its folder; its own name may be none, or that of a coordinate."""
CALENDAR = "proleptic_gregorian"
UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def chunk_shape(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """The array halved along its longest axis until a piece has no more than `CHUNK_BYTES`.

    Example:
        >>> chunk_shape((4096, 1024), 8)
        (1024, 1024)
    """
    chunks = [max(1, length) for length in shape]
    while math.prod(chunks) * item_bytes > CHUNK_BYTES and max(chunks) > 1:
        longest = chunks.index(max(chunks))
        chunks[longest] = -(-chunks[longest] // 2)
    return tuple(chunks)


def is_small_and_loaded(value: Any, below_bytes: int) -> bool:
    """Whether a labelled array is few bytes and in memory: one opened from a file would be pickled as the file's name.

    Args:
        value: anything; what is no labelled array is not small.
        below_bytes: what counts as few.
    """
    if not hasattr(value, "coords") or value.nbytes > below_bytes:
        return False
    return all(getattr(variable, "_in_memory", False) for _, variable in _variables(value))


def labelled_objection(value: Any) -> str:
    """Why a labelled array would not come back as it is, as far as its description tells; empty if nothing speaks."""
    for name, variable in _variables(value):
        if name is not None and type(name) is not str:
            return f"the name {name!r} is no str"
        if getattr(variable, "chunks", None) is not None:
            return f"{name!r} is not computed yet: call .compute() before it is given back"
        if variable.dtype.hasobject or variable.dtype.metadata:
            return f"{name!r} has dtype {variable.dtype}"
    return next((f"attributes: {text}" for text in map(_attributes_objection, _attributes(value)) if text), "")


def write_labelled(value: Any, store: Any) -> dict[str, Any]:
    """Write a Dataset or DataArray; gives what `read_labelled` needs besides the store."""
    single = not hasattr(value, "data_vars")
    dataset = value.rename(None).to_dataset(name=SINGLE) if single else value
    dataset.to_zarr(
        store,
        mode="w",
        encoding={name: _encoding(variable) for name, variable in _variables(dataset)},  # replaces what files had
        zarr_format=ZARR_FORMAT,
        consolidated=True,
        write_empty_chunks=True,  # the fill of floats is NaN, of which there are many
    )
    times = {name: _unit(variable) for name, variable in _variables(dataset) if variable.dtype.kind == "M"}
    return {"time_units": times, "name": value.name} if single else {"time_units": times}


def read_labelled(store: Any, told: dict[str, Any]) -> Any:
    """The Dataset or DataArray again; its data are read when they are used."""
    xarray = optional("xarray", serializer="zarr")
    coders = xarray.coders
    dataset = xarray.open_dataset(
        store,
        engine="zarr",
        chunks=None,
        cache=False,
        decode_times={name: coders.CFDatetimeCoder(time_unit=unit) for name, unit in told["time_units"].items()},
        decode_timedelta=coders.CFTimedeltaCoder(decode_via_units=False),
        backend_kwargs={"consolidated": True, "zarr_format": ZARR_FORMAT},
    )
    return dataset[SINGLE].rename(told["name"]) if "name" in told else dataset


def labelled_difference(before: Any, after: Any) -> str:
    """What differs between two labelled arrays besides their data; empty if nothing does."""
    if (before.sizes, getattr(before, "name", None)) != (after.sizes, getattr(after, "name", None)):
        return "sizes or name"
    if repr(list(_attributes(before))) != repr(list(_attributes(after))):
        return "attributes"
    described, again = ({name: (v.dims, v.dtype) for name, v in _variables(one)} for one in (before, after))
    if described != again:
        return "dimensions or dtypes"
    same = all(before.coords[name].variable.equals(after.coords[name].variable) for name in before.coords)
    return "" if same and set(before.xindexes) == set(after.xindexes) else "coordinates"


def _variables(value: Any) -> Iterable[tuple[Any, Any]]:
    if hasattr(value, "data_vars"):
        return list(value.variables.items())
    return [(value.name, value.variable), *((name, coord.variable) for name, coord in value.coords.items())]


def _attributes(value: Any) -> Iterable[dict[str, Any]]:
    own = [value.attrs] if hasattr(value, "data_vars") else []
    return own + [variable.attrs for _, variable in sorted(_variables(value), key=lambda pair: str(pair[0]))]


def _attributes_objection(attributes: dict[str, Any]) -> str:
    try:
        JsonSerializer().dump(dict(attributes))
    except ResultsError as error:
        return str(error)
    return ""


def _encoding(variable: Any) -> dict[str, Any]:
    kind = variable.dtype.kind
    chunks = {"chunks": chunk_shape(variable.shape, variable.dtype.itemsize)} if variable.shape else {}
    if kind == "M":
        units = f"{UNITS[_unit(variable)]} since 1970-01-01"
        return {**chunks, "units": units, "dtype": "int64", "calendar": CALENDAR}
    return {**chunks, "units": UNITS[_unit(variable)], "dtype": "int64"} if kind == "m" else chunks


def _unit(variable: Any) -> str:
    """``ns`` of ``datetime64[ns]``."""
    return str(variable.dtype.name).partition("[")[2].rstrip("]")
