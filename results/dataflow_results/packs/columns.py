"""Columns of a pack: one number for each row, stored raw or, where rows repeat or count up, as a few entries.

Three forms: ``raw``; ``runs`` (values and how often each is repeated); ``ramps`` (start values and how many rows
count up by one from each). A fresh batch has nearly all columns in one run or ramp; a merged pack has one for each
batch in it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dataflow_results.digests import Buffer
from dataflow_results.errors import CorruptResult

__all__ = ["COLUMNS", "Array", "pack_column", "unpack_column"]

Array: TypeAlias = npt.NDArray[Any]

COLUMNS = {
    "length": "<u4",
    "kind": "|u1",
    "serializer": "<u2",
    "section": "<u4",
    "order": "<u8",
    "created_at": "<f8",
    "expires_at": "<f8",
    "index": "<i8",
    "origin": "<u4",
}
"""Name and type of each column of format 1.

``length``: bytes of the row in the data. ``kind``, ``serializer``, ``section``: numbers into tables. ``order``: of two
rows with one key, the one with the higher order is in force. ``expires_at``: infinite for never. ``index``: element of
the mapped node. ``origin``: position of the row in the batch it was written with.
"""

COUNT = "<u4"


def pack_column(values: Array) -> tuple[str, list[Buffer]]:
    """The shortest form of a column, and its bytes.

    Example:
        >>> pack_column(np.full(1000, 7, "|u1"))[0], pack_column(np.arange(1000, dtype="<i8"))[0]
        ('runs', 'ramps')
    """
    steps = values[1:] - values[:-1] if values.dtype.kind != "f" else (values[1:] != values[:-1])
    runs = _cuts(steps != 0)
    ramps = _cuts(steps != 1) if values.dtype.kind == "i" or values.dtype.str == "<u4" else None
    entry = values.itemsize + 4
    best = min(
        (len(values) * values.itemsize, "raw"),
        (len(runs) * entry, "runs"),
        *([(len(ramps) * entry, "ramps")] if ramps is not None else []),
    )[1]
    if best == "raw":
        return "raw", [_bytes(values)]
    starts = runs if best == "runs" else ramps
    assert starts is not None
    counts = np.diff(np.append(starts, len(values))).astype(COUNT)
    return best, [_bytes(values[starts]), _bytes(counts)]


def unpack_column(form: str, dtype: str, rows: int, data: Buffer) -> Array:
    """The column that `pack_column` packed, ``rows`` long.

    Raises:
        CorruptResult: the bytes do not give this many rows.
    """
    kind = np.dtype(dtype)
    if form == "raw":
        return _checked(np.frombuffer(data, kind), rows)
    entries = len(data) // (kind.itemsize + 4)
    values = np.frombuffer(data, kind, entries)
    if form == "runs" and entries == 1:
        return np.broadcast_to(values, (rows,))
    counts = np.frombuffer(data, COUNT, entries, entries * kind.itemsize)
    if int(counts.sum()) != rows:
        raise CorruptResult(f"a column has {int(counts.sum())} rows of {rows}")
    repeated = np.repeat(values, counts)
    if form == "ramps":
        begins = np.cumsum(counts, dtype=np.int64) - counts
        repeated = repeated + (np.arange(rows) - np.repeat(begins, counts)).astype(kind)
    return _checked(repeated, rows)


def _checked(values: Array, rows: int) -> Array:
    if len(values) != rows:
        raise CorruptResult(f"a column has {len(values)} rows of {rows}")
    return values


def _cuts(changes: Array) -> Array:
    """Positions at which a new run begins, the first included."""
    return np.concatenate([np.zeros(1, np.int64), np.flatnonzero(changes) + 1])


def _bytes(values: Array) -> bytes:
    return np.ascontiguousarray(values).tobytes()
