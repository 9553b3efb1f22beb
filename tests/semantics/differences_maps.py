"""Small flows about mapping, failures and triggers, with what Prefect gives for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dataflow import allow_failure, flatten, mapped, task, unmapped
from dataflow.triggers import (
    all_failed,
    all_finished,
    always_run,
    any_failed,
    any_successful,
    some_failed,
    some_successful,
)
from tests.semantics.differential import AT_THE_CALL, Case

__all__ = ["FAILURES", "MAPPING", "TRIGGERS", "keep", "refuse", "total"]


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
def leave(x: int = 0) -> int:
    """Ends the process, or would."""
    raise SystemExit(x)


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


def with_trigger(trigger: Any) -> Any:
    """The task keep with a trigger."""
    return keep.with_options(trigger=trigger, name="after")


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
        modern=AT_THE_CALL,
        ours=AT_THE_CALL,
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
        classic=AT_THE_CALL,
        modern=AT_THE_CALL,
        ours=AT_THE_CALL,
    ),
    Case(
        what="all arguments `unmapped`",
        build=lambda: {"double": double.map(unmapped(3))},
        source="classic 1.5, modern 1.5",
        classic="double: Completed 6; flow: Completed",
        modern=AT_THE_CALL,
        ours=AT_THE_CALL,
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
        ours=AT_THE_CALL,
        why="dicts",
    ),
    Case(
        what="a generator",
        build=lambda: {"double": double.map(numbers())},
        source="classic 1.5, modern 1.5",
        classic=AT_THE_CALL,
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

FAILURES = [
    Case(
        what="one of three elements fails",
        build=lambda: {"refuse": refuse.map([1, 2, 3])},
        source="classic 1.5",
        classic="refuse: Completed [1, Failed(ValueError), 3]; flow: Failed",
        ours="refuse: Failed [1, Failed(ValueError), 3]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="a map over it",
        build=lambda: {"double": double.map(refuse.map([1, 2, 3]))},
        source="classic 1.5, modern 1.5",
        classic="double: Completed [2, UpstreamFailed, 6]; flow: Failed",
        modern="double: [2, Pending, 6]",
        ours="double: UpstreamFailed [2, UpstreamFailed, 6]; flow: Failed",
        why="failed inputs",
    ),
    Case(
        what="the sum of it",
        build=lambda: {"total": total(refuse.map([1, 2, 3]))},
        source="classic 1.5, modern 1.5",
        classic="total: UpstreamFailed; flow: Failed",
        modern="total: Pending",
        ours="total: UpstreamFailed; flow: Failed",
        why="failed inputs",
    ),
    Case(
        what="a reduce of it with `all_finished`",
        build=lambda: {"after": with_trigger(all_finished)(refuse.map([1, 2, 3]))},
        source="classic 1.5",
        classic="after: Completed [1, ValueError, 3]; flow: Completed",
        ours="after: Completed [1, ValueError, 3]; flow: Completed",
    ),
    Case(
        what="`keep(allow_failure(...))` of it",
        build=lambda: {"keep": keep(allow_failure(refuse.map([1, 2, 3])))},
        source="modern 1.5",
        modern="keep: Completed [1, ValueError, 3]; flow: Completed",
        ours="keep: Completed [1, ValueError, 3]; flow: Completed",
    ),
    Case(
        what="`allow_failure` of a task that ended with SystemExit",
        build=lambda: {"leave": (left := leave()), "keep": keep(allow_failure(left))},
        source="modern 1.4",
        modern="leave: Crashed(SystemExit); keep: Pending",
        ours="leave: Crashed(SystemExit); keep: Completed SystemExit; flow: Completed",
        why="gathered failures",
    ),
    Case(
        what="an `unmapped` argument failed",
        build=lambda: {"add": add.map([1, 2], unmapped(refuse(2)))},
        source="classic 1.5",
        classic="add: Completed [UpstreamFailed, UpstreamFailed]; flow: Failed",
        ours="add: UpstreamFailed [UpstreamFailed, UpstreamFailed]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="`flatten` of a map in which one element failed",
        build=lambda: {
            "double": double.map(flatten(keep.map([[1], [2, 3]], upstream_tasks=[mapped(refuse.map([1, 2]))])))
        },
        source="classic 1.5",
        classic="double: Completed [2, UpstreamFailed]; flow: Failed",
        ours="double: UpstreamFailed [2, UpstreamFailed]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="a task in `upstream_tasks` (`wait_for`) failed",
        build=lambda: {"keep": keep(1, upstream_tasks=[refuse(2)])},
        source="classic 1.6, modern 1.3",
        classic="keep: UpstreamFailed; flow: Failed",
        modern="keep: Pending",
        ours="keep: UpstreamFailed; flow: Failed",
        why="failed inputs",
    ),
    Case(
        what="the same with `allow_failure`",
        build=lambda: {"keep": keep(1, wait_for=[allow_failure(refuse(2))])},
        source="modern 1.3",
        modern="keep: Completed 1; flow: Completed",
        ours="keep: Completed 1; flow: Completed",
    ),
    Case(
        what="a call without a required argument",
        build=lambda: {"add": add(1)},
        source="classic 1.1, modern 1.1",
        classic=AT_THE_CALL,
        modern=AT_THE_CALL,
        ours=AT_THE_CALL,
    ),
]

TRIGGERS = [
    Case(
        what="`any_failed` after a failure",
        build=lambda: {"after": with_trigger(any_failed)(refuse(2))},
        source="classic 1.6",
        classic="after: Completed ValueError; flow: Completed",
        ours="after: Completed ValueError; flow: Completed",
    ),
    Case(
        what="`any_failed` where nothing failed",
        build=lambda: {"after": with_trigger(any_failed)(refuse(1))},
        source="classic 1.6",
        classic="after: UpstreamFailed; flow: Failed",
        ours="after: UpstreamFailed; flow: Failed",
    ),
    Case(
        what="`all_failed` over a map, of which one element failed",
        build=lambda: {"after": with_trigger(all_failed)(refuse.map([1, 2]))},
        source="classic 1.6",
        classic="after: UpstreamFailed; flow: Failed",
        ours="after: UpstreamFailed; flow: Failed",
    ),
    Case(
        what="`all_failed` and nothing upstream",
        build=lambda: {"after": with_trigger(all_failed)()},
        source="classic 1.6",
        classic="after: Completed None; flow: Completed",
        ours="after: Completed None; flow: Completed",
    ),
    Case(
        what="`any_successful` over a map, of which one element failed",
        build=lambda: {"after": with_trigger(any_successful)(refuse.map([1, 2]))},
        source="classic 1.6",
        classic="after: Completed [1, ValueError]; flow: Completed",
        ours="after: Completed [1, ValueError]; flow: Completed",
    ),
    Case(
        what="`some_failed(at_least=0.5)` over a map, of which one of two failed",
        build=lambda: {"after": with_trigger(some_failed(at_least=0.5))(refuse.map([1, 2]))},
        source="classic 1.5, classic 1.6",
        classic="after: Completed [1, ValueError]; flow: Completed",
        ours="after: Completed [1, ValueError]; flow: Completed",
    ),
    Case(
        what="`some_successful(at_least=2)` over the same",
        build=lambda: {"after": with_trigger(some_successful(at_least=2))(refuse.map([1, 2]))},
        source="classic 1.6",
        classic="after: UpstreamFailed; flow: Failed",
        ours="after: UpstreamFailed; flow: Failed",
    ),
    Case(
        what="`always_run` after what was not run itself",
        build=lambda: {"after": with_trigger(always_run)(keep(refuse(2)))},
        source="classic 1.6",
        classic="after: Completed UpstreamFailed; flow: Completed",
        ours="after: Completed UpstreamFailed; flow: Completed",
    ),
    Case(
        what="`any_failed`, mapped: element by element",
        build=lambda: {"after": with_trigger(any_failed).map(refuse.map([1, 2]))},
        source="classic 1.5, classic 1.6",
        classic="after: Completed [UpstreamFailed, ValueError]; flow: Failed",
        ours="after: UpstreamFailed [UpstreamFailed, ValueError]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="`all_finished`, mapped over a task that failed",
        build=lambda: {"after": with_trigger(all_finished).map(refuse(2))},
        source="classic 1.5",
        classic="after: Failed; flow: Failed",
        ours="after: Completed [ValueError]; flow: Completed",
        why="triggers",
    ),
]
