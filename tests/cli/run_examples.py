"""The history that the page about `dataflow runs` shows: a run that ended well, one that failed, one that crashed."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Iterator
from typing import Any

from dataflow.causes.values import Cause
from dataflow.database.columns import Line, Rare, pack_lines, pack_rare
from dataflow.database.reader import Reader
from dataflow.database.rows import BatchRow, ExecutionRow, LogRow, NodeRow, Row, RunRow, SegmentRow, StateRow
from dataflow.engine.durations import packed
from dataflow.engine.failures import pack_error
from dataflow.states import StateType

__all__ = ["CRASHED", "FAILED", "FIRST", "fill"]

NEW_YEAR = 1_735_689_600.0
"""2025-01-01 00:00 UTC."""
DAY_SECONDS = 86_400.0
FIRST, FAILED, CRASHED = "8c1f0a2b7d3e", "d94be07a15c2", "f3a6c8915b04"
ELSEWHERE = "node-7 - - 1 1"
"""A process of which nobody here can tell whether it lives."""
PROBLEM = "no answer from Brocken"
TRACEBACK = f"""Traceback (most recent call last):
  File "weather.py", line 12, in load
    return read(station)
OSError: {PROBLEM}
"""
ALL_WELL = {StateType.COMPLETED: 4}
SAID = ((0, 20, "reading Zugspitze"), (2, 30, "no answer, trying again"), (3, 20, "reading Feldberg"))


def fill(url: str) -> None:
    """Write the runs."""
    Reader(url).put([*_first(), *_failed(), *_crashed()])


def _first() -> Iterator[Row]:
    run = Example(FIRST, StateType.COMPLETED, NEW_YEAR, 61.5, 2023)
    yield from run.rows()
    yield run.node(0, "load", ALL_WELL, seconds=60.0)
    yield run.node(1, "report", {StateType.COMPLETED: 1}, seconds=1.5)
    yield from run.elements({})


def _failed() -> Iterator[Row]:
    run = Example(FAILED, StateType.FAILED, NEW_YEAR + DAY_SECONDS, 63.0, 2024)
    yield from run.rows("UpstreamFailed: report: it was not run, because an input failed")
    told: dict[str, Any] = {"type": "OSError", "message": PROBLEM, "count": 1, "place": "weather.py:12 in load"}
    cause = Cause(node="load", is_mapped=True, state="Failed", elements=((2, 3),), traceback=TRACEBACK, **told)
    after = Cause(node="report", is_mapped=False, state="UpstreamFailed", **told)
    yield run.node(0, "load", {StateType.COMPLETED: 3, StateType.FAILED: 1}, cause, seconds=61.0)
    yield run.node(1, "report", {StateType.UPSTREAM_FAILED: 1}, after)
    yield from run.elements({2: OSError(PROBLEM)})
    yield run.logs()


def _crashed() -> Iterator[Row]:
    run = Example(CRASHED, StateType.RUNNING, NEW_YEAR + 2 * DAY_SECONDS, None, 2025)
    yield from run.rows(entrypoint="/home/ada/weather.py:weather", arguments=pickle.dumps(((2025,), {})))
    yield run.node(0, "load", {StateType.COMPLETED: 3}, seconds=45.0)
    yield run.node(1, "report", {})


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A run of the flow ``weather``: four elements of ``load``, and ``report``."""

    id: str
    state: StateType
    began: float
    seconds: float | None
    year: int

    def rows(self, message: str = "", **of_run: Any) -> Iterator[Row]:
        """The run and its execution."""
        ended = None if self.seconds is None else self.began + self.seconds
        both: dict[str, Any] = {"state": int(self.state), "message": message, "started": self.began, "ended": ended}
        parameters = json.dumps({"year": str(self.year)})
        yield RunRow(id=self.id, flow="weather", name="weather", parameters=parameters, **both, **of_run)
        where: dict[str, Any] = {
            "host": "node-7",
            "user": "ada",
            "cluster": "tcp://10.0.0.7:8786",
            "process": "node-7 - - 1 1",
        }
        yield ExecutionRow(id=self.id, run_id=self.id, heartbeat=ended or self.began + 40, **both, **where)
        yield StateRow(run_id=self.id, time=self.began, state=int(StateType.RUNNING))
        if ended is not None:
            yield StateRow(run_id=self.id, time=ended, state=int(self.state), message=message)

    def node(
        self, number: int, slug: str, counts: dict[StateType, int], *causes: Cause, seconds: float = 0.0
    ) -> NodeRow:
        """One of the two nodes; its state is the worst of those of its elements."""
        is_mapped, ends = slug == "load", sum(counts.values())
        worst = max(counts, key=lambda kind: kind is not StateType.COMPLETED, default=StateType.PENDING)
        return NodeRow(
            execution_id=self.id,
            number=number,
            slug=slug,
            task=slug,
            is_mapped=is_mapped,
            length=4 if is_mapped else 1,
            state=int(StateType.RUNNING if ends == 3 else worst),
            done=ends,
            counts=json.dumps({str(int(kind)): count for kind, count in counts.items()}),
            seconds=seconds,
            causes=json.dumps([dataclasses.asdict(cause) for cause in causes]),
            collection="load-1" if is_mapped and self.state is not StateType.COMPLETED else "",
        )

    def elements(self, errors: dict[int, BaseException]) -> Iterator[Row]:
        """Those of ``load``, in one batch."""
        states = bytes(int(StateType.FAILED if index in errors else StateType.COMPLETED) for index in range(4))
        rare = Rare(errors={index: pack_error(error) for index, error in errors.items()})
        yield BatchRow(
            execution_id=self.id, number=0, worker="tcp://10.0.0.8:40001", started=self.began, seconds=60.0, count=4
        )
        seconds = packed([15.0, 14.5, 16.0, 14.5])
        columns: dict[str, Any] = {"states": states, "seconds": seconds, "rare": pack_rare(rare)}
        yield SegmentRow(execution_id=self.id, node=0, start=0, stop=4, batch=0, **columns)

    def logs(self) -> LogRow:
        """What ``load`` said."""
        lines = [
            Line(element, 1, self.began + at, level, "dataflow.task", text)
            for at, (element, level, text) in enumerate(SAID)
        ]
        found: dict[str, Any] = {"first_time": lines[0].time, "last_time": lines[-1].time}
        found |= {"highest_level": 30, "count": len(lines), "lines": pack_lines(lines)}
        return LogRow(execution_id=self.id, node=0, **found)
