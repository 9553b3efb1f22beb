"""Walking elements of ``async def`` tasks: many at once on one event loop, each through its own frame."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dataflow.context import inside_task
from dataflow.engine.ledger import Ledger
from dataflow.engine.trials import Trial, cancelled, timed_out
from dataflow.engine.walk import begun
from dataflow.engine.whereabouts import awaited_trial

__all__ = ["walk_async"]


def walk_async(
    ledger: Ledger,
    frame: list[Any],
    rows: Iterable[tuple[Any, ...]],
    clock: Callable[[], float],
    control: Callable[[float], float],
    concurrency: int,
) -> int:
    """As `CarefulWalk`, with up to ``concurrency`` elements under way at once.

    Elements are begun in order, and none after the control says stop, so what was run is always a prefix.
    """
    walked = _run(_Walker(ledger, clock).walk_all(frame, rows, control, concurrency))
    for seconds, values in walked:
        ledger.seconds.append(seconds)
        ledger.collect(values)
    return len(walked)


def _run(coroutine: Any) -> list[Any]:
    """Run to the end on a new event loop; in a thread of its own where this thread has a running one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return list(asyncio.run(coroutine))
    with ThreadPoolExecutor(1, thread_name_prefix="dataflow-async-batch") as thread:
        return list(thread.submit(contextvars.copy_context().run, asyncio.run, coroutine).result())


class _Walker:
    """One batch of async elements."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self.ledger = ledger
        self.clock = clock
        self._is_cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: list[asyncio.Task[Any]] = []
        ledger.ends.append(self.cancel)

    def cancel(self) -> None:
        """End the elements under way; from any thread."""
        self._is_cancelled = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._under_way])

    async def walk_all(
        self,
        frame: list[Any],
        rows: Iterable[tuple[Any, ...]],
        control: Callable[[float], float],
        concurrency: int,
    ) -> list[tuple[list[float], list[Any]]]:
        gate = asyncio.Semaphore(concurrency)
        end = self.ledger.calls[0].slot
        self._loop = asyncio.get_running_loop()
        for offset, row in enumerate(rows):
            await gate.acquire()
            if offset and control(self.clock()) < 0:
                gate.release()
                break
            own = [*frame]
            own[end - len(row) : end] = row
            self._under_way.append(asyncio.create_task(self._walk_one(own, offset, gate)))
        return list(await asyncio.gather(*self._under_way))

    async def _walk_one(self, frame: list[Any], offset: int, gate: asyncio.Semaphore) -> tuple[list[float], list[Any]]:
        ledger = self.ledger
        seconds = [0.0] * len(ledger.calls)
        inside_task.set([])  # in the context of this element alone
        held = ledger.resumed.get(offset)
        if held is not None:
            ledger.restore(frame, offset, held)
        try:
            for position in range(len(held.before) if held is not None else 0, len(ledger.calls)):
                if offset in ledger.held:
                    break
                began = self.clock()
                await self._attempt(begun(ledger, frame, offset, position))
                seconds[position] = self.clock() - began
                ledger.note_seconds(position, offset, seconds[position])
        finally:
            gate.release()
        return seconds, frame

    async def _attempt(self, trial: Trial) -> None:
        """Await the function until the trial has ended."""
        call = self.ledger.calls[trial.position]
        while trial.is_open:
            try:
                async with asyncio.timeout(call.rules.timeout_seconds) as limit:
                    awaited_trial.set(trial)  # in the context of this element alone
                    with trial.surroundings():
                        value = await call.function(*trial.arguments)
            except asyncio.CancelledError as error:
                trial.raised(cancelled() if self._is_cancelled else error)
            except BaseException as error:  # noqa: BLE001 - boundary: user code; whatever it raises is this element's outcome
                is_late = isinstance(error, TimeoutError) and limit.expired()
                trial.raised(timed_out(call) if is_late else error)
            else:
                trial.returned(value)
