"""Tasks whose elements come to every kind of end, for the tests of stories."""

from __future__ import annotations

import threading
from typing import Any

from dataflow import context, task
from dataflow.signals import Loop, Skip
from dataflow.states import State

__all__ = ["even", "half", "hang", "leave", "parse", "patient", "power", "slow_to_come", "told", "total"]


@task
def parse(text: str) -> float:
    return float(text)


@task
def half(number: float) -> float:
    return number / 2


@task
def total(numbers: Any) -> int:
    return len(list(numbers))


@task(retries=3)
def patient(fails: int) -> int:
    if context.get("attempt") <= fails:
        raise ConnectionError(f"not yet, {fails}")
    return fails


@task(retries=2, retry_delay_seconds=0.01, tags=["network"])
def slow_to_come(fails: int) -> int:
    if context.get("attempt") <= fails:
        threading.Event().wait(0.02)
        raise ConnectionError(f"not yet, {fails}")
    return fails


@task
def even(number: int) -> int:
    if number % 2:
        raise Skip(f"{number} is odd")
    return number


@task
def power(base: int) -> int:
    value: int = context.get("task_loop_result", 1) * base
    if value < 20:
        raise Loop(value)
    return value


@task
def told(what: State[Any]) -> State[Any]:
    return what


@task
def leave() -> None:
    raise SystemExit(3)


@task(retries=1, timeout_seconds=0.02)
def hang(number: int) -> int:
    if number:
        threading.Event().wait(0.3)
    return number
