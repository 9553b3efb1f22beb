"""Walking the elements of a program some of whose steps keep their results: look up in bulk, run the rest, keep it.

A look-up serves many elements at once, so these programs are walked part by part over chunks of the batch, not element
by element. A part is one step that keeps its results, or the steps between two of them; the usual walks run it, as a
program of its own, for the elements that were not found. A chunk takes a small share of the time that the batch may
take, so that a batch of slow elements can still give back its rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflow.compiler.recipes import Batch
from dataflow.engine.failures import Failure
from dataflow.engine.judged import Judged
from dataflow.engine.kept import KeptStep, Lookup, kept_steps
from dataflow.engine.ledger import Ledger
from dataflow.engine.outcomes import Outcomes
from dataflow.engine.parts import ChunkRows, Part, parts_of
from dataflow.engine.trials import failure_of
from dataflow.engine.walks import walk_elements
from dataflow.states import StateType

__all__ = ["PersistedWalk", "first_chunk", "walk_of"]

CACHED = int(StateType.CACHED)
COMPLETED = int(StateType.COMPLETED)
PENDING = int(StateType.PENDING)
UPSTREAM_FAILED = int(StateType.UPSTREAM_FAILED)
CHUNK_SECONDS = 0.05
"""How long a chunk should take; less, and look-ups are no longer in bulk; more, and a batch stops late."""
GROWTH = 8
"""A chunk has at most so many times as many elements as the one before it."""
Clock = Callable[[], float]
Check = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Running:
    """The walk that is under way, seen from another thread."""

    stamps: Sequence[float]
    steps: int
    ends: Sequence[int]
    """For each of its elements, how many elements of the batch will have ended if it is the last that is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive elements of the batch that are taken through a part together."""

    start: int
    size: int
    wanted: Sequence[int]
    """Offsets of those that the part must be run for, unless they are found."""
    control: Check


class PersistedWalk:
    """Walks one batch; afterwards its ledger says what became of the elements.

    Args:
        ledger: where to write down what became of the elements.
        frame: the frame, with constants and broadcasts filled in.
        columns: the values of the column slots.
        kept: how each step that keeps its results does so, by position.
        clock: gives seconds.
        async_concurrency: how many elements of async tasks are under way at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        frame: list[Any],
        columns: Sequence[Sequence[Any]],
        kept: Mapping[int, KeptStep],
        clock: Clock,
        async_concurrency: int,
    ) -> None:
        self._ledger = ledger
        self._frame = frame
        self._columns = columns
        self._kept = kept
        self._clock = clock
        self._async_concurrency = async_concurrency
        program = ledger.program
        self._first_column = len(program.constants) + program.broadcasts
        self._parts = parts_of(program)
        self._running: Running | None = None
        self._claimed: set[int] = set()
        """Elements that others were told of."""
        self._outcomes = Outcomes(ledger)

    def progress(self) -> tuple[int, float] | None:
        """How many elements will have ended if no further one is begun, and when something was last heard of one.

        None while that is not certain: between two parts, a chunk may turn out to be found as a whole.
        """
        running = self._running
        if running is None or not running.stamps:
            return None
        begun = (len(running.stamps) - 1) // running.steps
        return int(running.ends[min(begun, len(running.ends) - 1)]), running.stamps[-1]

    def run(self, control: Check, first_chunk: int) -> int:
        """Run elements until all have ended or the control says stop; gives how many were run.

        Args:
            control: asked between elements and between chunks; a negative answer stops the walk.
            first_chunk: how many elements to begin with; all of them if the batch may not give back its rest.
        """
        try:
            done = self._run_chunks(control, first_chunk)
            self._keep(done)
        finally:
            for step in self._kept.values():
                step.release()
        self._outcomes.tell(done)
        for position, step in self._kept.items():
            self._ledger.keys[position] = step.keys_to_tell
        return done

    def _run_chunks(self, control: Check, first_chunk: int) -> int:
        done, count = 0, self._ledger.count
        size = max(first_chunk, self._async_concurrency if self._ledger.program.is_async else 1)
        while done < count:
            began = self._clock()
            wanted = min(size, count - done)
            ran = self._run_chunk(done, wanted, control)
            done += ran
            ended = self._clock()
            if ran < wanted or control(ended) < 0:
                break
            size = _next_size(wanted, ended - began)
        return done

    def _run_chunk(self, start: int, size: int, control: Check) -> int:
        """Take a chunk through all parts; gives how many of its elements were begun, all of which have ended."""
        ahead = self._look_ahead(start, size)
        needed = self._needed(ahead, size)
        for part in self._parts:
            rows = ChunkRows(self._columns, self._outcomes.values[: part.first], start, size)
            wanted = self._wanted(part, needed, start, size)
            chunk = Chunk(start=start, size=size, wanted=wanted, control=control)
            if part.is_kept:
                size = self._run_kept(part, rows, chunk, ahead.get(part.first))
            else:
                size = self._run_some(part, rows, chunk, wanted)
            control = _never_stop  # the elements that were begun are ended
        return size

    def _look_ahead(self, start: int, size: int) -> dict[int, Lookup]:
        """Look up, before anything is run, the steps whose keys do not depend on what the steps before them give."""
        rows = ChunkRows(self._columns, [], start, size)
        return {
            position: self._look_up(step, rows, start, size)
            for position, step in self._kept.items()
            if step.is_known_ahead
        }

    def _look_up(self, step: KeptStep, rows: ChunkRows, start: int, size: int) -> Lookup:
        found = step.look_up(self._frame, rows, start, size, self._claimed)
        self._claimed.update(start + offset for offset in found.claimed)
        return found

    def _wanted(self, part: Part, needed: np.ndarray[Any, Any] | None, start: int, size: int) -> Sequence[int]:
        """The elements of a chunk that a part must be run for: not those that only lead to what was found."""
        if needed is None:
            return range(size)
        rows = needed[part.first : part.positions.stop, :size].any(axis=0)
        left_out = np.flatnonzero(~rows)
        for position in part.positions:
            self._outcomes.states[position, start + left_out] = CACHED
        return np.flatnonzero(rows).tolist() if len(left_out) else range(size)

    def _needed(self, ahead: Mapping[int, Lookup], size: int) -> np.ndarray[Any, Any] | None:
        """By step and element of a chunk, whether somebody needs what the step gives; None if all is needed."""
        if not ahead:
            return None
        program = self._ledger.program
        needed = np.zeros((len(program.steps), size), bool)
        needed[list(program.outputs)] = True
        first_step = self._first_column + program.columns
        for position in reversed(range(len(program.steps))):
            found = ahead.get(position)
            wanting = needed[position] if found is None else needed[position] & found.is_missing(size)
            for slot in program.steps[position].slots:
                if slot >= first_step:
                    needed[slot - first_step] |= wanting
        return needed

    def _run_kept(self, part: Part, rows: ChunkRows, chunk: Chunk, found: Lookup | None) -> int:
        """Take what the store has, and run the others; gives the size that the chunk has now."""
        position, start, size = part.first, chunk.start, chunk.size
        if found is None:
            found = self._look_up(self._kept[position], rows, start, size)
        outcomes = self._outcomes
        outcomes.values[position][start : start + size] = found.values[:size]
        outcomes.states[position, start : start + size] = CACHED
        waiting = [start + offset for offset in found.waiting if offset < size]
        outcomes.states[position, waiting] = PENDING
        outcomes.waiting.update(waiting)
        size = self._run_some(part, rows, chunk, _both(found.missing, chunk.wanted))
        for index in self._ledger.resumed:
            if start <= index < start + size and outcomes.comes_to(index) > position:
                outcomes.restore(index)
        for offset, error in found.refused.items():
            if offset < size:
                outcomes.fail(position, start + offset, failure_of(error))
        for offset, first in found.repeats.items():
            if offset < size:
                outcomes.repeat(position, start + offset, first)
        return size

    def _run_some(self, part: Part, rows: ChunkRows, chunk: Chunk, offsets: Sequence[int]) -> int:
        """Run some elements of a chunk; gives the size that the chunk has now."""
        offsets = self._outcomes.under_way(part, chunk.start, offsets)
        ran = self._run_rows(part, rows, chunk, offsets)
        return chunk.size if ran == len(offsets) else offsets[ran]

    def _run_rows(self, part: Part, rows: ChunkRows, chunk: Chunk, offsets: Sequence[int]) -> int:
        """Run the steps of a part for some elements of a chunk; gives how many of them were run."""
        if not len(offsets):
            return 0
        ledger = Ledger(part.program, len(offsets), passing=self._ledger.passing)
        ledger.walk = part.walk if not any(step.rules.is_watched for step in part.program.steps) else None
        ledger.nested, ledger.ends = self._ledger.nested, self._ledger.ends
        ledger.cancelled = {
            position - part.first: self._ledger.cancelled[position]
            for position in part.positions
            if position in self._ledger.cancelled
        }
        at = np.asarray(offsets) + chunk.start
        ledger.origin = (part.first, at)  # type: ignore[assignment]  # of offsets only items are taken
        ends: Any = [chunk.start + chunk.size] if chunk.control is _never_stop else at + 1
        ledger.resumed = dict(self._outcomes.resumed_in(part, at.tolist()))
        self._running = Running(ledger.stamps, len(part.program.steps), ends)
        ran = self._walk(ledger, self._taken(part, rows, offsets), chunk.control)
        self._running = None
        self._outcomes.take_over(part, ledger, at[:ran])
        return ran

    def _taken(self, part: Part, rows: ChunkRows, offsets: Sequence[int]) -> list[Sequence[Any]]:
        """The columns of a part, with just the elements that are to run."""
        columns = [rows[source] for source in part.sources]
        if isinstance(offsets, range):
            return [column[: len(offsets)] if len(column) > len(offsets) else column for column in columns]
        return [[column[offset] for offset in offsets] for column in columns]

    def _walk(self, ledger: Ledger, columns: list[Sequence[Any]], control: Check) -> int:
        program = ledger.program
        frame = [*self._frame[: self._first_column], *[None] * (program.columns + len(program.steps))]
        kinds = set(map(type, frame)).union(*(map(type, column) for column in columns))
        return walk_elements(
            ledger,
            frame,
            columns,
            is_whole={Failure, Judged}.isdisjoint(kinds),
            clock=self._clock,
            control=_never_stop if program.is_async else control,  # async elements of a part are all begun
            async_concurrency=self._async_concurrency,
        )

    # The end of the batch

    def _keep(self, done: int) -> None:
        """Write what was computed into the store; an element whose result cannot be kept has failed."""
        outcomes = self._outcomes
        for position, step in self._kept.items():
            computed, seconds = outcomes.computed(position, done), float(outcomes.seconds[position].sum())
            for index, error in step.keep(computed, outcomes.values[position], seconds):
                outcomes.fail(position, index, failure_of(error))
                outcomes.fail_dependants(position, index)


def walk_of(
    ledger: Ledger,
    frame: list[Any],
    columns: Sequence[Sequence[Any]],
    batch: Batch,
    clock: Clock,
    async_concurrency: int,
) -> PersistedWalk:
    """The walk of a batch; see `PersistedWalk`."""
    return PersistedWalk(ledger, frame, columns, kept_steps(ledger.program, batch), clock, async_concurrency)


def first_chunk(batch: Batch) -> int:
    """How many elements of a batch to begin with: all if it may not stop, one if nobody knows how long they take."""
    if batch.budget_seconds is None:
        return batch.count
    if not batch.seconds_per_element:
        return 1
    return max(1, min(batch.count, int(CHUNK_SECONDS / batch.seconds_per_element)))


def _both(missing: Sequence[int], wanted: Sequence[int]) -> Sequence[int]:
    """The offsets that are in both, in order; a range stands for all of a chunk."""
    if isinstance(wanted, range):
        return missing[: len(wanted)] if isinstance(missing, range) else [at for at in missing if at < len(wanted)]
    return sorted({*missing} & {*wanted})


def _next_size(size: int, seconds: float) -> int:
    """Size of the chunk after one that took so long."""
    fitting = GROWTH * size if seconds <= 0 else int(size * CHUNK_SECONDS / seconds)
    return max(1, min(fitting, GROWTH * size))


def _never_stop(now: float) -> float:
    return float("inf")
