"""Steps that keep their results, on the worker: keys of elements, what the store has of them, what is written back."""

from __future__ import annotations

import functools
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np

from dataflow.compiler.memory import Memory
from dataflow.compiler.program import Program, Step
from dataflow.compiler.recipes import Batch
from dataflow.engine.failures import Failure
from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.errors import LeaseLost, ReadingError, ResultsError, TemplateError
from dataflow_results.key_positions import position_keys
from dataflow_results.keys import KeyPlan, Keys, joined_keys
from dataflow_results.leases import Claim, Claims
from dataflow_results.preimages import OUTLINED_ROWS, pack_preimage
from dataflow_results.problems import ResultsWarning
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore, open_store
from dataflow_results.task_results import TaskResults
from dataflow_results.templates import Place

__all__ = ["KeptStep", "Lookup", "kept_steps"]

Array = np.ndarray[Any, Any]
Rows = Sequence[Sequence[Any]]
WRITER = f"{socket.gethostname()}:{os.getpid()}"


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
    """The claims on the keys of a collection; None if the store cannot have any, of which it warns."""
    files = store.files
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
        self._position = position
        self._step: Step = program.steps[position]
        self._first_column = len(program.constants) + program.broadcasts
        self._batch = batch
        self._slugs = [slugs[position] for slugs in batch.slugs]
        self._together = len(self._slugs) == 1
        """Whether all elements are those of one mapped node (or there is just one)."""
        self._given: Mapping[str, Any] = {}
        """The arguments that are the same for all elements of the batch."""
        self._shared: Mapping[str, Any] | None = None
        """The same, hashed."""
        self.keys = np.zeros((batch.count, DIGEST_BYTES), np.uint8)
        """The key of each element; zeros where it has none."""
        plan = memory.plan
        isolation = None if plan is None else plan.policy.isolation
        self._claims_keys = plan is not None and (
            isolation == "SERIALIZABLE" or (isolation is None and not batch.mapped)
        )
        self._claims: list[Claim] = []
        self._is_keyed = np.zeros(batch.count, bool)
        self._missed = np.zeros(0, np.int64)
        """Elements that were not found."""
        self._heads = np.zeros(0, np.uint64)
        """The first bytes of their keys, which tell most of them apart."""
        self._chunks: list[Keys] = []
        """Keys of the chunks so far, with what they were made of."""
        self._columns: list[Mapping[str, Sequence[Any]]] = []
        """Arguments that differ by element, of the chunks so far."""

    @property
    def is_known_ahead(self) -> bool:
        """Whether keys can be made before the steps before this one have run."""
        return self._memory.is_lineage

    @property
    def keys_to_tell(self) -> bytes:
        """Keys of all elements, one after the other, unless they follow from the place."""
        return b"" if self._memory.by_place else self.keys.tobytes()

    def look_up(self, frame: list[Any], rows: Rows, start: int, size: int) -> Lookup:
        """Find the elements of a chunk in the store.

        Args:
            frame: the frame, with constants and broadcasts filled in.
            rows: the values of the column slots, for the elements of the chunk.
            start: index in the batch of its first element.
            size: how many elements it has.
        """
        whole = range(size)
        values: list[Any] = [None] * size
        broken = self._broken(frame, rows, size)
        if len(broken) == size:
            return Lookup(values=values, missing=whole)  # the careful walk says what becomes of them
        try:
            keys = self._keys_of(frame, rows, start, size, broken)
            taken = self._take(keys, start, values)
            repeats = self._repeats(keys, start, taken)
            waiting = self._claim(keys, start, taken, repeats, values)
        except ResultsError as error:
            refused = {offset: error for offset in whole if offset not in broken}
            return Lookup(values=values, missing=sorted(broken), refused=refused)
        refused = {offset: error for offset, error in keys.errors.items() if offset not in broken}
        if not taken.any() and not refused and not repeats and not waiting:
            return Lookup(values=values, missing=whole)
        taken[[*refused, *repeats, *waiting]] = True
        missing = np.flatnonzero(~taken).tolist()
        return Lookup(values=values, missing=missing, refused=refused, repeats=repeats, waiting=waiting)

    def _broken(self, frame: list[Any], rows: Rows, size: int) -> set[int]:
        """Elements with an input that failed; they have no key."""
        broken: set[int] = set()
        for slot in self._step.guards:
            column = slot - self._first_column
            if column >= len(rows):
                continue  # looked up ahead: what the step before gives is not known yet
            if column < 0:
                if type(frame[slot]) is Failure:
                    return set(range(size))
            elif Failure in set(map(type, rows[column])):
                broken.update(offset for offset, value in enumerate(rows[column]) if type(value) is Failure)
        return broken

    # Keys

    def _keys_of(self, frame: list[Any], rows: Rows, start: int, size: int, broken: set[int]) -> Keys:
        if self._memory.by_place:
            found = Keys(digests=self._position_keys(start, size))
        elif self._memory.is_lineage:
            found = self._lineage_keys(rows, start, size)
        else:
            found = self._planned_keys(frame, rows, start, size, broken)
        if broken:
            found = replace(found, absent=found.absent | broken)
        return found

    def _lineage_keys(self, rows: Rows, start: int, size: int) -> Keys:
        made = self._step.element_keys
        if made is None:
            known = (entry[self._position] for entry in self._batch.lineage[start : start + size])
            return Keys(digests=b"".join(entry.key for entry in known if entry is not None))
        first = self._batch.first + start
        found: Keys = made.keys(lambda slot: rows[slot - self._first_column], range(first, first + size))
        self._chunks.append(found)
        return found

    def _planned_keys(self, frame: list[Any], rows: Rows, start: int, size: int, broken: set[int]) -> Keys:
        plan = self._memory.plan
        assert plan is not None
        columns = {
            name: _without(rows[slot - self._first_column], broken)
            for name, slot in self._step.labels
            if slot >= self._first_column
        }
        if self._shared is None:
            self._given = self._shared_arguments(frame)
            self._shared = self._given if plan.needs_values else plan.encode_shared(self._given)
        plan = replace(plan, arguments=(*columns, *self._given))
        self._columns.append(columns)
        indices = range(self._batch.first + start, self._batch.first + start + size)
        if self._together:
            found = replace(plan, node=self._slugs[0]).keys(columns, self._shared, size, indices)
        else:
            found = self._keys_one_by_one(plan, columns, start, size)
        self._chunks.append(found)
        return found

    def _position_keys(self, start: int, size: int) -> bytes:
        run_id, first = self._memory.run_id, self._batch.first + start
        if self._together:
            return position_keys(run_id, self._slugs[0], range(first, first + size))
        return b"".join(position_keys(run_id, slug, range(1)) for slug in self._slugs[start : start + size])

    def _shared_arguments(self, frame: list[Any]) -> Mapping[str, Any]:
        """The arguments that are the same for all elements of the batch; defaults count as if they were given."""
        given = {name: frame[slot] for name, slot in self._step.labels if slot < self._first_column}
        named = {name for name, _ in self._step.labels}
        return {**{name: value for name, value in self._memory.defaults.items() if name not in named}, **given}

    def _keys_one_by_one(self, plan: KeyPlan, columns: Mapping[str, Sequence[Any]], start: int, size: int) -> Keys:
        """Of elements that are nodes of their own, each with its slug."""
        shared = self._shared or {}
        if not plan.reads_place:
            return plan.keys(columns, shared, size, (0,) * size)
        each = [
            replace(plan, node=slug).keys({name: [values[offset]] for name, values in columns.items()}, shared, 1, (0,))
            for offset, slug in enumerate(self._slugs[start : start + size])
        ]
        return joined_keys(each)

    # What the store has

    def _take(self, keys: Keys, start: int, values: list[Any]) -> Array:
        """Fill in the values that were found; gives which they are."""
        size = len(keys)
        digests = np.frombuffer(keys.digests, np.uint8).reshape(size, DIGEST_BYTES)
        self.keys[start : start + size] = digests
        keyed = np.ones(size, bool)
        keyed[sorted(keys.absent)] = False
        self._is_keyed[start : start + size] = keyed
        taken = np.zeros(size, bool)
        if self._memory.refresh or not keyed.any():
            return taken
        found = self._results().find(keys.digests, now=time.time())
        stored = [int(offset) for offset in found.stored if keyed[offset]]
        for offset, value in zip(stored, self._results().load(found, stored), strict=True):
            if not isinstance(value, ReadingError):  # what cannot be read was reported by the store, and is run again
                values[offset] = value
                taken[offset] = True
        return taken

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
        return {offset: index for offset, index in whose.items() if index != start + offset}

    def _claim(self, keys: Keys, start: int, taken: Array, repeats: Mapping[int, int], values: list[Any]) -> set[int]:
        """Tell others what is computed here; gives the elements that somebody else is computing already."""
        if not self._claims_keys:
            return set()
        open_offsets = [
            offset for offset in np.flatnonzero(~taken).tolist()
            if self._is_keyed[start + offset] and offset not in repeats
        ]  # fmt: skip
        if not open_offsets:
            return set()
        claims = claims_on(self._store(), self._memory.collection)
        if claims is None:
            return set()
        claim = claims.take([keys[offset] for offset in open_offsets], f"run {self._memory.run_id}")
        self._claims.append(claim)
        taken |= self._take(keys, start, values)  # whoever had them may have stored them before we came
        waiting = {offset for offset in open_offsets if not taken[offset] and keys[offset] in claim.held_by_others}
        return waiting | {offset for offset, first in repeats.items() if first - start in waiting}

    def release(self) -> None:
        """Give up what was claimed."""
        for claim in self._claims:
            claim.release()

    def _results(self) -> TaskResults:
        return self._store().task(self._memory.collection)

    def _store(self) -> ResultStore:
        return open_store(self._memory.store.url, self._memory.store.storage_options)

    # What is written back

    def keep(self, computed: Array, values: Sequence[Any], seconds: float) -> Iterator[tuple[int, ResultsError]]:
        """Write results into the store, with one request for all that are small.

        Args:
            computed: indices in the batch of the elements that were run and have a value.
            values: one for each element of the batch.
            seconds: what computing them took.

        Yields:
            Elements whose result could not be kept, with the reason.
        """
        rows = computed[self._is_keyed[computed]]
        if not len(rows):
            return
        memory = self._memory
        now = time.time()
        provenance = Provenance(
            task=memory.task,
            created_at=now,
            expires_at=None if memory.expires_after_seconds is None else now + memory.expires_after_seconds,
            node=self._slugs[0] if self._together else f"{self._slugs[0]} … {self._slugs[-1]}",
            flow=memory.flow,
            run_id=memory.run_id,
            attempt_seconds=seconds,
            writer=WRITER,
            preimage=self._preimage(rows),
        )
        try:
            for claim in self._claims:
                claim.confirm()
        except LeaseLost:
            return  # somebody took us for dead and computes it too: what they store is as good as this
        targets, nameless = self._targets(rows)
        yield from nameless.items()
        rows = np.array([row for row in rows.tolist() if row not in nameless], np.int64) if nameless else rows
        try:
            saved = self._results().save(
                self.keys[rows].tobytes(),
                [values[row] for row in rows.tolist()],
                provenance,
                indices=rows + self._batch.first if self._together else rows,
                serializer=memory.serializer,
                targets=targets,
            )
        except ResultsError as error:
            yield from ((int(row), error) for row in rows)
        else:
            yield from ((int(rows[row]), error) for row, error in saved.errors.items())

    def _targets(self, rows: Array) -> tuple[list[str] | None, dict[int, ResultsError]]:
        """The file of each element, if they get files of their own, and the elements that can have none."""
        template, memory = self._memory.template, self._memory
        if template is None:
            return None, {}
        found: dict[str, int] = {}
        errors: dict[int, ResultsError] = {}
        now = datetime.now().astimezone()
        arguments = self._arguments()
        for row in rows.tolist():
            slug = self._slugs[0] if self._together else self._slugs[row]
            place = Place(task_name=memory.task, flow_name=memory.flow, run_id=memory.run_id, node=slug, date=now)
            try:
                name = template.name(place, row + self._batch.first if self._together else 0, arguments(row))
            except ResultsError as error:
                errors[row] = error
                continue
            other = found.setdefault(name, row)
            if other != row:
                errors[row] = _same_file(template.text, slug, other, row)
        return list(found), errors

    def _arguments(self) -> Callable[[int], Mapping[str, Any]]:
        """Gives the arguments of an element by name."""
        columns = self._joined_columns()
        return lambda row: {**self._given, **{name: values[row] for name, values in columns.items()}}

    def _joined_columns(self) -> dict[str, list[Any]]:
        return {name: list(chain.from_iterable(chunk[name] for chunk in self._columns)) for name in self._columns[0]}

    def _preimage(self, rows: Array) -> bytes:
        if self._memory.by_place:
            return b""  # keys that follow from the place need no explanation
        if self._memory.is_lineage:
            return self._lineage_preimage(rows)
        plan = self._memory.plan
        assert plan is not None
        columns = self._joined_columns() if len(rows) <= OUTLINED_ROWS else None  # then a miss can name the path
        return pack_preimage(plan, joined_keys(self._chunks), rows.tolist(), columns=columns, shared=self._given)

    def _lineage_preimage(self, rows: Array) -> bytes:
        if self._step.element_keys is not None:
            return pack_preimage(self._step.element_keys.plan, joined_keys(self._chunks), rows.tolist())
        known = self._batch.lineage[int(rows[0])][self._position]
        return known.preimage if known is not None and len(rows) == 1 else b""


def _same_file(template: str, slug: str, one: int, other: int) -> TemplateError:
    return TemplateError(
        f"result_storage_key {template!r} gives the elements {one} and {other} of a batch one file",
        where=slug,
        fix="put {index} into it",
    )


def _without(values: Sequence[Any], broken: set[int]) -> Sequence[Any]:
    """A column with something that can be hashed in the places of failed inputs."""
    return [None if offset in broken else value for offset, value in enumerate(values)] if broken else values
