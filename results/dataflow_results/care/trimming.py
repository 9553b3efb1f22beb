"""Packs with fewer rows: what is dropped from a pack leaves room, what stays is copied as it is.

As in merging, rows keep their order, times and batch, and the new pack names the one it replaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from dataflow_results.digests import digest
from dataflow_results.errors import UntrustedResult
from dataflow_results.packs.compaction import copied_rows
from dataflow_results.packs.encoding import DATA_START_BYTES
from dataflow_results.packs.parts import PackHead, order_of, pack_id
from dataflow_results.packs.shelf import Shelf, check_pack
from dataflow_results.packs.signing import SEAL_BYTES, UNSIGNED

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array

__all__ = ["trim_pack"]


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
    content = copied_rows([(head, data)], [kept])
    covered = sorted({identity, *(name for name in still_there if name in head.replaces)})
    unique = digest(b"trimmed", identity.encode(), kept.astype("<i8").tobytes())
    new = shelf.write(pack_id(order_of(identity) + 1, unique), replace(content, replaces=covered))
    shelf.remove([identity])
    return new
