"""The keeper of a run's places: asks a desk for what the machine wants, tells the machine, and frees all in the end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from dataflow.engine.events import AskPlaces, CancelAsked, FreePlaces, PlacesGranted
from dataflow.engine.failures import pack_error
from dataflow.engine.limits.desk import Desk
from dataflow.engine.limits.waiting import held_by_batch
from dataflow.errors import UsageError

__all__ = ["PlaceKeeper"]


class PlaceKeeper:
    """Performs the machine's instructions about places.

    Args:
        desk: of the cluster.
        post: tells the machine; may be called from any thread.
    """

    def __init__(self, desk: Desk, post: Callable[[PlacesGranted | CancelAsked], None]) -> None:
        self._desk = desk
        self._post = post
        self._held_outside = held_by_batch.get()
        """What the task holds, if any, that began this run and waits for it."""
        self._tickets: dict[int, int] = {}
        self._waiting: set[int] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether something was asked for that is not answered yet."""
        return bool(self._waiting)

    def ask(self, asked: AskPlaces) -> None:
        """Ask for places; the machine is told when they are there."""
        held = self._held_outside.intersection(place.name for place in asked.places)
        if held:
            self._post(CancelAsked(pack_error(_waits_for_itself(min(held)))))
            return
        ticket = self._desk.request(asked.places, elastic=True)
        self._tickets[asked.number] = ticket.number
        self._waiting.add(asked.number)
        ticket.answer.add_done_callback(lambda answer: self._tell(asked.number, answer))

    def free(self, freed: FreePlaces) -> None:
        """Give places back, or do without them."""
        self._waiting.difference_update(freed.numbers)
        tickets = [self._tickets.pop(number) for number in freed.numbers if number in self._tickets]
        if tickets:
            self._desk.free(tickets)

    def close(self) -> None:
        """The run has ended."""
        self.free(FreePlaces(tuple(self._tickets)))

    def _tell(self, number: int, answer: Future[int]) -> None:
        error = answer.exception()
        if error is None:
            self._post(PlacesGranted(number, answer.result()))
        elif isinstance(error, UsageError):  # somebody has taken the limit away
            self._post(PlacesGranted(number, 0))
        else:
            self._post(CancelAsked(pack_error(error)))
        self._waiting.discard(number)


def _waits_for_itself(name: str) -> UsageError:
    return UsageError(
        f"the task that began this run holds a place of {name!r} until the run has ended, which needs places of it too",
        where=f"limit {name!r}",
        fix="limit the tasks of the inner flow, or the task that calls it, but not both by one name",
    )
