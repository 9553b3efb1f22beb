"""The ledger of limits: who holds how many places, who is next. No clock, no input or output.

A request is for some places of one or more names, all or nothing. Requests queue for each of their names, and one is
granted when it is the first in all its queues and there is room for it in all. So nobody overtakes on a name: a large
request is not starved by small ones. And since a waiting request holds nothing, requests cannot block each other for
ever. An elastic request takes what is free when it is its turn: at least one place of each name, at most all it wants.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dataflow.known_limits import Limit, Place

__all__ = ["Holder", "Ledger", "Rates", "Refusal", "refusal_of"]

Holder = tuple[str, int]
"""The owner (a worker, a client), which may go away with all it holds, and the number of its request."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request can never be granted: the name has no limit (None), or a smaller one."""

    name: str
    count: int
    limit: int | None


@dataclass(slots=True)
class _Line:
    """One name: places that are held, and the requests that wait, the first one first."""

    held: int = 0
    waiting: OrderedDict[Holder, Place] = field(default_factory=OrderedDict)


class Ledger:
    """Grants places."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        """Limits that somebody has set; they win over what a request says itself."""
        self._lines: dict[str, _Line] = {}
        self._requests: dict[Holder, tuple[Place, ...]] = {}
        self._granted: dict[Holder, int] = {}
        self._elastic: set[Holder] = set()
        self._owned: dict[str, set[Holder]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody holds or waits for anything."""
        return not self._requests and not self._lines

    def held(self, name: str) -> int:
        """Places of a name that are held."""
        return self._lines[name].held if name in self._lines else 0

    def waiting(self, name: str) -> int:
        """Requests that wait for a name."""
        return len(self._lines[name].waiting) if name in self._lines else 0

    def granted(self, holder: Holder) -> int:
        """How many places a request was granted."""
        return self._granted.get(holder, 0)

    def request(self, holder: Holder, places: tuple[Place, ...], *, elastic: bool = False) -> int | Refusal:
        """Ask for places: how many are held now, 0 if the request waits.

        Args:
            holder: whose request it is; each is made once.
            places: what is asked for, each name once.
            elastic: whether fewer will do. All names have the same count then.
        """
        refusal = refusal_of(_least(places) if elastic else places, self.limits)
        if refusal is not None:
            return refusal
        if elastic:
            self._elastic.add(holder)
        self._requests[holder] = places
        self._owned.setdefault(holder[0], set()).add(holder)
        for place in places:
            self._lines.setdefault(place.name, _Line()).waiting[holder] = place
        if self._may_have(holder):
            self._grant(holder)
        return self.granted(holder)

    def release(self, holder: Holder) -> list[Holder]:
        """Give back what a request holds, or stop waiting; gives those that hold their places now."""
        return self._settle(self._forget(holder))

    def drop(self, owner: str) -> list[Holder]:
        """An owner is gone, with all its requests; gives those of others that hold their places now."""
        names: dict[str, None] = {}
        for holder in tuple(self._owned.get(owner, ())):
            names.update(dict.fromkeys(self._forget(holder)))
        return self._settle(names)

    def set_limit(self, name: str, limit: int | None) -> tuple[list[Holder], dict[Holder, Refusal]]:
        """Set or take away a limit; gives those that hold their places now, and those that can never have them."""
        if limit is None:
            self.limits.pop(name, None)
        else:
            self.limits[name] = limit
        waiting = self._lines[name].waiting if name in self._lines else {}
        refused = {
            holder: refusal
            for holder in waiting
            if (refusal := refusal_of(self._wanted(holder), self.limits)) is not None
        }
        names = dict.fromkeys((name, *(freed for holder in refused for freed in self._forget(holder))))
        return self._settle(names), refused

    def _may_have(self, holder: Holder) -> bool:
        """Whether it is the first in all its queues, with room in all."""
        return all(
            next(iter(self._lines[place.name].waiting)) == holder and place.count <= self._room(place)
            for place in self._wanted(holder)
        )

    def _wanted(self, holder: Holder) -> tuple[Place, ...]:
        """The least that a request is content with."""
        places = self._requests[holder]
        return _least(places) if holder in self._elastic else places

    def _room(self, place: Place) -> int:
        limit = self.limits.get(place.name, place.limit)
        return 0 if limit is None else limit - self._lines[place.name].held

    def _grant(self, holder: Holder) -> None:
        places = self._requests[holder]
        if holder in self._elastic:
            count = min(min(place.count, self._room(place)) for place in places)
            places = self._requests[holder] = tuple(replace(place, count=count) for place in places)
        for place in places:
            line = self._lines[place.name]
            del line.waiting[holder]
            line.held += place.count
        self._granted[holder] = places[0].count

    def _forget(self, holder: Holder) -> tuple[str, ...]:
        """Take a request out; gives the names where somebody may have room now."""
        places = self._requests.pop(holder, ())
        if not places:
            return ()
        owned = self._owned[holder[0]]
        owned.discard(holder)
        if not owned:
            del self._owned[holder[0]]
        self._elastic.discard(holder)
        was_granted = self._granted.pop(holder, 0)
        for place in places:
            line = self._lines[place.name]
            if was_granted:
                line.held -= place.count
            else:
                line.waiting.pop(holder)
        return tuple(place.name for place in places)

    def _settle(self, names: Iterable[str]) -> list[Holder]:
        """Grant what can be granted now that something changed for these names."""
        granted: list[Holder] = []
        changed = list(names)
        while changed:
            name = changed.pop()
            line = self._lines.get(name)
            while line is not None and line.waiting and self._may_have(first := next(iter(line.waiting))):
                self._grant(first)
                granted.append(first)
                changed.extend(place.name for place in self._requests[first] if place.name != name)
            if line is not None and not line.held and not line.waiting:
                del self._lines[name]
        return granted


def _least(places: tuple[Place, ...]) -> tuple[Place, ...]:
    return tuple(replace(place, count=1) for place in places)


def refusal_of(places: Iterable[Place], limits: dict[str, int]) -> Refusal | None:
    """Why these places can never be had, if so."""
    for place in places:
        limit = limits.get(place.name, place.limit)
        if limit is None or place.count > limit:
            return Refusal(place.name, place.count, limit)
    return None


class Rates:
    """Gives everybody a time to go on at, so that a name is used no more often than its rate allows."""

    def __init__(self) -> None:
        self.intervals: dict[str, float] = {}
        """Seconds between two uses, for names whose rate somebody has set."""
        self._free_at: dict[str, float] = {}

    def set_rate(self, name: str, limit: Limit | None) -> None:
        """Set or take away a rate."""
        if limit is None or limit.interval_seconds is None:
            self.intervals.pop(name, None)
        else:
            self.intervals[name] = limit.interval_seconds

    def reserve(
        self, name: str, count: int, interval_seconds: float | None, patience_seconds: float, *, now: float
    ) -> float | None:
        """Take the next free time of a name for ``count`` uses; gives how long it is until then.

        Args:
            name: of the rate.
            count: the next one may go on this many intervals later.
            interval_seconds: what the code itself says; a rate that somebody set wins.
            patience_seconds: if it would have to wait longer, nothing is taken.
            now: seconds on a clock that goes on evenly.

        Returns:
            Seconds, or None if nobody said how often.
        """
        interval = self.intervals.get(name, interval_seconds)
        if interval is None:
            return None
        starts = max(now, self._free_at.get(name, now))
        self._free_at = {known: at for known, at in self._free_at.items() if at > now}
        if starts - now <= patience_seconds:
            self._free_at[name] = starts + count * interval
        return starts - now
