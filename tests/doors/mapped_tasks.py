"""Small tasks that tests of control flow inside maps are made of, and how those tests look at what became of them."""

from __future__ import annotations

from typing import Any

from dataflow import task
from dataflow.flow_states import FlowState

__all__ = ["WHERE", "C", "F", "S", "U", "add", "give", "half", "is_even", "names", "results", "total"]

WHERE = ["inline", "threads"]
S, C, F, U = "Skipped", "Completed", "Failed", "UpstreamFailed"


@task
def give(x: Any) -> Any:
    return x


@task
def is_even(x: int) -> bool:
    if x < 0:
        raise ValueError(x)
    return x % 2 == 0


@task
def half(x: int) -> float:
    return x / 2


@task
def add(x: Any, y: Any) -> Any:
    return x + y


@task
def total(numbers: Any) -> Any:
    return sum(numbers)


def names(state: FlowState, handle: Any) -> list[str]:
    """The state of each element."""
    return [element.name for element in state.result[handle].map_states]


def results(state: FlowState, handle: Any) -> Any:
    return state.result[handle].result
