"""What cannot travel, or travels heavily, between processes: it costs its own element and nothing else."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest
from distributed import Client

from dataflow import flow, task
from dataflow.errors import UnpicklableArgument, UnpicklableResult
from tests.bad_input.checks import check


@task
def kind_of(x: Any) -> str:
    """Works on anything."""
    return type(x).__name__


@task
def lock_at_two(x: int) -> Any:
    """Its value at 2 cannot leave the worker."""
    return threading.Lock() if x == 2 else x


@task
def total(x: Any) -> float:
    """Sums an array."""
    return float(x.sum())


def test_a_lambda_is_a_task(client: Client) -> None:
    """It has no name to be imported by, so it travels by value."""

    @flow(cluster=client)
    def main() -> list[int]:
        return task(lambda x: x + 1).map([1, 2]).result()

    assert main() == [2, 3]


def test_values_of_a_local_class_travel(client: Client) -> None:
    """As argument and as result."""

    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    def moved(point: Point) -> Point:
        return Point(point.x + 1)

    @flow(cluster=client)
    def main() -> list[int]:
        return [point.x for point in task(moved).map([Point(1), Point(2)]).result()]

    assert main() == [2, 3]


def test_an_unpicklable_argument_is_an_error_of_its_call(client: Client) -> None:
    """The call is named, and so is the argument; the flow before it goes on."""

    @flow(cluster=client)
    def main() -> str:
        before = kind_of.submit(1)
        with pytest.raises(UnpicklableArgument) as caught:
            kind_of.submit(threading.Lock()).result()
        check(caught.value, UnpicklableArgument, "kind_of", "x", "lock")
        return before.result()

    assert main() == "int"


def test_an_unpicklable_element_fails_alone(client: Client) -> None:
    """Its neighbours in the same batch complete."""

    @flow(cluster=client)
    def main() -> list[str]:
        futures = kind_of.map([1, threading.Lock(), "a"])
        futures.wait()
        error: Any = futures[1].state.result(raise_on_failure=False)
        check(error, UnpicklableArgument, "kind_of", "x")
        return [futures[0].result(), futures[2].result()]

    assert main() == ["int", "str"]


def test_an_unpicklable_result_fails_alone(client: Client) -> None:
    """Its neighbours in the same batch complete; the error names the element."""

    @flow(cluster=client)
    def main() -> list[int]:
        futures = lock_at_two.map([1, 2, 3])
        futures.wait()
        check(futures[1].state.result(raise_on_failure=False), UnpicklableResult, "lock_at_two", "lock")
        return [futures[0].result(), futures[2].result()]

    assert main() == [1, 3]


def test_an_unpicklable_value_between_fused_steps_does_no_harm(client: Client) -> None:
    """A lock that only the next step of the same element uses never travels."""

    @flow(cluster=client)
    def main() -> list[str]:
        return kind_of.map(lock_at_two.map([1, 2])).result()

    assert main() == ["int", "lock"]


def test_a_huge_argument_works_and_is_noted(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It goes by key, once per worker, and a note says what it is and how many megabytes it has."""

    @flow(cluster=client)
    def main() -> float:
        return total(np.ones(5_000_000))

    with caplog.at_level(logging.INFO, logger="dataflow"):
        assert main() == 5_000_000.0
    notes = [record.getMessage() for record in caplog.records if "large argument" in record.getMessage()]
    assert [note for note in notes if "ndarray" in note and "40" in note], caplog.text
