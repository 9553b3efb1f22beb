"""Limits: so many at once, or so often, across everything that runs on one cluster.

A limit has a name. Code takes places of it (`concurrency`) or uses it (`rate_limit`); who set it, and how, does not
matter: `set_limit`, the setting ``DATAFLOW_LIMITS="database=3, api=10/s"``, or ``limit=`` where it is used. All runs
and clients of one Dask cluster share its limits. Waiting for a place holds no thread of a worker, and a worker that
dies frees its places.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from dataflow.engine.limits.desk import Desk, Use
from dataflow.engine.limits.waiting import held_by_batch, sleep, wait, wait_async
from dataflow.errors import NotFinished, UsageError
from dataflow.known_limits import Place, define, limit_of
from dataflow.limit_desks import desk_here, known_desks

__all__ = ["Concurrency", "concurrency", "rate_limit", "rate_limit_async", "set_limit"]


class _Lease:
    """Places that some code holds. Freed at the latest when nobody knows of it any more: a thread that was given up may
    be ended by an exception at any line.
    """

    __slots__ = ("_desk", "_number", "by")

    def __init__(self, by: Concurrency, desk: Desk, number: int) -> None:
        self.by = by
        self._desk: Desk | None = desk
        self._number = number

    def take(self, granted: int | None, timeout_seconds: float | None) -> None:
        """The places are there, or (None) they were not in time.

        Raises:
            NotFinished: they were not.
        """
        if granted is None:
            raise _not_free(self.by, timeout_seconds)
        _held.set((*_held.get(), self))

    def free(self) -> None:
        """Give the places back; twice is harmless."""
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.free([self._number])

    __del__ = free


_held: ContextVar[tuple[_Lease, ...]] = ContextVar("held_places", default=())


class Concurrency:
    """Places of one or more names, held within a ``with`` or ``async with`` block; see `concurrency`."""

    __slots__ = ("_timeout_seconds", "places")

    def __init__(self, places: tuple[Place, ...], timeout_seconds: float | None) -> None:
        self.places = places
        self._timeout_seconds = timeout_seconds

    def __repr__(self) -> str:
        return f"<Concurrency {', '.join(f'{place.count} of {place.name!r}' for place in self.places)}>"

    def __enter__(self) -> Concurrency:
        lease, answer = self._ask()
        try:
            granted = wait(answer, self._timeout_seconds)
            lease.take(granted, self._timeout_seconds)
        except BaseException:
            lease.free()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        taken = _held.get()
        mine = next(lease for lease in reversed(taken) if lease.by is self)
        _held.set(tuple(lease for lease in taken if lease is not mine))
        mine.free()

    async def __aenter__(self) -> Concurrency:
        lease, answer = self._ask()
        try:
            granted = await wait_async(answer, self._timeout_seconds)
            lease.take(granted, self._timeout_seconds)
        except BaseException:
            lease.free()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _ask(self) -> tuple[_Lease, Future[int]]:
        held = held_by_batch.get().union(place.name for lease in _held.get() for place in lease.by.places)
        twice = sorted(held.intersection(place.name for place in self.places))
        if twice:
            raise UsageError(
                f"this code, or the task it is in, holds places of {twice[0]!r} already, so it could wait for itself",
                where=repr(self),
                fix="take all places it needs at once, with occupy=, and leave the name out of the task's tags",
            )
        desk = desk_here()
        number, answer = desk.request(self.places)
        return _Lease(self, desk, number), answer


def concurrency(
    names: str | Sequence[str], occupy: int = 1, *, limit: int | None = None, timeout_seconds: float | None = None
) -> Concurrency:
    """Hold places of a limit within a ``with`` block (``async with`` in ``async def`` tasks).

    Args:
        names: name of the limit; of several, places are taken of all at once.
        occupy: how many places.
        limit: how many there are, where nobody has set it otherwise.
        timeout_seconds: how long to wait for them.

    Raises:
        UsageError: there is no such limit, or it is too small; or this code holds places of it already.
        NotFinished: within ``timeout_seconds`` they were not free.
        ClusterError: the scheduler cannot be asked.

    Example:
        >>> with concurrency("database", limit=3):
        ...     print("at most three of us are here")
        at most three of us are here
    """
    wanted = _distinct(names)
    _check_count(occupy, f"concurrency({names!r})")
    stated = None if limit is None else limit_of(limit, wanted[0]).places
    if limit is not None and stated is None:
        raise UsageError(f"{limit!r} says how often, not how many", where=f"concurrency({names!r})", fix="limit=3")
    return Concurrency(tuple(Place(name, occupy, stated) for name in wanted), timeout_seconds)


def rate_limit(
    names: str | Sequence[str], occupy: int = 1, *, limit: str | None = None, timeout_seconds: float | None = None
) -> None:
    """Wait until it is this code's turn to use something that may be used only so often.

    Turns come evenly: with ``10/s`` one every 0.1 s, to all who share the name, in the order in which they ask.

    Args:
        names: name of the limit; of several, a turn is waited for of each.
        occupy: how many uses this is; the next turn comes so much later.
        limit: how often, as in ``"10/s"`` or ``"100/min"``, where nobody has set it otherwise.
        timeout_seconds: if the turn comes later than this, it is not waited for.

    Raises:
        UsageError: there is no such limit.
        NotFinished: the turn would come later than in ``timeout_seconds``.
        ClusterError: the scheduler cannot be asked.

    Example:
        >>> for _ in range(3):
        ...     rate_limit("api", limit="100/s")
    """
    for use in _uses(names, occupy, limit, timeout_seconds):
        seconds = wait(desk_here().reserve(use), None)
        sleep(_patient(use, seconds) + time.monotonic())


async def rate_limit_async(
    names: str | Sequence[str], occupy: int = 1, *, limit: str | None = None, timeout_seconds: float | None = None
) -> None:
    """As `rate_limit`, for ``async def`` tasks: other elements go on meanwhile.

    Example:
        >>> asyncio.run(rate_limit_async("api", limit="100/s"))
    """
    for use in _uses(names, occupy, limit, timeout_seconds):
        seconds = await wait_async(desk_here().reserve(use), None)
        await asyncio.sleep(_patient(use, seconds))


def set_limit(name: str, limit: int | str | None) -> None:
    """Set a limit: for this process, for the clusters it is connected to, and for those it runs on later.

    On a cluster it holds for all, until somebody sets it again. It also limits the running elements of tasks that have
    a tag of this name.

    Args:
        name: of the limit.
        limit: a number of places, or a rate such as ``"10/s"``; None takes the limit away.

    Raises:
        UsageError: it is no limit.
        ClusterError: a cluster cannot be told.

    Example:
        >>> set_limit("database", 3)
        >>> set_limit("database", None)
    """
    meant = None if limit is None else limit_of(limit, name)
    define(name, meant)
    for desk in known_desks():
        desk.define({name: meant})


def _patient(use: Use, seconds: float | None) -> float:
    """The time until a turn.

    Raises:
        NotFinished: that is too long.
    """
    if seconds is None or seconds > use.patience_seconds:
        raise _not_free(f"rate_limit({use.name!r})", use.patience_seconds)
    return seconds


def _not_free(what: object, timeout_seconds: float | None) -> NotFinished:
    return NotFinished(
        f"it was not this code's turn within {timeout_seconds:g} s",
        where=str(what),
        fix="wait longer, or raise the limit",
    )


def _uses(names: str | Sequence[str], occupy: int, limit: str | None, timeout_seconds: float | None) -> list[Use]:
    wanted, where = _distinct(names), f"rate_limit({names!r})"
    _check_count(occupy, where)
    interval = None if limit is None else limit_of(limit, wanted[0]).interval_seconds
    if limit is not None and interval is None:
        raise UsageError(f"{limit!r} says how many, not how often", where=where, fix='write limit="10/s"')
    patience = math.inf if timeout_seconds is None else timeout_seconds
    return [Use(name, occupy, interval, patience) for name in wanted]


def _distinct(names: str | Sequence[str]) -> list[str]:
    given: Any = [names] if isinstance(names, str) else names
    wanted = list(dict.fromkeys(given)) if isinstance(given, list | tuple) else []
    if not wanted or not all(isinstance(name, str) and name.strip() for name in wanted):
        raise UsageError(f"{names!r} names no limit", where="concurrency or rate_limit", fix="give a name, or several")
    return wanted


def _check_count(number: object, where: str) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UsageError(f"occupy={number!r} is no number of places", where=where, fix="take a whole number from 1 on")
