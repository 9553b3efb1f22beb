"""Giving back the thread of a worker while the batch in it waits: for runs of its own, or for a place at a limit.

A worker has few threads. Were they all held by batches that wait for other batches, those would never begin.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["Slot", "current_slot", "leave_slot", "patiently", "slot_release", "woken_by", "yield_if_wanted"]

slot_release: ContextVar[Callable[[], AbstractContextManager[Any]]] = ContextVar("slot_release", default=nullcontext)
"""Gives a context manager to wait in: while inside, the thread of the batch that executes here is free for others."""

current_slot: ContextVar[Slot | None] = ContextVar("current_slot", default=None)
"""The slot of the batch that is executing in this context; None where there is nothing to give back."""


class Lockable(Protocol):
    """A lock of one kind or another."""

    def acquire(self, blocking: bool = ...) -> bool:
        """Take it; False if it is not free and this is not to wait."""

    def release(self) -> None:
        """Give it back."""


class Slot:
    """The place that a batch has among the threads of its worker; made in the thread of the batch.

    Only that thread can give up its place. Where others wait for the batch (those it runs attempts in, to watch them),
    it is asked to, if it can be woken up.

    Args:
        leave: gives the place to others.
        come_back: waits until there is a place again, and takes it.
    """

    __slots__ = ("_come_back", "_is_away", "_is_wanted", "_leave", "_owner", "wake")

    def __init__(self, leave: Callable[[], object], come_back: Callable[[], object]) -> None:
        self._leave = leave
        self._come_back = come_back
        self._owner = threading.get_ident()
        self._is_away = False
        self._is_wanted = False
        self.wake: Callable[[], None] | None = None
        """Wakes up the thread of the batch while it waits for another one that works for it."""

    @contextmanager
    def released(self) -> Iterator[None]:
        """The place is free for others, where this is the thread of the batch; may be nested."""
        if threading.get_ident() != self._owner:
            self._ask()
            yield
        elif self._is_away:
            yield
        else:
            yield from self._released()

    def _released(self) -> Iterator[None]:
        self.leave()
        try:
            yield
        finally:
            self._come_back()
            self._is_away = False

    def leave(self) -> None:
        """Give up the place until the batch has ended; in other threads nothing happens."""
        if threading.get_ident() == self._owner and not self._is_away:
            self._leave()
            self._is_away = True

    def _ask(self) -> None:
        self._is_wanted = True
        if self.wake is not None:
            self.wake()

    def yield_if_wanted(self) -> None:
        """In the thread of the batch: give up the place if another thread that works for the batch has to wait."""
        if self._is_wanted:
            self.leave()


@contextmanager
def woken_by(wake: Callable[[], None]) -> Iterator[None]:
    """The thread of the batch waits inside for another one; it can be woken up so, and calls `yield_if_wanted` then."""
    slot = current_slot.get()
    if slot is None:
        yield
        return
    before, slot.wake = slot.wake, wake
    try:
        yield
    finally:
        slot.wake = before


def yield_if_wanted() -> None:
    """Give up the thread's place for the rest of the batch, if another thread that works for the batch has to wait."""
    slot = current_slot.get()
    if slot is not None:
        slot.yield_if_wanted()


def leave_slot() -> None:
    """Give up the thread's place for the rest of the batch: before its event loop awaits what needs such a place."""
    slot = current_slot.get()
    if slot is not None:
        slot.leave()


@contextmanager
def patiently(lock: Lockable) -> Iterator[None]:
    """Hold a lock that others hold while they wait for work; holds no thread of a worker until it is free."""
    if not lock.acquire(blocking=False):
        with slot_release.get()():
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
