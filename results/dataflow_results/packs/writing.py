"""From values to the contents of packs: one for a usual batch, several where the batch is very large."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.errors import ResultsError, StoringError
from dataflow_results.packs.columns import Array
from dataflow_results.packs.outside import OutsideFiles
from dataflow_results.packs.parts import Kind, PackContent, Section, pack_id
from dataflow_results.packs.rows import DumpedRows, dump_rows
from dataflow_results.records import Provenance
from dataflow_results.serializers.registry import AnySerializer

__all__ = ["Batch", "Ordered", "contents_of", "dump_batch", "tombstones"]

LARGEST_PACK_BYTES = 64 * 1024 * 1024
"""Values of a batch beyond this go into another pack."""

Ordered: TypeAlias = "Callable[[int], tuple[str, PackContent]]"
"""A pack that waits for its order: gives its id and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is known of the rows of a batch besides their values."""

    keys: bytes
    provenance: Provenance
    indices: Array
    names: Sequence[str | None] | None = None


def dump_batch(
    values: Sequence[Any],
    *,
    serializer: AnySerializer | None,
    targets: Sequence[str] | None,
    safe: bool,
    inline_bytes: int,
    outside: OutsideFiles,
) -> DumpedRows:
    """The rows of values; what does not lie in a pack is written now.

    Raises:
        StoreError: the store is in trouble.
    """
    if targets is None:
        return dump_rows(values, serializer, safe=safe, inline_bytes=inline_bytes, outside=outside)
    return _dump_to_targets(outside.targets(values, targets, serializer))


def _dump_to_targets(places: Sequence[Any]) -> DumpedRows:
    count = len(places)
    rows = DumpedRows(
        serializers=[],
        lengths=np.zeros(count, np.int64),
        numbers=np.zeros(count, np.int64),
        kinds=np.zeros(count, np.int64),
        pieces=[b""] * count,
    )
    for row, place in enumerate(places):
        if isinstance(place, StoringError):
            rows.errors[row] = place
        elif isinstance(place, ResultsError):
            raise place
        else:
            if place.serializer not in rows.serializers:
                rows.serializers.append(place.serializer)
            rows.numbers[row] = rows.serializers.index(place.serializer)
            rows.kinds[row] = place.kind
            rows.externals[row] = place.external
    return rows


def contents_of(rows: DumpedRows, batch: Batch) -> Iterator[Ordered]:
    """The packs of a batch; rows with errors are left out."""
    good = np.delete(np.arange(len(rows.lengths)), list(rows.errors)) if rows.errors else np.arange(len(rows.lengths))
    if not len(good):
        return
    filled = (np.cumsum(rows.lengths[good], dtype=np.int64) - rows.lengths[good]) // LARGEST_PACK_BYTES
    for part in np.split(good, np.flatnonzero(np.diff(filled)) + 1):
        yield _ordered(_content(rows, batch, part))


def tombstones(keys: bytes, provenance: Provenance, names: Sequence[str | None] | None) -> Ordered:
    """A pack that says that keys were deleted."""
    count = len(keys) // DIGEST_BYTES
    zeros = np.zeros(count, np.int64)
    rows = DumpedRows(
        serializers=[], lengths=zeros, numbers=zeros, kinds=np.full(count, Kind.TOMBSTONE), pieces=[b""] * count
    )
    batch = Batch(keys=keys, provenance=provenance, indices=np.arange(count), names=names)
    return _ordered(_content(rows, batch, np.arange(count)))


def _ordered(content: PackContent) -> Ordered:
    def ordered(order: int) -> tuple[str, PackContent]:
        columns = {**content.columns, "order": np.full(len(content.columns["kind"]), order, np.uint64)}
        return pack_id(order, os.urandom(6)), replace(content, columns=columns)

    return ordered


def _content(rows: DumpedRows, batch: Batch, good: Array) -> PackContent:
    """A pack of some rows of a batch, without its order. Between the rows lie only such that have no bytes."""
    count, provenance = len(good), batch.provenance
    zeros = np.zeros(count, np.int64)
    expires_at = np.inf if provenance.expires_at is None else provenance.expires_at
    return PackContent(
        keys=_keys(batch.keys, good),
        columns={
            "length": rows.lengths[good],
            "kind": rows.kinds[good],
            "serializer": rows.numbers[good],
            "section": zeros,
            "order": zeros,
            "created_at": np.full(count, provenance.created_at),
            "expires_at": np.full(count, expires_at),
            "index": np.asarray(batch.indices, np.int64)[good],
            "origin": good,
        },
        data=rows.data(int(good[0]), int(good[-1]) + 1),
        sections=[Section(provenance=replace(provenance, preimage=b"", created_at=0.0, expires_at=None))],
        preimages=[provenance.preimage],
        serializers=rows.serializers,
        externals=_externals(rows, good),
        names=None if batch.names is None else [batch.names[row] for row in good.tolist()],
    )


def _externals(rows: DumpedRows, good: Array) -> dict[int, Any]:
    if not rows.externals:
        return {}
    return {place: rows.externals[row] for place, row in enumerate(good.tolist()) if row in rows.externals}


def _keys(keys: bytes, good: Array) -> bytes:
    if len(good) * DIGEST_BYTES == len(keys):
        return keys
    return np.frombuffer(keys, np.uint8).reshape(-1, DIGEST_BYTES)[good].tobytes()
