"""The desk of this process, for code that runs on no Dask cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from itertools import count

from dataflow.engine.limits.desk import Ticket, Use, no_rate, refused, settle
from dataflow.engine.limits.ledger import Holder, Ledger, Rates, Refusal
from dataflow.errors import UsageError
from dataflow.known_limits import Limit, Place, defined

__all__ = ["LocalDesk", "local_desk"]

OWNER = "here"


class LocalDesk:
    """A ledger behind a lock."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._rates = Rates()
        self._known: dict[str, Limit] = {}
        self._answers: dict[Holder, Future[int]] = {}
        self._numbers = count()
        self._lock = threading.Lock()

    def request(self, places: tuple[Place, ...], *, elastic: bool = False) -> Ticket:
        """Ask for places."""
        self._learn()
        ticket = Ticket(next(self._numbers), Future())
        holder = (OWNER, ticket.number)
        with self._lock:
            outcome = self.ledger.request(holder, places, elastic=elastic)
            if outcome == 0:
                self._answers[holder] = ticket.answer
        if outcome:
            settle(ticket.answer, refused(outcome) if isinstance(outcome, Refusal) else outcome)
        return ticket

    def free(self, numbers: Iterable[int]) -> None:
        """Give places back, or stop waiting."""
        with self._lock:
            granted = []
            for number in numbers:
                self._answers.pop((OWNER, number), None)
                granted += self.ledger.release((OWNER, number))
            answers = self._taken(granted)
        _tell(answers)

    def reserve(self, use: Use) -> Future[float]:
        """Take the next free time."""
        self._learn()
        with self._lock:
            seconds = self._rates.reserve(*use, now=time.monotonic())
        answer: Future[float] = Future()
        settle(answer, no_rate(use.name) if seconds is None else seconds)
        return answer

    def define(self, limits: Mapping[str, Limit | None]) -> None:
        """Set limits."""
        answers: list[tuple[Future[int], int | UsageError]] = []
        with self._lock:
            for name, limit in limits.items():
                self._rates.set_rate(name, limit)
                granted, refusals = self.ledger.set_limit(name, limit.places if limit else None)
                answers += self._taken(granted)
                answers += [(self._answers.pop(holder), refused(refusal)) for holder, refusal in refusals.items()]
        _tell(answers)

    def _taken(self, granted: Iterable[Holder]) -> list[tuple[Future[int], int | UsageError]]:
        return [
            (self._answers.pop(holder), self.ledger.granted(holder)) for holder in granted if holder in self._answers
        ]

    def _learn(self) -> None:
        """Take over what this process has set since."""
        known = defined()
        if known != self._known:
            self._known = known
            self.define(known)


def _tell(answers: Iterable[tuple[Future[int], int | UsageError]]) -> None:
    for answer, outcome in answers:
        settle(answer, outcome)


_desk = LocalDesk()


def local_desk() -> LocalDesk:
    """The one desk of this process."""
    return _desk
