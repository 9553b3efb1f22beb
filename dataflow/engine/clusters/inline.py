"""The inline cluster: batches run in the calling thread, one after the other, for debugging and for tests."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from dataflow.engine.assemble import Assembled
from dataflow.engine.control import withdraw
from dataflow.engine.events import BatchLost, BatchReported
from dataflow.engine.failures import LiveErrors, keeping_live, pack_error
from dataflow.engine.limits.local import local_desk
from dataflow.engine.limits.waiting import holding
from dataflow.engine.nests import here
from dataflow.engine.notices import Noticed
from dataflow.engine.records import BatchRecord
from dataflow.engine.shell import Post
from dataflow.engine.worker import WorkerContext, run_batch
from dataflow.errors import Cancelled
from dataflow.settings import settings
from dataflow.states import StateType

__all__ = ["InlineCluster", "inline_cluster"]


class InlineCluster:
    """One thread: the caller's. A breakpoint or debugger stops in the user's code."""

    name = "inline"
    crosses_processes = False

    def open_shell(self, run_id: str, post: Post) -> InlineShell:
        """A shell for one run."""
        return InlineShell(run_id, post)


def inline_cluster() -> InlineCluster:
    """The inline cluster."""
    return InlineCluster()


class InlineShell:
    """Performs instructions in the calling thread; columns stand in a dict."""

    threaded = False

    def __init__(self, run_id: str, post: Post) -> None:
        self._post = post
        self.limits = local_desk()
        self._columns: dict[str, Any] = {}
        self._given: list[tuple[int, int, Assembled]] = []
        """Batches that have not begun, as a heap."""
        self.live_errors: LiveErrors | None = LiveErrors()
        """The exceptions that were raised, for debuggers."""
        self._context = WorkerContext(
            name="inline",
            run_id=run_id,
            crosses_processes=False,
            passing=(KeyboardInterrupt,),
            async_concurrency=settings().async_concurrency,
            tell=lambda number, notices: post(Noticed(number, notices)),
        )

    def threads(self) -> int:
        """The caller's."""
        return 1

    def key_of(self, value: Any, is_collection: bool) -> str:
        """Objects stand here as they are; a Dask collection is computed in this thread."""
        key = f"object-{id(value)}"
        if key not in self._columns:
            self._columns[key] = value.compute(scheduler="synchronous") if is_collection else value
        return key

    def submit(self, batches: Sequence[Assembled]) -> None:
        """Run batches when it is their turn."""
        for assembled in batches:
            heapq.heappush(self._given, (-assembled.record.lane.level, assembled.record.number, assembled))

    def run_next(self) -> bool:
        """Run a batch to its end, of the deepest level the first; False if there is none."""
        if not self._given:
            return False
        _, number, assembled = heapq.heappop(self._given)
        try:
            self._run(assembled)
        except BaseException as error:
            self._post(BatchLost(number, pack_error(error), again=False, state=StateType.CANCELLED))
            raise
        return True

    def _run(self, assembled: Assembled) -> None:
        record = assembled.record
        dependencies = [self._columns[key] for key in assembled.keys]
        with here("inline"), keeping_live(self.live_errors), holding(assembled.batch.limits):
            report, outputs = run_batch(record.lane.program, assembled.batch, dependencies, self._context)
        self._columns.update(zip(record.output_keys(), outputs, strict=True))
        self._post(BatchReported(report))

    def release(self, keys: Sequence[str]) -> None:
        """Drop columns."""
        for key in keys:
            self._columns.pop(key, None)

    def recall(self, batches: Sequence[BatchRecord]) -> None:
        """Nothing runs beside the caller, so there is nothing to ask for."""

    def withdraw(self, last: int) -> None:
        """Those that have not begun will run nothing."""
        withdraw(self._context.run_id, last)

    def stop(self, batches: Sequence[BatchRecord], *, whole_run: bool) -> None:
        """Those that have not begun are lost; nothing runs beside the caller."""
        error = pack_error(Cancelled("it was cancelled before it began", where=f"run {self._context.run_id}"))
        for number in self._take_back(batches):
            self._post(BatchLost(number, error, again=not whole_run, state=StateType.CANCELLED))

    def cancel(self, batches: Sequence[BatchRecord]) -> None:
        """Take batches off that have not begun."""
        self._take_back(batches)

    def _take_back(self, batches: Sequence[BatchRecord]) -> list[int]:
        """Forget batches that have not begun; gives their numbers."""
        numbers = {record.number for record in batches}
        taken = [entry[1] for entry in self._given if entry[1] in numbers]
        self._given = [entry for entry in self._given if entry[1] not in numbers]
        heapq.heapify(self._given)
        return taken

    def fetch(self, keys: Sequence[str]) -> list[Any]:
        """The columns with these keys."""
        return [self._columns[key] for key in keys]

    def fetch_part(self, key: str, start: int, stop: int) -> list[Any]:
        """Some values of a column."""
        return self._columns[key].values[start:stop]  # type: ignore[no-any-return]

    def tend(self) -> None:
        """There is nothing to look after."""

    def hand_over_errors(self) -> LiveErrors | None:
        """The exceptions that were raised; they live as long as what is given here, and no later ones are kept."""
        errors, self.live_errors = self.live_errors, None
        return errors

    def close(self) -> None:
        """Drop everything."""
        self._given.clear()
        self._columns.clear()
        self.live_errors = None
