"""A trial: one element at one step, from its first attempt to its end or to where it leaves the batch.

The walks call the function, in their own ways (in this thread, on an event loop, watched by a clock), and hand what
came out to the trial, which decides what that means. So the decisions stand here once.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from dataflow.context import Attempt, attempted, inside_task
from dataflow.engine.failures import Failure, let_go, pack_error
from dataflow.engine.inputs_of_failures import note_inputs
from dataflow.engine.judged import opened, pack_skip
from dataflow.engine.ledger import Call, Held, Ledger
from dataflow.engine.report import Try
from dataflow.errors import Cancelled, FlowFailed, ProcessDied, TimedOut
from dataflow.signals import Loop, Skip
from dataflow.states import FINAL, State, StateType
from dataflow.tracebacks import forget_context

__all__ = ["Abandoned", "Returned", "TaskRunView", "TaskView", "Trial", "cancelled", "failure_of", "timed_out"]

logger = logging.getLogger("dataflow")
SHORTEST_DELAY_SECONDS = 0.001
"""Shorter delays are not worth leaving the batch for."""
Elapsed = Callable[[], float]
RETRIED = frozenset({StateType.FAILED, StateType.TIMED_OUT})


class Returned(Exception):
    """Raised by the generated walk to have a value looked at that is not taken as it is."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Abandoned(BaseException):
    """Ends a thread whose element was given up, because it took too long or the run was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """What a retry condition is told of the task."""

    name: str
    tags: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRunView:
    """What a retry condition is told of the element."""

    name: str
    run_count: int
    """Number of the attempt that failed; 1 at first."""


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception of user code means: SystemExit and its like are no answer."""
    return Failure(int(_kind_of(error)), pack_error(error))


def _kind_of(error: BaseException) -> StateType:
    return next((state for kind, state in _KINDS.items() if isinstance(error, kind)), StateType.CRASHED)


_KINDS: dict[type[BaseException], StateType] = {
    TimedOut: StateType.TIMED_OUT,
    ProcessDied: StateType.CRASHED,
    Cancelled: StateType.CANCELLED,
    Exception: StateType.FAILED,
}
"""What exceptions mean, the first that fits; all others are no answer of the code."""


class Trial:
    """The attempts of one element at one step.

    Args:
        ledger: where to write down what becomes of it.
        frame: the values of the element.
        offset: of the element in its batch.
        position: of the step.
        elapsed: gives how many seconds ago its first attempt began, if it was begun before.
    """

    __slots__ = ("_began", "_call", "_elapsed", "_frame", "_handled", "_ledger", "approval", "attempt", "is_open",
                 "looped", "offset", "position", "round", "tries")  # fmt: skip

    def __init__(
        self, ledger: Ledger, frame: list[Any], offset: int, position: int, *, elapsed: Elapsed | None = None
    ) -> None:
        self._ledger = ledger
        self._frame = frame
        self._call = ledger.calls[position]
        self._began = time.time() if elapsed is None else 0.0
        self._elapsed = elapsed
        self.offset = offset
        self.position = position
        self._handled = sys.exception()
        self.attempt, self.round, self.looped = 1, 1, None
        self.approval: Any = None
        self.tries: list[Try] = []
        self.is_open = True
        """Whether the function is to be called (again) now."""
        held = ledger.resumed.get(offset)
        if held is not None and held.position == position:
            self.attempt, self.round, self.looped = held.attempt, held.round, held.looped
            self.approval = held.approval
            self.tries.extend(held.tries)

    @property
    def ledger(self) -> Ledger:
        """Where it is written down what becomes of it."""
        return self._ledger

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the function gets."""
        taken = self._call.take(self._frame)
        if not self._call.rules.judges:
            return tuple(taken)
        return tuple(opened(value, self._call.rules.trigger) for value in taken)

    def surroundings(self) -> AbstractContextManager[None]:
        """What the code of the next attempt finds around it."""
        if self.attempt == 1 and self.round == 1 and self.approval is None:
            return nullcontext()
        now = Attempt(attempt=self.attempt, round=self.round, looped=self.looped, approval=self.approval)
        return attempted(now)

    def returned(self, value: Any) -> None:
        """The function has returned."""
        nested = inside_task.get()
        if nested:
            try:
                value = _closed(nested, None, value)
            except BaseException as error:  # noqa: BLE001 - boundary: what the element submitted is user code too
                self.raised(error)
                return
        if type(value) is State:
            self._given(value)
        else:
            self._succeed(value)

    def raised(self, error: BaseException) -> None:
        """The function has raised.

        Raises:
            BaseException: the error itself, if it is no outcome of an element.
        """
        if isinstance(error, self._ledger.passing):
            raise error
        if isinstance(error, Returned):
            self.returned(error.value)
            return
        forget_context(error, self._handled)
        nested = inside_task.get()
        if nested:
            _closed(nested, error)
        if isinstance(error, Loop):
            self._loop(error.result)
        elif isinstance(error, Skip):
            self._skip(error)
        else:
            self._fail(_kind_of(error), error)

    # What a state that the task gave means

    def _given(self, state: State[Any]) -> None:
        if state.is_completed():
            self._note(state)
            self._succeed(state.data)
            return
        given = _GIVEN.get(state.type)
        if given is None:
            self._fail(StateType.FAILED, _no_end(state, self._call.name))
        else:
            if state.type in FINAL:
                self._note(state)
            given(self, state)

    def _note(self, state: State[Any]) -> None:
        self._ledger.notes[self.position][self.offset] = (state.name, state.message)

    def _loop(self, result: Any) -> None:
        self._try(StateType.LOOPING, b"", 0.0)
        self.attempt, self.round, self.looped = 1, self.round + 1, result

    def _skip(self, error: Skip) -> None:
        if error.message:
            self._ledger.notes[self.position].setdefault(self.offset, ("Skipped", error.message))
        self.end(Failure(int(StateType.SKIPPED), pack_skip(error)))

    # Ends

    def _succeed(self, value: Any) -> None:
        self._frame[self._call.slot] = value
        self._keep_tries()
        self.is_open = False

    def _fail(self, kind: StateType, error: BaseException) -> None:
        failure = Failure(int(kind), pack_error(error))
        delay = self._delay(kind, error)
        if delay is None:
            note_inputs(self._ledger.inputs[self.position], self.offset, self.arguments)
            self.end(failure)
            return
        self._ledger.notes[self.position].pop(self.offset, None)
        let_go(failure.error)
        self._try(kind, failure.error, delay)
        self.attempt += 1
        if delay >= SHORTEST_DELAY_SECONDS:
            self._hold(Failure(int(StateType.AWAITING_RETRY), failure.error), delay)

    def pause(self) -> None:
        """Leave the batch until somebody approves."""
        self._hold(Failure(int(StateType.PAUSED), b""), float("inf"))

    def end(self, failure: Failure) -> None:
        """End without a value."""
        self._frame[self._call.slot] = failure
        self._ledger.note(self.position, self.offset, failure)
        self._keep_tries()
        self.is_open = False

    def _hold(self, failure: Failure, delay: float) -> None:
        held = Held(self.position, (), self.attempt, self.round, self.looped, tuple(self.tries), self.approval)
        self._keep_tries()
        self._ledger.hold(self._frame, self.offset, held, failure, delay)
        self.is_open = False

    def _keep_tries(self) -> None:
        if self.tries:
            self._ledger.tries[self.position][self.offset] = tuple(self.tries)

    def _try(self, kind: StateType, error: bytes, delay: float) -> None:
        now = time.time()
        if self._elapsed is not None:
            self._began, self._elapsed = now - self._elapsed(), None
        self.tries.append(Try(int(kind), self._began, now - self._began, error, delay, self.round))
        self._began = now

    def _delay(self, kind: StateType, error: BaseException) -> float | None:
        """How long to wait for another attempt; None if there is none."""
        policy = self._call.rules.retry
        if not policy.retries or not (kind in RETRIED or isinstance(error, ProcessDied)):
            return None
        delay = policy.delay_seconds(self.attempt, random.random())  # noqa: S311 - jitter, no secret
        return None if delay is None or not self._is_worth_it(kind, error) else delay

    def _is_worth_it(self, kind: StateType, error: BaseException) -> bool:
        condition = self._call.rules.retry.condition
        if condition is None:
            return True
        state = State[Any](type=kind, message=f"{type(error).__name__}: {error}", data=error, attempt=self.attempt)
        task = TaskView(name=self._call.name, tags=self._call.rules.tags)
        task_run = TaskRunView(name=self._call.name, run_count=self.attempt)
        try:
            return bool(condition(task, task_run, state))
        except Exception:  # a condition that raises is no yes
            logger.exception("the retry condition of task %r raised, so it is not tried again", self._call.name)
            return False


def _as_failure(kind: StateType, trial: Trial, state: State[Any]) -> None:
    trial._fail(kind, state.result(raise_on_failure=False))


_GIVEN: dict[StateType, Callable[[Trial, State[Any]], None]] = {
    StateType.FAILED: partial(_as_failure, StateType.FAILED),
    StateType.TIMED_OUT: partial(_as_failure, StateType.TIMED_OUT),
    StateType.CRASHED: partial(_as_failure, StateType.CRASHED),
    StateType.CANCELLED: partial(_as_failure, StateType.CANCELLED),
    StateType.SKIPPED: lambda trial, state: trial._skip(Skip(state.message, state.data)),
    StateType.LOOPING: lambda trial, state: trial._loop(state.data),
}
"""What states mean that a task returned, but those that have a value."""


def _no_end(state: State[Any], name: str) -> FlowFailed:
    problem = f"the task returned the state {state}, which is not an end"
    return FlowFailed(
        problem, where=f"task {name!r}", fix="return a value, Completed(...), Failed(...) or Skipped(...)"
    )


def _closed(nested: list[Any], error: BaseException | None, value: Any = None) -> Any:
    """End what an element submitted itself, as the element ends; gives the value with futures replaced by theirs."""
    bodies = list(nested)
    nested.clear()
    for body in bodies:
        value = body.close(error, value)
    return value


def timed_out(call: Call) -> TimedOut:
    """The error of an attempt that took longer than its limit."""
    problem = f"it took longer than {call.rules.timeout_seconds:g} s"
    return TimedOut(problem, where=f"task {call.name!r}", fix="raise timeout_seconds=, or look why it takes so long")


def cancelled() -> Cancelled:
    """The error of an attempt that was ended because it was cancelled."""
    return Cancelled("it was cancelled while it was running")
