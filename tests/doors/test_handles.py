"""Handles of the graph door: operators and indexing add nodes, and misuse says what to write."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from dataflow.errors import FlowValidationError, HandleError
from dataflow.flows import Flow
from dataflow.tasks import task


@task
def value(x: Any) -> Any:
    return x


@task
def pair() -> tuple[int, str]:
    return 1, "a"


OPERATORS: list[tuple[Callable[[Any, Any], Any], str]] = [
    (operator.add, "add"),
    (operator.sub, "subtract"),
    (operator.mul, "multiply"),
    (operator.truediv, "divide"),
    (operator.floordiv, "floor_divide"),
    (operator.mod, "remainder"),
    (operator.pow, "power"),
    (operator.and_, "and"),
    (operator.lt, "less"),
    (operator.le, "less_or_equal"),
    (operator.gt, "greater"),
    (operator.ge, "greater_or_equal"),
]


@pytest.mark.parametrize(("function", "name"), OPERATORS)
def test_operators_add_nodes(function: Callable[[Any, Any], Any], name: str) -> None:
    """Each operator becomes a node of its own, on both sides of a plain value."""
    with Flow("operators") as flow:
        seven = value(7)
        right, left = function(seven, 2), function(2, seven)
    assert right.name == name
    state = flow.run(cluster="inline")
    assert state.result[right].result == function(7, 2)
    assert state.result[left].result == function(2, 7)


def test_named_operators() -> None:
    """Where Python's operator means something else for handles, a method makes the node."""
    with Flow("methods") as flow:
        three = value(3)
        asked = [three.is_equal(3), three.is_not_equal(3), three.not_(), three.or_(4), value(1j).attr("imag")]
    state = flow.run(cluster="inline")
    assert [state.result[handle].result for handle in asked] == [True, False, False, 7, 1.0]


def test_handles_stay_themselves_in_sets() -> None:
    """Equality and hash are those of the object, so that handles are keys."""
    with Flow("set"):
        one, other = value(1), value(1)
    assert len({one, other, one}) == 2


def test_unpacking_a_tuple_of_known_length() -> None:
    """A fixed-length annotation, or nout, lets a handle be unpacked; each part is a node."""
    with Flow("unpack") as flow:
        number, word = pair()
        first, second, third = value.with_options(nout=3)([1, 2, 3])
    state = flow.run(cluster="inline")
    assert [state.result[handle].result for handle in (number, word, first, second, third)] == [1, "a", 1, 2, 3]


def test_index_of_a_mapped_handle_takes_one_element() -> None:
    """An element needs no node and no gather; a slice of known length takes some."""
    with Flow("elements") as flow:
        mapped = value.map([10, 20, 30])
        picked = [value(mapped[1]), value(mapped[-1]), value(mapped[1:])]
    assert len(flow.tasks) == 4
    state = flow.run(cluster="inline")
    assert [state.result[handle].result for handle in picked] == [20, 30, [20, 30]]
    assert state.result[mapped[0]].result == 10


def test_index_beyond_a_mapped_handle() -> None:
    """An element that cannot exist is refused at once."""
    with Flow("elements"):
        mapped = value.map([10, 20, 30])
        with pytest.raises(IndexError, match="3 elements"):
            mapped[3]


def test_index_by_a_handle() -> None:
    """The key of an index may itself be a handle, and a plain value may be of any type."""
    with Flow("keys") as flow:
        found = value({"a": [5, 6]})[value("a")][1]
    assert flow.run(cluster="inline").result[found].result == 6


MISUSES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("truth", bool, "asks for the truth of"),
    ("if", lambda handle: 1 if handle else 2, "asks for the truth of"),
    ("length", len, "asks for the length of"),
    ("iteration", list, "iterates over"),
    ("unpacking", lambda handle: [*handle], "iterates over"),
    ("membership", lambda handle: 3 in handle, "looks for an item in"),
    ("order by a value", lambda handle: handle | 3, "joins a plain value"),
]


@pytest.mark.parametrize(("_", "misuse", "problem"), MISUSES, ids=[name for name, _, _ in MISUSES])
def test_misuse_of_a_lazy_handle(_: str, misuse: Callable[[Any], Any], problem: str) -> None:
    """What needs a value now is an error that names the handle, the place of its call, and the way out."""
    with Flow("lazy"):
        handle = value(1)
        with pytest.raises(HandleError) as caught:
            misuse(handle)
    assert problem in caught.value.problem
    assert "<Handle value of flow 'lazy'>" in caught.value.problem
    assert "test_handles.py:" in caught.value.where
    assert caught.value.fix


def test_unpacking_a_mapped_task() -> None:
    """A mapped handle is a list of unknown use: it is not unpacked, whatever its task returns."""
    with Flow("mapped"):
        mapped = value.with_options(nout=2).map([[1, 2], [3, 4]])
        with pytest.raises(HandleError, match="the list of a mapped task"):
            _first, _second = mapped


def test_handle_of_another_flow() -> None:
    """A handle used in a flow that it does not belong to is a complaint that names both flows."""
    with Flow("first"):
        handle = value(1)
    with pytest.raises(FlowValidationError) as caught, Flow("second"):
        value(handle)
    (complaint,) = caught.value.complaints
    assert isinstance(complaint, HandleError)
    assert "first" in str(complaint)
    assert "second" in str(complaint)
