"""Single results by what people know of them: a reference, the first digits of a key, or the name they gave."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from dataflow_results.care.catalogue import ElementRecord, element_records
from dataflow_results.care.inventory import QuietProblems, ReadOnlyFiles, read_packs, shelf_of
from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.keying.preimages import BatchPreimage, Preimage, unpack_preimage
from dataflow_results.packs.parts import Kind, PackHead

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array
    from dataflow_results.store import ResultStore

__all__ = ["begins_with", "find_elements", "preimage_of"]

HEX: Final = frozenset("0123456789abcdef")
SHORTEST_PREFIX: Final = 4
"""Fewer hexadecimal digits of a key are taken for the name of a value."""


def find_elements(store: ResultStore, text: str, *, now: float | None = None) -> list[ElementRecord]:
    """The results that a text names, those that are still given first, then the newest first.

    Args:
        store: the store; nothing in it is changed.
        text: a reference, ``collection/key``, the first digits of a key, or the name a user gave.
        now: seconds since the epoch; None asks the clock.

    Raises:
        StoreError: the store does not answer.

    Example:
        >>> from dataflow_results.store import ResultStore
        >>> store = ResultStore("memory://find-example")
        >>> reference = store.put("answer", 42)
        >>> [one.name for text in ("answer", str(reference), "0123") for one in find_elements(store, text)]
        ['answer', 'answer']
    """
    collection, _, key = text.rpartition("#")[2].rpartition("/")
    at = time.time() if now is None else now
    packs = read_packs(store.files, store.signing_key, only=lambda name: collection in {"", name})
    found = [
        element
        for each in packs
        for number, head in enumerate(each.heads)
        for element in element_records(head, _named(head, text, key), each.given(number, at))
        if element.kind is not Kind.TOMBSTONE
    ]
    return sorted(found, key=lambda one: (one.given, one.provenance.created_at, one.pack), reverse=True)


def _named(head: PackHead, text: str, key: str) -> Array:
    """Rows of a pack whose key begins with some digits, or that a user gave a name."""
    rows = [] if head.names is None else [row for row, name in enumerate(head.names) if name == text]
    if len(key) >= SHORTEST_PREFIX:
        rows += np.flatnonzero(begins_with(head, key)).tolist()
    return np.unique(np.array(rows, np.int64))


def begins_with(head: PackHead, digits: str) -> Array:
    """Of each row of a pack whether its key begins with some hexadecimal digits (bool)."""
    if len(digits) > 2 * DIGEST_BYTES or not HEX.issuperset(digits):
        return np.zeros(head.rows, bool)
    whole, half = bytes.fromhex(digits[: len(digits) // 2 * 2]), digits[len(digits) // 2 * 2 :]
    keys = np.frombuffer(head.keys, np.uint8).reshape(-1, DIGEST_BYTES)
    alike: Array = (keys[:, : len(whole)] == np.frombuffer(whole, np.uint8)).all(axis=1)
    return alike & (keys[:, len(whole)] >> 4 == int(half, 16)) if half else alike


def preimage_of(store: ResultStore, element: ElementRecord) -> Preimage | None:
    """What the key of a result was made of; None if nobody kept it: it then follows from run, node and element.

    Raises:
        ResultMissing: the pack is gone.
        CorruptResult: the pre-image is damaged.
        UnknownFormat: a newer version wrote it.
        StoreError: the store does not answer.
    """
    shelf = shelf_of(ReadOnlyFiles(store.files), element.collection, store.signing_key, QuietProblems())
    heads, _ = shelf.read_heads({element.pack: store.files.size(shelf.name(element.pack)) or 0})
    for head in heads:
        span = head.sections[element.section].preimage
        if span is not None:
            batch: BatchPreimage = unpack_preimage(shelf.read_preimage(head, span))
            return batch.row(int(head.column("origin")[element.row]))
    return None
