"""What the body of a flow, and others, call to pause, put down and take up a run, with typed input."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from dataflow.asking import ask_run
from dataflow.bodies import Body, surrounding_body
from dataflow.context import inside_task
from dataflow.engine.slots import leave_slot
from dataflow.errors import UsageError
from dataflow.option_checks import seconds_of
from dataflow.pauses import PAUSE, SUSPEND, Pauses, Question
from dataflow.signals import Suspend

__all__ = ["pause_flow_run", "resume_flow_run", "suspend_flow_run"]

LONGEST_PAUSE_SECONDS = 3600.0


def pause_flow_run(
    wait_for_input: Any = None, timeout: float | timedelta | None = LONGEST_PAUSE_SECONDS, key: str | None = None
) -> Any:
    """Hold the run here until somebody resumes it: nothing new of it begins, what runs ends, its process waits.

    In an ``async def`` flow it is awaited: ``await pause_flow_run()``.

    Args:
        wait_for_input: type of what whoever resumes the run has to give: a builtin type, a dataclass, a pydantic model.
        timeout: seconds, or a timedelta; None waits for ever.
        key: tells this pause from others; a pause that was resumed before under its key goes on at once, so that the
            next attempt of a flow, or a resumed run, does not ask again. By default the number of the call.

    Returns:
        The input; None if none is asked for.

    Raises:
        PauseTimedOut: nobody resumed it in time.
        UsageError: it is called outside of the body of a flow, or its timeout is over before it begins.

    Example:
        >>> import time
        >>> from dataflow import flow, pause_flow_run
        >>> @flow(cluster="inline")
        ... def asking():
        ...     return pause_flow_run(wait_for_input=int, timeout=5) + 1
        >>> run = asking.start()
        >>> while not run.state.is_paused():
        ...     time.sleep(0.01)
        >>> run.resume(run_input=41)
        >>> run.result()
        42
    """
    body = _body("pause_flow_run")
    pauses = body.run.pauses
    question = pauses.question(PAUSE, wait_for_input, _patience_seconds("pause_flow_run", timeout), key)
    if not body.is_async:
        return _paused(pauses, question)
    leave_slot()
    return _awaited(pauses, question)


def suspend_flow_run(
    wait_for_input: Any = None, timeout: float | timedelta | None = None, key: str | None = None
) -> Any:
    """Put the run down here: its body ends, its process may end, and it is taken up when somebody resumes it.

    Elements that are running end, and what they give is kept where their tasks keep results; nothing else begins. The
    resumed run calls the body from its beginning: what is kept is taken and does not run again, and this very call
    gives the input.

    Args:
        wait_for_input: as for `pause_flow_run`.
        timeout: how long it can be resumed: seconds, or a timedelta; None: for ever.
        key: as for `pause_flow_run`.

    Returns:
        The input, in the resumed run.

    Raises:
        UsageError: it is called outside of the body of a flow, or in a flow that another flow called; or its
            timeout is over before it begins.

    Example:
        >>> from dataflow import flow, suspend_flow_run
        >>> @flow(cluster="inline")
        ... def asking():
        ...     return suspend_flow_run(wait_for_input=int) + 1
        >>> run = asking.start()
        >>> run.wait().name
        'Suspended'
        >>> asking.resume(run.id, run_input=41)
        42
    """
    body = _body("suspend_flow_run")
    if body.run.is_inner:
        fix = "suspend_flow_run() in the outer flow, or pause_flow_run()"
        raise UsageError("a flow that another one called cannot be put down", where=f"flow {body.run.name!r}", fix=fix)
    pauses = body.run.pauses
    question = pauses.question(SUSPEND, wait_for_input, _patience_seconds("suspend_flow_run", timeout), key)
    if not body.is_async:
        return _suspended(pauses, question)
    leave_slot()
    return asyncio.to_thread(_suspended, pauses, question)


def resume_flow_run(run: Any, run_input: Any = None, key: str | None = None) -> None:
    """Let a paused run go on; take up a suspended one, in this process, and wait for its end.

    Args:
        run: the run, or its id; it may have been begun by another process.
        run_input: what it asks for: a value, a model or dataclass, or as a dict its fields.
        key: which of several pauses.

    Raises:
        InputError: the input does not fit; nothing was changed.
        UsageError: there is no such run, it does not wait, or somebody else resumes it at this moment.
        NotFinished: its process does not answer.

    Example:
        >>> from dataflow import resume_flow_run
        >>> from dataflow.asking import ask_run
        >>> resume_flow_run("0123456789ab")
        Traceback (most recent call last):
        ...
        dataflow.errors.UsageError: run 0123456789ab: ...
    """
    ask_run(str(getattr(run, "id", run)), "resume", key or "", {} if run_input is None else {"input": run_input})


def _body(name: str) -> Body:
    body = surrounding_body()
    if body is None:
        where = "in a task" if inside_task.get() is not None else "outside of flows"
        fix = "call it in the body of the flow, between the calls of its tasks"
        raise UsageError("only the body of a flow can wait for people", where=f"{name}() {where}", fix=fix)
    return body


def _patience_seconds(name: str, timeout: float | timedelta | None) -> float | None:
    seconds = seconds_of(timeout)
    if seconds is not None and not seconds > 0:
        fix = "seconds above 0, a timedelta, or None for as long as it takes"
        raise UsageError(f"nobody can answer within {seconds:g} s", where=f"{name}(timeout={timeout!r})", fix=fix)
    return seconds


def _paused(pauses: Pauses, question: Question) -> Any:
    known = pauses.known(question)
    return pauses.wait(question) if known is None else known.value


async def _awaited(pauses: Pauses, question: Question) -> Any:
    try:
        return await asyncio.to_thread(_paused, pauses, question)
    except asyncio.CancelledError:
        pauses.leave(question)  # the thread that waits must not outlive the one who asked
        raise


def _suspended(pauses: Pauses, question: Question) -> Any:
    known = pauses.known(question)
    if known is not None:
        return known.value
    pauses.put_down(question)
    raise Suspend(question.message)
