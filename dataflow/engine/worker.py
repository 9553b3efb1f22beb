"""What a worker does with one batch: inputs, the walk, a check that results can travel, and the report."""

from __future__ import annotations

import importlib
import pickle
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cloudpickle

from dataflow.compiler.program import Program
from dataflow.compiler.recipes import Batch
from dataflow.context import inside_task
from dataflow.engine.batch_voice import Tell, voiced
from dataflow.engine.columns import Column, open_levels
from dataflow.engine.control import Control, Progress, cancelled_runs, is_withdrawn, running
from dataflow.engine.failures import Failure, pack_error
from dataflow.engine.inputs import resolve, resolve_column
from dataflow.engine.judged import Judged
from dataflow.engine.ledger import HeldElements, Ledger
from dataflow.engine.report import Report
from dataflow.engine.walks import walk_elements
from dataflow.errors import Cancelled, UnpicklableResult
from dataflow.states import StateType

__all__ = ["WorkerContext", "run_batch"]

RIDING_BYTES = 1024
"""Up to this size the value of a single element rides with its report, which saves the way to fetch it."""
PLAIN_TYPES = frozenset({int, float, bool, str, bytes, complex, type(None)})
"""Types whose values always pickle, so that a column of them needs no trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What a batch needs to know of where it runs."""

    name: str = ""
    run_id: str = ""
    crosses_processes: bool = True
    """Whether results may have to leave this process, so that they must pickle."""
    passing: tuple[type[BaseException], ...] = ()
    """Exceptions that end the batch instead of one element."""
    async_concurrency: int = 256
    tell: Tell | None = None
    """Sends what elements say while they run; None: nobody listens."""
    clock: Callable[[], float] = time.perf_counter


def run_batch(
    program: Program, batch: Batch, dependencies: Sequence[Any], context: WorkerContext
) -> tuple[Report, tuple[Any, ...]]:
    """Run the elements of a batch.

    Returns:
        The report, and a column for each output of the program; behind them, where elements may leave a batch
        unfinished, how far those came that did.
    """
    started, began = time.time(), context.clock()
    if batch.most_at_once is not None:
        context = replace(context, async_concurrency=min(context.async_concurrency, batch.most_at_once))
    program, ends = _isolated(program, f"{context.run_id}-{batch.number}")
    ledger = _ledger(program, batch, dependencies, context)
    ledger.ends.extend(ends)
    with voiced(program, batch, context.tell):
        done = _walked(ledger, batch, dependencies, context, began)
    outputs, lengths = _outputs(ledger, context)
    waiting = tuple(sorted(offset for offset in ledger.delays if offset < done))
    report = Report(
        batch=batch.number,
        count=done,
        started=started,
        seconds=context.clock() - began,
        steps=ledger.report(done),
        sizes=tuple(column.size_bytes for column in outputs),
        totals=tuple(map(sum, lengths)),
        lengths=tuple(array("i", each).tobytes() for each in lengths) if batch.is_scattered or waiting else (),
        values=_riding_values(program, ledger) if done == 1 and context.crosses_processes else (),
        waiting=waiting,
        delays=tuple(ledger.delays[offset] for offset in waiting),
        worker=context.name,
    )
    return report, (*outputs, _held(ledger, context)) if program.may_hold else outputs


def _isolated(program: Program, owner: str) -> tuple[Program, list[Callable[[], object]]]:
    """The program with its isolated steps in other processes, and how to end those."""
    if not any(step.rules.isolation for step in program.steps):
        return program, []
    # Loaded with the first task that needs it: workers of other flows start faster without it.
    isolated = importlib.import_module("dataflow.engine.isolated")
    return isolated.isolated(program, owner), [partial(isolated.stop_isolated, owner)]


def _walked(ledger: Ledger, batch: Batch, dependencies: Sequence[Any], context: WorkerContext, began: float) -> int:
    """Walk the elements; gives how many were run."""
    frame, columns, is_whole = _frame(ledger.program, batch, dependencies)
    deadline = began + batch.budget_seconds if batch.budget_seconds is not None else float("inf")
    token = inside_task.set(ledger.nested)
    try:
        if _is_stopped(batch, context):
            return 0
        if ledger.program.is_kept:
            return _walk_persisted(ledger, frame, columns, batch, context, deadline)
        return walk_elements(
            ledger,
            frame,
            columns,
            is_whole=is_whole,
            clock=context.clock,
            control=_controlled(ledger, ledger.progress, batch, context, deadline),
            async_concurrency=context.async_concurrency,
        )
    finally:
        inside_task.reset(token)
        running.pop((context.run_id, batch.number), None)


def _outputs(ledger: Ledger, context: WorkerContext) -> tuple[tuple[Column, ...], list[list[int]]]:
    """A column for each output of the program, and for each of its measures how long the values are when opened."""
    program = ledger.program
    types: list[set[type]] = [set(map(type, values)) for values in ledger.outputs] if context.crosses_processes else []
    if context.crosses_processes:
        _refuse_unpicklable(program, ledger, types)
    columns = tuple(
        Column(values, failed=ledger.failed(position), kind=kind)
        for position, values, kind in zip(program.outputs, ledger.outputs, _kinds(ledger, types), strict=True)
    )
    return columns, _lengths(program, columns)


def _held(ledger: Ledger, context: WorkerContext) -> HeldElements:
    """How far elements came that left the batch; where that cannot travel, they begin at their first step again."""
    if not context.crosses_processes:
        return HeldElements(ledger.held)
    return HeldElements({
        offset: held if _pickles([step.value for step in held.before]) else held._replace(before=())
        for offset, held in ledger.held.items()
    })  # fmt: skip


def _ledger(program: Program, batch: Batch, dependencies: Sequence[Any], context: WorkerContext) -> Ledger:
    """An empty ledger of a batch that knows which elements are gone on with, and what is cancelled."""
    ledger = Ledger(program, batch.count, passing=context.passing)
    for span in batch.held:
        elements: HeldElements = dependencies[span.dependency]
        found = ((at, elements.held.get(span.offset + at)) for at in range(span.elements))
        told = {} if span.approval is None else {"approval": pickle.loads(span.approval)}
        ledger.resumed.update((span.start + at, held._replace(**told)) for at, held in found if held is not None)
    for position in batch.cancelled:
        error = Cancelled("it was cancelled before it ended", where=f"task {program.steps[position].name!r}")
        ledger.cancelled[position] = Failure(int(StateType.CANCELLED), pack_error(error))
    return ledger


def _walk_persisted(
    ledger: Ledger,
    frame: list[Any],
    columns: list[Sequence[Any]],
    batch: Batch,
    context: WorkerContext,
    deadline: float,
) -> int:
    # Loaded with the first program that keeps results: workers of other flows start faster without it.
    persisted = importlib.import_module("dataflow.engine.walk_persisted")
    walk = persisted.walk_of(ledger, frame, columns, batch, context.clock, context.async_concurrency)
    control = _controlled(ledger, walk.progress, batch, context, deadline)
    done: int = walk.run(control, persisted.first_chunk(batch))
    return done


def _controlled(ledger: Ledger, progress: Progress, batch: Batch, context: WorkerContext, deadline: float) -> Control:
    """The control of a walk, known to this process, because the batch may be asked for its rest, or to stop."""
    control = running[context.run_id, batch.number] = Control(progress, context.clock, deadline)
    control.on_cancel = ledger.ends
    control.recalled = _is_stopped(batch, context)  # whoever has asked for that meanwhile did not find it
    return control


def _is_stopped(batch: Batch, context: WorkerContext) -> bool:
    """Whether nothing of the batch is to be begun, because its run was cancelled, or paused after it was sent."""
    return context.run_id in cancelled_runs or is_withdrawn(context.run_id, batch.number)


def _frame(program: Program, batch: Batch, dependencies: Sequence[Any]) -> tuple[list[Any], list[Sequence[Any]], bool]:
    """The frame with everything filled in but the columns, the columns, and whether the inputs are whole."""
    broadcasts = [resolve(recipe, dependencies) for recipe in batch.broadcasts]
    resolved = [resolve_column(recipe, dependencies) for recipe in batch.columns]
    is_whole = {Failure, Judged}.isdisjoint(map(type, broadcasts)) and not any(may_fail for _, may_fail in resolved)
    empty = [None] * (program.columns + len(program.steps))
    return [*program.constants, *broadcasts, *empty], [values for values, _ in resolved], is_whole


def _lengths(program: Program, outputs: tuple[Column, ...]) -> list[list[int]]:
    """For each measure of the program, how many elements each value has when opened."""
    column_of = dict(zip(program.outputs, outputs, strict=True))
    return [
        [_length(value, depth, program.steps[position].name) for value in column_of[position].values]
        for position, depth in program.measures
    ]


def _length(value: Any, depth: int, whose: str) -> int:
    if depth == 1 and type(value) is list:
        return len(value)
    return sum(1 for _ in open_levels([value], depth, whose))


def _kinds(ledger: Ledger, types: list[set[type]]) -> list[type | None]:
    """The one type of each output column, where all its values have the same."""
    found: list[type | None] = [next(iter(kinds)) if len(kinds) == 1 else None for kinds in types]
    return found or [None] * len(ledger.outputs)


def _riding_values(program: Program, ledger: Ledger) -> tuple[tuple[int, bytes], ...]:
    """The values of a batch of one element that are so small that they ride with the report."""
    found = (
        (position, _small_pickle(values[0])) for position, values in zip(program.outputs, ledger.outputs, strict=True)
    )
    return tuple((position, data) for position, data in found if data is not None)


def _small_pickle(value: Any) -> bytes | None:
    if type(value) is Failure or sys.getsizeof(value, RIDING_BYTES) >= RIDING_BYTES:
        return None
    try:
        data = cloudpickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - boundary: pickling runs code of the value's class, which may raise anything
        return None
    return data if len(data) <= RIDING_BYTES else None


def _refuse_unpicklable(program: Program, ledger: Ledger, types: list[set[type]]) -> None:
    """Turn results that cannot leave this process into failures, while the report can still say so."""
    for output, position in enumerate(program.outputs):
        values = ledger.outputs[output]
        if PLAIN_TYPES.issuperset(types[output]) or _pickles(values):
            continue
        for offset, value in enumerate(values):
            if not _pickles(value):
                error = _unpicklable(program.steps[position].name, value)
                ledger.replace(output, position, offset, Failure(int(StateType.FAILED), pack_error(error)))


def _pickles(value: Any) -> bool:
    """Whether a value pickles; large buffers are not copied for the trial."""
    try:
        pickle.dumps(value, protocol=5, buffer_callback=lambda _: None)
    except Exception:  # noqa: BLE001 - boundary: pickling runs code of the value's class, which may raise anything
        return _cloudpickles(value)
    return True


def _cloudpickles(value: Any) -> bool:
    try:
        cloudpickle.dumps(value, protocol=5, buffer_callback=lambda _: None)
    except Exception:  # noqa: BLE001 - boundary: as above
        return False
    return True


def _unpicklable(task: str, value: Any) -> UnpicklableResult:
    return UnpicklableResult(
        f"the result, {type(value).__qualname__} {value!r:.60}, cannot be pickled, so it cannot leave its worker",
        where=f"task {task!r}",
        fix="return plain data (a path, an id, a dict), or open the resource in the task that uses it",
    )
