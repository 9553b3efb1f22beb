"""Outcomes: what became of the elements of a batch that is walked part by part, by step and index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dataflow.engine.failures import Failure
from dataflow.engine.ledger import Held, HeldStep, Ledger
from dataflow.engine.parts import Part
from dataflow.states import SUCCESSFUL, StateType

__all__ = ["Outcomes"]

COMPLETED = int(StateType.COMPLETED)
PENDING = int(StateType.PENDING)
UPSTREAM_FAILED = int(StateType.UPSTREAM_FAILED)
LOOK_AGAIN_SECONDS = 0.5
"""How long elements wait before it is looked again whether somebody else has stored their results."""


class Outcomes:
    """Values, states and durations of all steps and elements; what few have stands in the ledger of the batch.

    Args:
        ledger: of the batch; knows which elements are gone on with.
    """

    def __init__(self, ledger: Ledger) -> None:
        program, count = ledger.program, ledger.count
        self._ledger = ledger
        self._first_step = len(program.constants) + program.broadcasts + program.columns
        self.values: list[list[Any]] = [[None] * count for _ in program.steps]
        self.states = np.full((len(program.steps), count), PENDING, np.uint8)
        self.seconds = np.zeros((len(program.steps), count), np.float32)
        self.waiting: set[int] = set()
        """Elements that have not ended: they leave the batch, or wait for somebody else's result."""
        for index in ledger.resumed:
            self.restore(index)

    def comes_to(self, index: int) -> int:
        """The first step that is to be run for an element."""
        held = self._ledger.resumed.get(index)
        return 0 if held is None else len(held.before)

    def restore(self, index: int) -> None:
        """What an element that is gone on with has behind it stands as it was."""
        for position, step in enumerate(self._ledger.resumed[index].before):
            self.values[position][index] = step.value
            self.states[position, index] = step.state
            self.seconds[position, index] = step.seconds
            self._ledger.write_rare(position, index, step)

    def resumed_in(self, part: Part, indices: Sequence[int]) -> Iterator[tuple[int, Held]]:
        """Of some elements those that are gone on with within a part, as the walk of that part sees them."""
        for offset, index in enumerate(indices):
            held = self._ledger.resumed.get(index)
            if held is not None and held.position in part.positions:
                own = held.position - part.first
                yield offset, held._replace(position=own, before=held.before[part.first :])

    def under_way(self, part: Part, start: int, offsets: Sequence[int]) -> Sequence[int]:
        """The offsets of a chunk without those of elements that wait, or have this part behind them."""
        if not self.waiting and not self._ledger.resumed:
            return offsets
        end = part.positions.stop
        indices = ((offset, start + offset) for offset in offsets)
        return [offset for offset, index in indices if index not in self.waiting and self.comes_to(index) < end]

    def take_over(self, part: Part, ledger: Ledger, at: np.ndarray[Any, Any]) -> None:
        """Write down what a walk of some elements through a part gave."""
        indices, whole = at.tolist(), self._ledger
        for report, values, position in zip(ledger.report(len(at)), ledger.outputs, part.positions, strict=True):
            self.seconds[position, at] = report.durations()
            self.states[position, at] = np.frombuffer(report.all_states(len(at)), np.uint8)
            whole.errors[position].update((indices[offset], what) for offset, what in report.errors.items())
            whole.tries[position].update((indices[offset], what) for offset, what in report.tries.items())
            whole.notes[position].update((indices[offset], what) for offset, what in report.notes.items())
            whole.inputs[position].update((indices[offset], what) for offset, what in report.inputs.items())
            self._take_values(self.values[position], values, indices)
        for offset, held in ledger.held.items():
            if offset < len(at):
                self._hold(part, held, indices[offset], ledger.delays[offset])

    @staticmethod
    def _take_values(own: list[Any], values: list[Any], indices: list[int]) -> None:
        if indices and indices[-1] - indices[0] + 1 == len(indices):
            own[indices[0] : indices[-1] + 1] = values
            return
        for index, value in zip(indices, values, strict=True):
            own[index] = value

    def _hold(self, part: Part, held: Held, index: int, seconds: float) -> None:
        """An element leaves the batch within a part; what the parts before gave goes with it."""
        before = tuple(self._held_step(position, index) for position in range(part.first))
        whole = held._replace(position=held.position + part.first, before=(*before, *held.before))
        self._ledger.held[index] = whole
        self._ledger.delays[index] = seconds
        self.waiting.add(index)

    def _held_step(self, position: int, index: int) -> HeldStep:
        return HeldStep(
            self.values[position][index],
            int(self.states[position, index]),
            float(self.seconds[position, index]),
            self._ledger.errors[position].get(index),
            self._ledger.tries[position].get(index, ()),
            self._ledger.notes[position].get(index),
        )

    def repeat(self, position: int, index: int, first: int) -> None:
        """An element with the key of an earlier one of this batch gets what that one got, and waits if that waits."""
        if first in self.waiting:
            self.states[position, index] = PENDING
            self._ledger.delays[index] = self._ledger.delays.get(first, LOOK_AGAIN_SECONDS)
            self.waiting.add(index)
            return
        self.values[position][index] = self.values[position][first]
        if self.states[position, first] not in SUCCESSFUL:
            self.fail(position, index, self.values[position][first])

    def computed(self, position: int, done: int) -> np.ndarray[Any, Any]:
        """The elements, of the first so many, whose value a step gave in this batch."""
        is_computed = self.states[position, :done] == COMPLETED
        is_computed[[i for i in self._ledger.resumed if i < done and self.comes_to(i) > position]] = False
        return np.flatnonzero(is_computed)

    def fail(self, position: int, index: int, failure: Failure) -> None:
        """An element has no value at a step."""
        self.values[position][index] = failure
        self.states[position, index] = failure.state
        self._ledger.errors[position][index] = failure.error

    def fail_dependants(self, position: int, index: int) -> None:
        """Steps that have used a result which turned out not to be one did not complete either."""
        error = self._ledger.errors[position][index]
        doomed = {self._first_step + position}
        for later in range(position + 1, len(self.states)):
            if not doomed.isdisjoint(self._ledger.program.steps[later].guards):
                doomed.add(self._first_step + later)
                self.fail(later, index, Failure(UPSTREAM_FAILED, error))

    def tell(self, done: int) -> None:
        """Hand everything over to the ledger of the batch."""
        ledger = self._ledger
        for index in self.waiting - ledger.delays.keys():
            ledger.delays[index] = LOOK_AGAIN_SECONDS
            if index in ledger.resumed:
                ledger.held[index] = ledger.resumed[index]
        ledger.seconds = self.seconds[:, :done].T
        for position, states in enumerate(self.states):
            ledger.set_states(position, bytearray(states.tobytes()), ledger.errors[position])
        for output, position in enumerate(ledger.program.outputs):
            ledger.outputs[output][:] = self.values[position][:done]
