"""Forgetting runs: which are outdated, and all that is kept of one taken away in one transaction."""

from __future__ import annotations

from typing import Final

from dataflow.database.databases import Database, Link
from dataflow.database.retention import Keep, RunFacts, outdated
from dataflow.database.rows import (
    ArtifactRow,
    BatchRow,
    ExecutionRow,
    LogRow,
    NodeRow,
    PlainNodesRow,
    RequestRow,
    Row,
    RunRow,
    SegmentRow,
    StateRow,
)
from dataflow.database.statements import Words

__all__ = ["delete_run", "outdated_runs"]

OF_EXECUTIONS: Final[tuple[type[Row], ...]] = (SegmentRow, LogRow, BatchRow, NodeRow, PlainNodesRow)
OF_RUNS: Final[tuple[type[Row], ...]] = (ExecutionRow, StateRow, ArtifactRow, RequestRow)


def outdated_runs(link: Link, words: Words, keep: Keep, now: float) -> list[str]:
    """The ids of runs to forget, oldest first."""
    executions = f"SELECT run_id, MAX(heartbeat) FROM {words.quote('executions')} GROUP BY run_id"
    heartbeats = dict(map(tuple, link.ask(executions)))
    columns = ("id", "state", "started", "ended", "parent")
    facts = [
        RunFacts(
            id=run_id,
            state=state,
            started=started,
            ended=ended,
            parent=parent,
            heartbeat=heartbeats.get(run_id) or 0.0,
        )
        for run_id, state, started, ended, parent in link.ask(words.select(RunRow, columns))
    ]
    return outdated(facts, keep, now)


def delete_run(database: Database, words: Words, run_id: str) -> None:
    """Take away a run and all that belongs to it."""
    of_run = {"run_id": run_id}
    with database.writing() as link:
        found = link.ask(f"{words.select(ExecutionRow, ('id',))} WHERE {words.equals('run_id')}", of_run)
        executions = [{"execution_id": execution_id} for (execution_id,) in found]
        if executions:
            for row in OF_EXECUTIONS:
                link.many(words.delete(row, "execution_id"), executions)
        for row in OF_RUNS:
            link.many(words.delete(row, "run_id"), [of_run])
        link.many(words.delete(RunRow, "id"), [{"id": run_id}])
