"""Merging many small packs into one, so that a collection stays cheap to list and to open.

Rows are copied as they are, without being decoded, and keep their order, times and batch: the merged pack says what its
sources said. Its name is made of theirs, so that two who merge the same packs write the same file. It is visible before
its sources are removed, and it names them, so that a source left behind by a crash is not counted twice.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from dataflow_results.digests import DIGEST_BYTES, Buffer, digest
from dataflow_results.errors import ResultMissing
from dataflow_results.files.protocol import Files
from dataflow_results.packs.clocks import seconds_of
from dataflow_results.packs.columns import COLUMNS, Array
from dataflow_results.packs.index import newest_rows
from dataflow_results.packs.parts import External, Kind, PackContent, PackHead, Section, order_of, pack_id
from dataflow_results.packs.shelf import Shelf

__all__ = [
    "LARGEST_MERGED_BYTES",
    "MANY_PACKS",
    "SMALL_PACK_BYTES",
    "compact",
    "copied_rows",
    "may_merge",
    "merged",
    "no_merging",
    "packs_to_merge",
]

MANY_PACKS = 32
"""More small packs than this are merged."""
SMALL_PACK_BYTES = 4 * 1024 * 1024
LARGEST_MERGED_BYTES = 64 * 1024 * 1024
TOMBSTONE_SECONDS = 86_400.0
"""Tombstones younger than this are kept: somebody may be merging a pack that still has the deleted row."""
CLAIM_SECONDS = 300.0
"""Who has not merged by then has died."""

Source = tuple[PackHead, Buffer]


def packs_to_merge(sizes: Mapping[str, int]) -> list[str]:
    """The packs to merge now, oldest first; none if there are few.

    Args:
        sizes: id → size in bytes of all packs of a collection.

    Example:
        >>> len(packs_to_merge({f"{n:016x}-000000000000": 1000 for n in range(40)}))
        40
    """
    small = sorted(name for name, size in sizes.items() if size < SMALL_PACK_BYTES)
    if len(small) <= MANY_PACKS:
        return []
    sums = itertools.accumulate(sizes[name] for name in small)
    return [name for name, total in zip(small, sums, strict=True) if total <= LARGEST_MERGED_BYTES]


def merged(sources: Sequence[Source], *, drop_tombstones_before: float = 0.0) -> PackContent | None:
    """What the sources hold, without rows that a newer one replaces; None if that is nothing.

    Args:
        sources: whole packs, verified.
        drop_tombstones_before: seconds since the epoch; tombstones older than this are left out. Only right if the
            sources are all packs of the collection.
    """
    heads = [head for head, _ in sources]
    kept = [_kept(head, rows, drop_tombstones_before) for head, rows in zip(heads, newest_rows(heads), strict=True)]
    if not sum(map(len, kept)):
        return None
    return replace(copied_rows(sources, kept), replaces=sorted(head.id for head in heads))


def copied_rows(sources: Sequence[Source], kept: Sequence[Array]) -> PackContent:
    """Some rows of packs as they are, with all that they need, as the content of one pack.

    Args:
        sources: whole packs, verified.
        kept: for each of them the rows to copy, sorted (int64); not all may be empty.
    """
    heads = [head for head, _ in sources]
    sections, preimages, section_numbers = _sections(sources, kept)
    serializers = list(dict.fromkeys(name for head in heads for name in head.serializers))
    numbers = [np.array([serializers.index(name) for name in head.serializers] or [0], np.int64) for head in heads]
    columns = {name: _column(name, heads, kept) for name in COLUMNS}
    columns["section"] = _renumbered("section", heads, kept, section_numbers)
    columns["serializer"] = _renumbered("serializer", heads, kept, numbers)
    return PackContent(
        keys=b"".join(_keys(head, rows) for head, rows in zip(heads, kept, strict=True)),
        columns=columns,
        data=b"".join(piece for source, rows in zip(sources, kept, strict=True) for piece in _pieces(source, rows)),
        sections=sections,
        preimages=preimages,
        serializers=serializers,
        externals=_externals(heads, kept),
        names=_names(heads, kept),
    )


def may_merge(head: PackHead, signing_key: bytes | None) -> bool:
    """Whether a pack is small, and merging it keeps its signature: without the key, signed ones are left alone."""
    return head.size_bytes < SMALL_PACK_BYTES and (signing_key is not None or not head.signed)


def compact(shelf: Shelf, heads: Sequence[PackHead], *, now: float) -> tuple[list[PackHead], list[str]]:
    """Merge the small packs of a collection if there are many.

    Args:
        shelf: of the collection.
        heads: of all packs that are known; others are left alone.
        now: seconds since the epoch.

    Returns:
        Packs to take into the index, and ids of packs to take out of it.

    Raises:
        StoreError: the store is in trouble.
    """
    sizes = shelf.listed()
    left_behind = {name for head in heads for name in head.replaces} & sizes.keys()
    mergeable = {head.id for head in heads if may_merge(head, shelf.signing_key)} - left_behind
    chosen = packs_to_merge({name: sizes[name] for name in mergeable & sizes.keys()})
    if not chosen:
        return [], []
    with no_merging(shelf.files, shelf.collection, now) as alone:
        if not alone and shelf.files.creates_safely():
            return [], []  # where nobody can be kept from it, two at once do no harm: they only work twice
        try:
            sources = shelf.read_whole(chosen)
            everything = len(sources) + len(left_behind) == len(sizes)
            head = _write(shelf, list(sources.values()), now - TOMBSTONE_SECONDS if everything else 0.0)
            shelf.remove({*sources, *left_behind})
        except ResultMissing:  # somebody else merged them meanwhile
            return [], []
    return [head] if head else [], [*sources, *left_behind]


@contextmanager
def no_merging(files: Files, collection: str, now: float) -> Iterator[bool]:
    """Keep others from merging packs of a collection; gives whether they are kept from it.

    Who merges wants to be alone, and who takes rows out of packs: a merged pack that appears meanwhile would bring them
    back. It cannot be where a store does not create conditionally, and holds for five minutes: who has not ended by
    then has died.

    Args:
        files: of the store.
        collection: name of the collection.
        now: seconds since the epoch.

    Example:
        >>> from dataflow_results.files import open_files
        >>> files = open_files("memory://no-merging")
        >>> with no_merging(files, "load", 0.0) as first, no_merging(files, "load", 299.0) as second:
        ...     print(first, second)
        True False
    """
    name = f"tasks/{collection}/merging"
    held = files.creates_safely() and _claim(files, name, now)
    try:
        yield held
    finally:
        if held:
            files.remove([name])


def _claim(files: Files, name: str, now: float) -> bool:
    if files.create(name, json.dumps({"at": now, "by": os.urandom(8).hex()}).encode()):
        return True
    try:
        return bool(json.loads(files.read(name))["at"] < now - CLAIM_SECONDS)
    except (ResultMissing, ValueError, KeyError, TypeError):
        return False


def _write(shelf: Shelf, sources: Sequence[Source], drop_tombstones_before: float) -> PackHead | None:
    content = merged(sources, drop_tombstones_before=drop_tombstones_before) if sources else None
    if content is None:
        return None
    newest = max(order_of(name) for name in content.replaces)
    unique = digest(b"merged", "".join(content.replaces).encode(), str(drop_tombstones_before > 0).encode())
    return shelf.write(pack_id(newest + 1, unique), content)


def _kept(head: PackHead, rows: Array, drop_tombstones_before: float) -> Array:
    """The rows of a pack that go into the merged one."""
    tombstone = head.column("kind")[rows] == Kind.TOMBSTONE
    if not drop_tombstones_before or not tombstone.any():
        return rows
    old = np.array([seconds_of(order) < drop_tombstones_before for order in head.column("order")[rows].tolist()])
    staying: Array = rows[~(tombstone & old)]
    return staying


def _column(name: str, heads: Sequence[PackHead], kept: Sequence[Array]) -> Array:
    joined: Array = np.concatenate([head.column(name)[rows] for head, rows in zip(heads, kept, strict=True)])
    return joined


def _renumbered(name: str, heads: Sequence[PackHead], kept: Sequence[Array], numbers: Sequence[Array]) -> Array:
    return np.concatenate(
        [new[head.column(name)[rows]] for head, rows, new in zip(heads, kept, numbers, strict=True) if len(rows)]
    )


def _keys(head: PackHead, rows: Array) -> bytes:
    return np.frombuffer(head.keys, np.uint8).reshape(-1, DIGEST_BYTES)[rows].tobytes()


def _pieces(source: Source, rows: Array) -> Iterable[Buffer]:
    """The bytes of rows, adjacent ones in one piece."""
    head, data = source
    if not len(rows):
        return []
    ends = np.cumsum(head.column("length"), dtype=np.int64)
    starts = ends - head.column("length")
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts = rows[np.concatenate([[0], cuts])]
    lasts = rows[np.concatenate([cuts - 1, [len(rows) - 1]])]
    view = memoryview(data)[head.data_start :]
    return (view[start:end] for start, end in zip(starts[firsts].tolist(), ends[lasts].tolist(), strict=True))


def _sections(sources: Sequence[Source], kept: Sequence[Array]) -> tuple[list[Section], list[Buffer], list[Array]]:
    """Sections of all sources, equal ones once; their pre-images; the new number of each by its old one."""
    sections: dict[Section, int] = {}
    preimages: list[Buffer] = []
    numbers = []
    for (head, data), rows in zip(sources, kept, strict=True):
        used = set(np.unique(head.column("section")[rows]).tolist())
        new = np.zeros(len(head.sections), np.int64)
        for number in sorted(used):
            section = head.sections[number]
            if section not in sections:
                preimages.append(_preimage(head, section, data))
            new[number] = sections.setdefault(section, len(sections))
        numbers.append(new)
    return list(sections), preimages, numbers


def _preimage(head: PackHead, section: Section, data: Buffer) -> Buffer:
    if section.preimage is None:
        return b""
    start = head.data_start + section.preimage.start
    return memoryview(data)[start : start + section.preimage.size_bytes]


def _externals(heads: Sequence[PackHead], kept: Sequence[Array]) -> dict[int, External]:
    externals: dict[int, External] = {}
    first = 0
    for head, rows in zip(heads, kept, strict=True):
        if head.externals:
            externals |= {
                first + place: head.externals[row] for place, row in enumerate(rows.tolist()) if row in head.externals
            }
        first += len(rows)
    return externals


def _names(heads: Sequence[PackHead], kept: Sequence[Array]) -> list[str | None] | None:
    if all(head.names is None for head in heads):
        return None
    return [
        None if head.names is None else head.names[row]
        for head, rows in zip(heads, kept, strict=True)
        for row in rows.tolist()
    ]
