"""What a map iterates over: a table from types to how their items are read; types of libraries are told by name."""

from __future__ import annotations

import io
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

from dataflow.errors import MapError
from dataflow.graph.containers import is_dask_collection
from dataflow.graph.kinds import ATOMIC, is_model

__all__ = ["ArrowValues", "is_sequence", "items_of", "opened"]

Items = Sequence[Any] | Iterator[Any]


class ArrowValues(Sequence[Any]):
    """A pyarrow array whose items are Python values; a slice is one too, and shares the memory of the whole.

    Example:
        >>> import pyarrow
        >>> list(ArrowValues(pyarrow.array([1, None, 3]))[1:])
        [None, 3]
    """

    __slots__ = ("_array",)

    def __init__(self, values: Any) -> None:
        self._array = values

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> ArrowValues: ...
    def __getitem__(self, index: int | slice) -> Any:
        found = self._array[index]
        return ArrowValues(found) if isinstance(index, slice) else found.as_py()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._array.to_pylist())


@dataclass(frozen=True, slots=True)
class Habit:
    """How values of one type behave in a map: iterated (``read``), refused (``instead``), or else taken whole."""

    read: Callable[[Any], Items | None] | None = None
    """Gives the items, by position; None for a single value of a type that can be both, such as a 0-d array."""
    noun: str = ""
    """What is refused."""
    instead: str = ""
    """What to write instead; ``{x}`` stands for the argument."""


WHOLE = Habit()


def _array_items(value: Any) -> Items | None:
    if value.ndim == 0:
        return None
    return list(value) if value.dtype.kind == "O" else value


def _series_items(value: Any) -> Items | None:
    return value.tolist() if value.dtype == object else value.array  # type: ignore[no-any-return]


def _sequence_items(value: Any) -> Items | None:
    return None if getattr(value, "shape", None) == () else value


def _itself(value: Any) -> Items:
    return value  # type: ignore[no-any-return]


NAMED: dict[tuple[str, str], Habit] = {
    ("numpy", "generic"): WHOLE,
    ("numpy", "ndarray"): Habit(_array_items),
    ("pandas", "Series"): Habit(_series_items),
    ("pandas", "MultiIndex"): Habit(list),
    ("pandas", "Index"): Habit(_series_items),
    ("pandas", "BaseGroupBy"): Habit(list),
    ("pandas", "DataFrame"): Habit(
        noun="a DataFrame", instead="list({x}.itertuples()) for rows, a list of frames for parts, or unmapped({x})"
    ),
    ("polars", "DataFrame"): Habit(
        noun="a DataFrame", instead="{x}.rows(named=True) for rows, a list of frames for parts, or unmapped({x})"
    ),
    ("polars", "LazyFrame"): Habit(noun="a LazyFrame", instead="{x}.collect().rows(named=True), or unmapped({x})"),
    ("pyarrow", "Array"): Habit(ArrowValues),
    ("pyarrow", "ChunkedArray"): Habit(ArrowValues),
    ("pyarrow", "Scalar"): WHOLE,
    ("pyarrow", "Table"): Habit(
        noun="a Table", instead="{x}.to_pylist() for rows, {x}.to_batches() for parts, or unmapped({x})"
    ),
    ("pyarrow", "RecordBatch"): Habit(noun="a RecordBatch", instead="{x}.to_pylist() for rows, or unmapped({x})"),
    ("sklearn", "BaseEstimator"): WHOLE,
    ("torch", "Module"): WHOLE,
}
"""(top-level module, class name) of a class or one of its bases, so that no library has to be imported for it."""


def _is(*bases: type) -> Callable[[type], bool]:
    return lambda cls: issubclass(cls, bases)


def _has(*names: str) -> Callable[[type], bool]:
    """Methods of the instances: ``getattr`` of the class would find those of its metaclass too, as every enum has."""
    return lambda cls: all(callable(_method(cls, name)) for name in names)


def _method(cls: type, name: str) -> Any:
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


DASK = Habit(
    noun="a Dask collection", instead="unmapped({x}) to give its value whole, or a task that returns it as a list"
)
DICT = Habit(noun="a dict", instead="list({x}.items()), list({x}), or unmapped({x}) to give it whole")
VIEW = Habit(noun="a view of a dict", instead="list({x})")
SET = Habit(noun="a set, which has no order,", instead="sorted({x}) or list({x}), or unmapped({x}) to give it whole")
RULES: tuple[tuple[Callable[[type], bool], Habit], ...] = (
    (_is(str, bytes, bytearray, memoryview, type, io.IOBase), WHOLE),
    (_is(list, tuple, range, array), Habit(_itself)),
    (is_model, WHOLE),
    (_is(type({}.keys()), type({}.items()), type({}.values()), ValuesView), VIEW),
    (_is(Mapping), DICT),
    (_is(AbstractSet), SET),
    (_is(deque), Habit(list)),
    (_has("__aiter__"), Habit(noun="an asynchronous iterator", instead="[item async for item in {x}]")),
    (_has("__next__", "__iter__"), Habit(iter)),
    (_has("keys", "__getitem__"), DICT),
    (_has("__len__", "__getitem__", "__iter__"), Habit(_sequence_items)),
    (_has("__iter__"), Habit(iter)),
)  # fmt: skip
"""For all other types; the first rule that holds decides, and what no rule holds for is taken whole."""


def _find_habit(cls: type) -> Habit:
    if cls in ATOMIC and cls is not range:
        return WHOLE
    for base in cls.__mro__:
        named = NAMED.get((base.__module__.partition(".")[0], base.__name__))
        if named is not None:
            return named
    return next((habit for holds, habit in RULES if holds(cls)), WHOLE)


_habit_of: Callable[[type], Habit] = lru_cache(maxsize=4096)(_find_habit)


def items_of(value: Any, path: str = "x") -> Items | None:
    """The items that a map takes from a value, by position; None if it takes the value whole.

    Args:
        value: an argument of a map, without annotations; no reference.
        path: what to call it in the error.

    Returns:
        A sequence, or an iterator if the number of items is not known.

    Raises:
        MapError: the value is of a kind that could be meant in several ways: a dict, a set, a data frame.

    Example:
        >>> items_of([1, 2]), items_of("text"), items_of(range(3))
        ([1, 2], None, range(0, 3))
    """
    habit = DASK if is_dask_collection(value) else _habit_of(type(value))
    if habit.noun:
        raise MapError(
            f"{habit.noun} of type {type(value).__name__} cannot be iterated by a map",
            where=f"argument {path}",
            fix=habit.instead.format(x=path),
        )
    return habit.read(value) if habit.read else None


def is_sequence(value: Any) -> bool:
    """Whether a map iterates over a value whose items can be counted: no scalar, text, model, dict or generator.

    Example:
        >>> [is_sequence(value) for value in ([1], (), range(3), "text", {"a": 1}, iter([1]), 5)]
        [True, True, True, False, False, False, False]
    """
    read = _habit_of(type(value)).read
    if read is None or read is iter or is_dask_collection(value):
        return False
    return read is _itself or read(value) is not None


def opened(values: Items, path: str = "x") -> Iterator[Any]:
    """The items of the items: one level of nesting less.

    Raises:
        MapError: an item is not iterated by a map.

    Example:
        >>> list(opened([[1, 2], (3,), range(2)]))
        [1, 2, 3, 0, 1]
    """
    for position, value in enumerate(values):
        where = f"{path}[{position}]"
        items = items_of(value, where)
        if items is None:
            raise MapError(
                f"flatten(...) finds {type(value).__name__} {value!r:.60}, which has no items",
                where=f"argument {where}",
                fix="give a list of lists, or leave flatten(...) out",
            )
        yield from items
