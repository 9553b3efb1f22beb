"""What of a store may be thrown away: a pure decision from what lies there, some rules and the time. Reads no store.

Two things hold whatever is asked for. A row that another one replaces goes before the row that replaces it, so that an
old value never comes back into force. And nothing goes that a live lease, an unfinished run or a pin needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dataflow_results.care.garbage_facts import Amount, Facts, Leftover, Plan, Reason, Removal, Rules
from dataflow_results.care.garbage_rows import RowVerdicts, place_of_value, verdicts_of
from dataflow_results.care.inventory import CollectionPacks

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array

__all__ = ["plan_collection", "used_by"]


def plan_collection(facts: Facts, rules: Rules, now: float) -> Plan:
    """What may go.

    Args:
        facts: what lies in the store.
        rules: what may go.
        now: seconds since the epoch.

    Example:
        >>> old = Leftover(reason=Reason.UNFINISHED, names=("a",), size_bytes=9, modified_at=0.0)
        >>> plan = plan_collection(Facts(packs=(), others=(old,)), Rules(), now=100_000.0)
        >>> plan.removals[0].names, plan.amounts[Reason.UNFINISHED].size_bytes
        (('a',), 9)
    """
    verdicts = [each for packs in facts.packs for each in verdicts_of(packs, facts.protected)]
    for each in verdicts:
        each.judge(rules, now)
    if rules.max_bytes is not None:
        _drop_oldest(verdicts, rules, rules.max_bytes)
    removals = [*_left_behind(facts.packs), *_outdated(facts.others, rules, now)]
    notes = []
    if unreadable := sum(len(packs.unreadable) - len(packs.foreign) for packs in facts.packs):
        notes.append(_UNREADABLE.format(count=unreadable))
    else:
        removals += _unused(facts.objects, _still_used(verdicts, facts.packs), now - rules.grace_seconds)
    return Plan(
        trims=tuple(trim for each in verdicts if (trim := each.trim()) is not None),
        removals=tuple(removals),
        amounts=_amounts(verdicts, removals),
        kept=sum((each.kept for each in verdicts), Amount()),
        notes=tuple(notes),
    )


_UNREADABLE = (
    "packs that cannot be read: {count}. Nobody knows which objects they use, so no object was removed; "
    "`dataflow results verify --set-aside` takes damaged packs out of the way"
)


def _drop_oldest(verdicts: Sequence[RowVerdicts], rules: Rules, limit_bytes: int) -> None:
    """Let the oldest batches go until what is left takes about the limit, or less."""
    batches = [
        _Batch(at=at, pack=number, rows=rows, may_go=may_go, places=each.places(rows), own_bytes=each.own_bytes(rows))
        for number, each in enumerate(verdicts)
        for at, rows, may_go in each.batches(rules)
    ]
    users = Counter(place for batch in batches for place in batch.places)
    sizes = {place: size for batch in batches for place, size in batch.places.items()}
    total = sum(batch.own_bytes for batch in batches) + sum(sizes.values())
    gone: dict[int, list[Array]] = {}
    for batch in sorted(batches, key=lambda batch: (batch.at, batch.pack)):
        if total <= limit_bytes:
            break
        if batch.may_go:
            gone.setdefault(batch.pack, []).append(batch.rows)
            users.subtract(list(batch.places))
            total -= batch.own_bytes + sum(sizes[place] for place in batch.places if not users[place])
    for number, rows in gone.items():
        verdicts[number].drop_over_limit(rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batch:
    """Rows of one pack that were stored at one time."""

    at: float
    pack: int
    rows: Array
    may_go: bool
    places: dict[str, int]
    """Files and folders of values, with their size in bytes."""
    own_bytes: int
    """In the pack."""


def _left_behind(collections: Iterable[CollectionPacks]) -> Iterator[Removal]:
    for packs in collections:
        for identity, size_bytes in packs.left_behind.items():
            name = f"tasks/{packs.name}/packs/{identity}.pack"
            yield Removal(reason=Reason.LEFT_BEHIND, names=(name,), size_bytes=size_bytes)


def _outdated(others: Iterable[Leftover], rules: Rules, now: float) -> Iterator[Removal]:
    ages = {
        Reason.UNFINISHED: rules.leftover_seconds,
        Reason.LEASE: rules.leftover_seconds,
        Reason.SET_ASIDE: rules.set_aside_seconds,
        Reason.RUN: rules.run_seconds,
    }
    return (_removal(each) for each in others if each.modified_at < now - ages[each.reason])


def _unused(objects: Iterable[Leftover], used: AbstractSet[str], before: float) -> Iterator[Removal]:
    return (_removal(each) for each in objects if each.place not in used and each.modified_at < before)


def _removal(leftover: Leftover) -> Removal:
    return Removal(reason=leftover.reason, names=leftover.names, size_bytes=leftover.size_bytes, place=leftover.place)


def _still_used(verdicts: Iterable[RowVerdicts], collections: Iterable[CollectionPacks]) -> set[str]:
    staying = {place for each in verdicts for place in each.places(~each.gone)}
    return staying.union(*(used_by(replace(packs, heads=())) for packs in collections))


def used_by(packs: CollectionPacks) -> set[str]:
    """Files and folders that hold values of packs, those of strangers included."""
    heads = [*packs.heads, *packs.foreign]
    kinds = [head.column("kind") for head in heads if head.externals]
    externals = [head.externals for head in heads if head.externals]
    return {
        place_of_value(kind[row], external)
        for kind, of_head in zip(kinds, externals, strict=True)
        for row, external in of_head.items()
    }


def _amounts(verdicts: Iterable[RowVerdicts], removals: Iterable[Removal]) -> dict[Reason, Amount]:
    found: dict[Reason, Amount] = {}
    of_rows = (item for each in verdicts for item in each.amounts())
    of_files = ((each.reason, Amount(count=1, size_bytes=each.size_bytes)) for each in removals)
    for reason, amount in (*of_rows, *of_files):
        found[reason] = found.get(reason, Amount()) + amount
    return {reason: found[reason] for reason in Reason if reason in found}
