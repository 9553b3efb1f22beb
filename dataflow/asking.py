"""Asking a run for something, from this process or another: cancel, pause, resume, approve; and how it answers.

Another process writes what it asks into the database of runs. The writer of the run's own process finds it there and
hands it to the run; the answer goes the same way back.
"""

from __future__ import annotations

import importlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from dataflow.database.rows import ExecutionRow, RequestRow, RunRow
from dataflow.errors import DataflowError, HistoryError, InputError, NotFinished, UsageError
from dataflow.input import plain_input
from dataflow.pauses import SUSPEND, Given, Question, remembered
from dataflow.places import find_place
from dataflow.recording.claims import begun, check_free, claim, claim_here
from dataflow.recording.executions import is_lost, newest_execution
from dataflow.recording.places import history_url
from dataflow.recording.put_down import (
    INPUT,
    answer_suspended,
    call_of,
    check_given,
    put_down_here,
    run_again,
    suspension_of,
)
from dataflow.states import FINAL, NAMES, StateType

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = [
    "answered",
    "ask_run",
    "check_input",
    "earlier_input",
    "is_unfinished",
    "live",
    "note_begun",
    "question_row",
]

logger = logging.getLogger("dataflow")
WAITING = (StateType.SUSPENDED, StateType.PAUSED)
TURN_SECONDS = 0.1
"""How often an answer is looked for."""

live: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""The runs of this process that have not ended, by id."""


# The side of the run


def question_row(run_id: str, question: Question, answer: Given | Exception | None) -> RequestRow:
    """What a run waits for, as other processes read it; with the answer, once there is one."""
    waits = question.timeout_seconds
    body = {
        "kind": question.kind,
        "type": question.type.name,
        "schema": question.type.schema,
        "description": question.type.description,
        "until": None if waits is None else question.asked + waits,
    }
    return RequestRow(
        id=f"{run_id}-{question.key}",
        run_id=run_id,
        kind=INPUT,
        key=question.key,
        body=json.dumps(body, default=str),
        asked=question.asked,
        answered=None if answer is None else time.time(),
        answer=_answer_text(question, answer),
    )


def _answer_text(question: Question, answer: Given | Exception | None) -> str:
    if answer is None:
        return ""
    if isinstance(answer, Exception):
        return json.dumps({"error": str(answer)})
    try:
        return f'{{"input": {question.type.as_json(answer.value)}}}'
    except InputError as error:  # it was given in this process, where nothing has to be written down
        return json.dumps({"error": str(error)})


def answered(run: Run, request: RequestRow) -> RequestRow:
    """Do what is asked of a run; gives the request with the answer."""
    try:
        _perform(run, request.kind, request.key, json.loads(request.body))
        answer: dict[str, Any] = {"done": True}
    except DataflowError as error:
        answer = {"error": error.problem, "where": error.where, "fix": error.fix, "type": type(error).__name__}
    return replace(request, answered=time.time(), answer=json.dumps(answer))


def _perform(run: Run, kind: str, key: str, body: Mapping[str, Any]) -> None:
    perform = _PERFORMED.get(kind)
    if perform is None:
        problem = f"nobody can ask it to {kind!r}"
        raise UsageError(problem, where=f"run {run.id}", fix=f"one of: {', '.join(_PERFORMED)}")
    perform(run, key, body)


def note_begun(run: Any) -> None:
    """An execution of a run has begun in this process."""
    put_down_here.pop(run.id, None)
    live[run.id] = run  # before its claim ends: others look at both
    begun(run.id)


def _cancel(run: Run, key: str, _: Mapping[str, Any]) -> None:
    if key:
        find_place(run.graph.nodes, key)  # who asks is told what there is not
    ask = partial(run.cancel, key) if key else run.stop
    threading.Thread(target=ask, name=f"dataflow-cancel-{run.id}", daemon=True).start()


_PERFORMED: dict[str, Callable[[Any, str, Mapping[str, Any]], None]] = {
    "cancel": _cancel,
    "pause": lambda run, key, body: run.pause(),
    "resume": lambda run, key, body: run.resume(body.get(INPUT), key or None),
    "approve": lambda run, key, body: run.approve(key or None, body.get(INPUT)),
}
"""What can be asked of a run that goes on."""


def earlier_input(run_id: str) -> dict[str, Given | None]:
    """What earlier executions of a run asked, by key, and were given (None: nothing yet); empty without a history."""
    found = {row.key: json.loads(row.answer or "{}") for row in _inputs(run_id)}
    return {key: Given(value=answer[INPUT]) if INPUT in answer else None for key, answer in found.items()}


def _inputs(run_id: str) -> list[RequestRow]:
    """What a run asked so far, in that order; nothing where there is no history, or where it cannot be read."""
    url = history_url()
    try:
        rows = [] if url is None else _reader(url).requests(run_id, open_only=False)
    except HistoryError as error:
        logger.warning("what run %s asked before is not known: %s", run_id, error)
        return []
    return sorted((row for row in rows if row.kind == INPUT), key=lambda row: row.asked)


def check_input(run_id: str, given: Given) -> None:
    """Whether a run can be resumed with what is given, as far as that is known here; then nobody else can meanwhile.

    Raises:
        InputError: it does not fit what the run asks for.
        UsageError: nothing is known of the run, so that it cannot be known which question this is the answer to; the
            time to answer is over; it goes on, or somebody else resumes it.
    """
    asked = _inputs(run_id)
    _check_in_time(run_id, asked)
    if given.is_explicit:
        _check_fits(run_id, given, asked)
    _claim(run_id)


def _check_in_time(run_id: str, asked: Sequence[RequestRow]) -> None:
    """Whether a suspended run can still be resumed."""
    until = {row.key: _until(row) for row in asked if row.answered is None}
    done = {row.key for row in asked if row.answered is not None}
    for key, one in remembered.get(run_id, {}).items():
        if isinstance(one, Question) and one.kind == SUSPEND and one.timeout_seconds is not None and key not in done:
            until[key] = one.asked + one.timeout_seconds
    over = [key for key, end in until.items() if end is not None and time.time() > end]
    if over:
        raise UsageError(f"{over[-1]}: the time to answer is over", where=_of(run_id), fix="run the flow anew")


def _until(row: RequestRow) -> float | None:
    """When a suspended run can be resumed no more; None: always, or it was only paused and asks again."""
    body = json.loads(row.body)
    return body["until"] if body["kind"] == SUSPEND else None


def _claim(run_id: str) -> None:
    claim_here(run_id, live)
    url = history_url()
    try:
        reader = None if url is None else _reader(url)
        row = None if reader is None else reader.run(run_id)
        if row is not None and row.id == run_id:
            claim(reader, row)
    except HistoryError as error:
        logger.warning("whether somebody else resumes run %s is not known: %s", run_id, error)
    except UsageError:
        begun(run_id)
        raise


def _check_fits(run_id: str, given: Given, asked: Sequence[RequestRow]) -> None:
    url = history_url()
    known = {key: one for key, one in remembered.get(run_id, {}).items() if isinstance(one, Question)}
    newest = next((row for row in reversed(asked) if row.answered is None), None)
    if newest is not None and newest.key not in known:
        check_given(newest, json.loads(newest.body), given.value, is_given=True)
    elif known:
        question = known[newest.key] if newest is not None else list(known.values())[-1]
        question.type.validate(given.value)
    else:
        raise _not_asked(run_id, given, is_unknown=url is None and run_id not in remembered)


def _not_asked(run_id: str, given: Given, *, is_unknown: bool) -> UsageError:
    if is_unknown:
        problem = "what it asked before is not known here, and there is no history to find it in"
        fix = "resume it in the process that ran it, or turn the history on: DATAFLOW_HISTORY"
        return UsageError(problem, where=_of(run_id), fix=fix)
    problem = f"the input {given.value!r:.80} was not asked for"
    return InputError(problem, where=_of(run_id), fix="resume it without run_input=")


def is_unfinished(run_id: str, *, flow: str, store: str) -> bool:
    """Whether a run is to be taken up: it was suspended, or ended badly, or its process is not there.

    Args:
        run_id: the run.
        flow: name of the flow that it must be a run of.
        store: URL of the store that it must have kept its results in.
    """
    if any(isinstance(one, Question) and one.kind == SUSPEND for one in remembered.get(run_id, {}).values()):
        return True
    url = history_url()
    try:
        reader = None if url is None else _reader(url)
        row = None if reader is None else reader.run(run_id)
        newest = None if reader is None or row is None else newest_execution(reader.executions(run_id))
    except HistoryError as error:
        logger.warning("whether run %s is unfinished is not known: %s", run_id, error)
        return False
    if row is None or (row.id, row.flow, row.store) != (run_id, flow, store):
        return False
    return row.state in WAITING or (row.state != StateType.COMPLETED and not _goes_on(newest))


def _goes_on(newest: ExecutionRow | None) -> bool:
    """Whether an execution has neither ended nor lost its process."""
    return newest is not None and newest.ended is None and not is_lost(newest, time.time())


# The side of who asks


def ask_run(
    run_id: str,
    kind: str,
    key: str = "",
    body: Mapping[str, Any] | None = None,
    timeout_seconds: float = 10.0,
    *,
    runs_here: bool = True,
) -> str:
    """Ask a run, which may be one of another process, for something, and wait for the answer.

    Args:
        run_id: of the run.
        kind: ``"cancel"``, ``"pause"``, ``"resume"`` or ``"approve"``.
        key: which pause is meant, which node is approved or cancelled; empty: all, or the only one.
        body: ``{"input": ...}`` for what is given with it.
        timeout_seconds: how long to wait for the answer.
        runs_here: whether a suspended run that is resumed is taken up at once, in this process; if not, the input is
            kept for who does that.

    Returns:
        What became of it, in one sentence.

    Raises:
        InputError: the input does not fit; nothing was changed.
        UsageError: there is no such run, it has ended, its process is gone, it cannot do what is asked, or somebody
            else resumes it at this moment.
        NotFinished: there was no answer in time.

    Example:
        >>> from dataflow import flow, pause_flow_run
        >>> @flow(cluster="inline")
        ... def patient():
        ...     return pause_flow_run(timeout=5)
        >>> run = patient.start()
        >>> while not run.state.is_paused():
        ...     time.sleep(0.01)
        >>> ask_run(run.id, "resume"), run.result()
        ('done', None)
    """
    given = dict(body or {})
    run = live.get(run_id)
    if run is not None:
        _perform(run, kind, key, given)
        return "done"
    url = history_url()
    if url is None and run_id in put_down_here and kind == "resume" and runs_here:
        return run_again(put_down_here[run_id], given)
    given = plain_input(given, where=_of(run_id))
    if url is None:
        fix = "ask in the process of the run, or turn the history on: DATAFLOW_HISTORY"
        raise UsageError("it is not known here, and there is no history to find it by", where=_of(run_id), fix=fix)
    reader = _reader(url)
    row = _row(reader, run_id)
    if row.state == StateType.SUSPENDED:
        return _ask_suspended(reader, row, kind, key, given, runs_here=runs_here)
    _check_alive(reader, row)
    request = RequestRow(
        id=uuid.uuid4().hex, run_id=run_id, kind=kind, key=key, body=json.dumps(given), asked=time.time()
    )
    reader.put([request])
    return _told(_awaited(reader, request, timeout_seconds))


def _of(run_id: str) -> str:
    return f"run {run_id}"


def _reader(url: str) -> Any:
    # The libraries of databases take longer to load than a small flow takes to run, and few ever ask.
    return importlib.import_module("dataflow.database.reader").Reader(url)


def _row(reader: Any, run_id: str) -> RunRow:
    row: RunRow | None = reader.run(run_id)
    if row is None:
        raise UsageError("there is no such run", where=_of(run_id), fix="dataflow runs ls")
    if row.state in FINAL:
        fix = "what has ended cannot be steered; flow.resume(id) runs what is missing"
        raise UsageError(f"it has ended: {NAMES[StateType(row.state)]}", where=_of(run_id), fix=fix)
    return row


def _check_alive(reader: Any, row: RunRow) -> None:
    newest = newest_execution(reader.executions(row.id))
    if newest is not None and is_lost(newest, time.time()):
        fix = f"{call_of(row)} takes up what it has kept"
        raise UsageError("its process is gone, so nobody can answer", where=_of(row.id), fix=fix)


def _awaited(reader: Any, request: RequestRow, timeout_seconds: float) -> RequestRow:
    until = time.monotonic() + timeout_seconds
    while True:
        found = next((row for row in reader.requests(request.run_id, open_only=False) if row.id == request.id), None)
        if found is not None and found.answered is not None:
            return found  # type: ignore[no-any-return]
        if time.monotonic() >= until:
            problem = f"it has not answered within {timeout_seconds:g} s"
            raise NotFinished(problem, where=_of(request.run_id), fix="wait longer; what was asked stays asked")
        threading.Event().wait(TURN_SECONDS)


def _told(request: RequestRow) -> str:
    answer = json.loads(request.answer or "{}")
    if "error" in answer:
        kind = InputError if answer.get("type") == "InputError" else UsageError
        raise kind(answer["error"], where=answer.get("where"), fix=answer.get("fix"))
    return "done"


# Suspended runs


def _ask_suspended(reader: Any, row: RunRow, kind: str, key: str, body: Mapping[str, Any], *, runs_here: bool) -> str:
    if kind == "cancel":
        reader.put([replace(row, state=int(StateType.CANCELLED), message="cancelled while it was suspended")])
        return "done"
    if kind != "resume":
        raise UsageError("it is suspended, so nothing of it goes on", where=_of(row.id), fix="resume it first")
    check_free(reader, row)
    question = suspension_of(reader, row, key, body)
    if runs_here:
        _claim(row.id)  # who is given no answer any more is told so by who has the run
    if question is not None:
        answer_suspended(reader, question, body)
    return run_again(row) if runs_here else "kept"
