"""What became of an element, a node or a run: state types, states, and constructors that users return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dataflow.errors import Cancelled as CancelledError
from dataflow.errors import ExecutionError, FlowFailed, NotFinished
from dataflow.errors import TimedOut as TimedOutError
from dataflow.errors import UpstreamFailed as UpstreamFailedError
from dataflow.tracebacks import folding

__all__ = [
    "FINAL",
    "GOOD",
    "SUCCESSFUL",
    "UNSUCCESSFUL",
    "AwaitingRetry",
    "Cached",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Looping",
    "Paused",
    "Pending",
    "Retrying",
    "RolledBack",
    "Running",
    "Scheduled",
    "Skipped",
    "State",
    "StateType",
    "Suspended",
    "TimedOut",
    "UpstreamFailed",
]

R_co = TypeVar("R_co", covariant=True)


class StateType(IntEnum):
    """Kinds of state; the number is what the columns of a report hold, so numbers are never reused."""

    PENDING = 0
    """Not started: waits for inputs, for a free worker, or to be sent."""
    RUNNING = 1
    """Part of it has started."""
    COMPLETED = 2
    """Ended with a value."""
    FAILED = 3
    """Ended with an exception; a mapped node: at least one of its elements did."""
    CRASHED = 4
    """Ended without an answer: the worker died, or the code raised SystemExit or KeyboardInterrupt."""
    UPSTREAM_FAILED = 5
    """Never run, because an input failed."""
    CANCELLED = 6
    """Never run or not ended, because somebody cancelled it."""
    CACHED = 7
    """Not run, because its value was found in the store; a mapped node: all of its elements were."""
    SCHEDULED = 8
    """Planned for a later time."""
    TIMED_OUT = 9
    """An attempt took longer than its limit; a kind of failure."""
    AWAITING_RETRY = 10
    """An attempt failed, and another will follow after a delay. Holds no thread."""
    RETRYING = 11
    """Running, not for the first time."""
    SKIPPED = 12
    """Not run, or not to the end, on purpose: it said so, or something it uses was skipped. No failure."""
    PAUSED = 13
    """Waits for an approval; its run goes on elsewhere."""
    SUSPENDED = 14
    """Its run was put down, to be taken up again later."""
    CANCELLING = 15
    """Somebody cancelled it, and it has not ended yet."""
    LOOPING = 16
    """Running, in a later round of its loop."""
    ROLLED_BACK = 17
    """Ended with a value, which was taken back together with the transaction it belonged to."""


SUCCESSFUL = frozenset({StateType.COMPLETED, StateType.CACHED})
"""States of work that has a value."""
GOOD = SUCCESSFUL | {StateType.SKIPPED}
"""States that are no reason for what comes after to fail."""
UNSUCCESSFUL = frozenset(
    {StateType.FAILED, StateType.CRASHED, StateType.TIMED_OUT, StateType.UPSTREAM_FAILED, StateType.CANCELLED}
)
"""States of work that has ended without a value, other than by being skipped."""
FINAL = GOOD | UNSUCCESSFUL | {StateType.ROLLED_BACK}
"""States that work ends in."""
FAILURES = frozenset({StateType.FAILED, StateType.TIMED_OUT, StateType.UPSTREAM_FAILED})
AT_WORK = frozenset({StateType.RUNNING, StateType.RETRYING, StateType.LOOPING})
ERRORS: dict[StateType, type[ExecutionError]] = {
    StateType.CANCELLED: CancelledError,
    StateType.FAILED: FlowFailed,
    StateType.TIMED_OUT: TimedOutError,
    StateType.UPSTREAM_FAILED: UpstreamFailedError,
}
"""What is raised for a failed state that has no exception of its own."""
NAMES = {kind: "".join(word.title() for word in kind.name.split("_")) for kind in StateType}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State(Generic[R_co]):
    """A state at one moment; later changes make other states.

    Example:
        >>> from dataflow.states import Completed, Failed
        >>> Completed(data=3).result()
        3
        >>> Failed(message="no such file").is_failed()
        True
    """

    type: StateType
    name: str = ""
    message: str = ""
    data: Any = None
    """The value of a completed (or skipped) state, or the exception of a failed one, where it is at hand."""
    attempt: int = 0
    """How many times the work was tried."""
    started: float | None = None
    """Seconds since the epoch at which the (last) attempt began."""
    seconds: float | None = None
    """How long the (last) attempt took."""
    run: Any = field(default=None, repr=False)
    """The run this state belongs to."""
    load: Callable[[], R_co] | None = field(default=None, repr=False)
    """Fetches the value (or raises the error) from where the run keeps it."""

    if not TYPE_CHECKING:

        def __class_getitem__(cls, _: Any) -> type[State]:
            """``State[int]`` is the class itself: `typing` would write into the instances of anything else."""
            return cls

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", NAMES[self.type])

    def __str__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"

    @property
    def cause(self) -> BaseException | None:
        """The exception behind work that did not succeed; of work whose input failed, the exception of that input."""
        if self.type not in UNSUCCESSFUL:
            return None
        error = self.result(raise_on_failure=False)
        if not isinstance(error, BaseException):
            return None
        return (error.__cause__ or error) if self.is_upstream_failed() else error

    @property
    def timestamp(self) -> datetime | None:
        """When it came about: at the end of the attempt, or at its start if it has not ended; None if it had none."""
        if self.started is None:
            return None
        return datetime.fromtimestamp(self.started + (self.seconds or 0.0), UTC)

    def result(self, raise_on_failure: bool = True) -> R_co:
        """The value; raises the exception of failed work. Skipped work gives what it was skipped with, mostly None.

        Args:
            raise_on_failure: if False, an exception is given back instead of raised.

        Raises:
            NotFinished: the state is not final.
        """
        if not raise_on_failure and self.type in UNSUCCESSFUL and isinstance(self.data, BaseException):
            return self.data  # type: ignore[return-value]  # also SystemExit and its like, which no handler below takes
        __tracebackhide__ = True
        try:
            with folding():
                return self._value()
        except Exception as error:
            if raise_on_failure:
                raise
            return error  # type: ignore[return-value]

    def _value(self) -> R_co:
        if self.load is not None:
            return self.load()
        if not self.is_final():
            raise NotFinished(f"there is no result, because the state is {self.name}", fix="wait for it first")
        if self.type in GOOD:
            return self.data  # type: ignore[no-any-return]
        raise self._error()

    def _error(self) -> BaseException:
        if isinstance(self.data, BaseException):
            return self.data
        return ERRORS.get(self.type, ExecutionError)(self.message or f"the state is {self.name}")

    def is_pending(self) -> bool:
        """Whether it has not started."""
        return self.type is StateType.PENDING

    def is_scheduled(self) -> bool:
        """Whether it is planned for a later time: a start, or the next try of it."""
        return self.type in (StateType.SCHEDULED, StateType.AWAITING_RETRY)

    def is_running(self) -> bool:
        """Whether part of it has started and it has not ended; also in a later try, or round of its loop."""
        return self.type in AT_WORK

    def is_retrying(self) -> bool:
        """Whether it is being tried again, or waits for that."""
        return self.type in (StateType.RETRYING, StateType.AWAITING_RETRY)

    def is_looped(self) -> bool:
        """Whether it is in a later round of its loop."""
        return self.type is StateType.LOOPING

    def is_paused(self) -> bool:
        """Whether it waits for somebody: for an approval, or to be taken up again."""
        return self.type in (StateType.PAUSED, StateType.SUSPENDED)

    def is_completed(self) -> bool:
        """Whether it ended with a value, computed now or found in the store."""
        return self.type in SUCCESSFUL

    def is_cached(self) -> bool:
        """Whether it was not run, because its value was found in the store."""
        return self.type is StateType.CACHED

    def is_skipped(self) -> bool:
        """Whether it was left out on purpose."""
        return self.type is StateType.SKIPPED

    def is_successful(self) -> bool:
        """Whether it ended well: completed, cached or skipped."""
        return self.type in GOOD

    def is_failed(self) -> bool:
        """Whether it ended with an exception, took too long, or was not run because an input failed."""
        return self.type in FAILURES

    def is_timed_out(self) -> bool:
        """Whether it took longer than its limit."""
        return self.type is StateType.TIMED_OUT

    def is_upstream_failed(self) -> bool:
        """Whether it was not run because an input failed."""
        return self.type is StateType.UPSTREAM_FAILED

    def is_crashed(self) -> bool:
        """Whether it ended without an answer."""
        return self.type is StateType.CRASHED

    def is_cancelling(self) -> bool:
        """Whether somebody cancelled it and it has not ended yet."""
        return self.type is StateType.CANCELLING

    def is_cancelled(self) -> bool:
        """Whether somebody cancelled it."""
        return self.type is StateType.CANCELLED

    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self.type in FINAL

    def is_finished(self) -> bool:
        """The classic name of `is_final`."""
        return self.is_final()


def _constructor(kind: StateType) -> Callable[..., State[Any]]:
    def make(message: str = "", data: Any = None, name: str = "") -> State[Any]:
        return State(type=kind, message=message, data=data, name=name)

    make.__name__ = make.__qualname__ = NAMES[kind]
    make.__doc__ = f"A state of type {kind.name}, to be returned from a task or flow, or compared with."
    return make


Scheduled = _constructor(StateType.SCHEDULED)
Pending = _constructor(StateType.PENDING)
Running = _constructor(StateType.RUNNING)
Completed = _constructor(StateType.COMPLETED)
Cached = _constructor(StateType.CACHED)
Failed = _constructor(StateType.FAILED)
Crashed = _constructor(StateType.CRASHED)
TimedOut = _constructor(StateType.TIMED_OUT)
AwaitingRetry = _constructor(StateType.AWAITING_RETRY)
Retrying = _constructor(StateType.RETRYING)
UpstreamFailed = _constructor(StateType.UPSTREAM_FAILED)
Skipped = _constructor(StateType.SKIPPED)
Paused = _constructor(StateType.PAUSED)
Suspended = _constructor(StateType.SUSPENDED)
Cancelling = _constructor(StateType.CANCELLING)
Cancelled = _constructor(StateType.CANCELLED)
Looping = _constructor(StateType.LOOPING)
RolledBack = _constructor(StateType.ROLLED_BACK)
