"""The recorder of one execution of a run: read by the writer of the history in its own time, never told by the engine.

The engine writes down what ends in a log that only grows. The recorder remembers how far it has read, and turns what
is new into rows whenever the writer asks; so the engine does nothing for the history, whatever the database does.
"""

from __future__ import annotations

import getpass
import json
import platform
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from dataflow.artifacts.rows import ArtifactRows
from dataflow.database.columns import Line, pack_lines
from dataflow.database.rows import ExecutionRow, LogRow, RequestRow, Row, RunRow, StateRow
from dataflow.engine.notices import ARTIFACT, LOG, PlacedNotice
from dataflow.recording.descriptions import Description
from dataflow.recording.kinds import Kinds
from dataflow.recording.node_rows import NodeRows
from dataflow.recording.plain_rows import PlainRows
from dataflow.recording.segment_rows import batch_row, segment_row
from dataflow.states import FINAL, Running, State, StateType
from dataflow_results.liveness.processes import this_process

if TYPE_CHECKING:
    from dataflow.engine.report import Report
    from dataflow.session import Run

__all__ = ["Recorder"]

TO_GO_ON = frozenset({StateType.AWAITING_RETRY, StateType.PAUSED, StateType.SUSPENDED})
"""States of a run of which another execution follows, or may follow."""
HEARTBEAT_SECONDS = 5.0
"""How often a run says that it goes on."""


@cache
def _machine() -> dict[str, str]:
    """What is known of this process and its machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = ""
    return {"host": socket.gethostname(), "user": user, "python": platform.python_version()}


@dataclass(frozen=True, slots=True)
class Told:
    """A state of the run, and when it came into it."""

    time: float
    state: State[Any]


class Recorder:
    """Turns what is new of one execution into rows.

    Args:
        run: the run; only read.
        description: what its door says of it.
        cluster: name or address of where it runs.
        parent: id of the run it was begun in, and what of that began it.
        earlier: gives the row of the run from an earlier execution, if there was one; called in the writer's thread.
    """

    def __init__(
        self,
        run: Run,
        description: Description,
        *,
        cluster: str,
        parent: tuple[str, str] = ("", ""),
        earlier: Callable[[], RunRow | None] | None = None,
    ) -> None:
        self.run_id = run.id
        self.execution_id = uuid.uuid4().hex[:12]
        self._run = run
        self._description = description
        self._cluster = cluster
        self._parent = parent
        self._earlier = earlier
        self._began = time.time()
        self._told: deque[Told] = deque([Told(self._began, Running())])
        self._notices: deque[PlacedNotice] = deque()
        self._state: State[Any] = Running()
        self._ended: float | None = None
        self._position = 0
        """How far the log of the engine has been read."""
        self._batches: set[int] = set()
        """Numbers of the batches that were written."""
        kinds = Kinds(run)
        self._plain = PlainRows(self.execution_id, kinds)
        self._nodes = NodeRows(self.execution_id, run, kinds, elsewhere=self._plain.taken)
        self._artifacts = ArtifactRows(run.id, self.execution_id)
        self._row: RunRow | None = None
        self._beat = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether it was told of a final state."""
        return self._ended is not None

    # Told, by the thread that does it

    def tell(self, state: State[Any]) -> None:
        """The run has come into a state."""
        now = time.time()
        self._told.append(Told(now, state))
        self._state = state
        if state.type in FINAL:
            self._ended = now

    def end(self, state: State[Any]) -> None:
        """This execution has ended; in this state, unless it was told of its own end before."""
        if self._ended is None:
            self._ended = time.time()
            if self._state.type not in TO_GO_ON:
                self.tell(state)

    def hear(self, notices: Sequence[PlacedNotice]) -> None:
        """Elements, or the body of the flow, said something."""
        self._notices.extend(notices)

    def asked(self, request: RequestRow) -> None:
        """Somebody asks something of the run; from the writer's thread."""
        self._run.asked(request)

    # Read, by the writer

    def collect(self, now: float) -> list[Row]:
        """The rows of what is new."""
        rows: list[Row] = list(self._of_run(now))
        log = self._run.log
        read = log[self._position :]
        self._position += len(read)
        new = [entry for entry in read if self._run.is_own(entry[0].node)]
        rows += self._of_batches(segment.report for _, segment in new)
        plain, others = self._plain.take(new, self._nodes.written)
        rows += plain
        rows += (segment_row(self.execution_id, facts, segment) for facts, segment in others)
        rows += self._nodes.collect(others, now, is_over=self.has_ended)
        rows += self._of_notices()
        rows += _taken(self._run.answers)
        return rows

    def _of_batches(self, reports: Iterable[Report | None]) -> Iterator[Row]:
        for report in reports:
            if report is not None and report.batch not in self._batches:
                self._batches.add(report.batch)
                yield batch_row(self.execution_id, report)

    def _of_run(self, now: float) -> Iterator[Row]:
        told = _taken(self._told)
        for one in told:
            kind = one.state.type
            name, message = one.state.name, one.state.message
            yield StateRow(run_id=self.run_id, time=one.time, state=int(kind), name=name, message=message)
        if told:
            yield self._run_row()
        if told or now - self._beat > HEARTBEAT_SECONDS:
            self._beat = now
            yield self._execution_row(now)

    def _run_row(self) -> RunRow:
        if self._row is None:
            self._row = self._first_row()
        is_final = self._state.type in FINAL
        self._row = replace(
            self._row,
            state=int(self._state.type),
            message=self._state.message,
            ended=self._ended if is_final else None,
        )
        return self._row

    def _first_row(self) -> RunRow:
        known = self._description
        earlier = None if self._earlier is None else self._earlier()
        parent, place = self._parent
        row = RunRow(
            id=self.run_id,
            flow=self._run.name,
            name=known.name,
            state=int(StateType.RUNNING),
            started=known.started,
            door=known.door,
            parent=parent,
            parent_place=place,
            parameters=known.parameters,
            tags=json.dumps(sorted(known.tags)),
            entrypoint=known.entrypoint,
            arguments=known.arguments,
            store=self._run.store_url,
        )
        return row if earlier is None else replace(row, started=earlier.started)

    def _execution_row(self, now: float) -> ExecutionRow:
        machine = _machine()
        facts = {"python": machine["python"], "threads": self._run.threads}
        return ExecutionRow(
            id=self.execution_id,
            run_id=self.run_id,
            state=int(self._state.type),
            message=self._state.message,
            started=self._began,
            ended=self._ended,
            heartbeat=now,
            process=this_process(),
            host=machine["host"],
            user=machine["user"],
            cluster=self._cluster,
            facts=json.dumps(facts),
        )

    # Notices

    def _of_notices(self) -> Iterator[Row]:
        lines: dict[int | None, list[Line]] = {}
        for notice in _taken(self._notices):
            number = None if notice.node is None else notice.node.id
            if notice.kind == LOG:
                lines.setdefault(number, []).append(Line(notice.index, notice.attempt, notice.time, *notice.body))
            elif notice.kind == ARTIFACT:
                yield self._artifacts.row(notice.body, node=number, element=notice.index)
        for number, found in lines.items():
            yield self._log_row(number, found)

    def _log_row(self, node: int | None, lines: Sequence[Line]) -> LogRow:
        times = [line.time for line in lines]
        return LogRow(
            execution_id=self.execution_id,
            node=node,
            first_time=min(times),
            last_time=max(times),
            highest_level=max(line.level for line in lines),
            count=len(lines),
            lines=pack_lines(lines),
        )


def _taken(queue: deque[Any]) -> list[Any]:
    """Everything that is in a queue now; others may add to it meanwhile."""
    return [queue.popleft() for _ in range(len(queue))]
