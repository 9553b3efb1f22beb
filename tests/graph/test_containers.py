"""References in containers: found wherever they are, replaced without touching the original, and filled again."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import attrs
import dask
import dask.array
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.annotations import allow_failure, flatten, mapped, unmapped
from dataflow.errors import ArgumentError, HandleError
from dataflow.graph.containers import fill, find, is_dask_collection
from dataflow.graph.nodes import Collection, Constant, Graph, Input, Node, Slot, Template, Whole
from dataflow.graph.reading import Reader, to_template
from tests.graph.helpers import Sketch, keep, of


@pytest.fixture
def node() -> Node:
    """One plain node."""
    return Sketch().call(keep, 1)


class Point(NamedTuple):
    """A record that is a tuple."""

    x: Any
    y: Any


@dataclass
class Job:
    """Counts how often it was initialised, in a field that a copy carries along."""

    source: Any
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log.append("initialised")


@dataclass(frozen=True, slots=True)
class Frozen:
    """Refuses to be changed and has no __dict__."""

    x: Any
    y: Any = 2


@attrs.frozen
class Sealed:
    """An attrs class with a validator that only lets in what is no int, so it fails if it runs on a filled value."""

    x: Any = attrs.field(validator=lambda *_: _refuse_int(_[2]))
    y: int = 5


def _refuse_int(value: Any) -> None:
    if isinstance(value, int):
        raise TypeError("the validator ran")


class Config(pydantic.BaseModel):
    """A frozen pydantic model that accepts unknown fields."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")
    x: Any
    y: int = 3

    @pydantic.field_validator("x")
    @classmethod
    def no_int(cls, value: Any) -> Any:
        """Fails if it runs on a filled value."""
        _refuse_int(value)
        return value


class Names(list[Any]):
    """A list with an attribute and a constructor of its own."""

    def __init__(self, *items: Any, title: str) -> None:
        super().__init__(items)
        self.title = title


class Pair(tuple[Any, ...]):
    """A tuple whose constructor takes two arguments."""

    __slots__ = ()

    def __new__(cls, first: Any, second: Any) -> Pair:
        return super().__new__(cls, (first, second))


CONTAINERS: dict[str, tuple[Any, Any]] = {
    # name: (a container around a value, what to call to see that value in it)
    "list": (lambda x: [1, x], lambda c: c[1]),
    "tuple": (lambda x: (x, 1), lambda c: c[0]),
    "set": (lambda x: {x}, lambda c: next(iter(c))),
    "frozenset": (lambda x: frozenset({x}), lambda c: next(iter(c))),
    "dict value": (lambda x: {"a": x, "b": 2}, lambda c: c["a"]),
    "dict key": (lambda x: {x: 1}, lambda c: next(iter(c))),
    "namedtuple": (lambda x: Point(1, x), lambda c: c.y),
    "deque": (lambda x: deque([1, x], maxlen=5), lambda c: c[1]),
    "defaultdict": (lambda x: defaultdict(list, a=x), lambda c: c["a"]),
    "OrderedDict": (lambda x: OrderedDict(a=1, b=x), lambda c: c["b"]),
    "dataclass": (lambda x: Job(source=x), lambda c: c.source),
    "frozen slotted dataclass": (Frozen, lambda c: c.x),
    "attrs": (Sealed, lambda c: c.x),
    "pydantic": (lambda x: Config(x=x), lambda c: c.x),
    "pydantic extra": (lambda x: Config(x="fixed", more=x), lambda c: c.more),
    "list subclass": (lambda x: Names(1, x, title="t"), lambda c: c[1]),
    "tuple subclass": (lambda x: Pair(1, x), lambda c: c[1]),
    "deep": (lambda x: {"a": [(Frozen([x]),)]}, lambda c: c["a"][0][0].x[0]),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_filled_with_its_type_kept(name: str, node: Node) -> None:
    """A reference becomes a slot, the original stays, and filling gives the same type with the value."""
    around, inside = CONTAINERS[name]
    reference = of(node)
    original = around(reference)
    template = to_template(original)
    assert isinstance(template, Template)
    assert template.inputs == (Input(node),)
    filled = fill(template.skeleton, [7])
    assert (type(filled), inside(filled)) == (type(original), 7)
    assert inside(template.skeleton) == Slot(0), "the skeleton is not changed by filling it"
    assert inside(original) is reference, "the original is not changed by reading it"


def test_models_are_copied_not_initialised_again(node: Node) -> None:
    """A dataclass keeps what its __post_init__ did once, and a filled copy says so."""
    template = to_template(Job(source=of(node)))
    assert isinstance(template, Template)
    assert fill(template.skeleton, ["value"]) == Job(source="value")
    assert fill(template.skeleton, ["value"]).log == ["initialised"]


def test_subclasses_keep_their_attributes(node: Node) -> None:
    """Title of a list, maxlen of a deque, factory of a defaultdict, other fields of a model."""
    values = [Names(of(node), title="t"), deque([of(node)], maxlen=3), defaultdict(set, a=of(node)), Config(x=of(node))]
    template = to_template(values)
    assert isinstance(template, Template)
    names, queue, default, config = fill(template.skeleton, [1])
    assert (names, names.title, queue.maxlen, default.default_factory, config.y) == ([1], "t", 3, set, 3)


LEAVES = ["text", b"bytes", 5, None, 1.5, range(3), np.arange(3), pd.DataFrame({"a": [1]}), object(), Node, keep]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: type(leaf).__name__)
def test_without_references_a_value_stays_the_same_object(leaf: Any) -> None:
    """Leaves and containers without references become constants of the very object."""
    nested = {"a": [leaf, (leaf,)]}
    for value in (leaf, nested):
        argument = to_template(value)
        assert isinstance(argument, Constant)
        assert argument.value is value


def test_only_the_way_to_a_reference_is_copied(node: Node) -> None:
    """Parts of a container that lead to no reference are shared with the skeleton."""
    large = [[1, 2, 3], [object()]]
    template = to_template({"large": large, "x": [of(node)]})
    assert isinstance(template, Template)
    assert template.skeleton["large"] is large


def test_references_and_collections_at_the_top() -> None:
    """A bare reference is whole, with its index; a bare Dask collection stays one."""
    node = Sketch().map(keep, [1, 2, 3])
    delayed = dask.delayed(keep)(1)
    assert to_template(of(node, 2)) == Whole(Input(node, 2))
    assert to_template(allow_failure(of(node))) == Whole(Input(node, None, 0, True))
    read = to_template(delayed)
    assert isinstance(read, Collection)
    assert read.value is delayed


def test_dask_collections_inside_containers_get_slots(node: Node) -> None:
    """Collections stand among the inputs of a template, and an array is not compared with another."""
    array = dask.array.ones(3)
    template = to_template([array, of(node), (array,)])
    assert isinstance(template, Template)
    assert template.skeleton == [Slot(0), Slot(1), (Slot(0),)]
    assert [type(used) for used in template.inputs] == [Collection, Input]


def test_what_wraps_dask_is_a_collection_only_if_it_holds_one() -> None:
    """Objects such as those of xarray have the method, and say by None that they are not lazy."""

    class Wrapper:
        def __init__(self, graph: dict[str, int] | None) -> None:
            self.graph = graph

        def __dask_graph__(self) -> dict[str, int] | None:
            return self.graph

    assert [is_dask_collection(Wrapper(graph)) for graph in (None, {"a": 1})] == [False, True]
    assert not is_dask_collection(Wrapper), "a class is no collection"


def test_equal_inputs_share_a_slot(node: Node) -> None:
    """The same use of a node is one input, however often and through however many objects it is written."""
    reference = of(node)
    template = to_template([reference, {"again": reference}, of(node), allow_failure(of(node))])
    assert isinstance(template, Template)
    assert template.skeleton == [Slot(0), {"again": Slot(0)}, Slot(0), Slot(1)]
    assert template.inputs == (Input(node), Input(node, None, 0, True))


def test_allow_failure_of_a_container_reaches_all_references_in_it(node: Node) -> None:
    """The wrapper goes away and marks every input below it."""
    template = to_template({"a": allow_failure([of(node), 1])})
    assert template == Template({"a": [Slot(0), 1]}, (Input(node, None, 0, True),))
    assert to_template([allow_failure([1])]) == Constant([[1]])


@pytest.mark.parametrize("wrapper", [flatten, mapped, unmapped])
def test_other_annotations_inside_a_container_are_errors(wrapper: Any, node: Node) -> None:
    """Nothing is iterated inside a container; the error names the path, the wrapper and the fix."""
    with pytest.raises(ArgumentError, match=r"argument x\['a'\]\[2\]\.x: ") as caught:
        to_template({"a": [1, 2, Frozen(wrapper(of(node)))]}, "x")
    assert wrapper.__name__ in caught.value.problem
    assert "wrap the whole argument" in caught.value.fix


def test_a_reference_of_another_graph_is_refused(node: Node) -> None:
    """The error names both graphs, the path and what to do."""
    reader = Reader(Graph("mine"), "total")
    with pytest.raises(HandleError) as caught:
        reader.read([0, of(node)], "x")
    text = str(caught.value)
    assert all(part in text for part in ("total, argument x[1]", "'sketch'", "'mine'", ".result()"))


def test_shared_containers_are_copied_once(node: Node) -> None:
    """A list that stands in two places stands in two places of the result, as one list."""
    shared = [of(node)]
    template = to_template([shared, shared])
    assert isinstance(template, Template)
    filled = fill(template.skeleton, [1])
    assert filled == [[1], [1]]
    assert filled[0] is filled[1]


def test_cycles_without_references_are_constants() -> None:
    """A list that holds itself ends the search and stays the same object."""
    loop: list[Any] = [object()]
    loop.append({"again": loop})
    argument = to_template(loop)
    assert isinstance(argument, Constant)
    assert argument.value is loop


def test_cycles_with_references_are_refused(node: Node) -> None:
    """A copy of a list that holds itself cannot be made in this way, and the error says so."""
    loop: list[Any] = [of(node)]
    loop.append(loop)
    with pytest.raises(ArgumentError, match="holds both itself and a future"):
        to_template([1, loop])


def test_depth_has_no_limit(node: Node) -> None:
    """Nesting far beyond the recursion limit is found and filled."""
    value: Any = of(node)
    depth = 10 * sys.getrecursionlimit()
    for _ in range(depth):
        value = [value]
    template = to_template(value)
    assert isinstance(template, Template)
    filled = fill(template.skeleton, ["found"])
    for _ in range(depth):
        (filled,) = filled
    assert filled == "found"


def test_find_gives_each_reference_once(node: Node) -> None:
    """References are found in order, inside annotations too."""
    first, second = of(node), of(node)
    assert find([first, {"a": allow_failure([second, first])}, "text"]) == [first, second]
    assert find(first) == [first]
    assert find("text") == []


def test_a_container_that_cannot_be_copied_says_so(node: Node) -> None:
    """The error of a copy that fails names the type and the fix, and is chained."""

    class Stubborn(list[Any]):
        def __copy__(self) -> Stubborn:
            raise RuntimeError("never")

    with pytest.raises(ArgumentError, match="a Stubborn cannot be copied") as caught:
        to_template({"a": Stubborn([of(node)])})
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_long_flat_lists_are_cheap() -> None:
    """A million numbers cost far less than a pass of Python code over them."""
    numbers = list(range(1_000_000))
    start = time.perf_counter()
    passed = sum(1 for _ in iter(numbers))
    by_hand = time.perf_counter() - start
    start = time.perf_counter()
    to_template(numbers)
    assert passed == 1_000_000
    assert time.perf_counter() - start < 3 * by_hand


def _nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.text(max_size=2), inner, max_size=3),
            st.builds(Frozen, inner, inner),
            st.builds(Point, inner, inner),
            st.lists(inner, max_size=3).map(deque),
        )

    return st.recursive(leaf, deeper, max_leaves=12)


class Mark(int):
    """A number that stands for a reference."""


def _with(value: Any, leaf: Any) -> Any:
    """The plain definition: the value with each mark replaced, by recursion."""
    match value:
        case Mark():
            return leaf(value)
        case Point(x, y):
            return Point(_with(x, leaf), _with(y, leaf))
        case Frozen(x, y):
            return Frozen(_with(x, leaf), _with(y, leaf))
        case list() | tuple() | deque():
            return type(value)(_with(item, leaf) for item in value)
        case dict():
            return {key: _with(item, leaf) for key, item in value.items()}
    return value


@given(value=_nested(st.one_of(st.integers(0, 3).map(Mark), st.text(max_size=2), st.none())))
def test_filling_a_template_gives_the_value_with_references_replaced(value: Any) -> None:
    """For any nesting: replace marks by references, read, fill with numbers; the same as replacing marks by numbers."""
    graph = Sketch()
    nodes = [graph.call(keep, i) for i in range(4)]
    argument = to_template(_with(value, lambda mark: of(nodes[mark])))
    expected = _with(value, lambda mark: f"value of {int(mark)}")
    values = {node: f"value of {position}" for position, node in enumerate(nodes)}
    match argument:
        case Constant(same):
            assert same == expected
        case Whole(used):
            assert values[used.node] == expected
        case Template(skeleton, inputs):
            assert fill(skeleton, [values[used.node] for used in inputs]) == expected
        case Collection():
            pytest.fail("there is no collection")
