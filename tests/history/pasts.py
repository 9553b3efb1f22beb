"""Runs that the tests of the history look back at: rows written into a real SQLite file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflow.database.columns import Line, Rare, pack_lines, pack_rare
from dataflow.database.reader import Reader
from dataflow.database.rows import BatchRow, ExecutionRow, LogRow, NodeRow, Row, RunRow, SegmentRow
from dataflow.engine.durations import packed as packed_durations
from dataflow.engine.failures import pack_error
from dataflow.states import StateType
from dataflow_results.liveness.processes import this_process

__all__ = [
    "BEGAN",
    "FOREIGN",
    "RUN",
    "batch",
    "dead_process",
    "lines",
    "node",
    "packed",
    "run_rows",
    "segment",
    "write",
]

BEGAN = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC."""
RUN = "5f2a9c0d1e3b"
FOREIGN = "elsewhere boot namespace 1 1"
"""A process of another machine."""


def write(folder: Path, *rows: Row | Sequence[Row]) -> str:
    """The URL of a database with these rows."""
    url = f"sqlite:///{folder}/history.db"
    found: list[Row] = []
    for many in rows:
        found += many if isinstance(many, Sequence) else [many]
    Reader(url).put(found)
    return url


def dead_process() -> str:
    """A process of this machine that has ended."""
    *rest, _ = this_process().split(" ")
    return " ".join([*rest, "1"])


def run_rows(
    run_id: str = RUN,
    state: StateType = StateType.COMPLETED,
    execution: Mapping[str, Any] | None = None,
    **of_run: Any,
) -> list[Row]:
    """A run of the flow ``weather`` and its one execution, which has the id of the run."""
    ended = BEGAN + 90 if state in ENDED else None
    given: dict[str, Any] = {"flow": "weather", "name": "weather", "started": BEGAN, "ended": ended}
    run = RunRow(id=run_id, state=state.value, **(given | of_run))
    row: dict[str, Any] = {"run_id": run_id, "state": run.state, "started": run.started, "ended": run.ended}
    row |= {"id": run_id, "heartbeat": time.time(), "process": this_process(), "cluster": "local", "host": "node-1"}
    return [run, ExecutionRow(**(row | dict(execution or {})))]


ENDED = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED})


def node(number: int = 0, run_id: str = RUN, **changed: Any) -> NodeRow:
    """A map ``load`` of six elements, or another node."""
    given: dict[str, Any] = {"slug": "load", "task": "load", "is_mapped": True, "length": 6, "state": 2, "done": 6}
    given |= {"seconds": 3.0, "counts": json.dumps({"2": 6})}
    return NodeRow(execution_id=run_id, number=number, **(given | changed))


def packed(*errors: BaseException) -> dict[int, bytes]:
    """Exceptions of the first elements."""
    return {position: pack_error(error) for position, error in enumerate(errors)}


def segment(start: int, states: str | StateType, **changed: Any) -> SegmentRow:
    """Elements of node 0 in batch 0.

    Args:
        start: index of the first one.
        states: a letter for each: Completed, Failed, Skipped, Upstream; or the state of one that was never sent.
        changed: other fields; ``seconds`` as numbers, ``rare`` as `Rare`.
    """
    run_id = changed.pop("run_id", RUN)
    if isinstance(states, str):
        count = len(states)
        columns: dict[str, Any] = {"batch": 0, "seconds": [0.5] * count}
        columns["states"] = bytes(LETTERS[letter] for letter in states)
    else:
        count = changed.pop("count", 1)
        columns = {"state": states.value}
    columns |= changed
    columns["rare"] = pack_rare(columns.get("rare") or Rare())
    if columns.get("seconds") is not None:
        columns["seconds"] = packed_durations(columns["seconds"])
    return SegmentRow(execution_id=run_id, **({"node": 0, "start": start, "stop": start + count} | columns))


LETTERS = {"C": StateType.COMPLETED, "F": StateType.FAILED, "S": StateType.SKIPPED, "U": StateType.UPSTREAM_FAILED}


def batch(number: int = 0, worker: str = "w0", run_id: str = RUN, started: float = BEGAN) -> BatchRow:
    """A batch of six elements."""
    return BatchRow(execution_id=run_id, number=number, worker=worker, started=started, seconds=3.0, count=6)


def lines(*said: tuple[int | None, int, str], number: int | None = 0, run_id: str = RUN, at: float = BEGAN) -> LogRow:
    """Log lines of a node, one a second: element, level, message."""
    found = [
        Line(element, 1, at + second, level, "print" if level == 0 else "dataflow.task", message)
        for second, (element, level, message) in enumerate(said)
    ]
    return LogRow(
        execution_id=run_id,
        node=number,
        first_time=found[0].time,
        last_time=found[-1].time,
        highest_level=max(line.level for line in found),
        count=len(found),
        lines=pack_lines(found),
    )
