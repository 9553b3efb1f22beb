"""The end of a ``@flow``: its final state, decided by what its body returned or raised and by failures nobody saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.errors import Cancelled as CancelledError
from dataflow.errors import FlowFailed, RunSuspended, UsageError
from dataflow.errors import TimedOut as TimedOutError
from dataflow.futures import Future
from dataflow.graph.containers import cut
from dataflow.graph.nodes import Node
from dataflow.signals import Loop, Skip, Suspend
from dataflow.states import Cancelled, Completed, Failed, Skipped, State, StateType, TimedOut

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = ["concluded", "interrupted", "overdue", "resolved", "settled"]

SHOWN_NODES = 5
"""So many failed nodes are named in a message; of the rest only the number is told."""
OVERDUE_GRACE_SECONDS = 0.1
"""A flow whose time is over waits this long for the elements that are running; after that they are dropped."""


def resolved(value: Any) -> Any:
    """The value with the values of futures in their places, at any depth; waits for them.

    Raises:
        Exception: whatever a future raises.
    """
    opened = cut(value, _is_future)
    return opened.rebuilt([future.result() for future in opened.targets]) if opened.targets else value


def concluded(run: Run, returned: Any) -> State[Any]:
    """The final state of a flow whose body has returned; waits until all submitted work has ended.

    A returned state decides; then returned futures, in any container; then failures that nobody looked at.
    """
    run.finish()
    if isinstance(returned, State):
        return _decided_by_state(run, returned)
    opened = cut(returned, _is_future_or_state)
    failed = [target for target in opened.targets if _is_future(target) and not target.state.is_successful()]
    if failed:
        return _failed_futures(run, failed, sum(map(_is_future, opened.targets)))
    unseen = [] if any(map(_is_future, opened.targets)) else run.failures_unseen()
    if unseen:
        return _failed_unseen(run, unseen)
    values = opened.rebuilt([_settled(target) for target in opened.targets]) if opened.targets else returned
    return replace(Completed(data=values), run=run)


def interrupted(run: Run, error: BaseException) -> State[Any]:
    """The final state of a flow whose body has raised; cancels what has not ended.

    Raises:
        BaseException: the error itself, where it is not one of the code but a wish to stop (Ctrl-C).
    """
    if isinstance(error, Suspend) or (run.pauses.suspension and isinstance(error, Exception)):
        return _suspended(run)
    run.cancel()
    if isinstance(error, Skip):
        return replace(Skipped(message=error.message, data=error.result), run=run)
    if isinstance(error, Loop):
        error = UsageError("a flow cannot loop", where=f"flow {run.name!r}", fix="raise Loop(...) in a task")
    if not isinstance(error, Exception):
        raise error
    final = Cancelled if isinstance(error, CancelledError) else Failed
    return replace(final(message=f"{type(error).__name__}: {error}", data=error), run=run)


def settled(run: Run, state: State[Any]) -> State[Any]:
    """The state of a flow that has ended in this one; of a flow that somebody has put down meanwhile Suspended."""
    is_untouched = state.is_successful() and not run.is_cancelled
    if not run.pauses.suspension or is_untouched or state.type is StateType.SUSPENDED:
        return state
    return _suspended(run)


def _suspended(run: Run) -> State[Any]:
    run.put_down()
    reason = run.pauses.suspension
    problem = f"it is suspended ({reason})" if reason else "it is suspended"
    fix = f"flow.resume({run.id!r}, ...), resume_flow_run({run.id!r}), or: dataflow runs resume {run.id}"
    error = RunSuspended(problem, where=f"run {run.id} of {run.name!r}", fix=fix)
    return State(type=StateType.SUSPENDED, message=reason, run=run, load=partial(_raise, error))


def _raise(error: Exception) -> Any:
    raise error


def overdue(run: Run, seconds: float, error: BaseException | None = None) -> State[Any]:
    """The final state of a flow whose time was over; cancels what has not ended.

    Args:
        run: the run.
        seconds: how long the flow was allowed to take.
        error: what was raised in its body then; it knows where that was.
    """
    run.cancel(grace_seconds=OVERDUE_GRACE_SECONDS)
    problem = f"it took longer than {seconds:g} s"
    late = TimedOutError(
        problem, where=f"flow {run.name!r}", fix="raise timeout_seconds=, or look why it takes so long"
    )
    data = late if error is None else late.with_traceback(error.__traceback__)
    return replace(TimedOut(message=problem, data=data), run=run)


def _is_future(value: Any) -> bool:
    return isinstance(value, Future)


def _is_future_or_state(value: Any) -> bool:
    return isinstance(value, Future | State)


def _decided_by_state(run: Run, state: State[Any]) -> State[Any]:
    if not state.is_final():
        problem = f"the flow returned the state {state}, which is not an end"
        raise UsageError(problem, where=f"flow {run.name!r}", fix="return a value, Completed(...) or Failed(...)")
    return replace(_settled(state), run=run)


def _settled(target: Any) -> Any:
    """A future's value; a state with its value in it, because the values of a run go with the run."""
    if isinstance(target, Future):
        return target.result()
    if target.load is None:
        return replace(target, data=resolved(target.data))
    return replace(target, load=None, data=target.result(raise_on_failure=False))


def _failed_futures(run: Run, failed: Sequence[Future[Any]], count: int) -> State[Any]:
    roots = [future for future in failed if not future.state.is_upstream_failed()]
    cancelled = [future for future in failed if future.state.is_cancelled()]
    final = Cancelled if cancelled else Failed
    error = _error_of((cancelled or roots or failed)[0])
    return replace(final(message=f"{len(failed)} of {count} returned futures did not succeed", data=error), run=run)


def _error_of(future: Future[Any]) -> BaseException:
    try:
        future.result()
    except BaseException as error:  # noqa: BLE001 - boundary: what the user's task raised is asked for, SystemExit too
        return error
    raise AssertionError(f"{future!r} was taken for failed")


def _failed_unseen(run: Run, nodes: Sequence[Node]) -> State[Any]:
    cancelled = [node for node in nodes if run.state(node).is_cancelled()]
    if cancelled:
        error = _error_of(Future(run, cancelled[0]))
        return replace(Cancelled(message=f"{type(error).__name__}: {error}", data=error), run=run)
    more = f" and {len(nodes) - SHOWN_NODES} more" if len(nodes) > SHOWN_NODES else ""
    names = ", ".join(node.slug for node in nodes[:SHOWN_NODES]) + more
    error = FlowFailed(
        f"work failed and nobody looked at it: {names}",
        where=f"flow {run.name!r}",
        fix="ask for .result() or .state of the futures, return them, or pass them on in allow_failure(...)",
    )
    error.__cause__ = _error_of(Future(run, nodes[0]))
    return replace(Failed(message=str(error), data=error), run=run)
