"""The look-up table of a collection, in memory: which row of which pack is in force for a key.

Keys lie in a few sorted segments, each about twice as large as the next, so that adding the packs of a long run one by
one costs little. A look-up searches the first eight bytes of all keys at once and then compares the rest: different
keys that begin alike are told apart. Threads share an index; what they read is replaced as a whole, never changed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.packs.parts import Kind, order_of

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array
    from dataflow_results.packs.parts import PackHead

__all__ = ["Found", "KeyIndex", "newest_rows"]

KEY = np.dtype([("first", "<u8"), ("middle", "<u8"), ("last", "<u4")])
"""A key as three numbers, because numbers compare fast."""
MISSING = -1
DELETED = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where the results of some keys lie."""

    keys: bytes
    """20 bytes for each key that was asked for."""
    pack: Array
    """Number of the pack in the index, -1 where nothing is stored (int32)."""
    row: Array
    """Row in that pack (int64)."""
    expired: Array
    """Where the only reason for a miss is that the result has expired (bool)."""

    def __len__(self) -> int:
        return len(self.pack)

    @property
    def missing(self) -> Array:
        """Positions of the keys that nothing is stored for (int64)."""
        return np.flatnonzero(self.pack == MISSING)

    @property
    def stored(self) -> Array:
        """Positions of the keys that have a result (int64)."""
        return np.flatnonzero(self.pack != MISSING)

    def key(self, position: int) -> bytes:
        """The key at a position."""
        return self.keys[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Rows of some packs, one for each key, sorted by the first eight bytes of the key."""

    first: Array
    middle: Array
    last: Array
    order: Array
    expires_at: Array
    """Minus infinity for tombstones."""
    pack: Array
    row: Array

    def __len__(self) -> int:
        return len(self.first)

    def take(self, positions: Array) -> Segment:
        """Some of the rows."""
        return Segment(**{name: getattr(self, name)[positions] for name in self.__slots__})

    def positions(self, keys: Array) -> tuple[Array, Array]:
        """Which keys are here, and where: (bool for each key, position for each key)."""
        position = np.searchsorted(self.first, keys["first"])
        inside = position < len(self)
        position[~inside] = 0
        alike = inside & (self.first[position] == keys["first"])
        same = alike & self._rest_equal(position, keys)
        while (unclear := np.flatnonzero(alike & ~same)).size:  # another key begins with the same eight bytes
            position[unclear] += 1
            beyond = position[unclear] >= len(self)
            position[unclear[beyond]] = 0
            alike[unclear] = ~beyond & (self.first[position[unclear]] == keys["first"][unclear])
            same[unclear] = alike[unclear] & self._rest_equal(position[unclear], keys[unclear])
        return same, position

    def _rest_equal(self, position: Array, keys: Array) -> Array:
        equal: Array = (self.middle[position] == keys["middle"]) & (self.last[position] == keys["last"])
        return equal


@dataclass(frozen=True, slots=True)
class _State:
    """What readers see; replaced as a whole."""

    packs: tuple[PackHead | None, ...] = ()
    """By number; None once a pack is gone."""
    alive: Array = field(default_factory=lambda: np.zeros(0, bool))
    segments: tuple[Segment, ...] = ()


class KeyIndex:
    """Finds rows by keys over the packs of one collection.

    Of several rows with one key the one with the highest order is in force, wherever it lies. A tombstone in force
    means that there is none.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = _State()
        self._numbers: dict[str, int] = {}
        self._newest_order = 0

    @property
    def newest_order(self) -> int:
        """The highest order of all packs seen so far."""
        return self._newest_order

    def __contains__(self, identity: str) -> bool:
        return identity in self._numbers

    def ids(self) -> set[str]:
        """The packs that are in use."""
        with self._lock:
            return set(self._numbers)

    def heads(self) -> list[PackHead]:
        """The heads of all packs in use, without keys."""
        return [head for head in self._state.packs if head is not None]

    def head(self, number: int) -> PackHead | None:
        """The head of a pack by its number in `Found`; None if the pack is gone."""
        return self._state.packs[number]

    def update(self, *, add: Iterable[PackHead] = (), drop: Iterable[str] = ()) -> None:
        """Take packs in and out at once. Keys are copied into the index; rows of packs that are out count as missing.

        Args:
            add: heads of packs with their keys; those that are in already are left as they are.
            drop: ids of packs; those that are not in are no error.
        """
        with self._lock:
            begin = len(self._state.packs)
            gone = [self._numbers.pop(identity) for identity in set(drop) if identity in self._numbers]
            new = {head.id: head for head in add if head.id not in self._numbers}
            if not new and not gone:
                return
            self._numbers.update((identity, begin + place) for place, identity in enumerate(new))
            self._newest_order = max([self._newest_order, *map(order_of, new)])
            alive = np.concatenate([self._state.alive, np.ones(len(new), bool)])
            alive[gone] = False
            packs = [*self._state.packs, *(head.without_keys() for head in new.values())]
            for number in gone:
                packs[number] = None
            segments = list(self._state.segments)
            if new:
                added = [_segment(head, begin + place) for place, head in enumerate(new.values())]
                segments = _levelled([*segments, _joined(added, alive)], alive)
            self._state = _State(tuple(packs), alive, tuple(segments))

    def find(self, keys: bytes, now: float) -> Found:
        """Where the rows in force lie.

        Args:
            keys: 20 bytes each, one after the other.
            now: seconds since the epoch; what has expired by then is missing.
        """
        state = self._state
        wanted = np.frombuffer(keys, KEY)
        sorting = np.argsort(wanted["first"]) if len(wanted) > 1 else np.zeros(len(wanted), np.int64)
        best = _search(state, wanted[sorting])
        hidden = best.expires_at <= now
        pack, row, gone = (np.empty(len(wanted), dtype) for dtype in (np.int32, np.int64, bool))
        pack[sorting] = np.where(hidden, MISSING, best.pack)
        row[sorting] = np.where(hidden, MISSING, best.row)
        gone[sorting] = hidden & (best.expires_at != DELETED)
        return Found(keys=keys, pack=pack, row=row, expired=gone)


def newest_rows(heads: Sequence[PackHead]) -> list[Array]:
    """Of each pack the rows that are in force among all of them, sorted (int64)."""
    alive = np.ones(len(heads), bool)
    joined = _joined([_segment(head, number) for number, head in enumerate(heads)], alive)
    return [np.sort(joined.row[joined.pack == number]) for number in range(len(heads))]


def _search(state: _State, keys: Array) -> Segment:
    """For each key the row in force, tombstones included; pack -1 where there is none."""
    count = len(keys)
    best = _nothing(count, keys)
    for segment in state.segments:
        same, position = segment.positions(keys)
        here = np.flatnonzero(same)
        place = position[here]
        wins = state.alive[segment.pack[place]]
        wins &= (segment.order[place] >= best.order[here]) | (best.pack[here] == MISSING)
        here, place = here[wins], place[wins]
        for name in ("order", "expires_at", "pack", "row"):
            getattr(best, name)[here] = getattr(segment, name)[place]
    return best


def _nothing(count: int, keys: Array) -> Segment:
    return Segment(
        first=keys["first"],
        middle=keys["middle"],
        last=keys["last"],
        order=np.zeros(count, np.uint64),
        expires_at=np.full(count, np.inf),
        pack=np.full(count, MISSING, np.int32),
        row=np.full(count, MISSING, np.int64),
    )


def _segment(head: PackHead, number: int) -> Segment:
    """The rows of a pack, not yet sorted."""
    keys = np.frombuffer(head.keys, KEY)
    return Segment(
        first=keys["first"],
        middle=keys["middle"],
        last=keys["last"],
        order=head.column("order"),
        expires_at=np.where(head.column("kind") == Kind.TOMBSTONE, DELETED, head.column("expires_at")),
        pack=np.full(len(keys), number, np.int32),
        row=np.arange(len(keys)),
    )


def _joined(segments: Sequence[Segment], alive: Array) -> Segment:
    """One segment of several: rows of packs that are gone, and rows that newer ones replace, are left out."""
    joined = Segment(
        **{name: np.concatenate([getattr(segment, name) for segment in segments]) for name in Segment.__slots__}
    )
    living = alive[joined.pack]
    if not living.all():
        joined = joined.take(np.flatnonzero(living))
    joined = joined.take(np.argsort(joined.first, kind="stable"))
    return _newest_of_each(joined)


def _newest_of_each(rows: Segment) -> Segment:
    """One row for each key, of rows that are sorted by the first eight bytes of it."""
    alike = rows.first[1:] == rows.first[:-1]
    if not alike.any():
        return rows
    members = np.flatnonzero(np.concatenate([[False], alike]) | np.concatenate([alike, [False]]))
    some = rows.take(members)
    sorting = np.arange(len(rows))
    sorting[members] = members[np.lexsort((some.order, some.last, some.middle, some.first))]  # stable: later ones last
    rows = rows.take(sorting)
    replaced = (
        (rows.first[1:] == rows.first[:-1]) & (rows.middle[1:] == rows.middle[:-1]) & (rows.last[1:] == rows.last[:-1])
    )
    return rows.take(np.flatnonzero(np.concatenate([~replaced, [True]])))


def _levelled(segments: list[Segment], alive: Array) -> list[Segment]:
    """Join the last segments until each is at least twice as long as the next, so that there are only a few."""
    while len(segments) > 1 and len(segments[-2]) < 2 * len(segments[-1]):
        segments[-2:] = [_joined(segments[-2:], alive)]
    return segments
