"""Walks against the clock: what takes too long is given up on time, and everything else is as without a limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dataflow.compiler.program import Program, Step
from dataflow.compiler.recipes import Batch, Values
from dataflow.context import get
from dataflow.engine.report import Report
from dataflow.engine.worker import WorkerContext, run_batch
from dataflow.retries import RetryPolicy
from dataflow.rules import PLAIN, Rules
from dataflow.states import StateType

LIMIT_SECONDS = 0.1
LIMITED = Rules(timeout_seconds=LIMIT_SECONDS)


def run(*steps: tuple[Callable[..., Any], Rules], values: list[Any], inline: bool = False) -> tuple[Report, list[Any]]:
    """Run a chain of steps over values as one batch; gives its report and the values of the last step."""
    made = tuple(
        Step(name=function.__name__, function=function, positional=(at,), keywords=(), guards=(at,), rules=rules)
        for at, (function, rules) in enumerate(steps)
    )
    program = Program(name="chain", constants=(), broadcasts=0, columns=1, steps=made, outputs=(len(made) - 1,))
    batch = Batch(number=1, count=len(values), broadcasts=(), columns=(Values(values),))
    passing = (KeyboardInterrupt,) if inline else ()
    report, outputs = run_batch(program, batch, [], WorkerContext(crosses_processes=False, passing=passing))
    return report, outputs[0].values


def add_one(x: int) -> int:
    return x + 1


def sleep_for(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def spin_for(seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return seconds


@pytest.mark.parametrize("busy", [sleep_for, spin_for], ids=["in a blocking call", "in Python"])
def test_a_late_element_is_given_up_on_time(busy: Callable[..., Any]) -> None:
    """Of four elements the third takes 30 s: it has timed out after its limit, the fourth runs, all within a second."""
    began = time.monotonic()
    report, values = run((busy, LIMITED), (add_one, PLAIN), values=[0.0, 0.0, 3.0, 0.0])
    assert time.monotonic() - began < 1.0
    first, second = (list(step.all_states(4)) for step in report.steps)
    done, late, blocked = StateType.COMPLETED, StateType.TIMED_OUT, StateType.UPSTREAM_FAILED
    assert first == [done, done, late, done]
    assert second == [done, done, blocked, done]
    assert [value for value in values if isinstance(value, float)] == [1.0, 1.0, 1.0]
    assert 0.9 * LIMIT_SECONDS <= report.steps[0].durations()[2] < 0.9


def slow_at_first(x: int) -> int:
    if get("attempt") == 1:
        time.sleep(3)
    return x


def test_a_late_attempt_is_tried_again() -> None:
    """Two elements whose first attempts take too long complete with the second; the attempt that was late is told."""
    rules = Rules(timeout_seconds=LIMIT_SECONDS, retry=RetryPolicy(retries=1))
    report, values = run((add_one, PLAIN), (slow_at_first, rules), (add_one, PLAIN), values=[1, 2])
    assert values == [3, 4]
    assert [step.states for step in report.steps] == [StateType.COMPLETED] * 3
    assert [[one.state for one in tries] for tries in report.steps[1].tries.values()] == [[StateType.TIMED_OUT]] * 2


def test_nobody_is_late_without_cause() -> None:
    """Ten thousand quick elements under a limit all complete, in order."""
    _, values = run((add_one, LIMITED), values=list(range(10_000)))
    assert values == list(range(1, 10_001))


def test_ctrl_c_stops_the_walk() -> None:
    """In the calling thread Ctrl-C reaches the caller, and no further element is begun behind its back."""
    seen: list[int] = []

    def note(x: int) -> int:
        seen.append(x)
        if x == 2:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.03)
        return x

    with pytest.raises(KeyboardInterrupt):
        run((note, Rules(timeout_seconds=5.0)), values=list(range(1000)), inline=True)
    for thread in threading.enumerate():
        if thread.name == "dataflow-watched":
            thread.join(5.0)
    assert seen[-1] <= 4
