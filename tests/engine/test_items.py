"""Items of sequences and generators: slices by position, and only what is under way in memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dataflow.engine.items import GeneratorItems, slice_of

SEQUENCES: dict[str, Callable[[], Any]] = {
    "list": lambda: [0, 1, 2, 3],
    "tuple": lambda: (0, 1, 2, 3),
    "range": lambda: range(4),
    "array": lambda: np.arange(4),
    "series": lambda: pd.Series([0, 1, 2, 3], index=[3, 2, 1, 0]),
}


@pytest.mark.parametrize("kind", SEQUENCES)
def test_sequences_are_sliced_by_position(kind: str) -> None:
    """Items 1 and 2 are those at these places, whatever labels the sequence has."""
    assert list(slice_of(SEQUENCES[kind](), 1, 3)) == [1, 2]


def test_a_generator_gives_as_much_as_is_asked() -> None:
    """Pulling stops at the count; an end is told when fewer came."""
    items = GeneratorItems(iter("abcde"))
    assert items.pull(3)[:2] == (3, False)
    assert items.pull(2)[:2] == (2, False)
    assert items.pull(2)[:2] == (0, True)


def test_what_came_before_an_exception_is_kept() -> None:
    """Two items and the exception that the generator raised then; it is no ordinary end."""

    def source() -> Iterator[int]:
        yield from (7, 8)
        raise OSError("the file ended")

    items = GeneratorItems(source())
    count, exhausted, error = items.pull(5)
    assert (count, exhausted, repr(error)) == (2, False, "OSError('the file ended')")
    assert items.slice(0, 2) == [7, 8]


def test_nothing_is_taken_ahead() -> None:
    """A generator is advanced by exactly the items that were asked for."""
    taken = []

    def source() -> Iterator[int]:
        for position in range(10):
            taken.append(position)
            yield position

    GeneratorItems(source()).pull(3)
    assert taken == [0, 1, 2]


def test_slices_reach_over_pulls() -> None:
    """Items are found by their position in the whole generator, in whatever pulls they came."""
    items = GeneratorItems(iter(range(100, 109)))
    for count in (2, 3, 4):
        items.pull(count)
    assert items.slice(1, 7) == [101, 102, 103, 104, 105, 106]
    assert items.slice(8, 9) == [108]


class Big:
    """An item whose life can be watched."""


def test_items_go_when_all_of_a_pull_have_ended() -> None:
    """A pull is dropped as soon as every element made of it has ended, in whatever order they did."""
    alive: list[weakref.ref[Big]] = []

    def make(_: int) -> Big:
        item = Big()
        alive.append(weakref.ref(item))
        return item

    items = GeneratorItems(map(make, range(6)))
    items.pull(3)
    items.pull(2)
    items.forget(2, 5)
    items.forget(0, 1)
    assert [item() is not None for item in alive] == [True, True, True, False, False]
    items.forget(1, 2)
    assert [item() is not None for item in alive] == [False] * 5
    assert items.slice(0, 5) == []


def test_positions_go_on_after_forgetting() -> None:
    """What is pulled after a pull was dropped keeps its place."""
    items = GeneratorItems(iter("abcd"))
    items.pull(2)
    items.forget(0, 2)
    items.pull(2)
    assert items.slice(2, 4) == ["c", "d"]
