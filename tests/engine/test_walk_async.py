"""Async elements: many at once on one loop, in order, bounded, each with its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from dataflow.compiler.program import Program, Step
from dataflow.engine.failures import Failure, unpack_error
from dataflow.engine.ledger import Ledger
from dataflow.engine.walk_async import walk_async
from dataflow.states import StateType

NEVER = float("inf")


def program(*functions: Callable[..., Any]) -> Program:
    """A chain: the first takes the column, each other what the one before gave; all are outputs."""
    steps = tuple(
        Step(name=function.__name__, function=function, positional=(position,), keywords=(), guards=(position,))
        for position, function in enumerate(functions)
    )
    outputs = tuple(range(len(steps)))
    return Program(name="async", constants=(), broadcasts=0, columns=1, steps=steps, outputs=outputs, is_async=True)


def walk(
    made: Program,
    values: list[Any],
    *,
    concurrency: int = 4,
    deadline: float = NEVER,
    clock: Callable[[], float] = float,
) -> tuple[int, Ledger]:
    """Walk a column."""
    ledger = Ledger(made, len(values))
    frame = [None] * (1 + len(made.steps))
    rows = [(value,) for value in values]
    done = walk_async(ledger, frame, rows, clock, lambda now: -1.0 if now >= deadline else now, concurrency)
    return done, ledger


async def double(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


async def refuse_odd(x: int) -> int:
    await asyncio.sleep(0)
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


def test_values_stand_in_the_order_of_the_elements() -> None:
    """An element that ends early keeps its place: each waits for the one behind it."""
    ended: list[int] = []
    events: dict[int, asyncio.Event] = {}

    async def after_the_next(x: int) -> int:
        mine = events.setdefault(x, asyncio.Event())
        if x < 3:
            await events.setdefault(x + 1, asyncio.Event()).wait()
        ended.append(x)
        mine.set()
        return 10 * x

    done, ledger = walk(program(after_the_next), [0, 1, 2, 3], concurrency=4)
    assert ended == [3, 2, 1, 0]
    assert (done, ledger.outputs) == (4, [[0, 10, 20, 30]])


@pytest.mark.parametrize("concurrency", [1, 3, 20])
def test_no_more_than_the_bound_are_under_way(concurrency: int) -> None:
    """As many as the bound allows are under way at once, and never more."""
    under_way: list[int] = [0]
    most: list[int] = [0]

    async def count_in_and_out(x: int) -> int:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        for _ in range(5):
            await asyncio.sleep(0)
        under_way[0] -= 1
        return x

    done, ledger = walk(program(count_in_and_out), list(range(20)), concurrency=concurrency)
    assert (done, most[0], ledger.outputs) == (20, concurrency, [list(range(20))])


def test_failures_stay_in_their_elements() -> None:
    """Odd elements fail at the first step and are not run at the second."""
    _, ledger = walk(program(refuse_odd, double), [0, 1, 2, 3])
    first, second = ledger.report(4)
    done, failed, blocked = StateType.COMPLETED, StateType.FAILED, StateType.UPSTREAM_FAILED
    assert first.states == bytes([done, failed, done, failed])
    assert second.states == bytes([done, blocked, done, blocked])
    assert {at: str(unpack_error(error)) for at, error in first.errors.items()} == {1: "1 is odd", 3: "3 is odd"}
    assert [type(value) is Failure for value in ledger.outputs[1]] == [False, True, False, True]
    assert (ledger.outputs[1][0], ledger.outputs[1][2]) == (0, 4)


def test_what_cancels_itself_has_crashed() -> None:
    """CancelledError inside an element is no answer; the other elements complete."""

    async def cancel_first(x: int) -> int:
        if x == 0:
            raise asyncio.CancelledError
        return x

    _, ledger = walk(program(cancel_first), [0, 1])
    (step,) = ledger.report(2)
    assert step.states == bytes([StateType.CRASHED, StateType.COMPLETED])


def test_no_element_is_begun_after_the_deadline() -> None:
    """What was run is a prefix: the deadline passes while the third is under way, and no fourth is begun."""
    begun: list[int] = []

    async def begin(x: int) -> int:
        begun.append(x)
        return x

    now = [0.0]

    def clock() -> float:
        now[0] = float(len(begun))
        return now[0]

    done, ledger = walk(program(begin), list(range(10)), concurrency=1, deadline=3.0, clock=clock)
    assert begun == [0, 1, 2]
    assert (done, ledger.outputs) == (3, [[0, 1, 2]])


def test_one_element_is_run_however_late_it_is() -> None:
    """A deadline that is over leaves no batch without progress."""
    done, ledger = walk(program(double), [1, 2], deadline=-1.0)
    assert (done, ledger.outputs) == (1, [[2]])


def test_each_element_has_durations_of_its_own() -> None:
    """Elements overlap, so every step is timed by itself."""
    ticks = count()
    _, ledger = walk(program(double, double), [1], clock=lambda: float(next(ticks)))
    assert [list(step.durations()) for step in ledger.report(1)] == [[1.0], [1.0]]


def test_a_loop_that_is_running_is_left_alone() -> None:
    """In a thread with a running loop, as in a notebook, the elements run on another."""

    async def body() -> list[list[Any]]:
        return walk(program(double), [1, 2, 3])[1].outputs

    assert asyncio.run(body()) == [[2, 4, 6]]
