"""Writing the results of one step and batch into their store, with one request for all that are small."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from dataflow.compiler.memory import Memory
from dataflow.engine.step_keys import StepKeys
from dataflow_results.errors import ResultsError, TemplateError
from dataflow_results.records import Provenance
from dataflow_results.task_results import TaskResults
from dataflow_results.templates import Place, Template

__all__ = ["write_back"]

Array = np.ndarray[Any, Any]
WRITER = f"{socket.gethostname()}:{os.getpid()}"


def write_back(
    results: TaskResults,
    memory: Memory,
    keys: StepKeys,
    digests: Array,
    rows: Array,
    values: Sequence[Any],
    seconds: float,
) -> Iterator[tuple[int, ResultsError]]:
    """Write the results of some elements.

    Args:
        results: where to.
        memory: how the step keeps its results.
        keys: made the keys.
        digests: the key of each element of the batch, 20 bytes a row.
        rows: the elements, by index in the batch.
        values: one for each element of the batch.
        seconds: what computing them took.

    Yields:
        Elements whose result could not be written, with the reason.
    """
    targets, nameless = (None, {}) if memory.template is None else _targets(memory, memory.template, keys, rows)
    yield from nameless.items()
    rows = np.array([row for row in rows.tolist() if row not in nameless], np.int64) if nameless else rows
    try:
        saved = results.save(
            digests[rows].tobytes(),
            [values[row] for row in rows.tolist()],
            _provenance(memory, keys, rows, seconds),
            indices=keys.indices(rows),
            serializer=memory.serializer,
            targets=targets,
        )
    except ResultsError as error:
        yield from ((int(row), error) for row in rows)
    else:
        yield from ((int(rows[row]), error) for row, error in saved.errors.items())


def _provenance(memory: Memory, keys: StepKeys, rows: Array, seconds: float) -> Provenance:
    now = time.time()
    return Provenance(
        task=memory.task,
        created_at=now,
        expires_at=None if memory.expires_after_seconds is None else now + memory.expires_after_seconds,
        node=keys.nodes,
        flow=memory.flow,
        run_id=memory.run_id,
        attempt_seconds=seconds,
        writer=WRITER,
        preimage=keys.preimage(rows) if len(rows) else b"",
    )


def _targets(
    memory: Memory, template: Template, keys: StepKeys, rows: Array
) -> tuple[list[str], dict[int, ResultsError]]:
    """The file of each element, and the elements that can have none."""
    found: dict[str, int] = {}
    errors: dict[int, ResultsError] = {}
    now = datetime.now().astimezone()
    arguments = keys.arguments()
    for row in rows.tolist():
        slug, index = keys.place(row)
        place = Place(task_name=memory.task, flow_name=memory.flow, run_id=memory.run_id, node=slug, date=now)
        try:
            name = template.name(place, index, arguments(row))
        except ResultsError as error:
            errors[row] = error
            continue
        other = found.setdefault(name, row)
        if other != row:
            errors[row] = _same_file(template.text, slug, other, row)
    return list(found), errors


def _same_file(template: str, slug: str, one: int, other: int) -> TemplateError:
    return TemplateError(
        f"result_storage_key {template!r} gives the elements {one} and {other} of a batch one file",
        where=slug,
        fix="put {index} into it",
    )
