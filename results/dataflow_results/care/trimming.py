"""Packs with fewer rows: what is dropped from a pack leaves room, what stays is copied as it is.

As in merging, rows keep their order, times and batch, and the new pack names the one it replaces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dataflow_results.digests import DIGEST_BYTES, Buffer, digest
from dataflow_results.errors import ResultMissing, UntrustedResult
from dataflow_results.files.protocol import Files
from dataflow_results.packs.columns import COLUMNS
from dataflow_results.packs.compaction import CLAIM_SECONDS
from dataflow_results.packs.encoding import DATA_START_BYTES
from dataflow_results.packs.parts import PackContent, PackHead, order_of, pack_id
from dataflow_results.packs.shelf import Shelf, check_pack
from dataflow_results.packs.signing import SEAL_BYTES, UNSIGNED

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array

__all__ = ["no_merging", "trim_pack", "trimmed"]


@contextmanager
def no_merging(files: Files, collection: str, now: float) -> Iterator[bool]:
    """Keep others from merging packs of a collection for a while; gives whether they are kept from it.

    Who merges holds the same claim (see `dataflow_results.packs.compaction`). A merged pack that appears while rows are
    taken out of its sources would bring them back.
    """
    if not files.creates_safely():
        yield False
        return
    name = f"tasks/{collection}/merging"
    claim = json.dumps({"at": now, "by": os.urandom(8).hex()}).encode()
    held = files.create(name, claim) or _is_stale(files, name, now)
    try:
        yield held
    finally:
        if held:
            files.remove([name])


def _is_stale(files: Files, name: str, now: float) -> bool:
    """Whether who holds a claim has died."""
    try:
        return bool(json.loads(files.read(name))["at"] < now - CLAIM_SECONDS)
    except (ResultMissing, ValueError, KeyError, TypeError):
        return False


def trim_pack(shelf: Shelf, identity: str, kept: Array, still_there: Iterable[str] = ()) -> PackHead | None:
    """Replace a pack by one with fewer rows; the new head, or None if no row is left.

    Args:
        shelf: of the collection.
        identity: of the pack.
        kept: rows that stay, sorted (int64).
        still_there: ids of packs that are listed: whatever this pack replaced, the new one replaces too.

    Raises:
        ResultMissing: the pack is gone: somebody merged it.
        CorruptResult: it is damaged.
        UntrustedResult: it is not signed with our key, or it is signed and we have none to sign the new one with.
        StoreError: the store is in trouble.
    """
    if not len(kept):
        shelf.remove([identity])
        return None
    data = shelf.files.read(shelf.name(identity))
    head = check_pack(data, where=shelf.label(identity), signing_key=shelf.signing_key)
    if shelf.signing_key is None and data[DATA_START_BYTES - SEAL_BYTES :][: len(UNSIGNED)] != UNSIGNED:
        fix = "set DATAFLOW_RESULTS_SIGNING_KEY, as those who write here do"
        raise UntrustedResult(
            "the pack is signed; without the key it cannot be written anew", where=head.label, fix=fix
        )
    content = trimmed(head, data, kept)
    covered = sorted({identity, *(name for name in still_there if name in head.replaces)})
    unique = digest(b"trimmed", identity.encode(), kept.astype("<i8").tobytes())
    new = shelf.write(pack_id(order_of(identity) + 1, unique), replace(content, replaces=covered))
    shelf.remove([identity])
    return new


def trimmed(head: PackHead, data: Buffer, kept: Array) -> PackContent:
    """A pack with some of the rows of another.

    Args:
        head: of the other, with keys.
        data: the whole of it, verified.
        kept: rows that stay, sorted (int64).
    """
    columns = {name: head.column(name)[kept] for name in COLUMNS}
    used, columns["section"] = np.unique(columns["section"], return_inverse=True)
    sections = [head.sections[number] for number in used.tolist()]
    places = {row: place for place, row in enumerate(kept.tolist())}
    return PackContent(
        keys=np.frombuffer(head.keys, np.uint8).reshape(-1, DIGEST_BYTES)[kept].tobytes(),
        columns=columns,
        data=b"".join(_pieces(head, memoryview(data), kept)),
        sections=sections,
        preimages=[_preimage(head, memoryview(data), number) for number in used.tolist()],
        serializers=head.serializers,
        externals={places[row]: external for row, external in head.externals.items() if row in places},
        names=None if head.names is None else [head.names[row] for row in kept.tolist()],
    )


def _pieces(head: PackHead, data: memoryview, kept: Array) -> Iterator[memoryview]:
    """The bytes of rows, adjacent ones in one piece."""
    lengths = head.column("length").astype(np.int64)
    ends = np.cumsum(lengths) + head.data_start
    for stretch in np.split(kept, np.flatnonzero(np.diff(kept) != 1) + 1):
        first, last = int(stretch[0]), int(stretch[-1])
        yield data[int(ends[first] - lengths[first]) : int(ends[last])]


def _preimage(head: PackHead, data: memoryview, section: int) -> Buffer:
    span = head.sections[section].preimage
    start = head.data_start + (0 if span is None else span.start)
    return b"" if span is None else data[start : start + span.size_bytes]
