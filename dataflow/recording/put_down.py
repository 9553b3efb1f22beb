"""Runs that were put down: what they ask for, the answer that is written down for them, and how they are taken up."""

from __future__ import annotations

import json
import pickle
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow.database.rows import RequestRow, RunRow
from dataflow.errors import InputError, UsageError
from dataflow.input_schemas import complaints
from dataflow.pauses import MOST_REMEMBERED_RUNS
from dataflow.recording.claims import begun
from dataflow.recording.entrypoints import load_entrypoint
from dataflow.recording.places import history_url
from dataflow.states import StateType

if TYPE_CHECKING:
    from dataflow.recording.descriptions import Description

__all__ = [
    "INPUT",
    "answer_suspended",
    "call_of",
    "check_given",
    "note_put_down",
    "put_down_here",
    "run_again",
    "suspension_of",
]

INPUT = "input"
"""Kind of the requests that a run makes itself."""

put_down_here: OrderedDict[str, RunRow] = OrderedDict()
"""The runs of this process that were suspended and have no history, by id: so they can be taken up all the same."""


def note_put_down(run_id: str, flow: str, description: Description) -> None:
    """A run was suspended; where there is a history, that knows how it is taken up."""
    if history_url() is not None:
        return
    put_down_here[run_id] = RunRow(
        id=run_id,
        flow=flow,
        name=description.name,
        state=int(StateType.SUSPENDED),
        started=description.started,
        parameters=description.parameters,
        entrypoint=description.entrypoint,
        arguments=description.arguments,
    )
    while len(put_down_here) > MOST_REMEMBERED_RUNS:
        put_down_here.popitem(last=False)


def call_of(row: RunRow) -> str:
    """What to write to take up a run."""
    arguments = ", ..." if row.parameters not in ("", "{}") else ""
    return f"{row.flow.replace('-', '_')}.resume({row.id!r}{arguments})"


def suspension_of(reader: Any, row: RunRow, key: str, body: Mapping[str, Any]) -> RequestRow | None:
    """What a suspended run asks for, which is what it is given; None if it asks for nothing."""
    waiting = [one for one in reader.requests(row.id, open_only=True) if one.kind == INPUT and key in ("", one.key)]
    if not waiting:
        if INPUT in body or key:
            fix = "resume it without an input, and without a key"
            raise InputError("it does not wait for an input, or not under this key", where=f"run {row.id}", fix=fix)
        return None
    question: RequestRow = max(waiting, key=lambda one: one.asked)
    asked = json.loads(question.body)
    if asked["until"] is not None and time.time() > asked["until"]:
        problem = f"{question.key}: the time to answer is over"
        raise UsageError(problem, where=f"run {row.id}", fix=f"run the flow {row.flow!r} anew")
    check_given(question, asked, body.get(INPUT), is_given=INPUT in body)
    return question


def answer_suspended(reader: Any, question: RequestRow, body: Mapping[str, Any]) -> None:
    """Write down the answer, unless somebody else has done so meanwhile.

    Raises:
        UsageError: somebody has.
    """
    answer = json.dumps({INPUT: body.get(INPUT)})
    if not reader.exchange(question, replace(question, answered=time.time(), answer=answer)):
        begun(question.run_id)
        fix = f"what became of it: dataflow runs show {question.run_id}"
        raise UsageError("somebody else has just answered it", where=f"run {question.run_id}", fix=fix)


def check_given(question: RequestRow, asked: Mapping[str, Any], value: Any, *, is_given: bool) -> None:
    """Whether an input may fit what a question asks for.

    Raises:
        InputError: it certainly does not.
    """
    where = f"{question.key} of run {question.run_id}"
    if not asked["type"]:
        if value not in (None, {}):
            raise InputError(f"the input {value!r:.80} was not asked for", where=where, fix="resume it without")
        return
    schema = asked["schema"] or {}
    found = complaints(schema, {} if value is None and schema.get("type") == "object" else value)
    if found:
        told = "" if is_given else "no input was given, and "
        problem = f"{told}it asks for {asked['type']}: {'; '.join(found)}"
        raise InputError(problem, where=where, fix="give what fits; nothing was changed")


def run_again(row: RunRow, body: Mapping[str, Any] | None = None) -> str:
    """Run the flow of a suspended run again, in this process and to its end; with input that was not kept before."""
    if not row.entrypoint:
        problem = "where its flow stands is not known, so it cannot be taken up by its id alone"
        raise UsageError(problem, where=f"run {row.id}", fix=f"in Python: {call_of(row)}")
    flow = load_entrypoint(row.entrypoint)
    if row.arguments is None:
        problem = "its arguments were too large, or not of a kind, to be kept"
        raise UsageError(problem, where=f"run {row.id}", fix=f"in Python: {call_of(row)}")
    arguments, keywords = pickle.loads(row.arguments)
    given = {"run_input": body[INPUT]} if body and INPUT in body else {}
    state = flow.take_up(row.id, *arguments, **keywords, **given)
    return f"{state.name}: {state.message}" if state.message else str(state.name)
