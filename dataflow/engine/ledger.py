"""The ledger of a batch: what became of its elements, written down as they are walked."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from dataflow.compiler.program import Program, Step
from dataflow.engine.durations import packed
from dataflow.engine.failures import Failure
from dataflow.engine.inputs_of_failures import InputsOfFailures, within_bounds
from dataflow.engine.report import StepReport, Try
from dataflow.rules import Rules
from dataflow.states import SUCCESSFUL, StateType
from dataflow_results.digests import DIGEST_BYTES

__all__ = ["Call", "Held", "HeldElements", "HeldStep", "Ledger"]

COMPLETED = int(StateType.COMPLETED)
PENDING = int(StateType.PENDING)
MANY = 1000
"""From so many elements on their durations are added up here: the client has many batches, and each worker one."""


class Call(NamedTuple):
    """A step made ready to run: how to take its arguments from the frame, and what to call with them."""

    slot: int
    function: Callable[..., Any]
    take: Callable[[list[Any]], Sequence[Any]]
    guards: tuple[int, ...]
    rules: Rules
    name: str


class HeldStep(NamedTuple):
    """A step that was done for an element which then left its batch."""

    value: Any
    state: int
    seconds: float
    error: bytes | None
    tries: tuple[Try, ...]
    note: tuple[str, str] | None


class Held(NamedTuple):
    """How far an element came that left its batch unfinished."""

    position: int
    """The step that is to be gone on with."""
    before: tuple[HeldStep, ...]
    """The steps before that one; none where their values cannot travel: then they are run again."""
    attempt: int
    round: int
    looped: Any
    tries: tuple[Try, ...]
    approval: Any = None
    """What it is told by who approved it."""


class HeldElements:
    """How far the elements of a batch came that left it unfinished, by offset; an output of the batch.

    A class of its own, because Dask walks bare dicts item by item when they travel.
    """

    __slots__ = ("held",)

    def __init__(self, held: dict[int, Held]) -> None:
        self.held = held

    def __reduce__(self) -> tuple[Any, ...]:
        return (HeldElements, (self.held,))


def calls_of(program: Program) -> list[Call]:
    """The steps of a program, made ready."""
    first = len(program.constants) + program.broadcasts + program.columns
    return [
        Call(first + position, _function(step), _taker(step), step.guards, step.rules, step.name)
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
    """What became of the elements of a batch.

    Args:
        program: of the batch.
        count: how many elements the batch has.
        passing: exceptions that are not an element's outcome but end the batch (Ctrl-C in the calling thread).
    """

    def __init__(self, program: Program, count: int, *, passing: tuple[type[BaseException], ...] = ()) -> None:
        self.program = program
        self.calls = calls_of(program)
        self.passing = passing
        self.outputs: list[list[Any]] = [[] for _ in program.outputs]
        self.output_slots = [self.calls[position].slot for position in program.outputs]
        self.stamps = array("d")
        """When the walk began, then for each element when each of its steps ended."""
        self.seconds: Any = []
        """For each element the duration of each step (rows or an array), where stamps cannot tell."""
        self.walk: Callable[..., int] | None = None
        """The fast walk of the program, where it was made before."""
        self.functions: list[Callable[..., Any]] = [step.function for step in program.steps]
        """What the fast walk calls; as in the steps, unless they are watched."""
        self.live: list[Any] = [None]
        """Where the walk is, for who watches it: a careful walk, or what the fast one wrote before a watched step."""
        self.nested: list[Any] = []
        """Bodies of what the element that is running now has submitted itself."""
        self.cancelled: dict[int, Failure] = {}
        """What becomes of steps that are not run any more, because somebody cancelled their nodes."""
        self.ends: list[Callable[[], object]] = []
        """End the attempts under way, where the batch is cancelled."""
        self.resumed: dict[int, Held] = {}
        """Elements that are gone on with, by offset."""
        self.held: dict[int, Held] = {}
        """Elements that leave the batch unfinished, by offset."""
        self.delays: dict[int, float] = {}
        """How many seconds those that have not ended are to wait; also those that another run is computing."""
        self.keys: dict[int, bytes] = {}
        """By step, the keys under which the elements' results are kept, one after the other."""
        self.count = count
        self.origin: tuple[int, Sequence[int] | None] = (0, None)
        """Of a part of a batch: its first step there, and the offsets of its elements there."""
        self._states: list[bytearray | None] = [None] * len(self.calls)
        self.errors: list[dict[int, bytes]] = [{} for _ in self.calls]
        self.tries: list[dict[int, tuple[Try, ...]]] = [{} for _ in self.calls]
        self.notes: list[dict[int, tuple[str, str]]] = [{} for _ in self.calls]
        self.inputs = [InputsOfFailures() for _ in self.calls]
        self._seconds_before: dict[tuple[int, int], float] = {}

    @property
    def is_special(self) -> bool:
        """Whether its elements need more than to be called one after the other."""
        return bool(self.resumed or self.cancelled)

    def set_state(self, position: int, offset: int, state: int) -> None:
        """Write down the state of a step for an element."""
        states = self._states[position]
        if states is None:
            states = self._states[position] = bytearray([COMPLETED]) * self.count
        states[offset] = state

    def note(self, position: int, offset: int, failure: Failure) -> None:
        """Write down that a step did not complete for an element."""
        self.set_state(position, offset, failure.state)
        self.errors[position][offset] = failure.error

    def hold(self, frame: list[Any], offset: int, held: Held, failure: Failure, delay_seconds: float) -> None:
        """Let an element leave the batch, to be gone on with later at the step that it has come to."""
        before = tuple(self._held_step(frame, position, offset) for position in range(held.position))
        self.held[offset] = held._replace(before=before)
        self.delays[offset] = delay_seconds
        self.note(held.position, offset, failure)
        for position in range(held.position, len(self.calls)):
            frame[self.calls[position].slot] = failure
            if position > held.position:
                self.set_state(position, offset, PENDING)

    def _held_step(self, frame: list[Any], position: int, offset: int) -> HeldStep:
        states = self._states[position]
        began = len(self.stamps) - (len(self.stamps) - 1) % len(self.calls) - 1
        known = self._seconds_before.get((position, offset))
        measured = self.stamps[began + position + 1] - self.stamps[began + position] if self.stamps else 0.0
        return HeldStep(
            frame[self.calls[position].slot],
            COMPLETED if states is None else states[offset],
            measured if known is None else known,
            self.errors[position].get(offset),
            self.tries[position].get(offset, ()),
            self.notes[position].get(offset),
        )

    def note_seconds(self, position: int, offset: int, seconds: float) -> None:
        """Write down how long a step took, where stamps cannot tell."""
        self._seconds_before[position, offset] = seconds

    def restore(self, frame: list[Any], offset: int, held: Held) -> None:
        """Write down, and put into the frame, what the steps before the one that is gone on with have given."""
        for position, step in enumerate(held.before):
            frame[self.calls[position].slot] = step.value
            self._seconds_before[position, offset] = step.seconds
            if step.state != COMPLETED:
                self.set_state(position, offset, step.state)
            self.write_rare(position, offset, step)

    def write_rare(self, position: int, offset: int, step: HeldStep) -> None:
        """Write down what only few elements have."""
        if step.error is not None:
            self.errors[position][offset] = step.error
        if step.tries:
            self.tries[position][offset] = step.tries
        if step.note is not None:
            self.notes[position][offset] = step.note

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
        self.errors[position] = errors

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
        stamps = np.frombuffer(self.stamps) if self.stamps else np.zeros(1)
        seconds = np.asarray(self.seconds) if len(self.seconds) else np.diff(stamps)
        columns = seconds[: done * width].reshape(-1, width).T.astype(np.float32)
        for (position, offset), before in self._seconds_before.items():
            columns[position, offset] = before
        return tuple(
            StepReport(
                states=_shortest(states, done),
                seconds=packed(columns[position]),
                errors=self.errors[position],
                keys=self.keys.get(position, b"")[: done * DIGEST_BYTES],
                tries=self.tries[position],
                notes=self.notes[position],
                inputs=within_bounds(self.inputs[position]),
                total_seconds=float(columns[position].sum()) if done >= MANY else None,
            )
            for position, states in enumerate(self._states)
        )


def _shortest(states: bytearray | None, done: int) -> int | bytes:
    if states is None:
        return COMPLETED
    kept = bytes(states[:done])
    return kept[0] if kept and kept.count(kept[0]) == done else kept
