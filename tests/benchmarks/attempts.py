"""A1 and A2: what retries, time limits and triggers cost an element, and what waits for 10,000 retries.

``python tests/benchmarks/attempts.py`` runs A2, which takes more than half a minute; A1 is one of those of ``run.py``.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataflow import context, flow, task
from dataflow.triggers import all_finished

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as in run.py

from tests.benchmarks.harness import Contest, Row, close_clusters, compete, seconds, table, two_processes

ELEMENTS = 100_000
FAILING = 100
"""One in so many fails the first time."""
BOUND_US = 10.0
WAITING = 10_000
DELAY_SECONDS = 30.0
OTHERS = 200
OTHER_SECONDS = 0.01


def shift(x: int) -> int:
    """The work of A1."""
    return x + 1


def shift_at_last(x: int) -> int:
    """The same, but one in a hundred fails the first time."""
    if x % FAILING == 0 and context.get("attempt") == 1:
        raise ConnectionError(x)
    return x + 1


def fail_once(x: int) -> int:
    """Fails the first time."""
    if context.get("attempt") == 1:
        raise ConnectionError(x)
    return x


def doze(x: int) -> float:
    """Other work: a hundredth of a second, then the time."""
    time.sleep(OTHER_SECONDS)
    return time.time()


def add_up(numbers: Any) -> int:
    """The end of both flows."""
    return sum(numbers)


plain = task(shift, name="plain")
ruled = task(shift_at_last, name="ruled", retries=3, retry_delay_seconds=0.05, timeout_seconds=5)
patient = task(fail_once, name="patient", retries=1, retry_delay_seconds=DELAY_SECONDS)
other = task(doze, name="other", batch_size=10)
total = task(add_up, name="total")
total_ruled = task(add_up, name="total_ruled", trigger=all_finished)


@flow
def without_rules(count: int) -> int:
    """A map and a sum."""
    return total(plain.map(range(count)))


@flow
def with_rules(count: int) -> int:
    """The same map with retries after a delay and a time limit, and a sum with a trigger."""
    return total_ruled(ruled.map(range(count)))


@flow
def with_waiting(count: int) -> tuple[int, list[float]]:
    """Many elements that wait for their retry, beside other work."""
    retried = patient.map(range(count))
    others = other.map(range(OTHERS))
    return total(retried), others.result()


def a1(repeat: int | None) -> list[Row]:
    """A1: microseconds an element that rules cost, against the bound of 10."""
    client = two_processes()
    expected = ELEMENTS * (ELEMENTS + 1) // 2

    def took(run: Callable[..., Any]) -> float:
        return seconds(functools.partial(_checked, run, client, expected))

    contest = Contest(
        name="A1",
        what="100,000 elements with retries, a time limit and a trigger, 1 % failing once, more than the same map "
        "without them; reference 10 us",
        ours=lambda: (took(with_rules) - took(without_rules)) / ELEMENTS * 1e6,
        reference=lambda: BOUND_US,
        bound="<= 1.0",
        unit="us",
        repeat=5,
    )
    _checked(with_rules, client, expected)
    _checked(without_rules, client, expected)
    return [compete(contest, repeat)]


def _checked(run: Any, client: Any, expected: int) -> None:
    result = run.with_options(cluster=client)(ELEMENTS)
    assert result == expected, result


def a2() -> list[Row]:
    """A2: 10,000 elements that each fail once with a delay of 30 s, beside work of a second."""
    run = with_waiting.with_options(cluster=two_processes())
    began = time.time()
    result, ends = run(WAITING)
    took = time.time() - began
    assert result == WAITING * (WAITING - 1) // 2
    work = OTHERS * OTHER_SECONDS / 2
    rows = (
        ("A2a", "10,000 retries after 30 s, all of it; reference the delay", took, DELAY_SECONDS, "<= 1.2"),
        ("A2b", "other work of 1 s beside them; reference 5 s", max(ends) - began, work + 4.0, "<= 1.0"),
    )
    return [
        Row(name=name, what=what, unit="s", ours=mine, reference=theirs, ratio=mine / theirs, bound=bound)
        for name, what, mine, theirs, bound in rows
    ]


if __name__ == "__main__":
    try:
        print(table(a2()))
    finally:
        close_clusters()
