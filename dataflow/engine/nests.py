"""Runs inside of runs: begun by the body of a flow or by a task, so that they end when what began them is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from dataflow.context import current_flow
from dataflow.engine.slots import Slot, current_slot, slot_release
from dataflow.errors import Cancelled

__all__ = [
    "Nest",
    "cancel_begun",
    "cancel_nested",
    "current_nest",
    "default_cluster",
    "here",
    "nest_depth",
    "on_worker",
]

default_cluster: ContextVar[str | None] = ContextVar("default_cluster", default=None)
"""Inside a task: the kind of cluster on which runs take place that it begins and says nothing else for."""


OUTER = "what began it is paused"


class Cancellable(Protocol):
    """A run."""

    def cancel(self) -> None:
        """Cancel everything that has not ended."""

    def close(self) -> None:
        """Drop everything it has on the cluster."""

    def put_down(self) -> None:
        """End it as it is."""

    def hold_sending(self, reason: str, *, held: bool) -> None:
        """Send nothing as long as there is a reason."""


class Nest:
    """The runs that were begun inside of something and that go on.

    Args:
        depth: in how many tasks it stands. Deeper work goes first: others wait for it.
        outer: the nest of what began the run that this nest is of.
    """

    def __init__(self, *, depth: int = 0, outer: Nest | None = None) -> None:
        self.depth: int = depth if outer is None else outer.depth
        self._outer = outer
        self._lock = threading.Lock()
        self._holding = threading.RLock()
        """Held until all runs of it were told, so that none is told the older word last."""
        self._runs: set[Cancellable] = set()
        self._is_cancelled = False
        self._is_held = False

    def begin(self, run: Cancellable) -> None:
        """The run that this nest is of has begun.

        Raises:
            Cancelled: what it was begun in is cancelled; the run is closed.
        """
        try:
            if self._outer is not None:
                self._outer.add(run)
        except Cancelled:
            run.close()
            raise

    def end(self, run: Cancellable) -> None:
        """The run that this nest is of has ended."""
        if self._outer is not None:
            self._outer.remove(run)

    def add(self, run: Cancellable) -> None:
        """A run was begun in this nest.

        Raises:
            Cancelled: it is cancelled.
        """
        with self._lock:
            if self._is_cancelled:
                raise Cancelled("what began this run was cancelled before", where=repr(run))
            self._runs.add(run)
        with self._holding:
            if self._is_held:
                run.hold_sending(OUTER, held=True)

    def remove(self, run: Cancellable) -> None:
        """A run of this nest has ended."""
        with self._lock:
            self._runs.discard(run)

    def hold(self, held: bool) -> None:
        """Have nothing of the runs in it sent, or let them go on."""
        with self._holding:
            self._is_held = held
            for run in self.runs:
                run.hold_sending(OUTER, held=held)

    @property
    def runs(self) -> list[Cancellable]:
        """The runs that go on in it."""
        with self._lock:
            return list(self._runs)

    @property
    def is_inner(self) -> bool:
        """Whether the run that this nest is of was begun in another one."""
        return self._outer is not None

    @property
    def has_runs(self) -> bool:
        """Whether runs go on in it."""
        return bool(self._runs)

    @property
    def is_cancelled(self) -> bool:
        """Whether no run can begin in it any more."""
        return self._is_cancelled

    def cancel(self, *, for_good: bool = True) -> None:
        """Cancel the runs in it; ``for_good`` lets no further one begin."""
        with self._lock:
            self._is_cancelled |= for_good
            runs = list(self._runs)
        for run in runs:
            run.cancel()


current_nest: ContextVar[Nest | None] = ContextVar("current_nest", default=None)
"""Where runs belong that are begun in this context."""

batches: dict[tuple[str, int], Nest] = {}
"""The nests of the batches that run in this process, by run and number."""


def nest_depth() -> int:
    """In how many tasks the code stands that executes here."""
    nest = current_nest.get()
    return 0 if nest is None else nest.depth


@contextmanager
def here(cluster: str) -> Iterator[None]:
    """Tasks run here: what they begin runs on this kind of cluster, if nothing else is said, and in no open block."""
    cluster_token, flow_token = default_cluster.set(cluster), current_flow.set(None)
    try:
        yield
    finally:
        current_flow.reset(flow_token)
        default_cluster.reset(cluster_token)


@contextmanager
def on_worker(run_id: str, number: int, *, depth: int, slot: Slot) -> Iterator[None]:
    """A batch runs here, in this thread of a worker."""
    nest = batches[run_id, number] = Nest(depth=depth)
    nest_token, slot_token, release_token = (
        current_nest.set(nest),
        current_slot.set(slot),
        slot_release.set(slot.released),
    )
    try:
        with here("worker"):
            yield
    finally:
        slot_release.reset(release_token)
        current_slot.reset(slot_token)
        current_nest.reset(nest_token)
        batches.pop((run_id, number), None)


def cancel_nested(run_id: str, numbers: Collection[int]) -> None:
    """Cancel the runs that batches of this process have begun; gives back at once, from any thread."""
    found = [nest for (run, number), nest in list(batches.items()) if run == run_id and number in numbers]
    if found:
        threading.Thread(target=_cancel_all, args=(found,), name=f"dataflow-cancel-{run_id}", daemon=True).start()


def cancel_begun() -> None:
    """Cancel the runs that the batch which executes here has begun, because the attempt that began them is given up."""
    nest = current_nest.get()
    if nest is not None and nest.has_runs:
        threading.Thread(target=nest.cancel, kwargs={"for_good": False}, name="dataflow-cancel", daemon=True).start()


def _cancel_all(nests: list[Nest]) -> None:
    for nest in nests:
        nest.cancel()
