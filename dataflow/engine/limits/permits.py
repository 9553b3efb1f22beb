"""Permits: places of limits that the batches of a run need before they are sent. Decides; asks nobody itself.

A limited lane sends a batch only with a permit. A batch of ordinary tasks runs one element at a time, so its permit is
one place of each limit of its tasks; a batch of ``async def`` tasks runs as many elements at once as its permit says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from dataflow.engine.events import AskPlaces, FreePlaces, Instruction, PlacesGranted
from dataflow.graph.nodes import Node
from dataflow.known_limits import Place, effective

if TYPE_CHECKING:
    from dataflow.engine.records import BatchRecord, Lane

__all__ = ["LaneLimits", "Permits", "limits_of"]


@dataclass(slots=True)
class LaneLimits:
    """The limits of a lane, and its permits that no batch has yet."""

    places: tuple[Place, ...]
    asked: set[int] = field(default_factory=set)
    """Permits that were asked for and not granted."""
    idle: deque[PlacesGranted] = field(default_factory=deque)
    in_use: int = 0
    """Batches under way that have one."""

    @property
    def is_waiting(self) -> bool:
        """Whether permits were asked for that others hold."""
        return bool(self.asked)

    @property
    def is_idle(self) -> bool:
        """Whether nothing was asked for, and nothing is there."""
        return not self.asked and not self.idle

    def most(self, wanted: int) -> int:
        """At most so many places are of use."""
        return min([wanted, *(place.limit for place in self.places if place.limit is not None)])


def limits_of(nodes: Iterable[Node]) -> LaneLimits | None:
    """The limits of nodes that run together; None if there are none."""
    found = {name: said for node in nodes for name, said in effective(node.task.rules.limits)}
    return LaneLimits(tuple(Place(name, 1, said) for name, said in found.items())) if found else None


class Permits:
    """The permits of all lanes of a run."""

    def __init__(self) -> None:
        self._numbers = count()
        self._lanes: dict[int, Lane] = {}
        """Who asked, for permits that were not granted yet."""

    def granted(self, event: PlacesGranted) -> None:
        """A permit has come; of no places, if the limit is no more."""
        lane = self._lanes.pop(event.number, None)
        if lane is None or lane.limits is None:
            return
        lane.limits.asked.discard(event.number)
        if event.count:
            lane.limits.idle.append(event)
        else:
            lane.limits = None

    def give_to(self, batch: BatchRecord) -> None:
        """Give a permit of its lane to a batch."""
        limits = batch.lane.limits
        if limits is not None:
            batch.permit = limits.idle.popleft()
            limits.in_use += 1

    def take_from(self, batch: BatchRecord) -> list[Instruction]:
        """A batch has ended: its places are free for others."""
        if batch.permit is None:
            return []
        if batch.lane.limits is not None:
            batch.lane.limits.in_use -= 1
        return [FreePlaces((batch.permit.number,))]

    def balance(self, lane: Lane, limits: LaneLimits, *, threads: int, at_once: int) -> list[Instruction]:
        """Ask for the permits that a lane can make use of now, or give back those that it cannot.

        Args:
            lane: whose.
            limits: its limits.
            threads: worker threads of the cluster.
            at_once: elements that one of its batches runs at once.
        """
        batches = len(lane.again) + lane.ready_count
        useful = min(batches, limits.most(threads), threads - limits.in_use)
        if at_once > 1:
            useful = min(useful, 1)
        surplus = len(limits.asked) + len(limits.idle) - useful
        if surplus >= 0:
            return self._give_up(limits, surplus)
        return [self._ask(lane, limits, min(at_once, lane.ready_count) or 1) for _ in range(-surplus)]

    def give_up_all(self, limits: LaneLimits) -> list[Instruction]:
        """Give back, or do without, the permits of a lane that no batch uses."""
        return self._give_up(limits, len(limits.asked) + len(limits.idle))

    def _ask(self, lane: Lane, limits: LaneLimits, at_once: int) -> Instruction:
        number = next(self._numbers)
        self._lanes[number] = lane
        limits.asked.add(number)
        places = tuple(Place(place.name, at_once, place.limit) for place in limits.places)
        return AskPlaces(number, places)

    def _give_up(self, limits: LaneLimits, surplus: int) -> list[Instruction]:
        numbers = [limits.idle.pop().number for _ in range(min(surplus, len(limits.idle)))]
        for number in sorted(limits.asked, reverse=True)[: surplus - len(numbers)]:
            limits.asked.discard(number)
            del self._lanes[number]
            numbers.append(number)
        return [FreePlaces(tuple(numbers))] if numbers else []
