"""What runs on a Dask worker: one batch, its report sent ahead of its values. Imports no more than that needs."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Sequence
from functools import partial
from typing import Any

from distributed import get_worker, rejoin, secede

from dataflow.compiler.lower import Shipped
from dataflow.compiler.program import Program
from dataflow.compiler.recipes import Batch
from dataflow.engine.columns import Column
from dataflow.engine.control import cancel, recall, withdraw
from dataflow.engine.failures import pack_error
from dataflow.engine.limits.waiting import holding
from dataflow.engine.nests import cancel_nested, on_worker
from dataflow.engine.notices import Notice, pack_notices
from dataflow.engine.report import Report
from dataflow.engine.slots import Slot
from dataflow.engine.worker import WorkerContext, run_batch

__all__ = ["RunOnWorker", "recall_batch", "stop_batches", "take_part", "withdraw_batches"]


class RunOnWorker:
    """The function of every batch task of a run; holds what is the same for all of them.

    Args:
        topic: where reports go.
        run_id: whose reports they are.
        crosses_processes: whether results may leave this process.
        async_concurrency: elements of one batch of async tasks that run at once.
        depth: in how many other runs the run stands.
    """

    __slots__ = ("async_concurrency", "crosses_processes", "depth", "run_id", "topic")

    def __init__(
        self, topic: str, run_id: str, *, crosses_processes: bool, async_concurrency: int, depth: int = 0
    ) -> None:
        self.topic = topic
        self.run_id = run_id
        self.crosses_processes = crosses_processes
        self.async_concurrency = async_concurrency
        self.depth = depth

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.topic, self.run_id, self.crosses_processes, self.async_concurrency, self.depth))

    def __call__(self, program: Shipped | Program, payload: Any, *dependencies: Any) -> Any:
        """Run a batch and send its report (first) and its columns (as the result)."""
        worker = get_worker()
        batch = payload if isinstance(payload, Batch) else pickle.loads(payload)
        context = WorkerContext(
            name=str(worker.name),
            run_id=self.run_id,
            crosses_processes=self.crosses_processes,
            async_concurrency=self.async_concurrency,
            tell=partial(self._tell, worker),
        )
        try:
            loaded = program if isinstance(program, Program) else program.load(pickle.loads)
            slot = Slot(partial(self._leave, batch.number), _come_back)
            here = on_worker(self.run_id, batch.number, depth=self.depth + 1, slot=slot)
            with here, holding(batch.limits):
                report, outputs = run_batch(loaded, batch, dependencies, context)
        except Exception as error:  # noqa: BLE001 - boundary: what cannot even be begun here must be told, or the run would hang
            report, outputs = _crashed(batch, error, context), ()
        worker.log_event(self.topic, (self.run_id, report.to_wire()))
        return outputs[0] if len(outputs) == 1 else outputs

    def _tell(self, worker: Any, number: int, notices: Sequence[Notice]) -> None:
        """Send what elements of a batch said; from any thread."""
        worker.log_event(self.topic, (self.run_id, {"notices": number, "items": pack_notices(notices)}))

    def _leave(self, number: int) -> None:
        """Give this thread's place among those of the worker to others, and tell, so that more is sent."""
        with contextlib.suppress(KeyError):  # raised where the task has called secede() itself
            secede()
        get_worker().log_event(self.topic, (self.run_id, {"away": number}))


async def recall_batch(topic: str, run_id: str, number: int, dask_worker: Any) -> None:
    """On each worker: ask a batch that runs there to give its rest back; tell at once what is certain."""
    limit = recall(run_id, number)
    if limit is not None:
        dask_worker.log_event(topic, (run_id, {"recalled": number, "limit": limit}))


async def withdraw_batches(topic: str, run_id: str, last: int, dask_worker: Any) -> None:
    """On each worker: a run is paused; tell at once which batches will end early, as far as that is certain."""
    for number, limit in withdraw(run_id, last).items():
        dask_worker.log_event(topic, (run_id, {"recalled": number, "limit": limit}))


def stop_batches(run_id: str, numbers: frozenset[int], whole_run: bool) -> list[int]:
    """On each worker: stop batches, and the runs that they have begun; gives those that run there."""
    cancel_nested(run_id, numbers)
    return cancel(run_id, None if whole_run else numbers)


def _come_back() -> None:
    """Wait for a place, and take it."""
    with contextlib.suppress(RuntimeError):  # raised while the worker closes
        rejoin()


def _rebuild(topic: str, run_id: str, crosses_processes: bool, async_concurrency: int, depth: int) -> RunOnWorker:
    return RunOnWorker(
        topic, run_id, crosses_processes=crosses_processes, async_concurrency=async_concurrency, depth=depth
    )


def _crashed(batch: Batch, error: Exception, context: WorkerContext) -> Report:
    return Report(
        batch=batch.number, count=0, started=0.0, seconds=0.0, steps=(), worker=context.name, crashed=pack_error(error)
    )


def take_part(column: Column, start: int, stop: int) -> list[Any]:
    """Some values of a column."""
    return column.values[start:stop]
