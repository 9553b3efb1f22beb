"""Executions of a run: which is the newest, and whether its process is still there, as far as can be told from here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dataflow.database.rows import ExecutionRow
from dataflow_results.liveness.processes import has_ended, this_process

__all__ = ["is_lost", "is_silent", "newest_execution"]

SILENT_SECONDS: Final = 60.0
"""A process of another machine that has not said for so long that it goes on is taken for dead."""
MACHINE_WORDS: Final = 3
"""So many words of the name of a process name its machine."""


def newest_execution(executions: Iterable[ExecutionRow]) -> ExecutionRow | None:
    """The one that began last; None if there is none."""
    return max(executions, key=lambda one: one.started, default=None)


def is_lost(execution: ExecutionRow, now: float) -> bool:
    """Whether its process ended, or has been silent for so long that it must have.

    Args:
        execution: one that has not said that it ended.
        now: seconds since the epoch.
    """
    return has_ended(execution.process) or is_silent(execution, now)


def is_silent(execution: ExecutionRow, now: float) -> bool:
    """Whether a process that cannot be looked at from here has said for too long nothing.

    Args:
        execution: one that has not said that it ended.
        now: seconds since the epoch.
    """
    return not _is_of_here(execution.process) and now - execution.heartbeat > SILENT_SECONDS


def _is_of_here(process: str) -> bool:
    """Whether `has_ended` can tell of a process: then it lives, however slowly its history is written."""
    machine = process.split(" ")[:MACHINE_WORDS]
    return "-" not in machine and machine == this_process().split(" ")[:MACHINE_WORDS]
