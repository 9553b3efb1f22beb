"""The attempts of one execution of a flow: its body is run, against the clock, and again if it failed, as one run."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from dataflow.bodies import Body, entered
from dataflow.conclusions import OVERDUE_GRACE_SECONDS, concluded, interrupted, overdue, settled
from dataflow.deadlines import Deadline, limited
from dataflow.engine.slots import slot_release
from dataflow.errors import Cancelled as CancelledError
from dataflow.flow_hooks import FlowTeller
from dataflow.progress.display import Display
from dataflow.retries import RetryPolicy
from dataflow.session import Run
from dataflow.states import AwaitingRetry, Cancelled, Retrying, Running, State, StateType

__all__ = ["RETRIED", "Attempts"]

R_co = TypeVar("R_co", covariant=True)
RETRIED = frozenset({StateType.FAILED, StateType.TIMED_OUT})
"""States of a flow after which it is tried again, as long as retries are left."""


class Attempts(Generic[R_co]):
    """Runs the body of a flow until an attempt succeeds, or none is left.

    Args:
        open_body: opens a run, under the id that is given, or a new one.
        retry: how often, and after which delays, the body is run again.
        timeout_seconds: for each attempt.
        display: shows how far they are.
        teller: tells the hooks of the flow; None: it has none.

    Raises:
        ClusterError: the cluster cannot be used.
    """

    def __init__(
        self,
        open_body: Callable[[str | None], Body],
        *,
        retry: RetryPolicy,
        timeout_seconds: float | None,
        display: Display,
        teller: FlowTeller | None = None,
    ) -> None:
        self._open = open_body
        self._display = display
        self._retry = retry
        self._timeout_seconds = timeout_seconds
        self._teller = teller
        self._changing = threading.Lock()
        self._stopped = threading.Event()
        self._is_open = True
        self._body = open_body(None)
        self.run.stop = self.cancel
        self._began = time.time()
        self.number = 1
        """Of the attempt, from 1."""
        self.state: State[R_co] = replace(Running(), run=self.run, attempt=1, started=self._began)
        """What it is now; final when it has ended."""
        self.ended = threading.Event()
        """Set when whoever waits in another thread need not wait any longer."""

    @property
    def run(self) -> Run:
        """The work of the latest attempt on the cluster."""
        return self._body.run

    def cancel(self) -> None:
        """Cancel what has not ended, also the wait for the next attempt."""
        with self._changing:
            self._stopped.set()
            run = self.run if self._is_open else None
        if run is not None:
            run.cancel()

    def suspend(self) -> None:
        """Put it down: what runs ends, nothing else begins, also no further attempt."""
        with self._changing:
            self._stopped.set()
            self.run.pauses.suspension = self.run.pauses.suspension or "somebody suspended it"
            run = self.run if self._is_open else None
        if run is not None:
            run.suspend()

    def execute(self, function: Callable[[], Any]) -> State[R_co]:
        """Run the body in this thread; gives the final state."""
        self._tell()
        self._display.watch(self.run)
        try:
            while (delay := self._attempted(function)) is not None:
                with slot_release.get()():
                    self._stopped.wait(delay)
                goes_on = self._go_on()
                self._tell()
                if not goes_on:
                    break
            return self.state
        finally:
            self._display.close(self.state)

    async def execute_async(self, function: Callable[[], Awaitable[Any]]) -> State[R_co]:
        """Run the body of an ``async def`` flow on this event loop; gives the final state."""
        self._tell()
        self._display.watch(self.run)
        try:
            while (delay := await self._attempted_async(function)) is not None:
                await self._awaited(delay)
                goes_on = await asyncio.to_thread(self._go_on)
                await asyncio.to_thread(self._tell)
                if not goes_on:
                    break
            return self.state
        finally:
            self._display.close(self.state)

    def _attempted(self, function: Callable[[], Any]) -> float | None:
        """Make an attempt; gives after which delay another follows, if one does."""
        run, deadline = self.run, Deadline(self._timeout_seconds)
        try:
            try:
                cancel = partial(run.cancel, grace_seconds=OVERDUE_GRACE_SECONDS)
                with limited(deadline, cancel=cancel, stuck=self._give_up), entered(self._body):
                    state = concluded(run, function())
            except BaseException as error:  # noqa: BLE001 - boundary: an error of the user's body is its final state
                is_late = deadline.has_ended(error)
                return self._settle(overdue(run, deadline.seconds, error) if is_late else self._interrupted(run, error))
            return self._settle(overdue(run, deadline.seconds) if deadline.is_over else state)
        finally:
            run.close()

    async def _attempted_async(self, function: Callable[[], Awaitable[Any]]) -> float | None:
        run, limit = self.run, asyncio.timeout(self._timeout_seconds)
        try:
            try:
                async with limit:
                    with entered(self._body):
                        state = await asyncio.to_thread(concluded, run, await function())
            except BaseException as error:  # noqa: BLE001 - boundary: as above
                is_late = limit.expired() and isinstance(error, Exception)
                seconds = self._timeout_seconds or 0.0
                state = overdue(run, seconds, error) if is_late else self._interrupted(run, error)
            return await asyncio.to_thread(self._settle, state)  # hooks may need this event loop
        finally:
            await asyncio.to_thread(run.close)

    def _settle(self, state: State[Any]) -> float | None:
        """An attempt has ended in this state; gives the delay to the next one, None if there is none."""
        delay = self._delay(state)
        self.run.hooks.settle()
        with self._changing:
            self._is_open = False
            is_news = not self.ended.is_set()
            if is_news:
                self.state = self.run.conclude(self._timed(state) if delay is None else _awaiting(state, delay))
        if is_news:
            self._tell()
        return delay

    def _interrupted(self, run: Run, error: BaseException) -> State[Any]:
        try:
            return interrupted(run, error)
        except BaseException as stop:
            run.hooks.settle()
            if self._teller is not None:
                self._teller.crashed(run, stop, self.number)
            raise

    def _tell(self) -> None:
        """Tell the hooks of the flow what its state is now."""
        if self._teller is not None:
            self._teller.tell(self.run, self.state, self.number)

    def _delay(self, state: State[Any]) -> float | None:
        if state.type not in RETRIED or self._stopped.is_set():
            return None
        return self._retry.delay_seconds(self.number, random.random())  # noqa: S311 - jitter, no secret

    def _timed(self, state: State[Any]) -> State[Any]:
        seconds = time.time() - self._began
        return replace(state, attempt=self.number, started=self._began, seconds=seconds)

    def _go_on(self) -> bool:
        """Begin the next attempt, if nobody has cancelled the flow meanwhile."""
        with self._changing:
            if self._stopped.is_set():
                self.state = self.run.conclude(self._timed(settled(self.run, _cancelled(self.run))))
                return False
            brought = self.run.pauses.brought
            self._body = self._open(self.run.id)
            self.run.stop, self.run.pauses.brought = self.cancel, brought
            self._display.watch(self.run)
            self._is_open = True
            self._began = time.time()
            self.number += 1
            self.run.voice.attempt = self.number
            self.state = replace(Retrying(), run=self.run, attempt=self.number, started=self._began)
            return True

    async def _awaited(self, delay: float) -> None:
        try:
            await asyncio.to_thread(self._stopped.wait, delay)
        except asyncio.CancelledError:
            self._stopped.set()  # the thread that waits must not outlive the one who asked
            raise

    def _give_up(self) -> None:
        """The body goes on although its time is over, and cannot be ended: who waits for the flow is told so anyway."""
        if self._retry.delay_seconds(self.number, 0.0) is not None:
            return  # the next attempt has to wait for the end of this one
        self._settle(overdue(self.run, self._timeout_seconds or 0.0))
        self.run.close()
        self._display.close(self.state)
        self.ended.set()


def _awaiting(state: State[Any], delay: float) -> State[Any]:
    message = f"{state.message}; another attempt in {delay:g} s"
    return replace(AwaitingRetry(message=message, data=state.data), run=state.run)


def _cancelled(run: Run) -> State[Any]:
    message = "the run was cancelled before its next attempt"
    error = CancelledError(message, where=f"run {run.id} of {run.name!r}")
    return replace(Cancelled(message=message, data=error), run=run)
