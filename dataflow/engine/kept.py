"""Steps that keep their results, on the worker: what the store has of their elements, and who computes the others."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataflow.compiler.memory import Memory
from dataflow.compiler.program import Program
from dataflow.compiler.recipes import Batch
from dataflow.engine.failures import Failure
from dataflow.engine.judged import judge, opened
from dataflow.engine.step_keys import StepKeys
from dataflow.engine.write_back import WriteBack
from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.errors import LeaseLost, ReadingError, ResultsError
from dataflow_results.files.habits import is_read_only
from dataflow_results.keying.keys import Keys
from dataflow_results.liveness.leases import Claim, Claims
from dataflow_results.packs.outside import FoundRow
from dataflow_results.problems import ResultsWarning
from dataflow_results.store import ResultStore
from dataflow_results.task_results import TaskResults

__all__ = ["KeptStep", "Lookup", "kept_steps"]

Array = np.ndarray[Any, Any]
Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What the store has of the elements of a chunk; offsets count from its start."""

    values: list[Any]
    """The value of each element that was found, None for the others."""
    missing: Sequence[int]
    """Offsets of the elements that must be run, in order."""
    refused: Mapping[int, ResultsError] = field(default_factory=dict)
    """Why elements cannot be looked up, by offset."""
    repeats: Mapping[int, int] = field(default_factory=dict)
    """Elements with the key of an earlier one: offset to the index in the batch of that one."""
    waiting: AbstractSet[int] = frozenset()
    """Elements whose result somebody else is computing now."""
    claimed: AbstractSet[int] = frozenset()
    """Elements that others are told of: they are computed here."""

    def is_missing(self, size: int) -> Array:
        """For each of the first elements, whether it was not found."""
        missing = np.zeros(len(self.values), bool)
        missing[[*self.missing, *self.repeats, *self.waiting]] = True
        return missing[:size]


def kept_steps(program: Program, batch: Batch) -> dict[int, KeptStep]:
    """The steps of a program that keep their results, by position."""
    return {
        position: KeptStep(program, step.memory, position, batch)
        for position, step in enumerate(program.steps)
        if step.memory is not None
    }


@functools.cache
def claims_on(store: ResultStore, collection: str) -> Claims | None:
    """The claims on the keys of a collection; None if the store cannot have any.

    Of stores that can be written to and cannot have claims, it warns. Others cannot have results of two runs either.
    """
    files = store.files
    if is_read_only(files.url):
        return None
    if files.creates_safely():
        return Claims(files, collection)
    warnings.warn(
        f"{files.url} ignores conditional writes, so two runs that want one result at one time both compute it",
        ResultsWarning,
        stacklevel=2,
    )
    return None


class KeptStep:
    """One step that keeps its results, for the elements of one batch.

    Args:
        program: the program of the batch.
        memory: how the step keeps its results.
        position: of the step in the program.
        batch: the batch.
    """

    def __init__(self, program: Program, memory: Memory, position: int, batch: Batch) -> None:
        self._memory = memory
        self._step_keys = StepKeys(program, memory, position, batch)
        self._guards = program.steps[position].guards
        self._rules = program.steps[position].rules
        self._first_column = len(program.constants) + program.broadcasts
        self._began = time.time()
        self.keys = np.zeros((batch.count, DIGEST_BYTES), np.uint8)
        """The key of each element; zeros where it has none."""
        wanted = "SERIALIZABLE" if memory.isolation is None and not batch.mapped else memory.isolation
        self._claims_keys = not memory.by_place and wanted == "SERIALIZABLE"
        self._claims: list[Claim] = []
        self._is_keyed = np.zeros(batch.count, bool)
        self._missed = np.zeros(0, np.int64)
        """Elements that were not found."""
        self._heads = np.zeros(0, np.uint64)
        """The first bytes of their keys, which tell most of them apart."""
        self._found: dict[int, FoundRow] = {}
        """What was found of results that are to lie in plain files, by index in the batch."""
        self._repeated: dict[int, int] = {}
        """Elements with the key of an earlier one, and which."""

    @property
    def is_known_ahead(self) -> bool:
        """Whether keys can be made before the steps before this one have run."""
        return self._memory.is_lineage

    @property
    def keys_to_tell(self) -> bytes:
        """Keys of all elements, one after the other, unless they follow from the place."""
        return b"" if self._memory.by_place else self.keys.tobytes()

    def look_up(
        self, frame: list[Any], rows: Rows, start: int, size: int, claimed: AbstractSet[int] = frozenset()
    ) -> Lookup:
        """Find the elements of a chunk in the store.

        Args:
            frame: the frame, with constants and broadcasts filled in.
            rows: the values of the column slots, for the elements of the chunk.
            start: index in the batch of its first element.
            size: how many elements it has.
            claimed: indices in the batch of elements that have a claim already, for a step before this one: whoever
                wants what comes after that waits there.
        """
        whole = range(size)
        values: list[Any] = [None] * size
        broken = self._broken(frame, rows, size)
        if self._rules.judges:
            frame, rows = self._opened(frame), [self._opened(column) for column in rows]
        if len(broken) == size:
            return Lookup(values=values, missing=whole)  # the careful walk says what becomes of them
        try:
            keys = self._step_keys.of_chunk(frame, rows, start, size, broken)
            taken = np.zeros(size, bool)
            self._note_keys(keys, start)
            self._take(keys, start, values, taken, self._began)
            repeats = self._repeats(keys, start, taken)
            mine, waiting = self._claim(keys, start, taken, values, {*repeats, *(at - start for at in claimed)})
            waiting |= {offset for offset, first in repeats.items() if first - start in waiting}
        except ResultsError as error:
            refused = {offset: error for offset in whole if offset not in broken}
            return Lookup(values=values, missing=sorted(broken), refused=refused)
        refused = {offset: error for offset, error in keys.errors.items() if offset not in broken}
        if not taken.any() and not refused and not repeats and not waiting:
            return Lookup(values=values, missing=whole, claimed=mine)
        taken[[*refused, *repeats, *waiting]] = True
        missing = np.flatnonzero(~taken).tolist()
        return Lookup(values=values, missing=missing, refused=refused, repeats=repeats, waiting=waiting, claimed=mine)

    def _broken(self, frame: list[Any], rows: Rows, size: int) -> set[int]:
        """Elements that are not run, because of what became of their inputs; they have no key."""
        if self._rules.judges:
            elements = enumerate(self._element(frame, rows, offset) for offset in range(size))
            return {offset for offset, element in elements if judge(self._rules, self._guards, element)}
        broken: set[int] = set()
        for slot in self._guards:
            column = slot - self._first_column
            if column >= len(rows):
                continue  # looked up ahead: what the step before gives is not known yet
            if column < 0:
                if type(frame[slot]) is Failure:
                    return set(range(size))
            elif Failure in set(map(type, rows[column])):
                broken.update(offset for offset, value in enumerate(rows[column]) if type(value) is Failure)
        return broken

    def _element(self, frame: list[Any], rows: Rows, offset: int) -> list[Any]:
        """The frame of one element."""
        return [*frame[: self._first_column], *(column[offset] for column in rows)]

    def _opened(self, values: Sequence[Any]) -> list[Any]:
        """What the function gets of inputs that were judged; keys are made of that."""
        return [opened(value, self._rules.trigger) for value in values]

    # What the store has

    def _note_keys(self, keys: Keys, start: int) -> None:
        """Write down the keys of a chunk, and which of its elements have one."""
        size = len(keys)
        self.keys[start : start + size] = np.frombuffer(keys.digests, np.uint8).reshape(size, DIGEST_BYTES)
        self._is_keyed[start : start + size] = True
        self._is_keyed[[start + offset for offset in keys.absent]] = False

    def _take(self, keys: Keys, start: int, values: list[Any], taken: Array, fresh_after: float | None) -> None:
        """Fill in the values that are found and were not taken yet. What was listed after a moment is fresh enough."""
        wanted = self._is_keyed[start : start + len(keys)] & ~taken
        if self._memory.refresh or not wanted.any():
            return
        results = self._results()
        found = results.find(keys.digests, now=time.time(), fresh_after=fresh_after)
        stored = [int(offset) for offset in found.stored if wanted[offset]]
        for offset, value in zip(stored, results.load(found, stored), strict=True):
            if not isinstance(value, ReadingError):  # what cannot be read was reported by the store, and is run again
                values[offset] = value
                taken[offset] = True
        if self._memory.template is not None:
            offsets = [offset for offset in stored if taken[offset]]
            rows = results.found_rows(found, offsets)
            self._found.update(zip((start + offset for offset in offsets), rows, strict=True))

    def _repeats(self, keys: Keys, start: int, taken: Array) -> dict[int, int]:
        """Elements that were not found and have the key of an earlier one that was not."""
        offsets = np.flatnonzero(~taken & self._is_keyed[start : start + len(keys)])
        heads = np.ascontiguousarray(self.keys[start + offsets, :8]).view(np.uint64).ravel()
        self._heads = np.concatenate([self._heads, heads])
        self._missed = np.concatenate([self._missed, start + offsets])
        ordered = np.sort(self._heads)
        if not (ordered[1:] == ordered[:-1]).any():
            return {}
        first: dict[bytes, int] = {}
        for index in self._missed.tolist():
            first.setdefault(self.keys[index].tobytes(), index)
        whose = {offset: first[keys[offset]] for offset in offsets.tolist()}
        repeats = {offset: index for offset, index in whose.items() if index != start + offset}
        self._repeated.update((start + offset, index) for offset, index in repeats.items())
        return repeats

    def _claim(
        self, keys: Keys, start: int, taken: Array, values: list[Any], needless: AbstractSet[int]
    ) -> tuple[set[int], set[int]]:
        """Tell others what is computed here.

        Returns:
            Offsets of the elements that are computed here, and of those that somebody else is computing already.
        """
        nothing: tuple[set[int], set[int]] = (set(), set())
        wanted = [
            offset for offset in np.flatnonzero(~taken).tolist()
            if self._is_keyed[start + offset] and offset not in needless
        ]  # fmt: skip
        claims = claims_on(self._store(), self._memory.collection) if self._claims_keys and wanted else None
        if claims is None:
            return nothing
        claim = claims.take([keys[offset] for offset in wanted], f"run {self._memory.run_id}")
        self._claims.append(claim)
        self._take(keys, start, values, taken, None)  # whoever had them may have stored them before we came
        waiting = {offset for offset in wanted if not taken[offset] and keys[offset] in claim.held_by_others}
        return {offset for offset in wanted if not taken[offset]} - waiting, waiting

    def release(self) -> None:
        """Give up what was claimed."""
        for claim in self._claims:
            claim.release()

    def _results(self) -> TaskResults:
        return self._store().task(self._memory.collection)

    def _store(self) -> ResultStore:
        return self._memory.store.open()

    # What is written back

    def keep(self, computed: Array, values: Sequence[Any], seconds: float) -> Iterator[tuple[int, ResultsError]]:
        """Write results into the store, with one request for all that are small.

        Args:
            computed: indices in the batch of the elements that were run and have a value.
            values: one for each element of the batch.
            seconds: what computing them took.

        Yields:
            Elements whose result could not be kept, or is not in the file that it should be in, with the reason.
        """
        writer = WriteBack(
            results=self._results(), memory=self._memory, keys=self._step_keys, digests=self.keys, values=values
        )
        if self._found:
            yield from writer.move(self._found)
        rows = computed[self._is_keyed[computed]]
        if self._memory.template is not None:  # one value, but each element has a file of its own
            there = set(rows.tolist())
            rows = np.array(sorted(there.union(row for row, first in self._repeated.items() if first in there)), int)
        if not len(rows):
            return
        try:
            for claim in self._claims:
                claim.confirm()
        except LeaseLost:
            return  # somebody took us for dead and computes it too: what they store is as good as this
        yield from writer.write(rows, seconds)
