"""The driver of a run: brings events to the machine and instructions to the shell, in one thread at a time.

On a Dask cluster that is a thread of the run's own, so that the run goes on while user code computes. Inline it is the
caller's thread, whenever the caller waits.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from dataflow.collection import rarely
from dataflow.engine.assemble import Assembled, Assembler
from dataflow.engine.events import (
    BatchReported,
    CancelKeys,
    Event,
    Instruction,
    ItemsPulled,
    Pull,
    Recall,
    Release,
    Submit,
    TimerFired,
)
from dataflow.engine.failures import pack_error
from dataflow.engine.machine import Machine
from dataflow.engine.shell import Cluster, Shell
from dataflow.settings import settings

__all__ = ["Driver"]

logger = logging.getLogger("dataflow")
TEND_SECONDS = 0.5
"""How often the shell looks after its cluster."""
TIMER_SECONDS = 0.05
"""How often the machine is told the time while it waits for a few batches."""


class Driver:
    """Drives one run on one cluster.

    Args:
        run_id: prefix of all keys of the run.
        cluster: where to run.
        prepare: called before each round, without the lock; gives events of its own (nodes that are due to be sent).
        due: gives the time (monotonic) at which ``prepare`` wants to be called, None if it does not.
    """

    def __init__(
        self,
        run_id: str,
        cluster: Cluster,
        *,
        prepare: Callable[[], list[Event]],
        due: Callable[[], float | None],
    ) -> None:
        self.changed = threading.Condition(threading.RLock())
        """Held while facts change; notified after."""
        self.failure: BaseException | None = None
        """What ended the driver itself; every wait raises it."""
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._prepare = prepare
        self._due = due
        self._closing = False
        self._pumping = threading.RLock()
        """Held by the thread that drives an inline run; others that wait for it take turns."""
        self.shell: Shell = cluster.open_shell(run_id, self.post)
        self.machine = Machine(
            run_id=run_id,
            threads=self.shell.threads(),
            batch_seconds=settings().batch_seconds,
            async_concurrency=settings().async_concurrency,
        )
        self._assembler = Assembler(self.machine.wiring, self.shell.key_of)
        self._thread: threading.Thread | None = None
        if self.shell.threaded:
            self._thread = threading.Thread(target=self._drive, name=f"dataflow-run-{run_id}", daemon=True)
            self._thread.start()

    def post(self, event: Event | None) -> None:
        """Hand in an event (None only wakes the driver up); from any thread."""
        self._events.put(event)

    def wait(self, ended: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is so; gives False if the timeout came first.

        Raises:
            Exception: whatever ended the driver itself.
        """
        if self._thread is None:
            return self._pump_until(ended)
        self.post(None)
        with self.changed:
            self.changed.wait_for(lambda: ended() or self.failure is not None, timeout)
            if self.failure is not None and not ended():
                raise self.failure
            return ended()

    def close(self) -> None:
        """Stop driving and drop everything the run has on the cluster."""
        if self._closing:
            return
        self._closing = True
        self.post(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.shell.close()

    def _pump_until(self, ended: Callable[[], bool]) -> bool:
        with self._pumping:
            while not ended():
                if self._round(block_seconds=0.0):
                    continue
                if not self.machine.dispatcher.postponed:
                    return ended()
                time.sleep(TIMER_SECONDS)
                self.post(TimerFired(time.monotonic()))
        return True

    def _drive(self) -> None:
        tended = told = time.monotonic()
        try:
            while not self._closing:
                is_idle = not self._round(block_seconds=self._patience())
                now = time.monotonic()
                if self.machine.dispatcher.wants_timer and (is_idle or now - told > TEND_SECONDS):
                    self.post(TimerFired(now))
                    told = now
                if now - tended > TEND_SECONDS:
                    self.shell.tend()
                    tended = now
        except Exception as error:
            logger.debug("the driver of a run ended", exc_info=True)
            with self.changed:
                self.failure = error
                self.changed.notify_all()

    def _patience(self) -> float:
        due = self._due()
        longest = TIMER_SECONDS if self.machine.dispatcher.wants_timer else TEND_SECONDS
        return longest if due is None else min(longest, max(0.0, due - time.monotonic()))

    def _round(self, *, block_seconds: float) -> bool:
        """Take in all events there are and perform what follows; gives False if there was nothing to do."""
        events = self._collect(block_seconds)
        if not events:
            return False
        with rarely, self.changed:
            instructions = [instruction for event in events for instruction in self._handle(event)]
            assembled = [self._assembler.assemble(i.batch) for i in instructions if isinstance(i, Submit)]
            self.changed.notify_all()
        self._perform(instructions, assembled)
        return True

    def _handle(self, event: Event) -> list[Instruction]:
        record = self.machine.dispatcher.in_flight.get(event.report.batch) if isinstance(event, BatchReported) else None
        instructions = self.machine.handle(event)
        if record is not None:
            self._assembler.forget(record)
        return instructions

    def _collect(self, block_seconds: float) -> list[Event]:
        found: list[Event | None] = []
        try:
            found.append(self._events.get(timeout=block_seconds) if block_seconds else self._events.get_nowait())
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            pass
        return [event for event in (*found, *self._prepare()) if event is not None]

    def _perform(self, instructions: Sequence[Instruction], assembled: Sequence[Assembled]) -> None:
        released = [i.key for i in instructions if isinstance(i, Release)]
        for instruction in instructions:
            if isinstance(instruction, Pull):
                self._pull(instruction)
            elif isinstance(instruction, CancelKeys):
                self.shell.cancel(instruction.batches)
            elif isinstance(instruction, Recall):
                self.shell.recall(instruction.batches)
        if assembled:
            self.shell.submit(assembled)
        if released:
            self.shell.release(released)

    def _pull(self, pull: Pull) -> None:
        pulled = self._assembler.generator_of(pull.stage).pull(pull.count)
        error = None if pulled.error is None else pack_error(pulled.error)
        self.post(ItemsPulled(pull.stage, pulled.items, pulled.exhausted, error))
