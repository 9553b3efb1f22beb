"""Reports: what a batch tells about its elements, in columns, small enough to travel beside the values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dataflow.engine.durations import unpacked

__all__ = ["Report", "StepReport", "Try"]


class Try(NamedTuple):
    """An attempt, or a round of a loop, that did not end its element."""

    state: int
    """`StateType` number of how it ended; LOOPING for a round."""
    started: float
    """Seconds since the epoch."""
    seconds: float
    error: bytes
    """Packed exception; empty for a round of a loop."""
    delay_seconds: float
    """How long to wait for the next one."""
    round: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one step of the program did with the elements of a batch."""

    states: int | bytes
    """One `StateType` number for all elements, or one byte per element."""
    seconds: bytes
    """Duration of each element, as `engine.durations` packs them."""
    errors: dict[int, bytes]
    """Packed exceptions by offset in the batch, for the elements that have one."""
    keys: bytes = b""
    """Keys of the elements' results in the store, one after the other; empty where they follow from the index."""
    tries: dict[int, tuple[Try, ...]] = field(default_factory=dict)
    """Of elements that were tried more than once: the attempts and rounds before the last one."""
    notes: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Name and message of the state that the task itself gave, for the elements where it did."""
    inputs: dict[int, bytes] = field(default_factory=dict)
    """Pickled arguments of elements that failed, as far as they are small, so that they can be reproduced."""
    total_seconds: float | None = None
    """Sum of the durations, where there are so many that it is better added up on the worker."""

    def to_wire(self) -> list[Any]:
        """Plain types only; what few elements have as pairs."""
        rare = (self.errors, self.tries, self.notes, self.inputs)
        return [self.states, self.seconds, self.keys, self.total_seconds, *(list(column.items()) for column in rare)]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> StepReport:
        """The columns that `to_wire` wrote."""
        states, seconds, keys, total_seconds, errors, tries, notes, inputs = wire
        return cls(
            states=states,
            seconds=seconds,
            keys=keys,
            errors=dict(errors),
            tries={offset: tuple(Try(*one) for one in many) for offset, many in tries},
            notes={offset: (name, message) for offset, (name, message) in notes},
            inputs=dict(inputs),
            total_seconds=total_seconds,
        )

    def state(self, offset: int) -> int:
        """The `StateType` number of one element."""
        return self.states if isinstance(self.states, int) else self.states[offset]

    def all_states(self, count: int) -> bytes:
        """One byte per element."""
        return bytes([self.states]) * count if isinstance(self.states, int) else self.states

    def count(self, state: int, start: int, stop: int) -> int:
        """How many of the elements from start to stop are in this state."""
        if isinstance(self.states, int):
            return stop - start if self.states == state else 0
        return self.states.count(state, start, stop)

    def durations(self) -> npt.NDArray[np.float32]:
        """Seconds of each element."""
        return unpacked(self.seconds)

    def sum_seconds(self) -> float:
        """Seconds of all elements together, added up pairwise in 32 bits: more exact than the durations are."""
        return float(self.durations().sum()) if self.total_seconds is None else self.total_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a batch tells when it ends."""

    batch: int
    count: int
    """How many elements it ran; fewer than it was given if it gave its rest back."""
    started: float
    """Seconds since the epoch."""
    seconds: float
    """From the first instruction of the batch to this report."""
    steps: tuple[StepReport, ...]
    sizes: tuple[int, ...] = ()
    """Bytes of each output column."""
    totals: tuple[int, ...] = ()
    """For each measure of the program, how many elements the values have when opened."""
    lengths: tuple[bytes, ...] = ()
    """For each measure, the same of each element as 32-bit integers, where its elements are not one run of them."""
    values: tuple[tuple[int, bytes], ...] = ()
    """(step, pickled value) where a batch of one element gave a small value."""
    waiting: tuple[int, ...] = ()
    """Offsets of elements that have not ended, in order: they wait for another attempt, an approval, or another run."""
    delays: tuple[float, ...] = ()
    """How many seconds each of these is to wait; infinite for an approval."""
    worker: str = ""
    crashed: bytes | None = None
    """Packed exception if the batch itself could not be run (a dependency or the program could not be loaded)."""

    def to_wire(self) -> dict[str, Any]:
        """Plain types only, for the message stream."""
        wire = {field.name: getattr(self, field.name) for field in fields(self)}
        wire["steps"] = [step.to_wire() for step in self.steps]
        return wire

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Report:
        """The report that `to_wire` wrote."""
        lists = {name: tuple(wire[name]) for name in ("sizes", "totals", "lengths", "waiting", "delays")}
        steps = tuple(map(StepReport.from_wire, wire["steps"]))
        return cls(
            **{**wire, **lists, "steps": steps, "values": tuple((step, value) for step, value in wire["values"])}
        )
