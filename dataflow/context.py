"""What surrounds the code that is running now: the run, the flow being built, or a task."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataflow.flows import Flow
    from dataflow.session import Run

__all__ = ["current_flow", "current_run", "inside_task"]

current_run: ContextVar[Run | None] = ContextVar("current_run", default=None)
"""The run whose flow body is executing in this context, if any."""

current_flow: ContextVar[Flow | None] = ContextVar("current_flow", default=None)
"""The flow of the innermost ``with Flow(...)`` block, if any."""

inside_task: ContextVar[bool] = ContextVar("inside_task", default=False)
"""Whether a task's function is executing in this context."""
