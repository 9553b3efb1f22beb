"""Small flows about mapping, with what Prefect gives for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dataflow import flatten, task, unmapped
from tests.semantics.differential import REFUSED, Case

__all__ = ["MAPPING", "add", "double", "keep", "refuse", "total"]


@task
def keep(x: Any = None) -> Any:
    """Its argument."""
    return x


@task
def double(x: Any) -> Any:
    """Twice its argument."""
    return 2 * x


@task
def add(x: Any, y: Any) -> Any:
    """The sum of two."""
    return x + y


@task
def total(xs: Any) -> Any:
    """The sum of a list."""
    return sum(xs)


@task
def refuse(x: int = 2) -> int:
    """Refuses 2."""
    if x == 2:
        raise ValueError(x)
    return x


@task
def add_default(x: int, ys: tuple[int, ...] = (10, 20)) -> int:
    """Adds what it has by default."""
    return x + sum(ys)


@task
def first(x: Any) -> Any:
    """The first item, so that arrays are told apart from rows."""
    return int(x[0])


def numbers() -> Iterator[int]:
    """A generator."""
    yield from (1, 2, 3)


MAPPING = [
    Case(
        what="`double.map([1, 2, 3])`",
        build=lambda: {"double": double.map([1, 2, 3])},
        source="classic 1.5, modern 1.5",
        classic="double: Completed [2, 4, 6]; flow: Completed",
        modern="double: Completed [2, 4, 6]; flow: Completed",
        ours="double: Completed [2, 4, 6]; flow: Completed",
    ),
    Case(
        what="lists of 2 and 3 items",
        build=lambda: {"add": add.map([1, 2], [1, 2, 3])},
        source="classic 1.5, modern 1.5",
        classic="add: Completed [2, 4]; flow: Completed",
        modern=REFUSED,
        ours=REFUSED,
        why="lengths",
    ),
    Case(
        what="lists of 2 and 3 items, `strict=False`",
        build=lambda: {"add": add.map([1, 2], [1, 2, 3], strict=False)},
        source="classic 1.5",
        classic="add: Completed [2, 4]; flow: Completed",
        ours="add: Completed [2, 4]; flow: Completed",
    ),
    Case(
        what="a map of 3 elements zipped with a list of 5 that a task gives",
        build=lambda: {"add": add.map(double.map([1, 2, 3]), keep([1, 2, 3, 4, 5]))},
        source="classic 1.5",
        classic="add: Completed [3, 6, 9]; flow: Completed",
        ours="add: Failed [Failed(MapLengthError)]; flow: Failed",
        why="lengths",
    ),
    Case(
        what="an empty list, mapped twice and summed",
        build=lambda: {"double": (doubled := double.map(double.map([]))), "total": total(doubled)},
        source="classic 1.5, modern 1.5",
        classic="double: Completed []; total: Completed 0; flow: Completed",
        modern="double: Completed []; total: Completed 0; flow: Completed",
        ours="double: Completed []; total: Completed 0; flow: Completed",
    ),
    Case(
        what="`double.map(3)`",
        build=lambda: {"double": double.map(3)},
        source="classic 1.5, modern 1.5",
        classic=REFUSED,
        modern=REFUSED,
        ours=REFUSED,
    ),
    Case(
        what="all arguments `unmapped`",
        build=lambda: {"double": double.map(unmapped(3))},
        source="classic 1.5, modern 1.5",
        classic="double: Completed 6; flow: Completed",
        modern=REFUSED,
        ours=REFUSED,
        why="nothing to iterate",
    ),
    Case(
        what='a string beside a list: `add.map(["a", "b"], "xy")`',
        build=lambda: {"add": add.map(["a", "b"], "xy")},
        source="classic 1.5, modern 1.5",
        classic="add: Completed ['ax', 'by']; flow: Completed",
        modern="add: Completed ['axy', 'bxy']; flow: Completed",
        ours="add: Completed ['axy', 'bxy']; flow: Completed",
        why="not iterated",
    ),
    Case(
        what="a dict",
        build=lambda: {"keep": keep.map({"a": 1})},
        source="classic 1.5, modern 1.5",
        classic="flow: Failed(KeyError), and no states of tasks",
        modern="keep: Completed ['a']; flow: Completed",
        ours=REFUSED,
        why="dicts",
    ),
    Case(
        what="a generator",
        build=lambda: {"double": double.map(numbers())},
        source="classic 1.5, modern 1.5",
        classic=REFUSED,
        modern="double: Completed [2, 4, 6]; flow: Completed",
        ours="double: Completed [2, 4, 6]; flow: Completed",
        why="iterated",
    ),
    Case(
        what="an array of two rows",
        build=lambda: {"first": first.map(np.array([[1, 2], [3, 4]]))},
        source="classic 1.5",
        classic="first: Completed [1, 3]; flow: Completed",
        ours="first: Completed [1, 3]; flow: Completed",
    ),
    Case(
        what="a default that is a tuple",
        build=lambda: {"add_default": add_default.map([1, 2])},
        source="modern 1.5",
        modern="add_default: Completed [31, 32]; flow: Completed",
        ours="add_default: Completed [31, 32]; flow: Completed",
    ),
    Case(
        what="a list in a list: `total.map([[1, 2], [3]])`",
        build=lambda: {"total": total.map([[1, 2], [3]])},
        source="classic 1.5",
        classic="total: Completed [3, 3]; flow: Completed",
        ours="total: Completed [3, 3]; flow: Completed",
    ),
    Case(
        what="a map over what a task gives",
        build=lambda: {"double": double.map(keep([1, 2]))},
        source="classic 1.5, modern 1.5",
        classic="double: Completed [2, 4]; flow: Completed",
        modern="double: Completed [2, 4]; flow: Completed",
        ours="double: Completed [2, 4]; flow: Completed",
    ),
    Case(
        what="`unmapped` of a map: each element gets the whole list",
        build=lambda: {"add": add.map([[0], [9]], unmapped(double.map([1, 2])))},
        source="classic 1.5",
        classic="add: Completed [[0, 2, 4], [9, 2, 4]]; flow: Completed",
        ours="add: Completed [[0, 2, 4], [9, 2, 4]]; flow: Completed",
    ),
    Case(
        what="one element of a map: `doubled[1]`",
        build=lambda: {"keep": keep(double.map([1, 2])[1])},
        source="classic 1.5",
        classic="keep: Completed 4; flow: Completed",
        ours="keep: Completed 4; flow: Completed",
    ),
    Case(
        what="`flatten` of a map of lists",
        build=lambda: {"double": double.map(flatten(keep.map([[1], [], [2, 3]])))},
        source="classic 1.5",
        classic="double: Completed [2, 4, 6]; flow: Completed",
        ours="double: Completed [2, 4, 6]; flow: Completed",
    ),
    Case(
        what="`flatten` of a map of strings",
        build=lambda: {"double": double.map(flatten(keep.map(["ab", "c"])))},
        source="classic 1.5",
        classic="double: Completed ['aa', 'bb', 'cc']; flow: Completed",
        ours="double: UpstreamFailed [UpstreamFailed, UpstreamFailed]; flow: Failed",
        why="not iterated",
    ),
    Case(
        what="`upstream_tasks` with a task that gives a string of length 2, in a map of 3",
        build=lambda: {"double": double.map([1, 2, 3], upstream_tasks=[keep("ab")])},
        source="classic 1.4",
        classic="double: Completed [2, 4]; flow: Completed",
        ours="double: Completed [2, 4, 6]; flow: Completed",
        why="wait_for",
    ),
]
