"""What a store holds: results by flow, task, node, run, time and size, and put together by what they share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dataflow_results.care.inventory import CollectionPacks, read_packs
from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.packs.parts import Kind, PackHead
from dataflow_results.records import Provenance

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array
    from dataflow_results.store import ResultStore

__all__ = [
    "GROUPS",
    "BatchRecord",
    "ElementRecord",
    "GroupRecord",
    "Query",
    "element_records",
    "elements_in",
    "elements_of",
    "grouped",
    "list_batches",
    "matching_batches",
    "row_bytes",
]

GROUPS: Final = ("flow", "task", "node", "run_id", "collection")
"""What batches can be grouped by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which results; what is not said does not count.

    Example:
        >>> Query(task="load").matches_names(Provenance(task="load", created_at=0.0), "load-0a1b2c3d")
        True
    """

    task: str = ""
    """Name of the task, or of the collection."""
    flow: str = ""
    node: str = ""
    """Slug of the node."""
    run_id: str = ""
    since: float = float("-inf")
    """Seconds since the epoch; created at this time or later."""
    until: float = float("inf")
    """Created before."""
    min_bytes: int = 0
    """Batches that take at least this."""

    def matches_names(self, provenance: Provenance, collection: str) -> bool:
        """Whether results of this origin are meant, as far as names go."""
        return (
            self.task in {"", provenance.task, collection}
            and self.flow in {"", provenance.flow}
            and self.node in {"", provenance.node}
            and self.run_id in {"", provenance.run_id}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """Results that were stored together and are still given.

    When packs are merged, batches become one that say the same of themselves but for the time.
    """

    collection: str
    pack: str
    section: int
    """Number of the batch in its pack."""
    task: str
    """Its name; of values that no task made, their collection."""
    flow: str
    node: str
    run_id: str
    created_at: float
    """When the newest of them was created, in seconds since the epoch."""
    expires_at: float | None
    """When the first of them expires."""
    results: int
    size_bytes: int
    """Of the values, those in files of their own included; values that several results share count for each."""
    outside: int
    """How many values lie in files or folders of their own."""
    first_index: int
    """Lowest element."""
    last_index: int
    serializers: tuple[str, ...]
    attempt_seconds: float
    """What computing the batch took."""
    writer: str
    python: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementRecord:
    """One result."""

    collection: str
    key: bytes = field(repr=False)
    name: str | None
    """What the user called it; None: it has a key only."""
    index: int
    """Element of the mapped node."""
    provenance: Provenance
    size_bytes: int
    serializer: str
    kind: Kind
    place: str
    """File or folder of a value that lies outside of its pack; of an object its digest; else empty."""
    given: bool
    """Whether a look-up gives it; else it was replaced, was deleted or has expired."""
    pack: str
    section: int
    """Number of its batch in the pack."""
    row: int
    """Row in the pack."""

    @property
    def reference(self) -> str:
        """Collection and key, as the end of a reference says it."""
        return f"{self.collection}/{self.key.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """Batches that agree in some of their names."""

    names: tuple[str, ...]
    """In the order the grouping asked for."""
    results: int
    batches: int
    size_bytes: int
    first_at: float
    """When the oldest batch was created, in seconds since the epoch."""
    last_at: float
    serializers: tuple[str, ...]


def list_batches(store: ResultStore, query: Query | None = None, *, now: float | None = None) -> list[BatchRecord]:
    """The batches of a store that match, the newest first: one listing, and one range read for most packs.

    Damaged packs are left out; `dataflow_results.care.verify` tells of them.

    Args:
        store: the store; nothing in it is changed.
        query: which results; None means all.
        now: seconds since the epoch; what has expired by then is left out. None asks the clock.

    Raises:
        StoreError: the store does not answer.

    Example:
        >>> from dataflow_results.store import ResultStore
        >>> store = ResultStore("memory://catalogue-example")
        >>> saved = store.task("load-1").save(bytes(range(40)), ["a", "b"], Provenance(task="load", created_at=7.0))
        >>> [(batch.task, batch.created_at, batch.results) for batch in list_batches(store)]
        [('load', 7.0, 2)]
    """
    return matching_batches(read_packs(store.files, store.signing_key), query or Query(), _at(now))


def matching_batches(packs: Iterable[CollectionPacks], query: Query, now: float) -> list[BatchRecord]:
    """The batches of packs that match, the newest first."""
    found = [
        batch
        for collection in packs
        for number in range(len(collection.heads))
        for batch in _batches(collection, number, query, now)
        if batch.size_bytes >= query.min_bytes
    ]
    return sorted(found, key=lambda batch: (batch.created_at, batch.pack), reverse=True)


def _batches(packs: CollectionPacks, number: int, query: Query, now: float) -> Iterator[BatchRecord]:
    head = packs.heads[number]
    wanted = [at for at, section in enumerate(head.sections) if query.matches_names(section.provenance, packs.name)]
    if not wanted:
        return
    given = packs.given(number, now)
    created_at = head.column("created_at")[given]
    given = given[(created_at >= query.since) & (created_at < query.until)]
    sections, sizes = head.column("section")[given], row_bytes(head)[given]
    for section in wanted:
        here = sections == section
        if here.any():
            yield _batch(head, section, given[here], sizes[here])


def _batch(head: PackHead, section: int, rows: Array, sizes: Array) -> BatchRecord:
    said = head.sections[section].provenance
    expires_at = float(head.column("expires_at")[rows].min())
    indices = head.column("index")[rows]
    return BatchRecord(
        collection=head.collection,
        pack=head.id,
        section=section,
        task=said.task or head.collection,
        flow=said.flow,
        node=said.node,
        run_id=said.run_id,
        created_at=float(head.column("created_at")[rows].max()),
        expires_at=None if np.isinf(expires_at) else expires_at,
        results=len(rows),
        size_bytes=int(sizes.sum()),
        outside=int((head.column("kind")[rows] != Kind.INLINE).sum()),
        first_index=int(indices.min()),
        last_index=int(indices.max()),
        serializers=tuple(head.serializers[at] for at in np.unique(head.column("serializer")[rows]).tolist()),
        attempt_seconds=said.attempt_seconds,
        writer=said.writer,
        python=said.python,
        version=said.version,
    )


def row_bytes(head: PackHead) -> Array:
    """What the value of each row takes, in the pack and in files of its own (int64)."""
    sizes: Array = head.column("length").astype(np.int64)
    if head.externals:
        rows = np.fromiter(head.externals, np.int64, len(head.externals))
        sizes[rows] += np.fromiter((each.size_bytes for each in head.externals.values()), np.int64, len(rows))
    return sizes


def grouped(batches: Iterable[BatchRecord], names: Sequence[str]) -> list[GroupRecord]:
    """Batches put together that agree in some names, the group with the newest batch first.

    Args:
        batches: as `list_batches` gives them.
        names: some of `GROUPS`.

    Raises:
        ValueError: a name is not among them.
    """
    unknown = set(names) - set(GROUPS)
    if unknown:
        raise ValueError(f"results cannot be grouped by {', '.join(sorted(unknown))}; by one of {', '.join(GROUPS)}")
    groups: dict[tuple[str, ...], list[BatchRecord]] = {}
    for batch in batches:
        groups.setdefault(tuple(getattr(batch, name) for name in names), []).append(batch)
    return sorted((_group(*item) for item in groups.items()), key=lambda group: group.last_at, reverse=True)


def _group(names: tuple[str, ...], batches: Sequence[BatchRecord]) -> GroupRecord:
    return GroupRecord(
        names=names,
        results=sum(batch.results for batch in batches),
        batches=len(batches),
        size_bytes=sum(batch.size_bytes for batch in batches),
        first_at=min(batch.created_at for batch in batches),
        last_at=max(batch.created_at for batch in batches),
        serializers=tuple(sorted({name for batch in batches for name in batch.serializers})),
    )


def elements_of(
    store: ResultStore, query: Query | None = None, *, batch: BatchRecord | None = None, now: float | None = None
) -> list[ElementRecord]:
    """The single results that match and are still given, by collection, node and element.

    Args:
        store: the store; nothing in it is changed.
        query: which results; None means all. ``min_bytes`` counts for each element here.
        batch: only those of one batch.
        now: seconds since the epoch; None asks the clock.

    Raises:
        StoreError: the store does not answer.
    """
    query, at = query or Query(), _at(now)
    wanted = None if batch is None else batch.collection
    packs = read_packs(store.files, store.signing_key, only=lambda name: wanted in {None, name})
    found = [
        element
        for collection in packs
        for element in elements_in(collection, query, now=at)
        if batch is None or (batch.pack == element.pack and batch.section == element.section)
    ]
    return sorted(found, key=lambda one: (one.collection, one.provenance.node, one.index, one.provenance.created_at))


def elements_in(
    packs: CollectionPacks,
    query: Query,
    *,
    now: float | None = None,
    which: Callable[[PackHead], Array] | None = None,
) -> Iterator[ElementRecord]:
    """The single results of a collection that match.

    Args:
        packs: of the collection.
        query: which results; ``min_bytes`` counts for each of them.
        now: seconds since the epoch; what has expired by then is left out. None: what was replaced or expired, too.
        which: tells of each row of a pack whether it is meant (bool); None means all are.
    """
    for number, head in enumerate(packs.heads):
        if any(query.matches_names(section.provenance, packs.name) for section in head.sections):
            given = packs.given(number, time.time() if now is None else now)
            rows = np.arange(head.rows) if now is None else given
            if which is not None:
                rows = rows[which(head)[rows]]
            found = element_records(head, rows, given)
            yield from (one for one in found if one.kind is not Kind.TOMBSTONE and _is_meant(one, query))


def _is_meant(element: ElementRecord, query: Query) -> bool:
    said = element.provenance
    in_time = query.since <= said.created_at < query.until
    return in_time and query.matches_names(said, element.collection) and element.size_bytes >= query.min_bytes


def element_records(head: PackHead, rows: Array, given: Array) -> Iterator[ElementRecord]:
    """The records of some rows of a pack, of which some are still given."""
    columns = (
        rows,
        np.isin(rows, given),
        row_bytes(head)[rows],
        *(head.column(name)[rows] for name in ("kind", "serializer", "index", "section", "created_at", "expires_at")),
    )
    for row, is_given, size, kind, serializer, index, section, created_at, expires_at in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        outside = head.externals.get(row)
        yield ElementRecord(
            collection=head.collection,
            key=bytes(head.keys[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]),
            name=None if head.names is None else head.names[row],
            index=index,
            provenance=replace(
                head.sections[section].provenance,
                created_at=created_at,
                expires_at=None if np.isinf(expires_at) else expires_at,
            ),
            size_bytes=size,
            serializer=head.serializers[serializer] if head.serializers else "",
            kind=Kind(kind),
            place="" if outside is None else outside.name,
            given=is_given,
            pack=head.id,
            section=section,
            row=row,
        )


def _at(now: float | None) -> float:
    return time.time() if now is None else now
