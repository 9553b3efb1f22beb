"""Walking elements through the steps of a program, depth first: the innermost loop of the product.

There are two walks over one frame. The careful one looks before each step whether an input failed, and is the
definition of what happens. The fast one (`generated`) asks nothing and serves elements whose inputs are whole; when a
step raises, it hands that element over to the careful one. What an exception, or a state that a task returned, means
is decided by `trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dataflow.engine.generated import MISSING, fast_walk
from dataflow.engine.judged import blocked, judge
from dataflow.engine.ledger import Ledger
from dataflow.engine.trials import Trial
from dataflow.states import StateType

__all__ = ["CarefulWalk", "Check", "Clock", "begun", "walk_fast"]

PAUSED = int(StateType.PAUSED)
Clock = Callable[[], float]
Check = Callable[[float], float]


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
        trial = Trial(ledger, element, offset, position)
        trial.raised(error)
        rest = CarefulWalk(ledger, element, iter(()), clock, control)
        rest.finish(offset, trial)
        return element[first_step:]

    walk = ledger.walk or fast_walk(program)
    keeps = [output.append for output in ledger.outputs]
    bare = columns[0] if len(columns) == 1 else rows
    return walk(*shared, bare, clock, control, ledger.stamps, recover, ledger.nested, *keeps)


def begun(ledger: Ledger, frame: list[Any], offset: int, position: int) -> Trial:
    """The trial of an element at a step: open if its function is to be called, else ended by what its inputs are."""
    trial = Trial(ledger, frame, offset, position)
    if position in ledger.cancelled:
        trial.end(ledger.cancelled[position])
        return trial
    call = ledger.calls[position]
    held = ledger.resumed.get(offset)
    if held is not None and held.position == position:
        return trial  # its inputs were judged before it left the batch that it was in
    failure = judge(call.rules, call.guards, frame) if call.judges else blocked(call.guards, frame)
    if failure is None:
        return trial
    if failure.state == PAUSED:
        trial.pause()
    else:
        trial.end(failure)
    return trial


class CarefulWalk:
    """As `walk_fast`, for elements whose inputs may be failures, and for those that are gone on with.

    Args:
        ledger: where to write down what became of them.
        frame: the frame, with constants and broadcasts filled in.
        rows: the values of the column slots, by element.
        clock: gives seconds.
        control: asked after each element; a negative answer stops the walk.
    """

    def __init__(
        self, ledger: Ledger, frame: list[Any], rows: Iterator[tuple[Any, ...]], clock: Clock, control: Check
    ) -> None:
        self.ledger = ledger
        self.frame = frame
        self.done = 0
        self.trial: Trial | None = None
        """Of the step that is under way."""
        self.clock = clock
        self._rows = rows
        self._control = control
        self._first_step = ledger.calls[0].slot

    def run(self) -> int:
        """Run elements until all are done or the control says stop; gives how many were run."""
        self.ledger.stamps.append(self.clock())
        return self._run_rows()

    def go_on(self, error: BaseException) -> int:
        """Go on after the step under way was given up because of an error."""
        trial = self.trial
        assert trial is not None
        trial.raised(error)
        self.finish(trial.offset, trial)
        self.ledger.collect(self.frame)
        self.done += 1
        return self.done if self._control(self.ledger.stamps[-1]) < 0 else self._run_rows()

    def _run_rows(self) -> int:
        ledger, frame, end = self.ledger, self.frame, self._first_step
        for row in self._rows:
            frame[end - len(row) : end] = row
            self.begin(self.done)
            ledger.collect(frame)
            self.done += 1
            if self._control(ledger.stamps[-1]) < 0:
                break
        return self.done

    def begin(self, offset: int) -> None:
        """Run the element whose values are in the frame, from where it has come to."""
        held = self.ledger.resumed.get(offset)
        if held is not None:
            self.ledger.restore(self.frame, offset, held)
            self.ledger.stamps.extend([self.clock()] * held.position)
        self._steps(offset, held.position if held is not None else 0)

    def finish(self, offset: int, trial: Trial) -> None:
        """Run the element from a trial on that was begun, and may have ended."""
        self._attempt(trial)
        self._steps(offset, trial.position + 1)

    def _steps(self, offset: int, first: int) -> None:
        for position in range(first, len(self.ledger.calls)):
            if offset in self.ledger.held:
                self.ledger.stamps.append(self.clock())
            else:
                self._attempt(begun(self.ledger, self.frame, offset, position))

    def _attempt(self, trial: Trial) -> None:
        """Call the function until the trial has ended."""
        self.trial = trial
        function = self.ledger.calls[trial.position].function
        while trial.is_open:
            try:
                with trial.surroundings():
                    value = function(*trial.arguments)
            except BaseException as error:  # noqa: BLE001 - boundary: user code; whatever it raises is this element's outcome
                trial.raised(error)
            else:
                trial.returned(value)
        self.ledger.stamps.append(self.clock())
