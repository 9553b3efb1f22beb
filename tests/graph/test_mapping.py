"""Maps: what is iterated, what is taken whole, what is refused, and which index space a map gets."""

from __future__ import annotations

import array
import io
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import attrs
import dask
import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest

from dataflow.annotations import allow_failure, flatten, mapped, unmapped
from dataflow.errors import ArgumentError, HandleError, MapError, MapLengthError, UsageError
from dataflow.graph.habits import is_sequence, items_of
from dataflow.graph.nodes import Collection, Constant, Elements, Input, Items, Node, Rows, Slot, Template, Whole
from tests.graph.helpers import Sketch, keep, of, pair


@dataclass
class Job:
    """A model that could be iterated."""

    x: int

    def __iter__(self) -> Iterator[int]:
        return iter((self.x,))


class Model(pydantic.BaseModel):
    """Pydantic models iterate over their fields."""

    x: int = 1


@attrs.define
class Sealed:
    """An attrs class."""

    x: int = 1


class Colour(Enum):
    """An enumeration, which is a class that iterates."""

    RED = 1
    BLUE = 2


class Lines:
    """A sequence by its methods only."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> str:
        return ("first", "second")[index]

    def __iter__(self) -> Iterator[str]:
        return iter(("first", "second"))


class Counter:
    """Only iterable."""

    def __iter__(self) -> Iterator[int]:
        return iter((1, 2))


ITERATED: dict[str, tuple[Any, list[Any]]] = {
    "list": ([1, 2], [1, 2]),
    "empty list": ([], []),
    "tuple": ((1, 2), [1, 2]),
    "range": (range(2), [0, 1]),
    "deque": (deque([1, 2]), [1, 2]),
    "array": (array.array("i", [1, 2]), [1, 2]),
    "ndarray": (np.array([1, 2]), [1, 2]),
    "object ndarray": (np.array([1, "a"], dtype=object), [1, "a"]),
    "Series": (pd.Series([1, 2], index=[5, 0]), [1, 2]),
    "object Series": (pd.Series([1, "a"], index=[5, 0], dtype=object), [1, "a"]),
    "Index": (pd.Index(["a", "b"]), ["a", "b"]),
    "MultiIndex": (pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]), [(1, "a"), (2, "b")]),
    "pyarrow array": (pa.array([1, None]), [1, None]),
    "pyarrow chunks": (pa.chunked_array([[1], [2]]), [1, 2]),
    "by its methods": (Lines(), ["first", "second"]),
    "list of dicts": ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
}
LAZY: dict[str, Any] = {
    "generator": (number for number in (1, 2)),
    "iterator": iter([1, 2]),
    "map": map(int, "12"),
    "iterable": Counter(),
}
WHOLE: dict[str, Any] = {
    "int": 5,
    "str": "text",
    "bytes": b"bytes",
    "bytearray": bytearray(b"bytes"),
    "None": None,
    "0-d ndarray": np.array(5),
    "numpy scalar": np.float64(1.5),
    "numpy text": np.str_("text"),
    "timestamp": pd.Timestamp("2020-01-01"),
    "dataclass": Job(1),
    "pydantic": Model(),
    "attrs": Sealed(),
    "class": Colour,
    "member": Colour.RED,
    "function": keep,
    "file": io.StringIO("text"),
    "pyarrow scalar": pa.scalar(1),
    "object": object(),
}


async def _asynchronous() -> Any:
    yield 1


REFUSED: dict[str, tuple[Any, str]] = {
    "dict": ({"a": 1}, "list(x.items())"),
    "OrderedDict": (OrderedDict(a=1), "unmapped(x)"),
    "set": ({1, 2}, "sorted(x)"),
    "frozenset": (frozenset({1}), "unmapped(x)"),
    "keys": ({"a": 1}.keys(), "list(x)"),
    "values": ({"a": 1}.values(), "list(x)"),
    "items": ({"a": 1}.items(), "list(x)"),
    "DataFrame": (pd.DataFrame({"a": [1]}), "list(x.itertuples())"),
    "Table": (pa.table({"a": [1]}), "x.to_pylist()"),
    "RecordBatch": (pa.record_batch({"a": [1]}), "x.to_pylist()"),
    "delayed": (dask.delayed(keep)(1), "unmapped(x)"),
    "Dask array": (dask.array.ones(3), "unmapped(x)"),
    "Dask DataFrame": (dask.dataframe.from_pandas(pd.DataFrame({"a": [1]})), "unmapped(x)"),
    "asynchronous generator": (_asynchronous(), "[item async for item in x]"),
}


@pytest.fixture
def sketch() -> Sketch:
    """An empty graph."""
    return Sketch()


def only(node: Node) -> Any:
    """The one argument of a node."""
    (argument,) = node.arguments
    return argument


@pytest.mark.parametrize("name", ITERATED)
def test_iterated(name: str, sketch: Sketch) -> None:
    """Each item goes to one element, by position, and the length is known."""
    value, items = ITERATED[name]
    node = sketch.map(keep, value)
    argument = only(node)
    assert isinstance(argument, Items)
    assert list(argument.source) == items
    assert [argument.source[i] for i in range(len(items))] == items  # type: ignore[index]
    assert (argument.length, node.space.length if node.space else None) == (len(items), len(items))
    assert is_sequence(value)


@pytest.mark.parametrize("name", ["list", "range", "ndarray", "Series", "pyarrow array", "deque"])
def test_batches_are_slices(name: str, sketch: Sketch) -> None:
    """The items of a batch are a slice of the source, by position."""
    value, items = ITERATED[name]
    argument = only(sketch.map(keep, value))
    assert list(argument.source[1:2]) == items[1:2]


@pytest.mark.parametrize("name", LAZY)
def test_lazy(name: str, sketch: Sketch) -> None:
    """Of iterators nothing is taken at the call, and the length is not known."""
    node = sketch.map(keep, LAZY[name])
    argument = only(node)
    assert isinstance(argument, Items)
    assert (argument.length, node.space.length if node.space else 0) == (None, None)
    assert list(argument.source) == [1, 2]


@pytest.mark.parametrize("name", WHOLE)
def test_taken_whole(name: str, sketch: Sketch) -> None:
    """Beside a list, scalars, text and models are given to each element, as the very object."""
    value = WHOLE[name]
    _, argument = sketch.map(pair, [1, 2], value).arguments
    assert isinstance(argument, Constant)
    assert argument.value is value
    assert not is_sequence(value)


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_to_iterate(name: str, sketch: Sketch) -> None:
    """Alone, they are an error that says what to do; the graph stays as it was."""
    with pytest.raises(MapError, match=r"^keep: nothing to iterate") as caught:
        sketch.map(keep, WHOLE[name])
    assert "give a list" in caught.value.fix
    assert sketch.graph.nodes == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, sketch: Sketch) -> None:
    """What could be meant in several ways is an error naming argument and fix; unmapped gives it whole."""
    value, fix = REFUSED[name]
    with pytest.raises(MapError) as caught:
        sketch.map(pair, value, [1])
    assert caught.value.where == "pair, argument x"
    assert fix in caught.value.fix
    assert not is_sequence(value)
    first, _ = sketch.map(pair, unmapped(value), [1]).arguments
    assert isinstance(first, Constant | Collection)
    assert first.value is value


def test_parameter_defaults_are_not_iterated(sketch: Sketch) -> None:
    """A list that is a default is left to the function."""

    def scale(x: int, factors: tuple[int, ...] = (1, 2, 3)) -> Any:
        return x, factors

    node = sketch.map(scale, [1, 2])
    assert (len(node.arguments), node.keywords) == (1, {})


def test_maps_of_maps_share_the_space(sketch: Sketch) -> None:
    """Iterating a mapped node is element-wise, and so is everything built on it."""
    first = sketch.map(keep, [1, 2, 3])
    second = sketch.map(keep, of(first))
    third = sketch.map(pair, of(first), y=of(second))
    assert only(second) == Elements(Input(first))
    assert first.space is second.space is third.space


def test_zipped_maps_become_one_space(sketch: Sketch) -> None:
    """Two maps of equal length that are zipped have one space afterwards, with a literal beside them too."""
    first, second = sketch.map(keep, [1, 2, 3]), sketch.map(keep, ["a", "b", "c"])
    assert first.space is not None
    assert second.space is not None
    assert first.space.root() is not second.space.root()
    both = sketch.map(lambda x, y, z: (x, y, z), of(first), of(second), [7, 8, 9])
    assert first.space.root() is second.space.root() is both.space.root()  # type: ignore[union-attr]


def test_a_plain_node_is_a_list_known_at_run_time(sketch: Sketch) -> None:
    """Its value is iterated: one level is opened, the length is unknown, and two maps over it share the space."""
    load = sketch.call(keep, [1, 2])
    first, second = sketch.map(keep, of(load)), sketch.map(keep, of(load))
    other = sketch.map(keep, flatten(of(load)))
    assert only(first) == Elements(Input(load, None, 1))
    assert only(other) == Elements(Input(load, None, 2))
    assert first.space is second.space is not other.space
    assert first.space.length is None  # type: ignore[union-attr]


DEPTHS = [
    # (mapped node?, index, how it is wrapped, is the call a map?, the argument)
    (True, None, lambda x: x, True, lambda n: Elements(Input(n))),
    (True, None, flatten, True, lambda n: Elements(Input(n, None, 1))),
    (True, None, lambda x: flatten(flatten(x)), True, lambda n: Elements(Input(n, None, 2))),
    (True, None, allow_failure, True, lambda n: Elements(Input(n, None, 0, True))),
    (True, None, lambda x: allow_failure(flatten(x)), True, lambda n: Elements(Input(n, None, 1, True))),
    (True, None, flatten, False, lambda n: Whole(Input(n, None, 1))),
    (True, None, lambda x: x, False, lambda n: Whole(Input(n))),
    (True, None, mapped, False, lambda n: Elements(Input(n))),
    (True, None, lambda x: mapped(flatten(x)), False, lambda n: Elements(Input(n, None, 1))),
    (True, 1, lambda x: x, True, lambda n: Elements(Input(n, 1, 1))),
    (True, 1, flatten, True, lambda n: Elements(Input(n, 1, 2))),
    (True, 1, lambda x: x, False, lambda n: Whole(Input(n, 1))),
    (True, range(1, 3), lambda x: x, True, lambda n: Rows((Whole(Input(n, 1)), Whole(Input(n, 2))))),
    (True, range(1, 3), allow_failure, True, lambda n: Rows(tuple(Whole(Input(n, i, 0, True)) for i in (1, 2)))),
    (True, range(1, 3), flatten, True, lambda n: Elements(Input(n, range(1, 3), 1))),
    (True, range(3), lambda x: x, True, lambda n: Elements(Input(n))),
    (True, range(3), flatten, True, lambda n: Elements(Input(n, None, 1))),
    (True, range(1, 3), lambda x: x, False, lambda n: Whole(Input(n, range(1, 3)))),
    (False, None, lambda x: x, True, lambda n: Elements(Input(n, None, 1))),
    (False, None, flatten, True, lambda n: Elements(Input(n, None, 2))),
    (False, None, flatten, False, lambda n: Whole(Input(n, None, 1))),
    (False, None, lambda x: x, False, lambda n: Whole(Input(n))),
    (False, None, mapped, False, lambda n: Elements(Input(n, None, 1))),
]


@pytest.mark.parametrize("case", range(len(DEPTHS)))
def test_depths(case: int, sketch: Sketch) -> None:
    """How many levels are opened, for each kind of node, index, wrapper and call."""
    is_mapped_node, index, wrap, is_map, expected = DEPTHS[case]
    up = sketch.map(keep, [[1], [2], [3]]) if is_mapped_node else sketch.call(keep, [[1]])
    node = (sketch.map if is_map else sketch.call)(keep, wrap(of(up, index)))
    assert only(node) == expected(up)


def test_unmapped_references_are_gathered(sketch: Sketch) -> None:
    """Unmapped gives the whole list to each element, flattened if asked."""
    up = sketch.map(keep, [1, 2])
    node = sketch.map(pair, of(up), unmapped(of(up)))
    assert node.arguments == (Elements(Input(up)), Whole(Input(up)))
    assert sketch.map(pair, [1], unmapped(flatten(of(up)))).arguments[1] == Whole(Input(up, None, 1))


def test_lists_with_references_are_rows(sketch: Sketch) -> None:
    """Each item is read for itself: constants, references, containers of them, Dask collections."""
    up, delayed = sketch.map(keep, [1, 2]), dask.delayed(keep)(1)
    table = [1, 2]
    node = sketch.map(keep, [1, of(up), of(up, 0), {"a": of(up)}, delayed, table])
    assert node.space.length == 6  # type: ignore[union-attr]
    assert only(node).rows == (
        Constant(1),
        Whole(Input(up)),
        Whole(Input(up, 0)),
        Template({"a": Slot(0)}, (Input(up),)),
        Template(Slot(0), (Collection(delayed),)),
        Constant(table),
    )
    allowed = sketch.map(keep, allow_failure([of(up), 2]))
    assert only(allowed).rows == (Whole(Input(up, None, 0, True)), Constant(2))


def test_large_items_shared_by_rows_are_read_once(sketch: Sketch) -> None:
    """A table that stands in every row is searched once, not once for each row."""
    looks = 0

    class Watched(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal looks
            looks += 1
            return super().__iter__()

    table, up = Watched([object()]), sketch.call(keep, 1)
    sketch.map(keep, [(table, of(up)) for _ in range(100)])
    assert looks <= 2


FLATTENED = {
    "lists": (flatten([[1, 2], (3,), range(1)]), [1, 2, 3, 0]),
    "twice": (flatten(flatten([[[1], [2]], [[3]]])), [1, 2, 3]),
    "array": (flatten(np.array([[1, 2], [3, 4]])), [1, 2, 3, 4]),
    "empty": (flatten([]), []),
}


@pytest.mark.parametrize("name", FLATTENED)
def test_literals_are_flattened_at_once(name: str, sketch: Sketch) -> None:
    """In a map the items are iterated, in a plain call they are given as a list."""
    value, items = FLATTENED[name]
    assert list(only(sketch.map(keep, value)).source) == items
    assert only(sketch.call(keep, value)) == Constant(items)


def test_generators_are_flattened_as_they_are_drawn(sketch: Sketch) -> None:
    """Nothing is taken from a flattened generator before the map asks."""
    drawn: list[int] = []

    def lists() -> Iterator[list[int]]:
        for number in (1, 2):
            drawn.append(number)
            yield [number, number]

    source = only(sketch.map(keep, flatten(lists()))).source
    assert drawn == []
    assert (next(source), drawn) == (1, [1])
    assert list(source) == [1, 2, 2]


WRONG: dict[str, tuple[Any, type[UsageError], str]] = {
    # name: (a call, its error, what the error must say)
    "flat item": (lambda s, up: s.map(keep, flatten([[1], 2])), MapError, "argument x[1]"),
    "dict item": (lambda s, up: s.map(keep, flatten([[1], {2: 3}])), MapError, "argument x[1]"),
    "flatten of text": (lambda s, up: s.call(keep, flatten("text")), MapError, "leave flatten(...) out"),
    "flatten of references": (lambda s, up: s.map(keep, flatten([up, up])), MapError, "let a task give the list"),
    "mapped text": (lambda s, up: s.call(keep, mapped("text")), MapError, "leave mapped(...) out"),
    "mapped dict": (lambda s, up: s.call(keep, mapped({})), MapError, "list(x.items())"),
    "both": (lambda s, up: s.map(keep, unmapped(mapped([1]))), ArgumentError, "keep one of the two"),
    "only unmapped": (lambda s, up: s.map(keep, unmapped([1])), MapError, "nothing to iterate"),
    "nothing": (lambda s, up: s.map(lambda: 1), MapError, "nothing to iterate"),
    "inside": (lambda s, up: s.map(keep, [1, {"a": flatten(up)}]), ArgumentError, "argument x[1]['a']"),
    "no such element": (lambda s, up: s.call(keep, of(up.node, 3)), HandleError, "element 3 of 'keep', which has 3"),
    "element of a plain node": (
        lambda s, up: s.call(keep, of(s.call(keep, 1), 0)), HandleError, "which is not mapped"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str, sketch: Sketch) -> None:
    """Each mistake is its own error and says where and what to write instead."""
    call, error, text = WRONG[name]
    up = of(sketch.map(keep, [1, 2, 3]))
    with pytest.raises(error) as caught:
        call(sketch, up)
    assert text in str(caught.value)


def test_a_length_that_is_refused_says_so(sketch: Sketch) -> None:
    """Something that can be indexed but has no length is an error, not a crash."""

    class Sparse(Lines):
        def __len__(self) -> int:
            raise TypeError("length is ambiguous")

    with pytest.raises(MapError, match="has no length: length is ambiguous"):
        sketch.map(keep, Sparse())


def test_unequal_lengths_name_each_argument(sketch: Sketch) -> None:
    """The error names every iterated argument with its length; strict=False takes the shortest."""
    up = sketch.map(keep, range(1_000))
    runtime = sketch.call(keep, [1])

    def three(x: Any, y: Any, z: Any) -> Any:
        return x, y, z

    with pytest.raises(MapLengthError) as caught:
        sketch.map(three, of(up), [1, 2], z=of(runtime))
    assert "x has 1,000, y has 2, z has an unknown number" in str(caught.value)
    assert "strict=False" in caught.value.fix
    shortest = sketch.map(pair, of(up), [1, 2], how={"strict": False})
    assert (shortest.space.length, shortest.strict) == (2, False)  # type: ignore[union-attr]
    assert up.space.length == 1_000  # type: ignore[union-attr]


def test_unknown_lengths_open_a_space_of_their_own(sketch: Sketch) -> None:
    """A known and an unknown length together are a new space, whose length shows at run time."""
    known, runtime = sketch.map(keep, [1, 2]), sketch.call(keep, [1])
    alone = sketch.map(keep, of(runtime))
    for other in ([1, 2], iter([1]), of(known)):
        for strict in (True, False):
            space = sketch.map(pair, of(runtime), other, how={"strict": strict}).space
            assert space is not None
            assert space.length is None
            assert space not in {known.space, alone.space}, "neither length is that of the map"
    assert sketch.map(pair, of(runtime), of(runtime)).space is alone.space


def test_strict_false_with_equal_lengths_shares_the_space(sketch: Sketch) -> None:
    """Where nothing is cut off, not being strict changes nothing."""
    up = sketch.map(keep, [1, 2])
    assert sketch.map(pair, of(up), [3, 4], how={"strict": False}).space is up.space


def test_wait_for_is_not_iterated(sketch: Sketch) -> None:
    """Nodes are waited for whole, each once, in containers too; mapped waits element by element."""
    up, plain = sketch.map(keep, [1, 2]), sketch.call(keep, 1)
    node = sketch.call(keep, 1, how={"wait_for": [of(up), of(up), {"a": [of(plain)]}, None]})
    assert (node.after, node.space) == ((Whole(Input(up)), Whole(Input(plain))), None)
    assert sketch.call(keep, 1, how={"wait_for": of(up)}).after == (Whole(Input(up)),)
    each = sketch.map(keep, of(up), how={"wait_for": [mapped(of(up)), allow_failure(of(plain))]})
    assert each.after == (Elements(Input(up)), Whole(Input(plain, None, 0, True)))
    assert sketch.call(keep, 1, how={"wait_for": [mapped(of(up))]}).space is up.space


@pytest.mark.parametrize("wait", [5, [5], flatten, lambda x: mapped([x]), lambda _: dask.delayed(keep)(1)])
def test_what_cannot_be_waited_for(wait: Any, sketch: Sketch) -> None:
    """A value that is no future, a flatten, a mapped list and a Dask collection are errors that name the position."""
    up = of(sketch.map(keep, [1, 2]))
    with pytest.raises(ArgumentError, match=r"argument wait_for\[0\]: ") as caught:
        sketch.call(keep, 1, how={"wait_for": wait(up) if callable(wait) else wait})
    assert "give futures or handles" in caught.value.fix


def test_items_are_told_without_importing_the_library() -> None:
    """A class is known by the name of its module, also through its bases."""

    class Base:
        def __iter__(self) -> Iterator[str]:
            return iter("columns")

    Base.__module__, Base.__name__ = "polars.dataframe.frame", "DataFrame"

    class Frame(Base):
        """A subclass in another module."""

    with pytest.raises(MapError, match="a DataFrame of type Frame"):
        items_of(Frame(), "x")


def test_group_by_gives_pairs(sketch: Sketch) -> None:
    """A pandas group-by is iterated as pairs of key and frame."""
    frame = pd.DataFrame({"day": [1, 1, 2], "x": [1, 2, 3]})
    source = only(sketch.map(keep, frame.groupby("day"))).source
    assert [(key, part["x"].tolist()) for key, part in source] == [(1, [1, 2]), (2, [3])]
