"""The shell that performs the instructions of one run on a Dask cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from distributed import Future, KilledWorker

from dataflow.compiler.lower import batch_tasks, program_task
from dataflow.engine.assemble import Assembled, pickled_batch, pickled_program
from dataflow.engine.columns import size_of_value
from dataflow.engine.events import BatchLost, CancelAsked, ThreadsChanged
from dataflow.engine.failures import pack_error
from dataflow.engine.nests import nest_depth
from dataflow.engine.records import BatchRecord, Lane
from dataflow.engine.remote import RunOnWorker, recall_batch, stop_batches, take_part, withdraw_batches
from dataflow.engine.shell import Post
from dataflow.engine.slots import slot_release
from dataflow.errors import Cancelled, NoWorkers, WorkLost
from dataflow.settings import settings
from dataflow.states import StateType

if TYPE_CHECKING:
    from dataflow.engine.clusters.dask import DaskCluster

__all__ = ["DaskShell"]

logger = logging.getLogger("dataflow")
ANSWER_SECONDS = 2.0
"""How long workers may take to say whether they run what is cancelled."""
LATER = 1e-7
"""How much less urgent a batch is than the one that was cut before it."""
DEEPER = 1000
"""How much sooner the work of a run is run than that of the run it stands in, which waits for it."""


class DaskShell:
    """Performs the instructions of one run on a Dask cluster."""

    threaded = True

    def __init__(self, cluster: DaskCluster, run_id: str, post: Post) -> None:
        self._cluster = cluster
        self._client = cluster.client
        self.limits = cluster.limits
        self._crosses_processes = cluster.crosses_processes
        self.post = post
        self._run_id = run_id
        self._topic = cluster.topic
        self._prefix = f"dataflow-{run_id}"
        self._futures: dict[str, Future[Any]] = {}
        self._objects: dict[int, tuple[str, Any]] = {}
        self._programs: dict[Lane, str] = {}
        self._watched: dict[str, int] = {}
        self._closed = False
        self._threads = 0
        self._waiting_since: float | None = None
        self._depth = nest_depth()
        self._run = RunOnWorker(
            cluster.topic,
            run_id,
            crosses_processes=cluster.crosses_processes,
            async_concurrency=settings().async_concurrency,
            depth=self._depth,
        )
        self.tend()

    def threads(self) -> int:
        """Worker threads when last looked."""
        return self._threads

    def tend(self) -> None:
        """Look for lost batches, and how many worker threads there are; give up in time if there are none."""
        self._look_for_losses()
        self._cluster.tidy()
        threads = self._cluster.threads()
        if threads != self._threads:
            self._threads = threads
            self.post(ThreadsChanged(threads))
        if threads:
            self._waiting_since = None
        else:
            self._wait_for_workers()

    def _wait_for_workers(self) -> None:
        now, limit = time.monotonic(), settings().workers_timeout_seconds
        if self._waiting_since is None:
            self._waiting_since = now
            patience = f"for up to {limit:g} s" if limit is not None else "until one comes"
            logger.warning("the cluster at %s has no workers; waiting %s", self._client.scheduler.address, patience)
        if limit is not None and now - self._waiting_since >= limit:
            error = NoWorkers(
                f"the cluster had no workers for {limit:g} s",
                where=str(self._client.scheduler.address),
                fix="start workers (`dask worker ADDRESS`), or raise DATAFLOW_WORKERS_TIMEOUT_SECONDS",
            )
            self.post(CancelAsked(pack_error(error)))

    def key_of(self, value: Any, is_collection: bool) -> str:
        """Put a large object, or a Dask collection's graph, onto the cluster once."""
        known = self._objects.get(id(value))
        if known is None:
            known = self._objects[id(value)] = (self._put(value, is_collection), value)
        return known[0]

    def _put(self, value: Any, is_collection: bool) -> str:
        if is_collection:
            future = self._client.compute(value)
        else:
            future = self._client.scatter(value, hash=False, direct=True)
            megabytes = size_of_value(value) / 1e6
            note = "a large argument (%s, %.0f MB) goes to each worker once, under the key %s"
            logger.info(note, type(value).__name__, megabytes, future.key)
        self._futures[future.key] = future
        return str(future.key)

    def submit(self, batches: Sequence[Assembled]) -> None:
        """Send batches as one graph: the deepest levels first, and of a level in the order in which they were cut."""
        graph: dict[str, Any] = {}
        wanted: dict[str, BatchRecord | None] = {}
        priorities: dict[str, float] = {}
        for assembled in batches:
            wanted.update(self._lower(assembled, graph))
            record = assembled.record
            urgency = record.lane.level + self._depth * DEEPER - record.number * LATER
            priorities.update(dict.fromkeys(graph.keys() - priorities.keys(), urgency))
        if graph:
            # A method of a dict travels to any scheduler; a function of ours would have to be imported there.
            futures = self._client.get(graph, list(wanted), sync=False, priority=priorities.get)
            self._remember(futures, wanted)

    def _lower(self, assembled: Assembled, graph: dict[str, Any]) -> dict[str, BatchRecord | None]:
        """Add the tasks of a batch to a graph; gives the keys to hold, with the batch to blame if one is lost."""
        record = assembled.record
        wanted: dict[str, BatchRecord | None] = {}
        program_key = self._programs.get(record.lane)
        if program_key is None:
            data = pickled_program(record.lane.program)
            if isinstance(data, bytes):
                program_key = f"program-{self._prefix}-{record.lane.number}"
                graph.update(program_task(program_key, data))
                wanted[program_key] = None
            elif self._crosses_processes:
                self._refuse(record, None, data)
                return {}
            else:
                program_key = self._put(record.lane.program, False)
            self._programs[record.lane] = program_key
        payload = pickled_batch(assembled)
        if isinstance(payload, tuple) and self._crosses_processes:
            self._refuse(record, *payload)
            return wanted
        told = self._told(assembled, payload)
        output_keys = record.output_keys()
        tasks = batch_tasks(
            record.key,
            self._run,
            program_key,
            told,
            assembled.keys,
            output_keys,
            anywhere=assembled.brings_elements,
        )
        graph.update(tasks)
        wanted.update(dict.fromkeys(output_keys or [record.key], record))
        return wanted

    def _told(self, assembled: Assembled, payload: bytes | tuple[int | None, Exception]) -> bytes | str:
        """What the worker is told of a batch: bytes, or the key under which they, or the batch itself, stand."""
        if isinstance(payload, tuple):
            return self._put(assembled.batch, False)  # worker threads of this process take it as it is
        return payload if len(payload) < settings().large_argument_bytes else self._put(payload, False)

    def _refuse(self, record: BatchRecord, element: int | None, error: Exception) -> None:
        packed = pack_error(error)
        self.post(BatchLost(record.number, packed, again=False, state=StateType.FAILED, element=element))

    def _remember(self, futures: Sequence[Future[Any]], wanted: dict[str, BatchRecord | None]) -> None:
        for future in futures:
            key = str(future.key)
            self._futures[key] = future
            record = wanted[key]
            if record is not None:
                self._watched[key] = record.number

    def _look_for_losses(self) -> None:
        """Only a bad end of a key is news here; of a good one the report has told."""
        for key, number in list(self._watched.items()):
            future = self._futures.get(key)
            status = "finished" if future is None else future.status
            if status == "pending":
                continue
            del self._watched[key]
            if future is not None and status == "error":
                error = future.exception()
                killed = isinstance(error, KilledWorker)
                packed = pack_error(_killed(error) if killed else error)
                state = StateType.CRASHED if killed else StateType.FAILED
                self.post(BatchLost(number, packed, again=False, state=state))
            elif status in ("cancelled", "lost"):
                error = WorkLost("the cluster dropped this work", where=key, fix="run the flow again")
                self.post(BatchLost(number, pack_error(error), again=True, state=StateType.CRASHED))

    def release(self, keys: Sequence[str]) -> None:
        """Drop columns."""
        for key in keys:
            future = self._futures.pop(key, None)
            if future is not None:
                future.release()

    def run_next(self) -> bool:
        """Workers run them by themselves."""
        return False

    def recall(self, batches: Sequence[BatchRecord]) -> None:
        """Ask running batches for their rest; whichever worker has one answers by an event."""
        for record in batches:
            self._client.run(recall_batch, self._topic, self._run_id, record.number, wait=False)

    def withdraw(self, last: int) -> None:
        """Have batches up to this number give back what they have not begun; they answer as for `recall`."""
        self._client.run(withdraw_batches, self._topic, self._run_id, last, wait=False)

    def stop(self, batches: Sequence[BatchRecord], *, whole_run: bool) -> None:
        """Ask batches to stop; those that no worker is running are lost at once, the others report how far they came.

        If workers do not answer in time, all are taken for running.
        """
        numbers = frozenset(record.number for record in batches)
        try:
            answers = self._client.sync(self._ask_to_stop, numbers, whole_run, callback_timeout=ANSWER_SECONDS)
        except (TimeoutError, OSError):
            logger.debug("workers did not answer whether they run what is cancelled", exc_info=True)
            return
        started = {number for found in answers.values() for number in found}
        waiting = [record for record in batches if record.number not in started]
        self.cancel(waiting)
        error = pack_error(Cancelled("it was cancelled before it began", where=f"run {self._run_id}"))
        for record in waiting:
            self.post(BatchLost(record.number, error, again=not whole_run, state=StateType.CANCELLED))

    async def _ask_to_stop(self, numbers: frozenset[int], whole_run: bool) -> dict[str, list[int]]:
        answers = await self._client.run(stop_batches, self._run_id, numbers, whole_run, on_error="ignore")
        return dict(answers)

    def cancel(self, batches: Sequence[BatchRecord]) -> None:
        """Take batches off the cluster; what is running of them ends by itself and is dropped."""
        keys = [key for record in batches for key in (record.output_keys() or [record.key])]
        futures = [future for key in keys if (future := self._futures.pop(key, None)) is not None]
        if futures and self._client.status == "running":
            self._client.cancel(futures, asynchronous=False)

    def fetch(self, keys: Sequence[str]) -> list[Any]:
        """The columns with these keys."""
        futures = [self._futures[key] for key in keys]
        # The outputs of a batch of several are taken apart by tasks of their own, which need a thread.
        with nullcontext() if all(future.done() for future in futures) else slot_release.get()():
            return self._client.gather(futures)  # type: ignore[no-any-return]

    def fetch_part(self, key: str, start: int, stop: int) -> list[Any]:
        """Some values of a column, taken on the worker that has it."""
        priority = (self._depth + 1) * DEEPER
        part = self._client.submit(take_part, self._futures[key], start, stop, pure=False, priority=priority)
        with slot_release.get()():
            return part.result()  # type: ignore[no-any-return]

    def hand_over_errors(self) -> object:
        """Exceptions come packed from their workers."""
        return None

    def close(self) -> None:
        """Drop all keys of this run."""
        if self._closed:
            return
        self._closed = True
        self.release(list(self._futures))
        self._objects.clear()


def _killed(error: BaseException | None) -> WorkLost:
    lost = WorkLost(
        f"the worker died each time it ran this ({error})",
        fix="look for a segmentation fault, an exit, or memory over the worker's limit in this task",
    )
    lost.__cause__ = error
    return lost
