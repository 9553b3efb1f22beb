"""Parts of a program whose steps keep results: cut where look-ups come between, each a program of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataflow.compiler.program import Program, Step
from dataflow.engine.generated import fast_walk

__all__ = ["ChunkRows", "Part", "parts_of"]


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive steps that run together, as a program of their own."""

    program: Program
    sources: tuple[int, ...]
    """What fills its column slots: columns of the batch by number, then steps of the whole program behind them."""
    first: int
    is_kept: bool
    walk: Callable[..., int] | None
    """The fast walk of its program."""

    @property
    def positions(self) -> range:
        """Positions of its steps in the whole program."""
        return range(self.first, self.first + len(self.program.steps))


class ChunkRows(Sequence[Sequence[Any]]):
    """What fills the column slots for the elements of a chunk: columns of the batch, then what steps gave."""

    __slots__ = ("_columns", "_span", "_values")

    def __init__(
        self, columns: Sequence[Sequence[Any]], values: Sequence[Sequence[Any]], start: int, size: int
    ) -> None:
        self._columns = columns
        self._values = values
        self._span = slice(start, start + size)

    def __len__(self) -> int:
        return len(self._columns) + len(self._values)

    def __getitem__(self, number: Any) -> Any:
        own = len(self._columns)
        source = self._columns[number] if number < own else self._values[number - own]
        return source if self._span.start == 0 and self._span.stop == len(source) else source[self._span]


def parts_of(program: Program) -> list[Part]:
    """A program cut before and after each step that keeps its results."""
    cuts = {0, len(program.steps)}
    for position, step in enumerate(program.steps):
        if step.memory is not None:
            cuts |= {position, position + 1}
    borders = sorted(cuts)
    return [_part(program, first, last) for first, last in itertools.pairwise(borders)]


def _part(program: Program, first: int, last: int) -> Part:
    """Some steps as a program whose columns are just what they use of the columns and steps before."""
    steps = program.steps[first:last]
    first_column = len(program.constants) + program.broadcasts
    own = first_column + program.columns + first
    used = sorted({slot for step in steps for slot in step.slots if first_column <= slot < own})
    slots = {slot: first_column + number for number, slot in enumerate(used)}
    slots.update((own + number, first_column + len(used) + number) for number in range(len(steps)))
    alone = replace(
        program,
        name="+".join(step.name for step in steps),
        columns=len(used),
        steps=tuple(_moved(step, slots) for step in steps),
        outputs=tuple(range(len(steps))),
        measures=(),
    )
    walk = None if program.is_async else fast_walk(alone, [step.function for step in alone.steps])
    return Part(alone, tuple(slot - first_column for slot in used), first, steps[0].memory is not None, walk)


def _moved(step: Step, slots: Mapping[int, int]) -> Step:
    """The step in a frame with other slots; constants and broadcasts stay where they are."""
    return replace(
        step,
        positional=tuple(slots.get(slot, slot) for slot in step.positional),
        keywords=tuple((name, slots.get(slot, slot)) for name, slot in step.keywords),
        guards=tuple(slots.get(slot, slot) for slot in step.guards),
    )
