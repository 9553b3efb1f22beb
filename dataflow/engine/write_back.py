"""Writing the results of one step and batch into their store, with one request for all that are small."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dataflow.compiler.memory import Memory
from dataflow.engine.file_names import FileNames
from dataflow.engine.step_keys import StepKeys
from dataflow_results.errors import ResultsError
from dataflow_results.packs.outside import FoundRow
from dataflow_results.records import Provenance
from dataflow_results.task_results import TaskResults

__all__ = ["WriteBack"]

Array = np.ndarray[Any, Any]
Trouble = Iterator[tuple[int, ResultsError]]
"""Elements whose result could not be written, with the reason."""
WRITER = f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBack:
    """Writes the results of one step and batch."""

    results: TaskResults
    """Where to."""
    memory: Memory
    """How the step keeps its results."""
    keys: StepKeys
    """Made the keys."""
    digests: Array
    """The key of each element of the batch, 20 bytes a row."""
    values: Sequence[Any]
    """One for each element of the batch."""

    def write(self, rows: Array, seconds: float) -> Trouble:
        """Write the results of elements that were run; computing them took so long."""
        if self.memory.template is None:
            yield from self._save(rows, self._provenance(rows, seconds), self.keys.indices(rows), None)
            return
        files = self._files()
        refused = files.name(rows.tolist())
        yield from refused.items()
        rows = _without(rows, refused)
        try:
            taken = files.taken(rows.tolist())
        except ResultsError as error:
            taken = dict.fromkeys(rows.tolist(), error)
        yield from taken.items()
        rows = _without(rows, taken)
        if len(rows):
            yield from self._save(rows, self._provenance(rows, seconds), self.keys.indices(rows), files)
            yield from self._undo_collisions(rows, files)

    def move(self, found: Mapping[int, FoundRow]) -> Trouble:
        """Write results that were found, but in another file than is asked for now; their record stays as it was."""
        if self.memory.template is None:
            return
        files = self._files()
        yield from files.name(found).items()
        by_origin: dict[Provenance, list[int]] = {}
        for row, stored in found.items():
            if files.knows(row) and files.of(row) != stored.file:
                by_origin.setdefault(stored.provenance, []).append(row)
        for origin, together in by_origin.items():
            rows = np.array(together, np.int64)
            indices = np.array([found[row].index for row in together], np.int64)
            yield from self._save(rows, replace(origin, preimage=self.keys.preimage(rows)), indices, files)

    def _files(self) -> FileNames:
        template = self.memory.template
        assert template is not None
        return FileNames(
            results=self.results, memory=self.memory, template=template, keys=self.keys, digests=self.digests
        )

    def _save(self, rows: Array, provenance: Provenance, indices: Array, files: FileNames | None) -> Trouble:
        try:
            saved = self.results.save(
                self.digests[rows].tobytes(),
                [self.values[row] for row in rows.tolist()],
                provenance,
                indices=indices,
                serializer=self.memory.serializer,
                targets=None if files is None else [files.of(row) for row in rows.tolist()],
            )
        except ResultsError as error:
            yield from ((int(row), error) for row in rows)
        else:
            yield from ((int(rows[row]), error) for row, error in saved.errors.items())

    def _undo_collisions(self, rows: Array, files: FileNames) -> Trouble:
        """Another worker may have written a result of the run into the same file at the same moment: look again."""
        try:
            taken = files.taken(rows.tolist())
            if taken:
                self.results.delete(self.digests[list(taken)].tobytes())
        except ResultsError as error:
            taken = dict.fromkeys(rows.tolist(), error)
        yield from taken.items()

    def _provenance(self, rows: Array, seconds: float) -> Provenance:
        now, limit = time.time(), self.memory.expires_after_seconds
        return Provenance(
            task=self.memory.task,
            created_at=now,
            expires_at=None if limit is None else now + limit,
            node=self.keys.nodes,
            flow=self.memory.flow,
            run_id=self.memory.run_id,
            attempt_seconds=seconds,
            writer=WRITER,
            preimage=self.keys.preimage(rows) if len(rows) else b"",
        )


def _without(rows: Array, refused: Mapping[int, ResultsError]) -> Array:
    return np.array([row for row in rows.tolist() if row not in refused], np.int64) if refused else rows
