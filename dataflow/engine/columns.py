"""Columns: the values of a slice of elements as one object, with failures in the places that have no value."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dataflow.engine.failures import Failure, pack_error
from dataflow.errors import MapError
from dataflow.graph.habits import is_sequence, items_of
from dataflow.states import StateType

__all__ = ["Column", "open_levels", "size_of", "size_of_value"]

SIZE_SAMPLE = 64
TYPE_CODES: dict[type | None, str] = {int: "q", float: "d"}
"""Columns of nothing but these travel as machine numbers, which takes half the time of pickling them one by one."""


class Column:
    """Values of consecutive elements.

    A class of its own, because Dask walks bare lists item by item when they travel; and with an honest size, because
    Dask decides by it what to spill and where to run.
    """

    __slots__ = ("failed", "kind", "size_bytes", "values")

    def __init__(self, values: list[Any], *, failed: bool = False, kind: type | None = None) -> None:
        self.values = values
        self.kind = kind
        """The one type that all values have, where that is known."""
        self.failed = failed
        """Whether some of the values are failures."""
        self.size_bytes = size_of(values)

    def __len__(self) -> int:
        return len(self.values)

    def __sizeof__(self) -> int:
        return self.size_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        code = TYPE_CODES.get(self.kind)
        if code is not None:
            try:
                return (_from_bytes, (code, array(code, self.values).tobytes()))
            except OverflowError:  # integers of more than 64 bits travel one by one
                pass
        return (_rebuild, (self.values, self.failed))

    def __repr__(self) -> str:
        return f"<Column of {len(self.values)} values, {self.size_bytes:,} bytes>"


def _from_bytes(code: str, data: bytes) -> Column:
    packed = array(code)
    packed.frombytes(data)
    return Column(packed.tolist(), kind=type(packed[0]))


def _rebuild(values: list[Any], failed: bool) -> Column:
    return Column(values, failed=failed)


def size_of(values: Sequence[Any]) -> int:
    """Size in bytes of a list with its values, from a sample of them."""
    if not values:
        return 64
    step = max(1, len(values) // SIZE_SAMPLE)
    sample = values[::step]
    each = sum(map(size_of_value, sample)) / len(sample)
    return int(64 + len(values) * (8 + each))


def size_of_value(value: Any) -> int:
    """Size in bytes of one value: honest for arrays and tables, shallow for containers."""
    size = getattr(value, "nbytes", None)
    return size if isinstance(size, int) else sys.getsizeof(value, 64)


def open_levels(values: Iterable[Any], depth: int, whose: str) -> Iterable[Any]:
    """Take away ``depth`` levels of nesting; a failure, or a value that is no sequence, stays one (failed) element."""
    for _ in range(depth):
        values = _open(values, whose)
    return values


def _open(values: Iterable[Any], whose: str) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Failure):
            yield value
        elif is_sequence(value):
            yield from items_of(value) or ()
        else:
            yield Failure(StateType.FAILED, pack_error(_not_iterable(value, whose)))


def _not_iterable(value: Any, whose: str) -> MapError:
    return MapError(
        f"a map cannot iterate over {type(value).__name__} {value!r:.60}",
        where=f"the result of {whose}",
        fix="return a list, or pass the value whole with unmapped(...)",
    )
