"""Keys that follow from a place: an element of a run, an item of an upstream list, all elements of an upstream map.

All keys of a seed are consecutive pieces of one long BLAKE3 output, which can be started anywhere. So a million of them
cost a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataflow_results.digests import DIGEST_BYTES, Digest, digest, hasher
from dataflow_results.keying.identity import joined

__all__ = ["gathered_key", "item_keys", "position_keys"]


def position_keys(run: str, node: str, indices: Sequence[int] | range) -> bytes:
    """The keys of elements by where they stand: for results that are kept without a cache policy, and for resuming.

    Args:
        run: id of the run.
        node: slug of the node.
        indices: of the elements.

    Returns:
        20 bytes for each index, joined.

    Example:
        >>> position_keys("run-1", "load", range(5))[20:40] == position_keys("run-1", "load", [1])
        True
    """
    return _spread(b"position", joined(run, node), indices)


def item_keys(upstream: Digest, indices: Sequence[int] | range) -> bytes:
    """Keys under LINEAGE of the items of an upstream result that is mapped over: 20 bytes for each index, joined."""
    return _spread(b"item", upstream, indices)


def gathered_key(upstream: bytes) -> Digest:
    """The key under LINEAGE of all elements of an upstream map together, from their joined keys, in order."""
    return digest(b"gathered", upstream)


def _spread(tag: bytes, seed: bytes, indices: Sequence[int] | range) -> bytes:
    running = hasher(tag)
    running.update(seed)
    if isinstance(indices, range) and indices.step == 1:
        return running.digest(DIGEST_BYTES * len(indices), seek=DIGEST_BYTES * indices.start)
    take = running.digest
    return b"".join([take(DIGEST_BYTES, seek=DIGEST_BYTES * int(index)) for index in indices])
