"""What became of an element, a node or a run: state types, states, and constructors that users return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar

from dataflow.errors import Cancelled as CancelledError
from dataflow.errors import ExecutionError, FlowFailed, NotFinished

__all__ = [
    "FINAL",
    "GOOD",
    "SUCCESSFUL",
    "UNSUCCESSFUL",
    "Cached",
    "Cancelled",
    "Completed",
    "Crashed",
    "Failed",
    "Pending",
    "Running",
    "State",
    "StateType",
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
    """The value of a completed state, or the exception of a failed one, where it is at hand."""
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

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", NAMES[self.type])

    def __str__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"

    def result(self, raise_on_failure: bool = True) -> R_co:
        """The value; raises the exception of failed work.

        Args:
            raise_on_failure: if False, an exception is given back instead of raised.

        Raises:
            NotFinished: the state is not final.
        """
        try:
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
        if self.is_completed():
            return self.data  # type: ignore[no-any-return]
        raise self._error()

    def _error(self) -> BaseException:
        if isinstance(self.data, BaseException):
            return self.data
        kinds: dict[StateType, type[ExecutionError]] = {
            StateType.CANCELLED: CancelledError,
            StateType.FAILED: FlowFailed,
        }
        return kinds.get(self.type, ExecutionError)(self.message or f"the state is {self.name}")

    def is_pending(self) -> bool:
        """Whether it has not started."""
        return self.type is StateType.PENDING

    def is_scheduled(self) -> bool:
        """Whether it is planned for a later time (no state of this version is)."""
        return False

    def is_running(self) -> bool:
        """Whether part of it has started and it has not ended."""
        return self.type is StateType.RUNNING

    def is_completed(self) -> bool:
        """Whether it ended with a value, computed now or found in the store."""
        return self.type in SUCCESSFUL

    def is_cached(self) -> bool:
        """Whether it was not run, because its value was found in the store."""
        return self.type is StateType.CACHED

    def is_successful(self) -> bool:
        """The classic name of `is_completed`."""
        return self.is_completed()

    def is_failed(self) -> bool:
        """Whether it ended with an exception, or was not run because an input did."""
        return self.type in (StateType.FAILED, StateType.UPSTREAM_FAILED)

    def is_upstream_failed(self) -> bool:
        """Whether it was not run because an input failed."""
        return self.type is StateType.UPSTREAM_FAILED

    def is_crashed(self) -> bool:
        """Whether it ended without an answer."""
        return self.type is StateType.CRASHED

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
    make.__doc__ = f"A state of type {kind.name}, to be returned from a flow or compared with."
    return make


Pending = _constructor(StateType.PENDING)
Running = _constructor(StateType.RUNNING)
Completed = _constructor(StateType.COMPLETED)
Failed = _constructor(StateType.FAILED)
Crashed = _constructor(StateType.CRASHED)
UpstreamFailed = _constructor(StateType.UPSTREAM_FAILED)
Cancelled = _constructor(StateType.CANCELLED)
Cached = _constructor(StateType.CACHED)
