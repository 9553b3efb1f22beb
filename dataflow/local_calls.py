"""Calls of tasks outside of flows, and within other tasks: the function simply runs, here and once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataflow.calls import Call
from dataflow.signals import Skip
from dataflow.states import Completed, Failed, Skipped, State

__all__ = ["run_here"]


def run_here(call: Call) -> Any:
    """Run the function of a call in this thread; gives its value, or what became of it as a state.

    What the task says of retries, limits and triggers does not apply: there is nothing that would keep watch.

    Raises:
        Exception: whatever the function raises, if no state was asked for.
    """
    if not call.return_state:
        return call.run_here()
    if call.task.spec.is_async:
        return _awaited_state(call)
    return _state_of(call.run_here)


def _state_of(function: Callable[[], Any]) -> State[Any]:
    try:
        return _as_state(function())
    except Skip as skip:
        return Skipped(message=skip.message, data=skip.result)
    except Exception as error:  # noqa: BLE001 - boundary: the user asked for what becomes of the call as a state
        return Failed(message=f"{type(error).__name__}: {error}", data=error)


async def _awaited_state(call: Call) -> State[Any]:
    try:
        return _as_state(await call.run_here())
    except Skip as skip:
        return Skipped(message=skip.message, data=skip.result)
    except Exception as error:  # noqa: BLE001 - boundary: as above
        return Failed(message=f"{type(error).__name__}: {error}", data=error)


def _as_state(value: Any) -> State[Any]:
    return value if isinstance(value, State) else Completed(data=value)
