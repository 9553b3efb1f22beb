"""The keys of the elements of one step and batch, on the worker, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from dataflow.compiler.memory import Memory
from dataflow.compiler.program import Program
from dataflow.compiler.recipes import Batch
from dataflow_results.keying.keys import KeyPlan, Keys, joined_keys
from dataflow_results.keying.positions import position_keys
from dataflow_results.keying.preimages import OUTLINED_ROWS, pack_preimage

__all__ = ["StepKeys"]

Array = np.ndarray[Any, Any]
Rows = Sequence[Sequence[Any]]


class StepKeys:
    """Makes the keys of one step that keeps its results, chunk by chunk.

    Args:
        program: the program of the batch.
        memory: how the step keeps its results.
        position: of the step in the program.
        batch: the batch.
    """

    def __init__(self, program: Program, memory: Memory, position: int, batch: Batch) -> None:
        self._memory = memory
        self._position = position
        self._step = program.steps[position]
        self._first_column = len(program.constants) + program.broadcasts
        self._batch = batch
        self._slugs = [slugs[position] for slugs in batch.slugs]
        self._together = len(self._slugs) == 1
        self._given: Mapping[str, Any] = {}
        """The arguments that are the same for all elements of the batch."""
        self._shared: Mapping[str, Any] | None = None
        """The same, hashed."""
        self._chunks: list[Keys] = []
        """Keys of the chunks so far, with what they were made of."""
        self._columns: list[Mapping[str, Sequence[Any]]] = []
        """Arguments that differ by element, of the chunks so far."""

    def place(self, row: int) -> tuple[str, int]:
        """The slug of the node of an element, and its index there."""
        return (self._slugs[0], row + self._batch.first) if self._together else (self._slugs[row], 0)

    def indices(self, rows: Array) -> Array:
        """The index of each of some elements in its node."""
        return rows + self._batch.first if self._together else np.zeros(len(rows), np.int64)

    @property
    def is_mapped(self) -> bool:
        """Whether the elements are those of a mapped node."""
        return self._batch.mapped

    @property
    def nodes(self) -> str:
        """The nodes of the batch, for its record."""
        return self._slugs[0] if self._together else f"{self._slugs[0]} … {self._slugs[-1]}"

    def of_chunk(self, frame: list[Any], rows: Rows, start: int, size: int, broken: set[int]) -> Keys:
        """The keys of the elements of a chunk.

        Args:
            frame: the frame, with constants and broadcasts filled in.
            rows: the values of the column slots, for the elements of the chunk.
            start: index in the batch of its first element.
            size: how many elements it has.
            broken: offsets of elements with a failed input; they have no key.
        """
        if self._memory.by_place:
            if self._memory.template is not None:
                self._given = self._shared_arguments(frame)
                self._columns.append(self._named_columns(rows, broken))
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
        columns = self._named_columns(rows, broken)
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

    def _named_columns(self, rows: Rows, broken: set[int]) -> Mapping[str, Sequence[Any]]:
        """Arguments that differ by element, by name."""
        return {
            name: _without(rows[slot - self._first_column], broken)
            for name, slot in self._step.labels
            if slot >= self._first_column
        }

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

    def arguments(self) -> Callable[[int], Mapping[str, Any]]:
        """Gives the arguments of an element by name, as far as they are known."""
        columns = self._joined_columns()
        return lambda row: {**self._given, **{name: values[row] for name, values in columns.items()}}

    def _joined_columns(self) -> dict[str, list[Any]]:
        names = self._columns[0] if self._columns else ()
        return {name: list(chain.from_iterable(chunk[name] for chunk in self._columns)) for name in names}

    def preimage(self, rows: Array) -> bytes:
        """What the keys of some elements were made of, packed for their record."""
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


def _without(values: Sequence[Any], broken: set[int]) -> Sequence[Any]:
    """A column with something that can be hashed in the places of failed inputs."""
    return [None if offset in broken else value for offset, value in enumerate(values)] if broken else values
