"""Columns: values that travel as one object of an honest size; levels of nesting taken away."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dataflow.compiler.recipes import Gather, Part, Pick
from dataflow.engine.columns import Column, open_levels, size_of, size_of_value
from dataflow.engine.failures import Failure, pack_error, unpack_error
from dataflow.engine.inputs import resolve
from dataflow.errors import MapError, WorkLost
from dataflow.states import StateType

BROKEN = Failure(int(StateType.FAILED), pack_error(ValueError("broken")))


def test_a_column_is_the_same_after_its_way() -> None:
    """Values, failures and size survive pickling."""
    column = pickle.loads(pickle.dumps(Column([1, BROKEN, "three"], failed=True)))
    assert (column.values, column.failed, len(column)) == ([1, BROKEN, "three"], True, 3)
    assert column.size_bytes == Column([1, BROKEN, "three"]).size_bytes


SIZES: dict[str, tuple[Callable[[], list[Any]], int]] = {
    "nothing": (list, 64),
    "small numbers": (lambda: list(range(1, 1001)), 64 + 1000 * (8 + sys.getsizeof(1))),
    "arrays": (lambda: [np.zeros(1000)] * 10, 64 + 10 * (8 + 8000)),
}


@pytest.mark.parametrize("kind", SIZES)
def test_the_size_is_that_of_the_values(kind: str) -> None:
    """Dask is told what the values take, arrays with their buffers."""
    make, expected = SIZES[kind]
    assert size_of(make()) == expected
    assert sys.getsizeof(Column(make())) >= expected


def test_the_size_of_many_is_told_from_some() -> None:
    """Of a long list every so many-th value is asked, which is enough if they are alike."""

    class Asked:
        asked = 0

        @property
        def nbytes(self) -> int:
            Asked.asked += 1
            return 100

    assert size_of([Asked()] * 100_000) == 64 + 100_000 * 108
    assert Asked.asked < 200


def test_what_has_no_size_counts_as_small() -> None:
    """An ``nbytes`` that is no number is not believed."""

    class Odd:
        nbytes = "many"

    assert size_of_value(Odd()) < 1000


@pytest.mark.parametrize(
    ("values", "depth", "expected"),
    [
        ([[1, 2], [3]], 0, [[1, 2], [3]]),
        ([[1, 2], [3]], 1, [1, 2, 3]),
        ([[[1], [2]], [[3]]], 2, [1, 2, 3]),
        ([[], (), range(2)], 1, [0, 1]),
        ([["text"]], 1, ["text"]),
    ],
)
def test_levels_are_taken_away(values: list[Any], depth: int, expected: list[Any]) -> None:
    """As many as are asked for, through lists, tuples and ranges; text is no sequence."""
    assert list(open_levels(values, depth, "load")) == expected


def test_a_failure_stays_one_element() -> None:
    """What has no value cannot be opened, at any level."""
    assert list(open_levels([[1], BROKEN, [2]], 1, "load")) == [1, BROKEN, 2]
    assert list(open_levels([BROKEN], 3, "load")) == [BROKEN]


@pytest.mark.parametrize("value", [5, "text", None, {"a": 1}])
def test_what_is_no_sequence_is_one_failed_element(value: Any) -> None:
    """The error names the value, whose result it is, and what to write instead."""
    (failure,) = open_levels([value], 1, "load")
    error = unpack_error(failure.error)
    assert failure.state == StateType.FAILED
    assert isinstance(error, MapError)
    assert str(error).startswith(f"the result of load: a map cannot iterate over {type(value).__name__} {value!r}")
    assert "unmapped(...)" in error.fix


def test_a_column_that_came_back_shorter_is_not_taken() -> None:
    """A batch that is run again after a loss may stop earlier; who needs the rest is told, and gets nothing wrong."""
    column = Column([1, 2, 3])
    with pytest.raises(WorkLost, match="values 3 to 5 of a column are gone"):
        resolve(Gather((Part(0, 1, 5),)), [column])
    with pytest.raises(WorkLost, match="values 3 to 4 of a column are gone"):
        resolve(Pick(Part(0, 3, 4)), [column])


@pytest.mark.parametrize(
    "values",
    [[1, -2, 2**62], [0.5, float("inf"), -0.0], [2**64, 1, 2]],
    ids=["integers", "floats", "integers of more than 64 bits"],
)
def test_a_column_of_numbers_is_the_same_after_its_way(values: list[Any]) -> None:
    """Numbers of one type travel packed, and come back with their type."""
    column = pickle.loads(pickle.dumps(Column(values, kind=type(values[0]))))
    assert (column.values, {type(value) for value in column.values}) == (values, {type(values[0])})
