"""Rows and sources that the tests of the database share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from threading import Event
from typing import Any

from dataflow.database.rows import BatchRow, ExecutionRow, LogRow, NodeRow, RequestRow, Row, RunRow, SegmentRow
from dataflow.states import StateType

NOW = time.time()
"""Runs that began long ago would be forgotten as soon as they are written."""


def run_row(run_id: str = "r1", **changed: Any) -> RunRow:
    """A run of flow "etl" that has ended."""
    given = {"id": run_id, "flow": "etl", "name": "etl", "state": StateType.COMPLETED.value, "started": NOW}
    return RunRow(**(given | changed))


def execution_row(execution_id: str = "e1", run_id: str = "r1", **changed: Any) -> ExecutionRow:
    """An execution of it."""
    given = {"id": execution_id, "run_id": run_id, "state": 2, "started": 100.0, "heartbeat": 101.0, "process": "p"}
    return ExecutionRow(**(given | changed))


def node_row(number: int = 0, execution_id: str = "e1", **changed: Any) -> NodeRow:
    """A mapped node."""
    given = {
        "execution_id": execution_id,
        "number": number,
        "slug": "load",
        "task": "load",
        "is_mapped": True,
        "state": 2,
    }
    return NodeRow(**(given | changed))


def segment_row(start: int, stop: int, execution_id: str = "e1", **changed: Any) -> SegmentRow:
    """Elements of node 0."""
    given = {"execution_id": execution_id, "node": 0, "start": start, "stop": stop, "batch": 1, "state": 2}
    return SegmentRow(**(given | changed))


def batch_row(number: int, execution_id: str = "e1") -> BatchRow:
    """A batch of ten elements."""
    return BatchRow(execution_id=execution_id, number=number, worker="w", started=100.0, seconds=0.5, count=10)


def log_row(lines: bytes = b"", execution_id: str = "e1", **changed: Any) -> LogRow:
    """A line."""
    given = {"execution_id": execution_id, "first_time": 1.0, "last_time": 1.0, "highest_level": 20, "count": 1}
    return LogRow(**(given | {"lines": lines} | changed))


def request_row(request_id: str, run_id: str = "r1", **changed: Any) -> RequestRow:
    """Somebody asks a run to be cancelled."""
    return RequestRow(**({"id": request_id, "run_id": run_id, "kind": "cancel", "asked": 1.0} | changed))


class Told:
    """A source with rows to tell.

    Args:
        run_id: its run.
        rows: what it tells when it is asked first.
    """

    def __init__(self, run_id: str = "r1", rows: Iterable[Row] = ()) -> None:
        self.run_id = run_id
        self.rows = list(rows)
        self.requests: list[RequestRow] = []
        self.collected = 0
        """How often."""
        self.was_asked = Event()
        self.was_collected = Event()

    def collect(self, now: float) -> Sequence[Row]:
        """What there is to tell since the last time."""
        assert now > 1_000_000_000
        told, self.rows = self.rows, []
        self.collected += 1
        self.was_collected.set()
        return told

    def asked(self, request: RequestRow) -> None:
        """Remember it, and answer."""
        self.requests.append(request)
        self.was_asked.set()


class Raising(Told):
    """A source that cannot tell."""

    def collect(self, now: float) -> Sequence[Row]:
        """Fail."""
        raise RuntimeError("nothing to tell")
