"""The driver of a run: brings events to the machine and instructions to the shell, in one thread at a time.

On a Dask cluster that is a thread of the run's own, so that the run goes on while user code computes. Inline it is the
caller's thread, whenever the caller waits.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dataflow.collection import rarely
from dataflow.engine.assemble import Assembled, Assembler
from dataflow.engine.control import cancel, withdraw
from dataflow.engine.events import (
    AskPlaces,
    BatchReported,
    CancelAsked,
    CancelKeys,
    CancelOverdue,
    Event,
    FreePlaces,
    Instruction,
    ItemsPulled,
    Pull,
    Recall,
    Release,
    SendingHeld,
    Stop,
    Submit,
    TimerFired,
    Withdraw,
)
from dataflow.engine.failures import pack_error
from dataflow.engine.limits.keeper import PlaceKeeper
from dataflow.engine.machine import Machine
from dataflow.engine.notices import Noticed, PlacedNotice
from dataflow.engine.placing import placed
from dataflow.engine.shell import Cluster, Shell
from dataflow.engine.slots import slot_release
from dataflow.errors import Cancelled
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
        tell: takes what elements say while they run.
    """

    def __init__(
        self,
        run_id: str,
        cluster: Cluster,
        *,
        prepare: Callable[[], list[Event]],
        due: Callable[[], float | None],
        tell: Callable[[Sequence[PlacedNotice]], object] = len,
    ) -> None:
        self.changed = threading.Condition(threading.RLock())
        """Held while facts change; notified after."""
        self.failure: BaseException | None = None
        """What ended the driver itself; every wait raises it."""
        self._events: queue.SimpleQueue[Event | Noticed | None] = queue.SimpleQueue()
        self._run_id = run_id
        self._prepare = prepare
        self._tell = tell
        self.after_round: Callable[[], bool] = _nothing_more
        """Called after each round of an inline run, without the lock; gives whether it did anything."""
        self._due = due
        self.is_closing = False
        """Whether nothing more will happen."""
        self._pumping = threading.RLock()
        """Held by the thread that drives an inline run; others that wait for it take turns."""
        self.shell: Shell = cluster.open_shell(run_id, self.post)
        self.machine = Machine(
            run_id=run_id,
            threads=self.shell.threads(),
            batch_seconds=settings().batch_seconds,
            async_concurrency=settings().async_concurrency,
        )
        self._places = PlaceKeeper(self.shell.limits, self.post)
        self._assembler = Assembler(self.machine.wiring, self.shell.key_of)
        self._thread: threading.Thread | None = None
        if self.shell.threaded:
            self._thread = threading.Thread(target=self._drive, name=f"dataflow-run-{run_id}", daemon=True)
            self._thread.start()

    def post(self, event: Event | Noticed | None) -> None:
        """Hand in an event (None only wakes the driver up); from any thread."""
        if type(event) is Noticed and not self.shell.threaded:
            self._notice(event)  # the thread that would take it in runs the batch that says it
        else:
            self._events.put(event)

    def wait(self, ended: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is so; gives False if the timeout came first.

        Raises:
            Exception: whatever ended the driver itself.
        """
        if self._thread is None:
            return self._pump_until(ended)
        self.post(None)
        with self._released(ended, timeout), self.changed:
            self.changed.wait_for(lambda: ended() or self.failure is not None, timeout)
            if self.failure is not None and not ended():
                raise self.failure
            return ended()

    def _released(self, ended: Callable[[], bool], timeout: float | None) -> AbstractContextManager[Any]:
        """Inside a task that really has to wait, its thread is free for others meanwhile."""
        with self.changed:
            return nullcontext() if timeout == 0 or ended() else slot_release.get()()

    def cancel(self, error: bytes, grace_seconds: float | None = None) -> None:
        """Cancel everything that has not ended; waits until what runs has stopped, but not longer than the grace."""
        cancel(self._run_id, None)  # what runs in this process, perhaps in the thread that should take in events
        self.post(CancelAsked(error))
        grace = settings().cancel_grace_seconds if grace_seconds is None else grace_seconds
        if not self.wait(self._is_stopped, timeout=grace) and not self.is_closing:
            self.post(CancelOverdue(pack_error(_still_running(grace))))
            self.wait(self._is_stopped, timeout=grace)

    def hold(self, held: bool) -> None:
        """Send nothing from now on, or go on; it is so when this gives back, but inline from the next batch on."""
        if held:  # what runs in this process, perhaps in the thread that should take in events
            withdraw(self._run_id, self.machine.dispatcher.batches_sent - 1)
        self.post(SendingHeld(held))
        if self._thread is not None and self.failure is None:
            self.wait(lambda: self.machine.dispatcher.is_held == held or self.is_closing)

    def drain(self) -> None:
        """Wait until no batch is under way; inline none is, but in the thread that takes in the next event."""
        if self._thread is not None and self.failure is None:
            self.wait(lambda: not self.machine.dispatcher.in_flight or self.is_closing)

    def _is_stopped(self) -> bool:
        return (self.machine.cancelled is not None and not self.machine.dispatcher.in_flight) or self.is_closing

    def close(self) -> None:
        """Stop driving and drop everything the run has on the cluster."""
        with self.changed:
            if self.is_closing:
                return
            self.is_closing = True
            self.changed.notify_all()
        self.post(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._places.close()
        self.shell.close()

    def _pump_until(self, ended: Callable[[], bool]) -> bool:
        with self._pumping:
            while not ended():
                had_events = self._round(block_seconds=0.0)
                if self.after_round() or had_events or self.shell.run_next():
                    continue
                due_seconds = self.machine.dispatcher.due_in(time.monotonic())
                dispatcher = self.machine.dispatcher
                if due_seconds is None and (self._places.is_waiting or dispatcher.paused or dispatcher.is_held):
                    self._round(block_seconds=TEND_SECONDS)
                    continue
                if due_seconds is None:
                    return ended()
                time.sleep(due_seconds)
                self.post(TimerFired(time.monotonic()))
        return True

    def _drive(self) -> None:
        tended = told = time.monotonic()
        try:
            while not self.is_closing:
                is_idle = not self._round(block_seconds=self._patience())
                now = time.monotonic()
                dispatcher = self.machine.dispatcher
                is_due = dispatcher.due_in(now) == 0.0
                if is_due or (dispatcher.wants_timer and (is_idle or now - told > TEND_SECONDS)):
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
        now, due = time.monotonic(), self._due()
        longest = TIMER_SECONDS if self.machine.dispatcher.wants_timer else TEND_SECONDS
        wishes = (due if due is None else max(0.0, due - now), self.machine.dispatcher.due_in(now))
        return min([longest, *(wish for wish in wishes if wish is not None)])

    def _round(self, *, block_seconds: float) -> bool:
        """Take in all events there are and perform what follows; gives False if there was nothing to do."""
        found = self._collect(block_seconds)
        if not found:
            return False
        events = self._told(found)
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

    def _told(self, found: Iterable[Event | Noticed]) -> list[Event]:
        """Pass on what elements said, before anybody hears that they have ended; gives the events for the machine."""
        events: list[Event] = []
        for event in found:
            if isinstance(event, Noticed):
                self._notice(event)
            else:
                events.append(event)
        return events

    def _notice(self, said: Noticed) -> None:
        record = self.machine.dispatcher.in_flight.get(said.batch)
        if record is not None:
            self._tell(list(placed(record, said.notices)))
        elif not self.is_closing:
            logger.debug("a batch said something that is not under way: %d notices are dropped", len(said.notices))

    def _collect(self, block_seconds: float) -> list[Event | Noticed]:
        found: list[Event | Noticed | None] = []
        try:
            found.append(self._events.get(timeout=block_seconds) if block_seconds else self._events.get_nowait())
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            pass
        added = self._prepare()  # first: what was asked may be about nodes that were added before it was asked
        return [event for event in (*added, *found) if event is not None]

    def _perform(self, instructions: Sequence[Instruction], assembled: Sequence[Assembled]) -> None:
        released = [i.key for i in instructions if isinstance(i, Release)]
        for instruction in instructions:
            perform = _PERFORMED.get(type(instruction))
            if perform is not None:
                perform(self, instruction)
        if assembled:
            self.shell.submit(assembled)
        if released:
            self.shell.release(released)

    def _pull(self, pull: Pull) -> None:
        pulled = self._assembler.generator_of(pull.stage).pull(pull.count)
        error = None if pulled.error is None else pack_error(pulled.error)
        self.post(ItemsPulled(pull.stage, pulled.items, pulled.exhausted, error))


_PERFORMED: dict[type, Callable[[Driver, Any], None]] = {
    Pull: Driver._pull,
    CancelKeys: lambda driver, instruction: driver.shell.cancel(instruction.batches),
    Stop: lambda driver, instruction: driver.shell.stop(
        instruction.batches, whole_run=driver.machine.cancelled is not None
    ),
    Recall: lambda driver, instruction: driver.shell.recall(instruction.batches),
    Withdraw: lambda driver, instruction: driver.shell.withdraw(instruction.last),
    AskPlaces: lambda driver, instruction: driver._places.ask(instruction),
    FreePlaces: lambda driver, instruction: driver._places.free(instruction),
}
"""What is done one by one; batches are submitted, and columns released, many at once."""


def _nothing_more() -> bool:
    return False


def _still_running(grace_seconds: float) -> Cancelled:
    return Cancelled(
        f"it was still running {grace_seconds:g} s after the run was cancelled, and is dropped when it ends",
        fix='isolation="process" ends work at once; DATAFLOW_CANCEL_GRACE_SECONDS waits longer',
    )
