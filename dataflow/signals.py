"""Signals: what the code of a task raises to say something else than a value or an error."""

from __future__ import annotations

from typing import Any

__all__ = ["NOTHING", "Loop", "Nothing", "Signal", "Skip", "Suspend"]


class Signal(BaseException):
    """Base of the signals. Not an `Exception`, so that ``except Exception`` in the code of a task lets them pass."""


class Skip(Signal):
    """Raise it to skip this element: it ends Skipped, and so does what uses it; gathers leave it out.

    Args:
        message: why.
        result: what consumers with ``skip_on_upstream_skip=False`` get in the place of a value.

    Example:
        >>> from dataflow import flow, task
        >>> from dataflow.signals import Skip
        >>> @task
        ... def even(x):
        ...     if x % 2:
        ...         raise Skip(f"{x} is odd")
        ...     return x
        >>> @flow(cluster="inline")
        ... def evens():
        ...     return even.map(range(5))
        >>> evens()
        [0, 2, 4]
    """

    def __init__(self, message: str = "", result: Any = None) -> None:
        super().__init__(message, result)
        self.message = message
        self.result = result

    def __str__(self) -> str:
        return self.message


class Loop(Signal):
    """Raise it to run the task again with the same arguments, in the next round of a loop.

    The next round finds ``result`` as ``dataflow.context.get("task_loop_result")``, and its number, which is 1 at
    first, as ``dataflow.context.get("task_loop_count")``.

    Args:
        result: what the next round is told.
        message: what the state Looping says.

    Example:
        >>> from dataflow import context, flow, task
        >>> from dataflow.signals import Loop
        >>> @task
        ... def power(base, least):
        ...     value = context.get("task_loop_result", 1) * base
        ...     if value < least:
        ...         raise Loop(value)
        ...     return value
        >>> @flow(cluster="inline")
        ... def powers():
        ...     return power.map([2, 3, 5], 20)
        >>> powers()
        [32, 27, 25]
    """

    def __init__(self, result: Any = None, message: str = "") -> None:
        super().__init__(result, message)
        self.result = result
        self.message = message


class Suspend(Signal):
    """Raised in the body of a flow by ``suspend_flow_run``, and where a paused body is suspended from outside."""


class Nothing:
    """The type of `NOTHING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"

    def __dataflow_key__(self) -> object:
        """What keys are made of where it is an argument."""
        return "NOTHING"


NOTHING = Nothing()
"""Stands for a skipped input where the trigger is ``not_all_skipped``, so that it is told from the value None."""
