"""Whether a run that says it goes on does so: a process that died said nothing of it."""

from __future__ import annotations

from dataflow.database.rows import ExecutionRow, RunRow
from dataflow.quantities import shown_here, shown_seconds
from dataflow.states import FINAL, State, StateType
from dataflow_results.liveness.processes import has_ended, this_process

__all__ = ["AT_REST", "seen_state"]

SILENT_SECONDS = 60.0
"""A process of another machine that has not said for so long that it goes on is taken for dead."""
AT_REST = FINAL | {StateType.SUSPENDED, StateType.SCHEDULED}
"""States in which a run needs no process."""
MACHINE_WORDS = 3
"""So many words of the name of a process name its machine."""


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
    silent = now - execution.heartbeat
    if _is_of_here(execution.process) or execution.ended is not None or silent <= SILENT_SECONDS:
        return ""
    return f"no sign of life for {shown_seconds(silent)}: its process, or {execution.host or 'its machine'}, is gone"


def _is_of_here(process: str) -> bool:
    """Whether `has_ended` can tell of a process: then it lives, however slowly its history is written."""
    machine = process.split(" ")[:MACHINE_WORDS]
    return "-" not in machine and machine == this_process().split(" ")[:MACHINE_WORDS]
