"""The plain files of results: which file each element gets, and that no two results of a run get the same."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from dataflow.compiler.memory import Memory
from dataflow.engine.step_keys import StepKeys
from dataflow_results.errors import ResultsError, TemplateError
from dataflow_results.task_results import TaskResults
from dataflow_results.templates import BY_ELEMENT, Place, Template

__all__ = ["FileNames"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """The result that a file belongs to."""

    node: str
    index: int
    key: bytes

    def is_other_than(self, other: Owner) -> bool:
        """Whether the two are different results of a run. One place may get another key when the run is resumed."""
        return (self.node, self.index) != (other.node, other.index) and self.key != other.key


@functools.lru_cache(maxsize=64)
def owners_in(url: str, run_id: str) -> dict[str, Owner]:
    """What this process knows of the files of one run in one store."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNames:
    """The files of the elements of one step and batch."""

    results: TaskResults
    memory: Memory
    template: Template
    keys: StepKeys
    digests: Array
    _of_rows: dict[int, str] = field(default_factory=dict)

    @property
    def is_certain(self) -> bool:
        """Whether the template alone tells all elements of a run apart."""
        fields = self.template.fields
        return "node" in fields and (not self.keys.is_mapped or bool(fields & BY_ELEMENT))

    def name(self, rows: Iterable[int]) -> dict[int, ResultsError]:
        """Name the file of each of some elements; gives those that can have none, with the reason."""
        errors: dict[int, ResultsError] = {}
        now = datetime.now().astimezone()
        arguments = self.keys.arguments()
        for row in rows:
            slug, index = self.keys.place(row)
            place = Place(
                task_name=self.memory.task, flow_name=self.memory.flow, run_id=self.memory.run_id, node=slug, date=now
            )
            try:
                self._of_rows[row] = self._own(self.template.name(place, index, arguments(row)), row)
            except ResultsError as error:
                errors[row] = error
        return errors

    def of(self, row: int) -> str:
        """The file of an element that was named."""
        return self._of_rows[row]

    def knows(self, row: int) -> bool:
        """Whether an element was named."""
        return row in self._of_rows

    def _own(self, name: str, row: int) -> str:
        """The name, if no other result of this run that this process knows of has it."""
        owners, mine = owners_in(self.memory.store.url, self.memory.run_id), self._owner(row)
        other = owners.setdefault(name, mine)
        if mine.is_other_than(other):
            raise self._refusal(name, mine, other)
        owners[name] = mine
        return name

    def _owner(self, row: int) -> Owner:
        return Owner(*self.keys.place(row), self.digests[row].tobytes())

    def taken(self, rows: Sequence[int]) -> dict[int, ResultsError]:
        """The elements whose file another result of this run has, as far as the store tells, with the reason.

        Raises:
            StoreError: the store does not answer.
        """
        if self.is_certain or not rows:
            return {}
        wanted = {self._of_rows[row]: row for row in rows}
        errors: dict[int, ResultsError] = {}
        for key, stored in self.results.in_files(wanted.keys(), self.memory.run_id):
            node, row = stored.provenance.node, wanted[stored.file]
            other, mine = Owner(node, stored.index, key), self._owner(row)
            if "…" not in node and mine.is_other_than(other):  # of nodes that were run together, any may be this one
                errors[row] = self._refusal(stored.file, mine, other)
        return errors

    def _refusal(self, name: str, mine: Owner, other: Owner) -> TemplateError:
        return TemplateError(
            f"result_storage_key {self.template.text!r} gives {_words(other)} and {_words(mine)} the file {name!r}",
            where=mine.node,
            fix="put {node} and {index} into it",
        )


def _words(owner: Owner) -> str:
    return f"{owner.node}[{owner.index}]"
