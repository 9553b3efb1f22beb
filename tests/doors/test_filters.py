"""Filters: maps that keep some of their elements, and FilterTask, which makes a shorter list."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dataflow import (
    FilterTask,
    Flow,
    case,
    flow,
    task,
    unmapped,
)
from dataflow.errors import UsageError
from dataflow.signals import Skip
from tests.doors.mapped_tasks import WHERE, C, F, S, add, give, half, is_even, names, results, total


@pytest.mark.parametrize("where", WHERE)
def test_filter_keeps_indices(where: str) -> None:
    """Elements that do not fit are skipped; maps over the rest skip them too, gathers leave them out."""

    @task(batch_size=2)
    def large(x: int, least: int) -> bool:
        return x >= least

    with Flow("filter") as flow:
        kept = large.filter([5, 20, 7, 30], 10)
        doubled = add.map(kept, kept)
        whole = total(doubled)
    state = flow.run(cluster=where)
    assert (kept.node.task.name, names(state, kept), results(state, kept)) == (
        "large.filter",
        [C, S, C, S][::-1],
        [20, 30],
    )
    assert (names(state, doubled), results(state, whole)) == ([S, C, S, C], 100)
    assert [handle.slug for handle in flow.get_tasks(name="large.filter")] == ["large.filter"]


def test_filter_in_a_flow_function() -> None:
    """The same in the other door; two filters after another, in memory and of futures."""

    @task
    def large(x: int, least: int = 10) -> bool:
        return x >= least

    @flow(cluster="inline")
    def body() -> tuple[Any, ...]:
        numbers = give.map([5, 20, 7, 30])
        kept = is_even.filter(large.filter(x=numbers))
        return kept, total(half.map(kept)), large.filter(numbers, unmapped(25))

    assert body() == ([20, 30], 25, [30])


def test_filter_of_an_async_task_and_of_a_method() -> None:
    """Whatever the function is, what comes through is the element."""

    class Limit:
        @task
        def below(self, x: int) -> bool:
            return x < 3

    @task
    async def odd(x: int) -> bool:
        return x % 2 == 1

    @flow(cluster="inline")
    def body() -> tuple[Any, ...]:
        return odd.filter(range(6)), Limit().below.filter(range(6))

    assert body() == ([1, 3, 5], [0, 1, 2])


def test_filter_that_fails_or_leaves_nothing() -> None:
    """A failure is no answer; if nothing is left, what gathers it is skipped."""
    with Flow("fails") as flow:
        some = is_even.filter([2, -1, 3])
        none = is_even.filter([1, 3])
        whole = total(none)
    state = flow.run(cluster="inline")
    assert names(state, some) == [C, F, S]
    assert (state.result[none].name, results(state, none), state.result[whole].name) == (S, [], S)


def test_filter_outside_of_flows() -> None:
    """There is nothing to run on; the error says what works."""
    with pytest.raises(UsageError, match=r"\.filter outside a flow"):
        is_even.filter([1])


def test_filter_is_cached_apart_from_its_task(tmp_path: Any) -> None:
    """The value of a filter is an element, that of its task an answer; neither is taken for the other."""
    kept = is_even.with_options(persist_result=True, cache_expiration=100, result_storage=tmp_path)

    @flow(cluster="inline")
    def body() -> tuple[Any, ...]:
        return kept.map([1, 2]), kept.filter([1, 2])

    assert body() == body() == ([False, True], [2])


def test_filter_task_of_a_case() -> None:
    """It gathers what the case left, and runs even if that is nothing."""
    with Flow("filter task") as flow:
        with case(is_even.map([1, 3]), True):
            halves = half.map([1, 3])
        kept = FilterTask()(halves)
    state = flow.run(cluster="inline")
    assert (state.result[kept].name, results(state, kept)) == (C, [])


def test_filter_task_drops_none_and_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    """Failed and skipped elements are gathered without failing; what was dropped can be logged."""

    @task
    def odd(x: int) -> int | None:
        if x == 1:
            raise ValueError
        if x == 2:
            raise Skip
        return None if x == 3 else x

    logged = FilterTask(log_func=lambda dropped: f"dropped {len(dropped)}")
    with Flow("filter") as flow:
        numbers = odd.map(range(6))
        kept = logged(numbers)
        large = FilterTask(filter_func=lambda x: isinstance(x, int) and x > 4, name="large")(numbers)
        flow.set_reference_tasks([kept])
    with caplog.at_level(logging.INFO, logger="dataflow"):
        state = flow.run(cluster="inline")
    assert state.result[kept].result == [0, 4, 5]
    assert state.result[large].result == [5]
    assert "dropped 2" in caplog.text
    assert state.is_successful()
