"""The results of one collection, in bulk: found with one look-up, loaded and saved a batch at a time.

This is the face of the store that an engine uses. A collection holds the results of one task, by the digests of their
keys; an engine asks for a batch of keys, computes what is missing, and saves that as one pack.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.errors import ResultMissing, StoreError, StoringError
from dataflow_results.files.protocol import Files
from dataflow_results.packs.clocks import ORDERS
from dataflow_results.packs.columns import Array
from dataflow_results.packs.compaction import MANY_PACKS, compact, may_merge
from dataflow_results.packs.index import Found, KeyIndex
from dataflow_results.packs.outside import FoundRow, OutsideFiles, found_rows, rows_in_files
from dataflow_results.packs.parts import PackHead
from dataflow_results.packs.reading import PackReader
from dataflow_results.packs.shelf import PackCache, Shelf
from dataflow_results.packs.writing import Batch, contents_of, dump_batch, tombstones
from dataflow_results.problems import Problem, Problems
from dataflow_results.records import Provenance
from dataflow_results.serializers.registry import AnySerializer, resolve

__all__ = ["Saved", "StoreSetup", "TaskResults"]

LISTINGS = 5
"""How often a listing is repeated while packs are being merged under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSetup:
    """What all collections of a store share."""

    files: Files
    serializer: AnySerializer | None
    signing_key: bytes | None
    safe: bool
    inline_bytes: int
    cache: PackCache
    problems: Problems
    clock: Callable[[], float] = time.time
    before_reading: Callable[[], None] = lambda: None
    before_writing: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What became of a batch that was to be saved."""

    packs: tuple[str, ...]
    """Ids of the packs that were written; one, unless the batch is very large or nothing could be stored."""
    errors: dict[int, StoringError]
    """Why some values could not be stored, by position."""


class TaskResults:
    """The results of one collection.

    Threads may share one. Get it from ``ResultStore.task``.

    Example:
        >>> from dataflow_results.store import ResultStore
        >>> results = ResultStore("memory://task-results").task("load-0a1b2c3d")
        >>> keys = bytes(20) + bytes(19) + b"1"
        >>> results.find(keys, now=0.0).missing
        array([0, 1])
        >>> saved = results.save(keys, ["a", "b"], Provenance(task="load", created_at=0.0))
        >>> results.load(results.find(keys, now=0.0))
        ['a', 'b']
    """

    def __init__(self, setup: StoreSetup, collection: str) -> None:
        self.collection = collection
        self._setup = setup
        self._index = KeyIndex()
        self._shelf = Shelf(
            files=setup.files,
            collection=collection,
            signing_key=setup.signing_key,
            cache=setup.cache,
            problems=setup.problems,
        )
        self._outside = OutsideFiles(setup.files)
        self._reader = PackReader(
            shelf=self._shelf,
            outside=self._outside,
            safe=setup.safe,
            on_damage=lambda head: self._index.update(drop=[head.id]),
        )
        self._refreshing = threading.Lock()
        self._refreshes_begun = 0
        self._refreshed_at = float("-inf")

    def __repr__(self) -> str:
        return f"TaskResults({self._setup.files.url!r}, {self.collection!r})"

    # looking up ------------------------------------------------------------------------------------------------------

    def find(
        self, keys: bytes, *, now: float, refresh_if_missing: bool = True, fresh_after: float | None = None
    ) -> Found:
        """Where the results of keys lie.

        Args:
            keys: 20 bytes for each key, one after the other.
            now: seconds since the epoch; results that have expired by then are missing.
            refresh_if_missing: look into the store for new packs if something is missing: one listing, and one read
                for each pack not seen yet.
            fresh_after: seconds since the epoch; what was seen of the store after this moment is fresh enough, so that
                a run need not list again for each of its batches.

        Raises:
            StoreError: the store does not answer.
        """
        found = self._index.find(keys, now)
        if not refresh_if_missing or not len(found.missing):
            return found
        if fresh_after is not None and self._refreshed_at >= fresh_after:
            return found
        self.refresh()
        return self._index.find(keys, now)

    def refresh(self) -> None:
        """See what others have written since the last time.

        Threads that ask while one listing is under way share the next one.

        Raises:
            StoreError: the store does not answer.
        """
        ticket = self._refreshes_begun
        with self._refreshing:
            if self._refreshes_begun > ticket:
                return
            self._refreshes_begun += 1
            begun_at = self._setup.clock()
            self._setup.before_reading()
            for _ in range(LISTINGS):
                known = self._index.ids()  # before the listing: what is saved meanwhile is not in it
                if self._take_in(known, self._shelf.listed()):
                    break
            self._refreshed_at = begun_at

    def _take_in(self, known: set[str], sizes: dict[str, int]) -> bool:
        """Bring the index up to a listing; whether the listing was all there is to see."""
        covered = self._covered()
        new = {name: size for name, size in sizes.items() if name not in known and name not in covered}
        heads, complete = self._shelf.read_heads(new)
        replaced = {name for head in heads for name in head.replaces}
        gone = known - sizes.keys()
        unexplained = gone - replaced - covered
        there = self._shelf.still_there(unexplained)  # a listing may be older than what we know
        self._index.update(add=[head for head in heads if head.id not in replaced], drop=gone - there | replaced)
        return complete and unexplained <= there

    def _covered(self) -> set[str]:
        """Packs whose rows are in a merged pack that is known."""
        return {name for head in self._index.heads() for name in head.replaces}

    # loading ---------------------------------------------------------------------------------------------------------

    def load(self, found: Found, rows: Sequence[int] | Array | None = None) -> list[Any]:
        """The values that were found.

        Args:
            found: what `find` gave.
            rows: positions in it; None means all.

        Returns:
            In order; in the place of a value that cannot be read stands the `ReadingError` that says why. It should be
            computed again. What is damaged was set aside and reported.

        Raises:
            StoreError: the store does not answer.
        """
        positions = np.arange(len(found)) if rows is None else np.asarray(rows, np.int64)
        values = self._load(found.pack[positions], found.row[positions])
        lost = [place for place, value in enumerate(values) if type(value) is ResultMissing]
        lost = [place for place in lost if found.pack[positions[place]] >= 0]
        if lost:  # the packs were merged meanwhile
            self.refresh()
            keys = b"".join(found.key(int(positions[place])) for place in lost)
            again = self._index.find(keys, float("-inf"))
            for place, value in zip(lost, self._load(again.pack, again.row), strict=True):
                values[place] = value
        return values

    def _load(self, packs: Array, rows: Array) -> list[Any]:
        numbers = np.unique(packs).tolist()
        if len(numbers) == 1:
            return self._load_pack(numbers[0], rows)
        values: list[Any] = [None] * len(rows)
        for number in numbers:
            here = np.flatnonzero(packs == number)
            for place, value in zip(here.tolist(), self._load_pack(number, rows[here]), strict=True):
                values[place] = value
        return values

    def _load_pack(self, number: int, rows: Array) -> list[Any]:
        head = self._index.head(number) if number >= 0 else None
        if head is None:
            return [ResultMissing("nothing is stored under this key", where=self.collection)] * len(rows)
        return self._reader.read(head, rows)

    def provenance_of(self, found: Found, position: int) -> Provenance:
        """Where a result comes from, by its position in what was found; without the pre-image.

        Raises:
            ResultMissing: there is none.
        """
        head = self._index.head(int(found.pack[position])) if found.pack[position] >= 0 else None
        if head is None:
            raise ResultMissing("nothing is stored under this key", where=self.collection)
        return head.provenance(int(found.row[position]))

    def index_of(self, found: Found, position: int) -> int:
        """The element of the mapped node that a result was computed for, by its position in what was found."""
        head = self._index.head(int(found.pack[position])) if found.pack[position] >= 0 else None
        return -1 if head is None else int(head.column("index")[int(found.row[position])])

    def found_rows(self, found: Found, positions: Sequence[int]) -> list[FoundRow]:
        """Where results come from and lie, by their positions in what was found.

        Raises:
            ResultMissing: one of them is not there (any more).
        """
        rows: dict[int, FoundRow] = {}
        for number in np.unique(found.pack[positions]).tolist():
            here = [position for position in positions if found.pack[position] == number]
            head = self._index.head(number) if number >= 0 else None
            if head is None:
                raise ResultMissing("nothing is stored under this key", where=self.collection)
            rows.update(zip(here, found_rows(head, found.row[here].tolist()), strict=True))
        return [rows[position] for position in positions]

    def in_files(self, names: AbstractSet[str], run_id: str) -> list[tuple[bytes, FoundRow]]:
        """The results of a run that lie in plain files of some names, with their keys; one listing.

        Raises:
            StoreError: the store does not answer.
        """
        self.refresh()
        sizes = {head.id: head.size_bytes for head in self._index.heads() if rows_in_files(head, names, run_id)}
        stored: list[tuple[bytes, FoundRow]] = []
        for head in self._shelf.read_heads(sizes)[0] if sizes else ():
            rows = rows_in_files(head, names, run_id)
            keys = (bytes(head.keys[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]) for row in rows)
            stored += zip(keys, found_rows(head, rows), strict=True)
        return stored

    def preimages(self, *, newest_first: bool = True) -> Iterator[tuple[Provenance, Array, bytes]]:
        """For each batch that is stored: where it comes from, which rows of it are there (int64), and its pre-image."""
        for head in sorted(self._index.heads(), key=lambda head: head.id, reverse=newest_first):
            sections = head.column("section")
            for number in sorted(range(len(head.sections)), reverse=newest_first):
                span, rows = head.sections[number].preimage, np.flatnonzero(sections == number)
                if span is not None and len(rows):
                    origins = head.column("origin")[rows].astype(np.int64)
                    yield head.provenance(int(rows[0])), origins, self._shelf.read_preimage(head, span)

    def heads(self) -> list[PackHead]:
        """The heads of all packs of the collection that are known; `refresh` before, to know all."""
        return self._index.heads()

    # saving ----------------------------------------------------------------------------------------------------------

    def save(
        self,
        keys: bytes,
        values: Sequence[Any],
        provenance: Provenance,
        *,
        indices: Array | None = None,
        serializer: str | AnySerializer | None = None,
        targets: Sequence[str] | None = None,
        names: Sequence[str | None] | None = None,
    ) -> Saved:
        """Store a batch: one write, and one for each large value.

        A result that is stored under the same key replaces the older one.

        Args:
            keys: 20 bytes for each value, one after the other.
            values: one for each key.
            provenance: of all of them; ``expires_at`` and ``preimage`` belong to the batch.
            indices: element of the mapped node of each value (int64); 0, 1, 2, … if not given.
            serializer: for all values; None means the store's, and if that has none, by type.
            targets: plain files, relative to the store, to put the values into, one each.
            names: what users call the keys.

        Raises:
            StoreError: the store is in trouble; nothing of the batch counts as stored.
            ValueError: the lengths differ.
        """
        count = len(values)
        if len(keys) != count * DIGEST_BYTES:
            raise ValueError(f"{count} values need {count * DIGEST_BYTES} bytes of keys, not {len(keys)}")
        if not count:
            return Saved(packs=(), errors={})
        setup = self._setup
        setup.before_writing()
        rows = dump_batch(
            values,
            serializer=setup.serializer if serializer is None else resolve(serializer),
            targets=targets,
            safe=setup.safe,
            inline_bytes=setup.inline_bytes,
            outside=self._outside,
        )
        batch = Batch(
            keys=keys, provenance=provenance, indices=np.arange(count) if indices is None else indices, names=names
        )
        return Saved(packs=self._write(contents_of(rows, batch)), errors=rows.errors)

    def delete(self, keys: bytes, *, names: Sequence[str | None] | None = None) -> None:
        """Make keys missing; those that nothing is stored for are no error. One write.

        Raises:
            StoreError: the store is in trouble.
        """
        if keys:
            self._setup.before_writing()
            provenance = Provenance(task="", created_at=self._setup.clock())
            self._write([tombstones(keys, provenance, names)])

    def _write(self, contents: Any) -> tuple[str, ...]:
        heads = []
        for content in contents:
            identity, ordered = content(ORDERS.next(self._setup.clock, self._index.newest_order))
            heads.append(self._shelf.write(identity, ordered))
        self._index.update(add=heads)
        self._compact_if_many()
        return tuple(head.id for head in heads)

    def _compact_if_many(self) -> None:
        """Merge small packs if there are many. The batch is stored already: trouble is reported, not raised."""
        small = (head for head in self._index.heads() if may_merge(head, self._setup.signing_key))
        if next(itertools.islice(small, MANY_PACKS, None), None) is None:
            return
        try:
            self.compact()
        except StoreError as error:
            where = f"{self.collection}/merging"
            self._setup.problems.report(Problem(where=where, error=error, set_aside=False))

    def compact(self) -> None:
        """Merge the small packs of the collection, if there are many.

        Raises:
            StoreError: the store is in trouble.
        """
        added, gone = compact(self._shelf, self._index.heads(), now=self._setup.clock())
        self._index.update(add=added, drop=gone)
