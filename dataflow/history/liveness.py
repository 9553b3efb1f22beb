"""Whether a run that says it goes on does so: a process that died said nothing of it."""

from __future__ import annotations

from dataflow.database.rows import ExecutionRow, RunRow
from dataflow.quantities import shown_here, shown_seconds
from dataflow.recording.executions import is_silent
from dataflow.states import FINAL, State, StateType
from dataflow_results.liveness.processes import has_ended

__all__ = ["AT_REST", "seen_state"]

AT_REST = FINAL | {StateType.SUSPENDED, StateType.SCHEDULED}
"""States in which a run needs no process."""


def seen_state(row: RunRow, execution: ExecutionRow | None, now: float) -> State[None]:
    """The state of a run, as it looks from here: Crashed if its process ended without a word.

    Args:
        row: the run, as it was last written down.
        execution: the newest one; None if there is none.
        now: seconds since the epoch.
    """
    kind = StateType(row.state)
    if kind in AT_REST or execution is None:
        return State(type=kind, message=row.message)
    problem = _death(execution, now)
    return State(type=StateType.CRASHED, message=problem) if problem else State(type=kind, message=row.message)


def _death(execution: ExecutionRow, now: float) -> str:
    """What tells that a process is not there any more; empty if nothing does."""
    last = f"the last sign of life was at {shown_here(execution.heartbeat)}"
    if has_ended(execution.process):
        return f"its process ended without a word; {last}"
    if execution.ended is not None or not is_silent(execution, now):
        return ""
    silence = shown_seconds(now - execution.heartbeat)
    return f"no sign of life for {silence}: its process, or {execution.host or 'its machine'}, is gone"
