"""Walking elements through the steps of a program, depth first: the innermost loop of the product.

Two walks share one frame. The fast one asks nothing per step and serves elements whose inputs are whole. As soon as
something fails, the careful one finishes that element, step by step, and writes down what became of each.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter, sub
from typing import Any, NamedTuple

from dataflow.compiler.program import Program, Step
from dataflow.engine.failures import Failure, pack_error
from dataflow.engine.report import StepReport
from dataflow.states import StateType

__all__ = ["Call", "Ledger", "calls_of", "failure_of", "walk"]

COMPLETED = int(StateType.COMPLETED)
UPSTREAM_FAILED = int(StateType.UPSTREAM_FAILED)


class Call(NamedTuple):
    """A step made ready to run: how to take its arguments from the frame, and what to call with them."""

    slot: int
    function: Callable[..., Any]
    take: Callable[[list[Any]], Sequence[Any]]
    guards: tuple[int, ...]


def calls_of(program: Program) -> list[Call]:
    """The steps of a program, ready to run."""
    first = len(program.constants) + program.broadcasts + program.columns
    return [
        Call(first + position, _function(step), _taker(step), step.guards)
        for position, step in enumerate(program.steps)
    ]


def _taker(step: Step) -> Callable[[list[Any]], Sequence[Any]]:
    slots = (*step.positional, *(slot for _, slot in step.keywords))
    if not slots:
        return lambda frame: ()
    return itemgetter(*slots) if len(slots) > 1 else itemgetter(slice(slots[0], slots[0] + 1))


def _function(step: Step) -> Callable[..., Any]:
    if not step.keywords:
        return step.function
    function, positional, names = step.function, len(step.positional), [name for name, _ in step.keywords]

    def call(*arguments: Any) -> Any:
        return function(*arguments[:positional], **dict(zip(names, arguments[positional:], strict=True)))

    return call


class Ledger:
    """What became of the elements of a batch, written down as they are walked."""

    def __init__(self, program: Program, count: int, *, passing: tuple[type[BaseException], ...] = ()) -> None:
        self.passing = passing
        """Exceptions that are not an element's outcome but end the batch (Ctrl-C in the calling thread)."""
        self.calls = calls_of(program)
        self.outputs: list[list[Any]] = [[] for _ in program.outputs]
        self.output_slots = [self.calls[position].slot for position in program.outputs]
        self.stamps: list[float] = []
        """For each element: when it began, then when each step ended."""
        self._count = count
        self._states: list[bytearray | None] = [None] * len(self.calls)
        self._errors: list[dict[int, bytes]] = [{} for _ in self.calls]

    def note(self, position: int, offset: int, failure: Failure) -> None:
        """Write down that a step did not complete for an element."""
        states = self._states[position]
        if states is None:
            states = self._states[position] = bytearray([COMPLETED]) * self._count
        states[offset] = failure.state
        self._errors[position][offset] = failure.error

    def collect(self, frame: list[Any]) -> None:
        """Keep the values of this element that leave the batch."""
        for output, slot in zip(self.outputs, self.output_slots, strict=True):
            output.append(frame[slot])

    def replace(self, output: int, position: int, offset: int, failure: Failure) -> None:
        """Turn a value that was kept into a failure."""
        self.outputs[output][offset] = failure
        self.note(position, offset, failure)

    def failed(self, position: int) -> bool:
        """Whether some element failed at this step."""
        return self._states[position] is not None

    def report(self, done: int) -> tuple[StepReport, ...]:
        """The columns of the first ``done`` elements."""
        stride = len(self.calls) + 1
        return tuple(
            StepReport(
                states=_shortest(states, done),
                seconds=array("f", map(sub, self.stamps[j + 1 :: stride], self.stamps[j::stride])).tobytes(),
                errors=self._errors[j],
            )
            for j, states in enumerate(self._states)
        )


def _shortest(states: bytearray | None, done: int) -> int | bytes:
    if states is None:
        return COMPLETED
    kept = bytes(states[:done])
    return kept[0] if kept and kept.count(kept[0]) == done else kept


def walk(
    ledger: Ledger,
    frame: list[Any],
    rows: Iterable[tuple[Any, ...]],
    *,
    first_column: int,
    clock: Callable[[], float],
    deadline: float,
    careful: bool,
) -> int:
    """Run the elements one after the other until all are done or the deadline has passed.

    Args:
        ledger: where to write down what became of them.
        frame: the frame, with constants and broadcasts filled in.
        rows: the values of the column slots, one tuple per element.
        first_column: slot of the first column.
        clock: gives seconds.
        deadline: on that clock, after which no further element is begun.
        careful: whether inputs may be failures, so that each step has to look.

    Returns:
        How many elements were run.
    """
    calls, stamp, end = ledger.calls, ledger.stamps.append, first_column + _width(ledger, first_column)
    single = ledger.outputs[0].append if len(ledger.outputs) == 1 else None
    single_slot = ledger.output_slots[0] if single else -1
    done = 0
    now = clock()
    for row in rows:
        frame[first_column:end] = row
        stamp(now)
        if careful:
            _walk_carefully(ledger, frame, done, 0, clock)
        else:
            position = 0
            try:
                for slot, function, take, _ in calls:
                    frame[slot] = function(*take(frame))
                    now = clock()
                    stamp(now)
                    position += 1
            except BaseException as error:  # boundary: user code; whatever it raises is this element's outcome
                _fail(ledger, frame, done, position, error)
                stamp(clock())
                _walk_carefully(ledger, frame, done, position + 1, clock)
        if single:
            single(frame[single_slot])
        else:
            ledger.collect(frame)
        done += 1
        now = clock()
        if now >= deadline:
            break
    return done


def _width(ledger: Ledger, first_column: int) -> int:
    return ledger.calls[0].slot - first_column


def _walk_carefully(ledger: Ledger, frame: list[Any], offset: int, first: int, clock: Callable[[], float]) -> None:
    """Run the steps from ``first`` on, looking before each whether an input failed."""
    for position in range(first, len(ledger.calls)):
        slot, function, take, guards = ledger.calls[position]
        broken = next((frame[guard] for guard in guards if type(frame[guard]) is Failure), None)
        if broken is not None:
            failure = frame[slot] = Failure(UPSTREAM_FAILED, broken.error)
            ledger.note(position, offset, failure)
        else:
            try:
                frame[slot] = function(*take(frame))
            except BaseException as error:  # boundary: user code, as above
                _fail(ledger, frame, offset, position, error)
        ledger.stamps.append(clock())


def _fail(ledger: Ledger, frame: list[Any], offset: int, position: int, error: BaseException) -> None:
    if isinstance(error, ledger.passing):
        raise error
    failure = failure_of(error)
    frame[ledger.calls[position].slot] = failure
    ledger.note(position, offset, failure)


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception of user code means: SystemExit and its like are no answer."""
    state = StateType.FAILED if isinstance(error, Exception) else StateType.CRASHED
    return Failure(int(state), pack_error(error))
