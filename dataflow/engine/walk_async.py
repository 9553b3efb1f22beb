"""Walking elements of ``async def`` tasks: many at once on one event loop, each through its own frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dataflow.engine.failures import Failure
from dataflow.engine.walk import UPSTREAM_FAILED, Ledger

__all__ = ["walk_async"]


def walk_async(
    ledger: Ledger,
    frame: list[Any],
    rows: Iterable[tuple[Any, ...]],
    clock: Callable[[], float],
    deadline: float,
    concurrency: int,
) -> int:
    """As `walk_carefully`, with up to ``concurrency`` elements under way at once.

    Elements are begun in order, and none after the deadline, so what was run is always a prefix.
    """
    walked = _run(_Walker(ledger, clock).walk_all(frame, rows, deadline, concurrency))
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
        return list(thread.submit(asyncio.run, coroutine).result())


class _Walker:
    """One batch of async elements."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self.ledger = ledger
        self.clock = clock

    async def walk_all(
        self,
        frame: list[Any],
        rows: Iterable[tuple[Any, ...]],
        deadline: float,
        concurrency: int,
    ) -> list[tuple[list[float], list[Any]]]:
        gate = asyncio.Semaphore(concurrency)
        end = self.ledger.calls[0].slot
        under_way = []
        for offset, row in enumerate(rows):
            await gate.acquire()
            if offset and self.clock() >= deadline:
                gate.release()
                break
            own = [*frame]
            own[end - len(row) : end] = row
            under_way.append(asyncio.create_task(self._walk_one(own, offset, gate)))
        return list(await asyncio.gather(*under_way))

    async def _walk_one(self, frame: list[Any], offset: int, gate: asyncio.Semaphore) -> tuple[list[float], list[Any]]:
        seconds = []
        try:
            for position in range(len(self.ledger.calls)):
                began = self.clock()
                await self._step(frame, offset, position)
                seconds.append(self.clock() - began)
        finally:
            gate.release()
        return seconds, frame

    async def _step(self, frame: list[Any], offset: int, position: int) -> None:
        slot, function, take, guards = self.ledger.calls[position]
        broken = next((frame[guard] for guard in guards if type(frame[guard]) is Failure), None)
        if broken is not None:
            frame[slot] = Failure(UPSTREAM_FAILED, broken.error)
            self.ledger.note(position, offset, frame[slot])
            return
        try:
            frame[slot] = await function(*take(frame))
        except BaseException as error:  # noqa: BLE001 - boundary: user code; whatever it raises is this element's outcome
            self.ledger.fail(frame, position, offset, error)
