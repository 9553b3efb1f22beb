"""From values to rows of a pack and back, in bulk: the bytes of all rows of a batch are made and read together.

Batches of plain numbers and texts, which are most of what maps give back, stand as machine numbers and UTF-8: that
costs a few nanoseconds a row, comes back as exactly the same Python type, and is safe to read. All other values go
through a serializer, which is named in the record.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from dataflow_results.digests import Buffer
from dataflow_results.errors import ReadingError, ResultsError, StoringError, UnknownFormat, UnsafeFormat
from dataflow_results.packs.columns import Array
from dataflow_results.packs.parts import External, Kind
from dataflow_results.serializers import choose, find_serializer
from dataflow_results.serializers.protocol import Dumped, TreeSerializer, dump_each, load_each
from dataflow_results.serializers.registry import AnySerializer

__all__ = ["DumpedRows", "Outside", "dump_rows", "is_readable", "load_rows"]

PLAIN = frozenset({int, float, bool, type(None), tuple, list, dict, set, frozenset, complex})
"""Types that no serializer but the default one is asked about."""
UNFRAMED_BYTES = 64 * 1024
"""Pickles below this size have no buffers outside of them."""


class Outside(Protocol):
    """How values are put down that do not lie in the pack; each gives the place, or the error in its place."""

    def objects(self, values: Sequence[Sequence[Buffer]], /) -> list[External | ResultsError]:
        """Put serialized values into files."""

    def trees(self, serializer: TreeSerializer, values: Sequence[Any], /) -> list[External | ResultsError]:
        """Put values into folders."""


@dataclass(slots=True)
class DumpedRows:
    """The rows of a batch: their bytes, and for each where it lies and how it is read."""

    serializers: list[str]
    lengths: Array
    """Bytes of each row in the pack; 0 where the value lies outside."""
    numbers: Array
    """Serializer of each row, as a number into the table."""
    kinds: Array
    pieces: list[Any] = field(default_factory=list)
    """Bytes of each row, unless all have one width."""
    packed: bytes = b""
    width: int = 0
    """Bytes of every row, if all have the same; then they stand in ``packed``."""
    externals: dict[int, External] = field(default_factory=dict)
    errors: dict[int, StoringError] = field(default_factory=dict)

    def data(self, start: int, stop: int) -> Buffer:
        """The bytes of the rows from start up to stop."""
        if self.width:
            return self.packed[start * self.width : stop * self.width]
        return b"".join(self.pieces[start:stop])


def dump_rows(
    values: Sequence[Any], serializer: AnySerializer | None, *, safe: bool, inline_bytes: int, outside: Outside
) -> DumpedRows:
    """All values of a batch as rows; a value that cannot be stored is an error of its row only.

    Args:
        values: one for each row.
        serializer: for all of them; None lets the type of each value decide.
        safe: nothing is chosen whose reading can run code.
        inline_bytes: larger ones are put outside.
        outside: how that is done.
    """
    column = _as_column(values, inline_bytes) if serializer is None else None
    if column is not None:
        return column
    groups = {serializer.name: serializer} if serializer else {}
    numbers = _choices(values, groups, "json" if safe else "pickle") if serializer is None else [0] * len(values)
    rows = DumpedRows(
        serializers=list(groups),
        lengths=np.zeros(len(values), np.int64),
        numbers=np.array(numbers, np.int64),
        kinds=np.zeros(len(values), np.int64),
        pieces=[b""] * len(values),
    )
    for number, used in enumerate(groups.values()):
        chosen = range(len(values)) if len(groups) == 1 else np.flatnonzero(rows.numbers == number).tolist()
        _dump_group(rows, values, chosen, used, outside)
    if serializer is None and rows.errors:
        _dump_refused(rows, values, find_serializer("json" if safe else "pickle"), outside)
    _move_large_out(rows, inline_bytes, outside)
    rows.lengths = np.fromiter(map(len, rows.pieces), np.int64, len(values))
    return rows


def _choices(values: Sequence[Any], groups: dict[str, AnySerializer], fallback: str) -> list[int]:
    """The number of the serializer of each value; the serializers are entered into groups."""
    usual = find_serializer(fallback)
    if PLAIN.issuperset(map(type, values)):
        groups[usual.name] = usual
        return [0] * len(values)
    chosen = [usual if type(value) in PLAIN else _chosen(value, usual) for value in values]
    for serializer in chosen:
        groups.setdefault(serializer.name, serializer)
    numbers = {name: number for number, name in enumerate(groups)}
    return [numbers[serializer.name] for serializer in chosen]


def _chosen(value: Any, usual: AnySerializer) -> AnySerializer:
    serializer = choose(value)
    return usual if usual.safe and not serializer.safe else serializer


def _dump_group(
    rows: DumpedRows, values: Sequence[Any], chosen: Sequence[int], serializer: AnySerializer, outside: Outside
) -> None:
    """Fill in the rows of one serializer."""
    wanted = values if len(chosen) == len(values) else [values[row] for row in chosen]
    if isinstance(serializer, TreeSerializer):
        _enter(rows, chosen, outside.trees(serializer, wanted), Kind.TREE)
        return
    for row, dumped in zip(chosen, dump_each(serializer, wanted), strict=True):
        if isinstance(dumped, StoringError):
            rows.errors[row] = dumped
        else:
            rows.pieces[row] = dumped


def _dump_refused(rows: DumpedRows, values: Sequence[Any], usual: AnySerializer, outside: Outside) -> None:
    """Give values that the serializer for their type refused to the usual one, which takes more."""
    if usual.name not in rows.serializers:
        rows.serializers.append(usual.name)
    number = rows.serializers.index(usual.name)
    refused = [row for row in rows.errors if rows.numbers[row] != number]
    for row in refused:
        del rows.errors[row]
    rows.numbers[refused] = number
    _dump_group(rows, values, refused, usual, outside)


def _move_large_out(rows: DumpedRows, inline_bytes: int, outside: Outside) -> None:
    """Put large rows outside, and join the pieces of all others."""
    large: dict[int, Dumped] = {}
    for row, piece in enumerate(rows.pieces):
        if type(piece) is bytes and len(piece) <= inline_bytes:
            continue
        parts = piece if isinstance(piece, list) else [piece]
        if sum(memoryview(part).nbytes for part in parts) > inline_bytes:
            large[row], rows.pieces[row] = parts, b""
        else:
            rows.pieces[row] = b"".join(parts)
    if large:
        _enter(rows, list(large), outside.objects(list(large.values())), Kind.OBJECT)  # type: ignore[arg-type]


def _enter(rows: DumpedRows, chosen: Sequence[int], places: Sequence[External | ResultsError], kind: Kind) -> None:
    """Note where values lie that were put outside."""
    for row, place in zip(chosen, places, strict=True):
        if isinstance(place, StoringError):
            rows.errors[row] = place
        elif isinstance(place, ResultsError):
            raise place  # the store is in trouble: no fault of this value
        else:
            rows.externals[row] = place
            rows.kinds[row] = kind


def is_readable(name: str, *, safe: bool) -> ReadingError | None:
    """Why rows of a serializer may not be read; None if they may.

    Args:
        name: as the record says it.
        safe: only what cannot run code.
    """
    if name in COLUMN_READERS:
        return None
    try:
        serializer = find_serializer(name)
    except ReadingError as error:
        return error
    if safe and not serializer.safe:
        return UnsafeFormat(
            f"the result was stored by {name!r}, and reading it can run code",
            fix="turn safe mode off if everybody who can write here is trusted, or store it as json, numpy or parquet",
        )
    return None


def load_rows(name: str, data: bytes, starts: Array, ends: Array) -> list[Any]:
    """The values of rows of one serializer; where one cannot be read, a ReadingError stands in its place.

    Args:
        name: of the serializer.
        data: holds the rows.
        starts: where each begins in data (int64).
        ends: where each ends (int64).
    """
    reader = COLUMN_READERS.get(name)
    if reader is not None:
        return reader(data, starts, ends)
    bounds = list(zip(starts.tolist(), ends.tolist(), strict=True))
    if name == "pickle" and len(starts) and int((ends - starts).max()) < UNFRAMED_BYTES:
        loads = pickle.loads
        try:
            return [loads(data[start:end]) for start, end in bounds]
        except Exception:  # noqa: BLE001, S110 - boundary: code of the values' classes; the slow way finds out which
            pass
    serializer = find_serializer(name)
    if isinstance(serializer, TreeSerializer):
        raise UnknownFormat(f"{name!r} stores folders, not rows")
    return load_each(serializer, (memoryview(bytearray(data[start:end])) for start, end in bounds))


def _as_column(values: Sequence[Any], inline_bytes: int) -> DumpedRows | None:
    """The rows of values that all have one plain type; None if they do not, or one is large."""
    types = set(map(type, values))
    writer = COLUMN_WRITERS.get(types.pop()) if len(types) == 1 else None
    if writer is None:
        return None
    try:
        rows = writer(values)
    except (OverflowError, UnicodeEncodeError):  # an integer of more than 64 bits, half a character
        return None
    return rows if int(rows.lengths.max()) <= inline_bytes else None


def _numbers(name: str, dtype: str) -> Callable[[Sequence[Any]], DumpedRows]:
    def write(values: Sequence[Any]) -> DumpedRows:
        array = np.array(values, dtype)
        rows = _uniform(name, len(values))
        rows.packed, rows.width = array.tobytes(), array.itemsize
        rows.lengths = np.broadcast_to(np.int64(array.itemsize), len(values))
        return rows

    return write


def _pieces(name: str, encode: Callable[[Any], bytes] | None) -> Callable[[Sequence[Any]], DumpedRows]:
    def write(values: Sequence[Any]) -> DumpedRows:
        rows = _uniform(name, len(values))
        rows.pieces = list(values) if encode is None else list(map(encode, values))
        rows.lengths = np.fromiter(map(len, rows.pieces), np.int64, len(values))
        return rows

    return write


def _uniform(name: str, count: int) -> DumpedRows:
    zeros = np.broadcast_to(np.int64(0), count)
    return DumpedRows(serializers=[name], lengths=zeros, numbers=zeros, kinds=zeros)


def _read_numbers(dtype: str) -> Callable[[bytes, Array, Array], list[Any]]:
    kind = np.dtype(dtype)

    def read(data: bytes, starts: Array, ends: Array) -> list[Any]:
        if not len(starts):
            return []
        if (starts[1:] == ends[:-1]).all():
            return list(np.frombuffer(data, kind, len(starts), int(starts[0])).tolist())
        places = starts[:, None] + np.arange(kind.itemsize)
        return list(np.frombuffer(data, np.uint8)[places].view(kind).ravel().tolist())

    return read


def _read_texts(data: bytes, starts: Array, ends: Array) -> list[Any]:
    return [str(data[start:end], "utf-8") for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _read_bytes(data: bytes, starts: Array, ends: Array) -> list[Any]:
    return [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


COLUMN_WRITERS: Mapping[type, Callable[[Sequence[Any]], DumpedRows]] = {
    int: _numbers("column/int64", "<i8"),
    float: _numbers("column/float64", "<f8"),
    bool: _numbers("column/bool", "|b1"),
    str: _pieces("column/str", str.encode),
    bytes: _pieces("column/bytes", None),
}
"""By exact type of all values of a batch."""

COLUMN_READERS: Mapping[str, Callable[[bytes, Array, Array], list[Any]]] = {
    "column/int64": _read_numbers("<i8"),
    "column/float64": _read_numbers("<f8"),
    "column/bool": _read_numbers("|b1"),
    "column/str": _read_texts,
    "column/bytes": _read_bytes,
}
"""By the name that stands in the record."""
