"""The words of collection: what lies in a store, what may go by which rules, what goes and why."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dataflow_results.care.catalogue import Query
from dataflow_results.care.inventory import CollectionPacks

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array

__all__ = ["DAY_SECONDS", "Amount", "Facts", "Leftover", "PackTrim", "Plan", "Protected", "Reason", "Removal", "Rules"]

DAY_SECONDS: Final = 86_400.0


class Reason(StrEnum):
    """Why something goes."""

    REPLACED = "replaced"
    DELETED = "deleted"
    EXPIRED = "expired"
    OLD = "old"
    OVER_LIMIT = "over the limit"
    OBJECT = "unused objects"
    TREE = "unused folders"
    LEFT_BEHIND = "merged packs"
    UNFINISHED = "unfinished writes"
    SET_ASIDE = "set aside"
    LEASE = "dead leases"
    RUN = "records of runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may go. Plain files whose names users chose are never removed."""

    max_age_seconds: float | None = None
    """Results older than this; None: age does not count."""
    max_bytes: int | None = None
    """The oldest results, until all together take no more; None: as much as there is."""
    only: Query = field(default_factory=Query)
    """Age and bytes count for these results only."""
    grace_seconds: float = 3_600.0
    """Objects and folders younger than this stay: the pack that will name them may be on its way."""
    keep_unfinished_seconds: float = 14 * DAY_SECONDS
    """Results of a run that crashed stay for so long, so that it can be resumed."""
    leftover_seconds: float = DAY_SECONDS
    """What killed writers left, after this time."""
    set_aside_seconds: float = 30 * DAY_SECONDS
    """What was found damaged, after this time."""
    run_seconds: float = 90 * DAY_SECONDS
    """Records of runs, after this time without a sign of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file or folder that may go once it is old enough."""

    reason: Reason
    names: tuple[str, ...]
    folder: str = ""
    """Of a value that is a folder; its files are the names."""
    size_bytes: int
    modified_at: float
    """Seconds since the epoch; of a folder, when its newest file was written. Infinite where nobody tells."""

    @property
    def place(self) -> str:
        """How rows name it."""
        return self.folder or self.names[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """What must stay, whatever its age."""

    tasks: AbstractSet[str] = frozenset()
    """Names of tasks or collections."""
    runs: AbstractSet[str] = frozenset()
    """Ids."""
    collections: AbstractSet[str] = frozenset()
    """Used by a run that is under way."""
    keys: Mapping[str, AbstractSet[bytes]] = field(default_factory=dict)
    """By collection: pinned, or under a live lease."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """What lies in a store, as far as it counts here."""

    packs: tuple[CollectionPacks, ...]
    objects: tuple[Leftover, ...] = ()
    """All objects and folders of values, used or not."""
    others: tuple[Leftover, ...] = ()
    """What may go when it is old enough, used by nothing."""
    protected: Protected = field(default_factory=Protected)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackTrim:
    """What goes from one pack."""

    collection: str
    pack: str
    rows: int
    """How many the pack has."""
    first: Array
    """Rows that go at once (int64)."""
    then: Array
    """Rows that go once all other packs have lost what these rows replace (int64)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Files that go together."""

    reason: Reason
    names: tuple[str, ...]
    size_bytes: int
    place: str = ""
    """How rows name an object or folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How many, and how much."""

    count: int = 0
    size_bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(count=self.count + other.count, size_bytes=self.size_bytes + other.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What goes."""

    trims: tuple[PackTrim, ...]
    removals: tuple[Removal, ...]
    amounts: Mapping[Reason, Amount]
    kept: Amount
    """Results that would have gone, had nothing protected them."""
    notes: tuple[str, ...] = ()
    """For people."""
