"""Walking elements through the steps of a program, depth first: the innermost loop of the product.

There are two walks over one frame. The careful one looks before each step whether an input failed, and is the
definition of what happens. The fast one (`generated`) asks nothing and serves elements whose inputs are whole; when a
step raises, it hands that element over to the careful one.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from dataflow.compiler.program import Program, Step
from dataflow.engine.failures import Failure, pack_error
from dataflow.engine.generated import MISSING, fast_walk
from dataflow.engine.report import StepReport
from dataflow.states import SUCCESSFUL, StateType
from dataflow_results.digests import DIGEST_BYTES

__all__ = ["Call", "Ledger", "failure_of", "walk_carefully", "walk_fast"]

COMPLETED = int(StateType.COMPLETED)
UPSTREAM_FAILED = int(StateType.UPSTREAM_FAILED)
Clock = Callable[[], float]
Check = Callable[[float], float]


class Call(NamedTuple):
    """A step made ready to run: how to take its arguments from the frame, and what to call with them."""

    slot: int
    function: Callable[..., Any]
    take: Callable[[list[Any]], Sequence[Any]]
    guards: tuple[int, ...]


def _calls_of(program: Program) -> list[Call]:
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
        self.program = program
        self.calls = _calls_of(program)
        self.passing = passing
        """Exceptions that are not an element's outcome but end the batch (Ctrl-C in the calling thread)."""
        self.outputs: list[list[Any]] = [[] for _ in program.outputs]
        self.output_slots = [self.calls[position].slot for position in program.outputs]
        self.stamps = array("d")
        """When the walk began, then for each element when each of its steps ended."""
        self.seconds: Any = []
        """For each element the duration of each step (rows or an array), where stamps cannot tell."""
        self.walk: Callable[..., int] | None = None
        """The fast walk of the program, where it was made before."""
        self.waiting: list[int] = []
        """Elements that were not run, because another run is computing their results."""
        self.keys: dict[int, bytes] = {}
        """By step, the keys under which the elements' results are kept, one after the other."""
        self.count = count
        """How many elements the batch has."""
        self._states: list[bytearray | None] = [None] * len(self.calls)
        self._errors: list[dict[int, bytes]] = [{} for _ in self.calls]

    def note(self, position: int, offset: int, failure: Failure) -> None:
        """Write down that a step did not complete for an element."""
        states = self._states[position]
        if states is None:
            states = self._states[position] = bytearray([COMPLETED]) * self.count
        states[offset] = failure.state
        self._errors[position][offset] = failure.error

    def fail(self, frame: list[Any], position: int, offset: int, error: BaseException) -> None:
        """Write down that a step raised for an element, and put the failure into its slot."""
        if isinstance(error, self.passing):
            raise error
        frame[self.calls[position].slot] = failure = failure_of(error)
        self.note(position, offset, failure)

    def collect(self, frame: list[Any]) -> None:
        """Keep the values of this element that leave the batch."""
        for output, slot in zip(self.outputs, self.output_slots, strict=True):
            output.append(frame[slot])

    def replace(self, output: int, position: int, offset: int, failure: Failure) -> None:
        """Turn a value that was kept into a failure."""
        self.outputs[output][offset] = failure
        self.note(position, offset, failure)

    def set_states(self, position: int, states: bytearray, errors: dict[int, bytes]) -> None:
        """Write down the states of all elements at a step at once."""
        self._states[position] = states if states.count(COMPLETED) < len(states) else None
        self._errors[position] = errors

    def failed(self, position: int) -> bool:
        """Whether some element has no value at this step."""
        states = self._states[position]
        return states is not None and sum(map(states.count, SUCCESSFUL)) < len(states)

    def progress(self) -> tuple[int, float] | None:
        """How many elements will have ended if no further one is begun, and when a step last ended."""
        if not self.stamps:
            return None
        ended, last = len(self.stamps) - 1, self.stamps[-1]
        return ended // len(self.calls) + 1, last

    def report(self, done: int) -> tuple[StepReport, ...]:
        """The columns of the first ``done`` elements."""
        width = len(self.calls)
        seconds = np.asarray(self.seconds) if len(self.seconds) else np.diff(np.frombuffer(self.stamps))
        columns = seconds[: done * width].reshape(-1, width).T.astype(np.float32)
        return tuple(
            StepReport(
                states=_shortest(states, done),
                seconds=columns[position].tobytes(),
                errors=errors,
                keys=self.keys.get(position, b"")[: done * DIGEST_BYTES],
            )
            for position, (states, errors) in enumerate(zip(self._states, self._errors, strict=True))
        )


def _shortest(states: bytearray | None, done: int) -> int | bytes:
    if states is None:
        return COMPLETED
    kept = bytes(states[:done])
    return kept[0] if kept and kept.count(kept[0]) == done else kept


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception of user code means: SystemExit and its like are no answer."""
    state = StateType.FAILED if isinstance(error, Exception) else StateType.CRASHED
    return Failure(int(state), pack_error(error))


def walk_fast(ledger: Ledger, frame: list[Any], columns: Sequence[Any], rows: Any, clock: Clock, control: Check) -> int:
    """Run elements whose inputs are whole, until all are done or the control says stop; gives how many were run.

    Args:
        ledger: where to write down what became of them.
        frame: the frame, with constants and broadcasts filled in.
        columns: the values of the column slots.
        rows: the same by element.
        clock: gives seconds.
        control: asked between elements when its last answer, a time, has passed; a negative one stops the walk.
    """
    program = ledger.program
    shared = frame[: len(program.constants) + program.broadcasts]
    first_step = ledger.calls[0].slot

    def recover(offset: int, error: BaseException, element: list[Any], times: list[float]) -> list[Any]:
        missing = (position for position, value in enumerate(element[first_step:]) if value is MISSING)
        position = next(missing, len(ledger.calls) - 1)  # an interrupt may come just behind the last step
        ledger.stamps.extend(times[:position])
        ledger.fail(element, position, offset, error)
        ledger.stamps.append(clock())
        _finish(ledger, element, offset, position + 1, clock)
        return element[first_step:]

    walk = ledger.walk or fast_walk(program)
    keeps = [output.append for output in ledger.outputs]
    bare = columns[0] if len(columns) == 1 else rows
    return walk(*shared, bare, clock, control, ledger.stamps, recover, *keeps)


def walk_carefully(
    ledger: Ledger, frame: list[Any], rows: Iterable[tuple[Any, ...]], clock: Clock, control: Check
) -> int:
    """As `walk_fast`, for elements whose inputs may be failures."""
    end = ledger.calls[0].slot
    done = 0
    ledger.stamps.append(clock())
    for row in rows:
        frame[end - len(row) : end] = row
        _finish(ledger, frame, done, 0, clock)
        ledger.collect(frame)
        done += 1
        if control(ledger.stamps[-1]) < 0:
            break
    return done


def _finish(ledger: Ledger, frame: list[Any], offset: int, first: int, clock: Clock) -> None:
    """Run the steps of one element from ``first`` on, looking before each whether an input failed."""
    for position in range(first, len(ledger.calls)):
        slot, function, take, guards = ledger.calls[position]
        broken = next((frame[guard] for guard in guards if type(frame[guard]) is Failure), None)
        if broken is not None:
            frame[slot] = Failure(UPSTREAM_FAILED, broken.error)
            ledger.note(position, offset, frame[slot])
        else:
            try:
                frame[slot] = function(*take(frame))
            except BaseException as error:  # noqa: BLE001 - boundary: user code; whatever it raises is this element's outcome
                ledger.fail(frame, position, offset, error)
        ledger.stamps.append(clock())
