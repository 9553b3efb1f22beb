"""Which rows of one pack may be thrown away, and why; the part of the decision that looks at single results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from dataflow_results.care.catalogue import row_bytes
from dataflow_results.care.garbage_facts import DAY_SECONDS, Amount, PackTrim, Protected, Reason, Rules
from dataflow_results.packs.objects import object_name
from dataflow_results.packs.parts import External, Kind

if TYPE_CHECKING:
    from dataflow_results.care.inventory import CollectionPacks
    from dataflow_results.packs.columns import Array
    from dataflow_results.packs.parts import PackHead

__all__ = ["RowVerdicts", "place_of_value", "tree_of", "verdicts_of"]

KEY: Final = "S20"
"""Keys as numpy compares them. It leaves out zeros at the end, which does no harm as all keys have one length."""
HEX: Final = frozenset("0123456789abcdef")
TREES: Final = "trees"
TREE_DIGITS: Final = 32
"""A folder that a store made for a value is ``trees/<so many digits>``; any other folder is a user's."""


def tree_of(name: str) -> str:
    """The folder of a value that a file belongs to, if the store made it; else empty.

    Example:
        >>> tree_of("trees/" + "0" * 32 + "/c/0") == "trees/" + "0" * 32, tree_of("trees/mine")
        (True, '')
    """
    top, _, rest = name.partition("/")
    identity = rest.partition("/")[0]
    made = top == TREES and len(identity) == TREE_DIGITS and HEX.issuperset(identity)
    return f"{top}/{identity}" if made else ""


def place_of_value(kind: int, external: External) -> str:
    """The file or folder of a value that lies outside of its pack."""
    return object_name(bytes.fromhex(external.name)) if kind == Kind.OBJECT else external.name


def verdicts_of(packs: CollectionPacks, protected: Protected) -> list[RowVerdicts]:
    """The rows of all packs of a collection, none of them judged yet."""
    replaced = [
        _keys(head)[np.delete(np.arange(head.rows), kept)]
        for head, kept in zip(packs.heads, packs.in_force, strict=True)
    ]
    joined = np.concatenate(replaced) if replaced else np.zeros(0, KEY)
    return [RowVerdicts(head, kept, joined, protected) for head, kept in zip(packs.heads, packs.in_force, strict=True)]


class RowVerdicts:
    """The rows of one pack, and why each of them goes.

    Attributes:
        head: of the pack.
        gone: which rows go (bool).
        kept: what would have gone, were it not protected.
    """

    def __init__(self, head: PackHead, in_force: Array, replaced: Array, protected: Protected) -> None:
        self.head = head
        self.gone = np.zeros(head.rows, bool)
        self.kept = Amount()
        self._newest = np.zeros(head.rows, bool)
        self._newest[in_force] = True
        self._kind, self._section = head.column("kind"), head.column("section")
        self._created_at = head.column("created_at")
        self._inline = head.column("length").astype(np.int64)
        self._sizes = row_bytes(head)
        self._reasons: dict[Reason, Array] = {}
        self._protected = self._protected_rows(protected)
        self._shadowing = self._newest & np.isin(_keys(head), replaced)
        """Rows in force that replace older ones: they go last, or those would be in force again."""

    def _protected_rows(self, protected: Protected) -> Array:
        head = self.head
        if head.collection in protected.tasks or head.collection in protected.collections:
            return np.ones(head.rows, bool)
        said = [section.provenance for section in head.sections]
        named = [each.task in protected.tasks or each.run_id in protected.runs for each in said]
        rows: Array = np.array(named, bool)[self._section]
        keys = protected.keys.get(head.collection)
        return rows | np.isin(_keys(head), np.array(sorted(keys), KEY)) if keys else rows

    def judge(self, rules: Rules, now: float) -> None:
        """Find the rows that go, but for those that are over the limit."""
        deleted = self._kind == Kind.TOMBSTONE
        self._drop(Reason.REPLACED, ~self._newest)
        self._drop(Reason.DELETED, self._newest & deleted & (self._created_at < now - DAY_SECONDS))
        self._drop_unless_protected(Reason.EXPIRED, self._newest & ~deleted & (self.head.column("expires_at") <= now))
        if rules.max_age_seconds is not None:
            old = self._created_at < now - rules.max_age_seconds
            self._drop_unless_protected(Reason.OLD, self._asked_for(rules) & old)

    def _asked_for(self, rules: Rules) -> Array:
        """Rows that age and bytes count for: those in force of the results the rules are about; no users' files."""
        only, said = rules.only, [section.provenance for section in self.head.sections]
        names = np.array([only.matches_names(each, self.head.collection) for each in said], bool)
        found: Array = self._newest & (self._kind != Kind.TOMBSTONE) & names[self._section] & ~self.gone
        found &= (self._created_at >= only.since) & (self._created_at < only.until)
        found[[row for row, external in self.head.externals.items() if self._is_users(row, external)]] = False
        return found

    def _is_users(self, row: int, external: External) -> bool:
        """Whether a value lies in a file or folder whose name a user chose."""
        if self._kind[row] == Kind.TREE:
            return tree_of(external.name) != external.name
        return bool(self._kind[row] == Kind.FILE)

    def _drop(self, reason: Reason, rows: Array) -> None:
        rows = rows & ~self.gone
        if rows.any():
            self._reasons[reason] = rows | self._reasons.get(reason, False)
            self.gone = self.gone | rows

    def _drop_unless_protected(self, reason: Reason, rows: Array) -> None:
        saved = rows & self._protected & ~self.gone
        self.kept += Amount(count=int(saved.sum()), size_bytes=int(self._sizes[saved].sum()))
        self._drop(reason, rows & ~self._protected)

    def drop_over_limit(self, batches: Sequence[Array]) -> None:
        """Let batches go because there is too much: their rows (int64)."""
        rows = np.zeros(self.head.rows, bool)
        rows[np.concatenate(batches)] = True
        self._drop(Reason.OVER_LIMIT, rows)

    def batches(self, rules: Rules) -> Iterator[tuple[float, Array, bool]]:
        """What counts for the limit, by when it was stored: that time, the rows (int64), and whether they may go."""
        able = self._asked_for(rules)
        for may_go in (True, False):
            rows = np.flatnonzero(able & (self._protected != may_go))
            times = self._created_at[rows]
            order = np.argsort(times, kind="stable")
            cuts = np.flatnonzero(np.diff(times[order])) + 1
            for part in np.split(rows[order], cuts):
                if part.size:
                    yield float(self._created_at[part[0]]), part, may_go

    def own_bytes(self, rows: Array) -> int:
        """What rows (bool or int64) take of their pack, with their share of its head."""
        head_bytes = self.head.size_bytes - int(self._inline.sum())
        own = self._inline[rows]
        return int(own.sum()) + head_bytes * len(own) // max(self.head.rows, 1)

    def places(self, rows: Array) -> dict[str, int]:
        """Files and folders that hold values of rows (bool or int64), with their size in bytes."""
        if not self.head.externals:
            return {}
        wanted = np.zeros(self.head.rows, bool)
        wanted[rows] = True
        return {
            place_of_value(self._kind[row], external): external.size_bytes
            for row, external in self.head.externals.items()
            if wanted[row]
        }

    def amounts(self) -> Iterator[tuple[Reason, Amount]]:
        """How much goes for each reason; values in files of their own are counted when these go."""
        for reason, rows in self._reasons.items():
            yield reason, Amount(count=int(rows.sum()), size_bytes=self.own_bytes(rows))

    def trim(self) -> PackTrim | None:
        """What goes from the pack; None if nothing does."""
        if not self.gone.any():
            return None
        return PackTrim(
            collection=self.head.collection,
            pack=self.head.id,
            rows=self.head.rows,
            first=np.flatnonzero(self.gone & ~self._shadowing),
            then=np.flatnonzero(self.gone & self._shadowing),
        )


def _keys(head: PackHead) -> Array:
    return np.frombuffer(head.keys, KEY)
