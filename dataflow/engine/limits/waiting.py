"""Waiting for an answer without holding a thread of a worker, and without outliving the run it is for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from dataflow.engine.nests import current_nest
from dataflow.engine.slots import slot_release
from dataflow.errors import Cancelled

__all__ = ["held_by_batch", "holding", "sleep", "wait", "wait_async"]

T = TypeVar("T")
PATIENCE_SECONDS = 0.05
"""A shorter wait is not worth giving the thread to others for."""
LOOK_SECONDS = (0.25, 2.0)
"""How soon one who waits notices that his run was cancelled or his attempt given up: at first, and after a long time.
Answers come at once."""


held_by_batch: ContextVar[frozenset[str]] = ContextVar("held_by_batch", default=frozenset())
"""Names of the limits that the batch which is executing holds places of, for its tasks."""


@contextmanager
def holding(names: Collection[str]) -> Iterator[None]:
    """A batch runs here that holds places of limits."""
    token = held_by_batch.set(held_by_batch.get().union(names))
    try:
        yield
    finally:
        held_by_batch.reset(token)


def wait(answer: Future[T], timeout_seconds: float | None) -> T | None:
    """The answer, or None if it did not come in time.

    Raises:
        Cancelled: the run was cancelled meanwhile.
    """
    until = float("inf") if timeout_seconds is None else time.monotonic() + timeout_seconds
    if _came(answer, min(until, time.monotonic() + PATIENCE_SECONDS)):
        return answer.result()
    with slot_release.get()():
        for seconds in _looks():
            if _came(answer, min(until, time.monotonic() + seconds)):
                break
            if time.monotonic() >= until:
                return None
            _refuse_cancelled()
    return answer.result()


def _came(answer: Future[T], until: float) -> bool:
    try:
        answer.exception(max(0.0, until - time.monotonic()))
    except TimeoutError:
        return answer.done()
    return True


async def wait_async(answer: Future[T], timeout_seconds: float | None) -> T | None:
    """As `wait`, while others go on."""
    waiting = asyncio.wrap_future(answer)
    done, _ = await asyncio.wait([waiting], timeout=timeout_seconds)
    return waiting.result() if done else None


def sleep(until: float) -> None:
    """Sleep until a time (monotonic).

    Raises:
        Cancelled: the run was cancelled meanwhile.
    """
    if until - time.monotonic() <= PATIENCE_SECONDS:
        time.sleep(max(0.0, until - time.monotonic()))
        return
    with slot_release.get()():
        for seconds in _looks():
            left = until - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, seconds))
            _refuse_cancelled()


def _looks() -> Iterator[float]:
    """For how long to wait each time."""
    seconds, most = LOOK_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, most)


def _refuse_cancelled() -> None:
    nest = current_nest.get()
    if nest is not None and nest.is_cancelled:
        raise Cancelled("the run was cancelled while this code waited for its turn")
