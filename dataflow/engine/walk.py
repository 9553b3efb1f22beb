"""Walking elements through the steps of a program, depth first: the innermost loop of the product.

There are two walks over one frame. The careful one looks before each step whether an input failed, and is the
definition of what happens. The fast one (`generated`) asks nothing and serves elements whose inputs are whole; when a
step raises, it hands that element over to the careful one. What an exception, or a state that a task returned, means
is decided by `trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dataflow.engine.failures import Failure
from dataflow.engine.generated import MISSING, fast_walk
from dataflow.engine.judged import blocked, judge
from dataflow.engine.ledger import Ledger
from dataflow.engine.trials import Returned, Trial
from dataflow.states import State, StateType

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
        if isinstance(error, ledger.passing):
            raise error
        missing = (position for position, value in enumerate(element[first_step:]) if value is MISSING)
        position = next(missing, len(ledger.calls) - 1)
        ledger.stamps.extend(times[:position])
        rest = ledger.live[0] = CarefulWalk(ledger, element, iter(()), clock, control, done=offset)
        rest.finish(rest.trial_at(position), error)
        return element[first_step:]

    walk = ledger.walk or fast_walk(program, ledger.functions)
    keeps = [output.append for output in ledger.outputs]
    bare = columns[0] if len(columns) == 1 else rows
    return walk(*shared, bare, clock, control, ledger.stamps, recover, ledger.nested, ledger.live, *keeps)


def begun(ledger: Ledger, frame: list[Any], offset: int, position: int) -> Trial:
    """The trial of an element at a step: open if its function is to be called, else ended by what its inputs are."""
    trial = Trial(ledger, frame, offset, position)
    if position in ledger.cancelled:
        trial.end(ledger.cancelled[position])
        return trial
    held = ledger.resumed.get(offset)
    is_resumed = held is not None and held.position == position
    if is_resumed and held is not None and len(held.before) == position:
        return trial  # its inputs were judged before it left the batch that it was in
    call = ledger.calls[position]
    failure = judge(call.rules, call.guards, frame) if call.rules.judges else blocked(call.guards, frame)
    if failure is None or (failure.state == PAUSED and is_resumed):  # that it is gone on with says that it may run
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
        done: how many elements of the batch have been run before.
        position: the step under way, where it goes on from within an element.
    """

    def __init__(
        self,
        ledger: Ledger,
        frame: list[Any],
        rows: Iterator[tuple[Any, ...]],
        clock: Clock,
        control: Check,
        *,
        done: int = 0,
        position: int = 0,
    ) -> None:
        self.done = done
        self.position = position
        """Of the step under way."""
        self._rows = rows
        self._ledger = ledger
        self._frame = frame
        self._clock = clock
        self._control = control
        self._first_step = ledger.calls[0].slot
        self._trial: Trial | None = None
        """Of the step that is under way, if it was tried before."""
        self._is_simple = not ledger.cancelled and not ledger.resumed

    @property
    def ledger(self) -> Ledger:
        """Where it writes down what becomes of elements."""
        return self._ledger

    def take_rows(self, rows: Iterator[tuple[Any, ...]]) -> None:
        """Go on with these elements after the one that is under way."""
        self._rows = rows

    def run(self) -> int:
        """Run elements until all are done or the control says stop; gives how many were run."""
        self._ledger.live[0] = self
        self._ledger.stamps.append(self._clock())
        return self._run_rows()

    def go_on(self, error: BaseException) -> int:
        """Go on after the step under way was given up because of an error."""
        self.finish(self._trial or self.trial_at(self.position), error)
        self._ledger.collect(self._frame)
        self.done += 1
        return self.done if self._control(self._ledger.stamps[-1]) < 0 else self._run_rows()

    def _run_rows(self) -> int:
        ledger, frame, end = self._ledger, self._frame, self._first_step
        for row in self._rows:
            frame[end - len(row) : end] = row
            self._begin(self.done)
            ledger.collect(frame)
            self.done += 1
            if self._control(ledger.stamps[-1]) < 0:
                break
        return self.done

    def _begin(self, offset: int) -> None:
        """Run the element whose values are in the frame, from where it has come to."""
        held = self._ledger.resumed.get(offset)
        if held is None:
            self._steps(0)
        else:
            self._ledger.restore(self._frame, offset, held)
            self._ledger.stamps.extend([self._clock()] * len(held.before))
            self._steps(len(held.before))

    def trial_at(self, position: int) -> Trial:
        """The trial of a step whose first attempt has ended, or was given up."""
        began = self._ledger.stamps[-1]
        return Trial(self._ledger, self._frame, self.done, position, elapsed=lambda: self._clock() - began)

    def finish(self, trial: Trial, error: BaseException) -> None:
        """Run the element from an attempt on that has ended with an error."""
        self._settle(trial, error)
        self._steps(trial.position + 1)

    def _steps(self, first: int) -> None:
        ledger, frame, offset = self._ledger, self._frame, self.done
        for position in range(first, len(ledger.calls)):
            slot, function, take, guards, rules, _ = ledger.calls[position]
            self.position, self._trial = position, None
            if offset in ledger.held:
                ledger.stamps.append(self._clock())
                continue
            if rules.judges or not self._is_simple or any(type(frame[guard]) is Failure for guard in guards):
                self._attempt(begun(ledger, frame, offset, position))
                continue
            try:
                value = function(*take(frame))
            except BaseException as error:  # noqa: BLE001 - boundary: user code; whatever it raises is this element's outcome
                self._settle(self.trial_at(position), error)
                continue
            if type(value) is State or ledger.nested:
                self._settle(self.trial_at(position), Returned(value))
            else:
                frame[slot] = value
                ledger.stamps.append(self._clock())

    def _settle(self, trial: Trial, error: BaseException) -> None:
        """The first attempt of a step has ended with an error, or something that is no mere value."""
        self._trial = trial
        trial.raised(error)
        self._attempt(trial)

    def _attempt(self, trial: Trial) -> None:
        """Call the function until the trial has ended."""
        self._trial, self.position = trial, trial.position
        function = self._ledger.calls[trial.position].function
        while trial.is_open:
            try:
                with trial.surroundings():
                    value = function(*trial.arguments)
            except BaseException as error:  # noqa: BLE001 - boundary: as above
                trial.raised(error)
            else:
                trial.returned(value)
        self._ledger.stamps.append(self._clock())
