"""The ledger of a Dask cluster: a plugin of its scheduler, shared by all runs, clients and workers of the cluster.

Requests are short calls. Whoever has requests that wait keeps one call open, which is answered with what was granted
since: one connection for a process, however many wait. Workers and clients that go away give everything back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from distributed import SchedulerPlugin

from dataflow.engine.limits.ledger import Holder, Ledger, Rates, Refusal
from dataflow.known_limits import Limit, Place

__all__ = ["PLUGIN_NAME", "LimitsPlugin", "Mail", "Office"]

PLUGIN_NAME = "dataflow-limits-1"
"""With a number that changes with what is said over the wire."""
Mail = tuple[int, int, int | tuple[str, int, int | None]]
"""A running number, the number of a request, and how many places it was granted, or why it was refused."""


class _Box:
    """What was granted to an owner and not yet taken note of."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.sent = 0
        self.stirred = asyncio.Event()

    def put(self, number: int, outcome: int | Refusal) -> None:
        self.sent += 1
        self.mails.append((self.sent, number, _said(outcome)))
        self.stirred.set()


class Office:
    """The ledger and the boxes of those who wait; answers calls in the scheduler's event loop."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self.ledger = Ledger()
        self.rates = Rates()
        self.boxes: dict[str, _Box] = {}

    def request(self, owner: str, number: int, places: Iterable[tuple[str, int, int | None]], *, elastic: bool) -> Any:
        """Ask for places: how many were granted, 0 (wait), or why none."""
        if owner not in self._scheduler.workers and owner not in self._scheduler.clients:
            return "gone"
        asked = tuple(Place(*place) for place in places)
        outcome = self.ledger.request((owner, number), asked, elastic=elastic)
        if outcome == 0:
            self.boxes.setdefault(owner, _Box())
        return _said(outcome)

    def free(self, owner: str, numbers: Iterable[int]) -> None:
        """Give places back, or stop waiting for them."""
        for number in numbers:
            if owner in self.boxes and not self.ledger.granted((owner, number)):
                self.boxes[owner].stirred.set()  # it stopped waiting: perhaps it waits for nothing more
            self._tell(self.ledger.release((owner, number)))

    async def wait(self, owner: str, after: int) -> tuple[Mail, ...]:
        """What was granted or refused after a mail; waits until there is something, or the owner should look again."""
        box = self.boxes.get(owner)
        if box is None:
            return ()
        box.mails = [mail for mail in box.mails if mail[0] > after]
        if not box.mails:
            box.stirred.clear()
            await box.stirred.wait()
        return tuple(box.mails)

    def reserve(
        self, name: str, count: int, interval_seconds: float | None, patience_seconds: float | None
    ) -> float | None:
        """Take the next free time of a name; gives the seconds until then."""
        patience = float("inf") if patience_seconds is None else patience_seconds
        return self.rates.reserve(name, count, interval_seconds, patience, now=time.monotonic())

    def define(self, limits: Iterable[tuple[str, int | None, float | None]]) -> None:
        """Set limits, or take them away."""
        for name, places, interval_seconds in limits:
            self.rates.set_rate(name, Limit(places, interval_seconds))
            granted, refusals = self.ledger.set_limit(name, places)
            self._tell(granted)
            for (owner, number), refusal in refusals.items():
                self.boxes[owner].put(number, refusal)

    def names(self) -> tuple[str, ...]:
        """Names that have a number of places."""
        return tuple(self.ledger.limits)

    def drop(self, owner: str) -> None:
        """A worker or client is gone."""
        box = self.boxes.pop(owner, None)
        if box is not None:
            box.mails.clear()
            box.stirred.set()
        self._tell(self.ledger.drop(owner))

    def close(self) -> None:
        """Nobody will be answered any more."""
        for owner in list(self.boxes):
            self.drop(owner)

    def _tell(self, granted: Iterable[Holder]) -> None:
        for owner, number in granted:
            self.boxes[owner].put(number, self.ledger.granted((owner, number)))


def _said(outcome: int | Refusal) -> int | tuple[str, int, int | None]:
    """An outcome as it goes over the wire."""
    return (outcome.name, outcome.count, outcome.limit) if isinstance(outcome, Refusal) else outcome


class LimitsPlugin(SchedulerPlugin):  # type: ignore[misc]
    """Puts the office onto a scheduler. Registered by whoever needs it first; later ones find it there."""

    name = PLUGIN_NAME
    idempotent = True
    office: Office

    async def start(self, scheduler: Any) -> None:
        """Open the office."""
        self.office = office = Office(scheduler)
        scheduler.handlers.update(
            dataflow_limits_request=office.request,
            dataflow_limits_free=office.free,
            dataflow_limits_wait=office.wait,
            dataflow_limits_reserve=office.reserve,
            dataflow_limits_define=office.define,
            dataflow_limits_names=office.names,
        )

    def remove_worker(self, scheduler: Any, worker: str, **details: Any) -> None:
        """What a lost worker held is free."""
        self.office.drop(worker)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """What a client held is free when it closes, or is lost."""
        self.office.drop(client)

    async def before_close(self) -> None:
        """Let open calls end."""
        self.office.close()
