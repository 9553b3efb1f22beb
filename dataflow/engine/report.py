"""Reports: what a batch tells about its elements, in columns, small enough to travel beside the values."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["Report", "StepReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one step of the program did with the elements of a batch."""

    states: int | bytes
    """One `StateType` number for all elements, or one byte per element."""
    seconds: bytes
    """Duration of each element as 32-bit floats."""
    errors: dict[int, bytes]
    """Packed exceptions by offset in the batch, for the elements that have one."""
    keys: bytes = b""
    """Keys of the elements' results in the store, one after the other; empty where they follow from the index."""

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

    def durations(self) -> array[float]:
        """Seconds of each element."""
        return array("f", self.seconds)


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
    values: tuple[tuple[int, bytes], ...] = ()
    """(step, pickled value) where a batch of one element gave a small value."""
    waiting: tuple[int, ...] = ()
    """Offsets of elements that were not run, because another run is computing their results; in order."""
    worker: str = ""
    crashed: bytes | None = None
    """Packed exception if the batch itself could not be run (a dependency or the program could not be loaded)."""

    def to_wire(self) -> dict[str, Any]:
        """Plain types only, for the message stream."""
        wire = {field.name: getattr(self, field.name) for field in fields(self)}
        wire["steps"] = [[step.states, step.seconds, list(step.errors.items()), step.keys] for step in self.steps]
        return wire

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Report:
        """The report that `to_wire` wrote."""
        steps = tuple(
            StepReport(states=states, seconds=seconds, errors=dict(map(tuple, errors)), keys=keys)
            for states, seconds, errors, keys in wire["steps"]
        )
        values = tuple((step, value) for step, value in wire["values"])
        sizes, totals = tuple(wire["sizes"]), tuple(wire["totals"])
        return cls(
            **{
                **wire,
                "steps": steps,
                "sizes": sizes,
                "totals": totals,
                "values": values,
                "waiting": tuple(wire["waiting"]),
            }
        )
