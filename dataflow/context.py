"""What surrounds the code that is running now: the run, the flow being built, or a task and its attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataflow.flows import Flow
    from dataflow.session import Run

__all__ = [
    "Attempt",
    "attempted",
    "current_attempt",
    "current_flow",
    "current_run",
    "get",
    "inside_task",
    "isolated_process",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of an element at a task; most are the first one, which nothing is set for."""

    attempt: int = 1
    round: int = 1
    """Of its loop."""
    looped: Any = None
    """What the round before gave."""


FIRST = Attempt()

current_run: ContextVar[Run | None] = ContextVar("current_run", default=None)
"""The run whose flow body is executing in this context, if any."""

current_flow: ContextVar[Flow | None] = ContextVar("current_flow", default=None)
"""The flow of the innermost ``with Flow(...)`` block, if any."""

inside_task: ContextVar[list[Any] | None] = ContextVar("inside_task", default=None)
"""None outside tasks; where a task's function is executing, the bodies of what it submitted itself, mostly none."""

current_attempt: ContextVar[Attempt] = ContextVar("current_attempt", default=FIRST)
"""The attempt that is executing in this context."""

isolated_process = Event()
"""Set in the processes of isolated attempts, which cannot ask the cluster for anything."""


def get(name: str, default: Any = None) -> Any:
    """Something about the task that is executing; the default outside of tasks, and for what does not apply.

    Args:
        name: ``"attempt"`` (1 at first; also called ``"task_run_count"``), ``"task_loop_count"`` (1 in the first
            round) or ``"task_loop_result"`` (what the round before gave; from the second round on).
        default: what to give otherwise.

    Example:
        >>> from dataflow import context, flow, task
        >>> @task(retries=2)
        ... def moody():
        ...     if context.get("attempt") < 3:
        ...         raise ConnectionError("not now")
        ...     return context.get("attempt")
        >>> @flow(cluster="inline")
        ... def patient():
        ...     return moody()
        >>> patient()
        3
    """
    if inside_task.get() is None:
        return default
    return _known(current_attempt.get()).get(name, default)


def _known(now: Attempt) -> Mapping[str, Any]:
    found = {"attempt": now.attempt, "task_run_count": now.attempt, "task_loop_count": now.round}
    return found if now.round == 1 else {**found, "task_loop_result": now.looped}


@contextmanager
def attempted(now: Attempt) -> Iterator[None]:
    """The code inside is this attempt."""
    token = current_attempt.set(now)
    try:
        yield
    finally:
        current_attempt.reset(token)
