"""Claims: of several who want to take up a run at the same moment one does, also if they are in different processes."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Container
from typing import Any

from dataflow.database.rows import ExecutionRow, RequestRow, RunRow
from dataflow.errors import UsageError
from dataflow.recording.executions import is_silent, newest_execution
from dataflow.states import StateType
from dataflow_results.liveness.processes import has_ended, this_process

__all__ = ["begun", "check_free", "claim", "claim_here"]

TAKEN = "taken"
BEGIN_SECONDS = 60.0
"""Who has claimed a run, and has begun nothing for so long, has failed before it began."""

_claiming = threading.Lock()
_claimed_here: dict[str, tuple[int, float]] = {}
"""By run which thread of this process has claimed it, and when; until its execution has begun."""


def claim_here(run_id: str, live: Container[str]) -> None:
    """Take a run for this thread, among those of this process; again, if it has done so before.

    Args:
        run_id: the run.
        live: the runs that go on in this process.

    Raises:
        UsageError: another thread takes it up, or it goes on.
    """
    with _claiming:
        thread, when = _claimed_here.get(run_id, (0, 0.0))
        if thread not in (0, threading.get_ident()) and time.monotonic() - when < BEGIN_SECONDS:
            raise _somebody_else(run_id)
        if run_id in live:
            fix = "wait for it, or cancel it first"
            raise UsageError("it is still going on", where=f"run {run_id}", fix=fix)
        _claimed_here[run_id] = threading.get_ident(), time.monotonic()


def begun(run_id: str) -> None:
    """An execution of a run has begun in this process, or could not be: its claim is needed no more."""
    with _claiming:
        _claimed_here.pop(run_id, None)


def claim(reader: Any, row: RunRow) -> None:
    """Take a run that was claimed for this thread also among all processes, before an execution of it is begun.

    Args:
        reader: of its history.
        row: the run; it does not go on in this process.

    Raises:
        UsageError: somebody else takes it up, or it goes on.
        HistoryError: the history cannot be read or written.
    """
    before, newest = check_free(reader, row)
    now = time.time()
    body = {
        "process": this_process(),
        "after": "" if newest is None else newest.id,
        "claim": uuid.uuid4().hex,
    }
    after = RequestRow(
        id=f"{row.id}-{TAKEN}", run_id=row.id, kind=TAKEN, body=json.dumps(body), asked=now, answered=now, answer="{}"
    )
    if not reader.exchange(before, after):
        raise _somebody_else(row.id)


def check_free(reader: Any, row: RunRow) -> tuple[RequestRow | None, ExecutionRow | None]:
    """Whether a run may be claimed; gives the claim that was made before, and the newest execution.

    Raises:
        UsageError: somebody else takes it up, or it goes on.
    """
    # The claim is read first: what began after it must not be missed.
    before = next((one for one in reader.requests(row.id) if one.kind == TAKEN), None)
    newest = newest_execution(reader.executions(row.id))
    now = time.time()
    if before is not None and json.loads(before.body)["after"] == ("" if newest is None else newest.id):
        if _is_about_to_begin(before, now):
            raise _somebody_else(row.id)
    elif newest is not None and _goes_on(row, newest, now):
        where, fix = f"run {row.id}", f"wait for it, or cancel it first: dataflow runs cancel {row.id}"
        raise UsageError(f"somebody else has resumed it, or it still goes on: {newest.process}", where=where, fix=fix)
    return before, newest


def _somebody_else(run_id: str) -> UsageError:
    fix = f"let the other one end; what became of it: dataflow runs show {run_id}"
    return UsageError("somebody else resumes it at this moment", where=f"run {run_id}", fix=fix)


def _is_about_to_begin(made: RequestRow, now: float) -> bool:
    """Whether who made a claim, and has begun nothing so far, still may."""
    by = json.loads(made.body)
    if by["process"] == this_process():
        return False  # it is the same call, or one that follows: the one before has failed
    return not has_ended(by["process"]) and now - made.asked < BEGIN_SECONDS


def _goes_on(row: RunRow, execution: ExecutionRow, now: float) -> bool:
    """Whether an execution goes on, or another attempt of the same call follows it."""
    if execution.process == this_process() or has_ended(execution.process):
        return False  # what goes on in this process is known here, better than the history knows
    if execution.ended is not None:
        return row.state == StateType.AWAITING_RETRY
    return not is_silent(execution, now)
