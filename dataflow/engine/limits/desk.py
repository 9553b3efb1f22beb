"""Where places are asked for: one interface, whether the ledger is in this process or on a scheduler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import NamedTuple, Protocol, TypeVar

from dataflow.engine.limits.ledger import Refusal
from dataflow.errors import UsageError
from dataflow.known_limits import HOW_TO_DEFINE, Limit, Place

__all__ = ["Desk", "Ticket", "Use", "no_rate", "refused", "settle"]

T = TypeVar("T")


class Ticket(NamedTuple):
    """A request: its number, by which it is given back, and when it is granted."""

    number: int
    answer: Future[int]
    """Done when the places are held; gives how many. Raises `UsageError` if they never can be had."""


class Use(NamedTuple):
    """Uses of a name whose rate is limited."""

    name: str
    times: int = 1
    interval_seconds: float | None = None
    """What the code itself says."""
    patience_seconds: float = math.inf
    """If it would have to wait longer, nothing is reserved."""


class Desk(Protocol):
    """Gives places and times. Nothing here waits, but for `define`."""

    def request(self, places: tuple[Place, ...], *, elastic: bool = False) -> Ticket:
        """Ask for places, all or (elastic) as many as are free; they must be freed in any case, granted or not."""

    def free(self, numbers: Iterable[int]) -> None:
        """Give places back, or stop waiting for them."""

    def reserve(self, use: Use) -> Future[float]:
        """Take the next free time of a name; gives how many seconds there are until then."""

    def define(self, limits: Mapping[str, Limit | None]) -> None:
        """Set limits, or take them away, for everybody who asks here."""


def refused(refusal: Refusal) -> UsageError:
    """The error for places that can never be had."""
    if refusal.limit is None:
        return UsageError(
            "there is no such limit, so nothing would be limited",
            where=f"concurrency({refusal.name!r})",
            fix=HOW_TO_DEFINE.format(name=refusal.name, example=3, bare=3),
        )
    return UsageError(
        f"{refusal.count} places are wanted at once, and there are only {refusal.limit}",
        where=f"concurrency({refusal.name!r}, occupy={refusal.count})",
        fix=f"occupy at most {refusal.limit}, or raise the limit",
    )


def no_rate(name: str) -> UsageError:
    """The error for a rate that nobody has set."""
    return UsageError(
        "nobody said how often, so nothing would be limited",
        where=f"rate_limit({name!r})",
        fix=HOW_TO_DEFINE.format(name=name, example='"10/s"', bare="10/s"),
    )


def settle(answer: Future[T], value: T | BaseException) -> None:
    """Answer, unless nobody waits for it any more."""
    if not answer.done() and answer.set_running_or_notify_cancel():
        if isinstance(value, BaseException):
            answer.set_exception(value)
        else:
            answer.set_result(value)
