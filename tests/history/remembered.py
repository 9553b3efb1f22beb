"""Runs of the past without a database: the rows of a run that is here, given back as a reader would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from dataflow import flow
from dataflow.database.columns import unpack_rare
from dataflow.database.reader import Reader
from dataflow.database.rows import BatchRow, ExecutionRow, NodeRow, RunRow, SegmentRow
from dataflow.recording.kinds import Kinds
from dataflow.recording.node_rows import NodeRows
from dataflow.recording.segment_rows import batch_row, segment_row
from dataflow.session import Run
from dataflow.settings import settings

__all__ = ["Remembered", "no_history", "ran", "remember", "remembered_text", "stored"]

EXECUTION = "execution"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The rows of one execution, and what a reader would give of them."""

    run: RunRow
    execution: ExecutionRow
    node_rows: Sequence[NodeRow]
    batch_rows: Sequence[BatchRow]
    segment_rows: Sequence[SegmentRow]

    @property
    def reader(self) -> Reader:
        """Itself, as code that takes a reader wants it."""
        return cast(Reader, self)

    def executions(self, run_id: str) -> list[ExecutionRow]:
        """The one execution."""
        return [self.execution] if run_id == self.run.id else []

    def nodes(self, execution_id: str, *, complete: bool = False) -> Sequence[NodeRow]:
        """All nodes; what they use and their rules only where that is asked for."""
        assert execution_id == self.execution.id
        return [row if complete else replace(row, uses="[]", rules="{}") for row in self.node_rows]

    def batches(self, execution_id: str) -> Sequence[BatchRow]:
        """All batches."""
        assert execution_id == self.execution.id
        return self.batch_rows

    def segments(self, execution_id: str, node: int | None = None, *, batch: int | None = None) -> Sequence[SegmentRow]:
        """All segments, or those of one node or one batch."""
        assert execution_id == self.execution.id
        return [row for row in self.segment_rows if node in (None, row.node) and batch in (None, row.batch)]


def stored(past: Remembered, folder: Path) -> Reader:
    """A reader of a database that holds these rows."""
    reader = Reader(f"sqlite:///{folder}/history.db")
    reader.put([past.run, past.execution, *past.node_rows, *past.batch_rows, *past.segment_rows])
    return reader


def remember(run: Run, **of_run: Any) -> Remembered:
    """What a recorder would have written of a run."""
    log = run.log
    reports = {segment.report.batch: segment.report for _, segment in log if segment.report is not None}
    execution = f"{EXECUTION}-{run.id}"
    row = RunRow(id=run.id, flow=run.name, name=run.name, state=2, started=0.0)
    return Remembered(
        run=replace(row, **of_run),
        execution=ExecutionRow(id=execution, run_id=run.id, state=2, started=0.0, heartbeat=0.0, process=""),
        node_rows=list(NodeRows(execution, run, Kinds(run)).collect(log, 0.0, is_over=True)),
        batch_rows=[batch_row(execution, report) for report in reports.values()],
        segment_rows=[segment_row(execution, facts, segment) for facts, segment in log],
    )


def ran(body: Callable[[], Any], cluster: Any = "inline", **options: Any) -> Run:
    """The run of a flow with this body; a future that it returns is waited for."""

    @flow(cluster=cluster, **options)
    def main() -> None:
        future = body()
        if future is not None:
            future.wait()

    with no_history():
        run = main(return_state=True).run
    assert isinstance(run, Run)
    return run


@contextmanager
def no_history() -> Iterator[None]:
    """Runs that begin inside are not kept: their rows are made by `remember`."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATAFLOW_HISTORY", "off")
            settings.cache_clear()
            yield
    finally:
        settings.cache_clear()


def remembered_text(past: Remembered) -> str:
    """All rows as text, for messages of tests that fail."""
    parts = [json.dumps([row.slug, row.uses, row.rules]) for row in past.node_rows]
    parts += [f"{replace(row, rare=None, seconds=None)} {unpack_rare(row.rare)}" for row in past.segment_rows]
    return "\n".join(parts)
