"""Pre-images: what the keys of a batch were made of, packed in one piece, so that a later miss can be explained.

What all keys of a node have in common is packed once, with the plan. What differs by element are columns of cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack

from dataflow_results.errors import CorruptResult, UnknownFormat
from dataflow_results.keying.cells import CellColumn, Outline, outlined, short_cell
from dataflow_results.keying.keys import EncodedArgument, KeyPlan, Keys

__all__ = ["BatchPreimage", "Preimage", "pack_plan", "pack_preimage", "unpack_preimage"]

PREIMAGE_VERSION = 1
OUTLINED_ROWS = 32
"""Up to this many elements, the leaves of arguments that differ by element are kept too."""
PART_CHARACTERS = 16
"""Of the digest of one function's source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preimage:
    """What the key of one element was made of; only what counts for the policy is in it."""

    task: str
    module_qualname: str
    version: str | None
    policy: str
    """The policy as it is written; ``"NO_CACHE"``: there is no key."""
    source: str
    """Digest of the source; empty if it does not count."""
    source_parts: Mapping[str, str]
    """Qualified name to digest of each function that the task reaches."""
    arguments: Mapping[str, bytes]
    """Name to cell, as `dataflow_results.keying.cells.short_cell` keeps it."""
    outlines: Mapping[str, Outline]
    parameters: Mapping[str, bytes]
    """Parameters of the flow: name to cell."""
    run: str
    node: str
    """Slug of the node; empty if it does not count."""
    index: int | None = None
    """Of the element; None if it does not count."""
    varying: frozenset[str] = frozenset()
    """Arguments that differed by element in the batch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchPreimage:
    """The pre-images of a batch: what its elements share, and columns of what differs."""

    count: int
    common: Preimage
    columns: Mapping[str, CellColumn]
    row_outlines: Mapping[str, Sequence[Outline]] = field(default_factory=dict)
    indices: Sequence[int] = ()
    """Of the elements; empty if they do not count."""

    def row(self, row: int) -> Preimage:
        """The pre-image of one element; rows count from 0 in the order they were packed."""
        own = {name: column[row] for name, column in self.columns.items()}
        outlines = {name: of_rows[row] for name, of_rows in self.row_outlines.items()}
        return replace(
            self.common,
            arguments={**self.common.arguments, **own},
            outlines={**self.common.outlines, **outlines},
            index=self.indices[row] if self.indices else None,
            varying=frozenset(self.columns),
        )


def pack_plan(plan: KeyPlan, outlines: Mapping[str, Outline]) -> bytes:
    """What all keys of a plan have in common, packed for `KeyPlan.preimage`.

    Args:
        plan: the plan, whose own ``preimage`` is not read.
        outlines: the leaves of its constants; flow parameters under their name behind ``parameters.``.
    """
    identity, policy = plan.identity, plan.policy
    source = identity.source if policy.reads_source else None
    common = {
        "task": identity.name,
        "module_qualname": identity.module_qualname,
        "version": identity.version,
        "policy": policy.text,
        "source": "" if source is None else source.digest.hex()[:PART_CHARACTERS],
        "source_parts": {} if source is None else {name: part[:PART_CHARACTERS] for name, part in source.parts.items()},
        "arguments": {name: short_cell(cell) for name, cell in plan.constants.items()},
        "outlines": {name: dict(leaves) for name, leaves in outlines.items()},
        "parameters": {name: short_cell(cell) for name, cell in plan.flow_parameters.items()},
        "run": plan.run if "RUN_ID" in policy.parts else "",
        "node": plan.node if "POSITION" in policy.parts else "",
    }
    return bytes(msgpack.packb(common, unicode_errors="surrogatepass"))


def pack_preimage(
    plan: KeyPlan,
    keys: Keys,
    rows: Sequence[int] | None = None,
    *,
    columns: Mapping[str, Sequence[Any]] | None = None,
    shared: Mapping[str, Any] | None = None,
) -> bytes:
    """The pre-image of what a batch stores.

    Args:
        plan: made the keys.
        keys: of the batch.
        rows: positions in the batch of the elements that are stored, in the order they are stored; None: all.
        columns: the values as `KeyPlan.keys` got them; given, the leaves of those of a small batch are kept.
        shared: the same for the arguments that all elements share. Large ones cost another hash of their leaves, unless
            they are `EncodedArgument` already.

    Returns:
        packed bytes for `unpack_preimage`.
    """
    kept = range(len(keys)) if rows is None else rows
    counted = {name: values for name, values in (columns or {}).items() if name in keys.cells}
    varying = {name: cells for name, cells in keys.cells.items() if isinstance(cells, list)}
    packed = {
        "version": PREIMAGE_VERSION,
        "count": len(kept),
        "common": plan.preimage or pack_plan(plan, {}),
        "shared": {name: short_cell(cell) for name, cell in keys.cells.items() if isinstance(cell, bytes)},
        "columns": {
            name: CellColumn.of(cells if rows is None else [cells[row] for row in kept]).packed()
            for name, cells in varying.items()
        },
        "outlines": {
            name: dict(_shared_outline(name, value)) for name, value in (shared or {}).items() if name in keys.cells
        },
        "row_outlines": {}
        if len(kept) > OUTLINED_ROWS
        else {
            name: [dict(outlined(name, values[row])) for row in kept]
            for name, values in counted.items()
            if name not in plan.lineage
        },
        "indices": [int(keys.indices[row]) for row in kept] if "POSITION" in plan.policy.parts else [],
    }
    return bytes(msgpack.packb(packed, unicode_errors="surrogatepass"))


def unpack_preimage(packed: bytes) -> BatchPreimage:
    """What `pack_preimage` packed.

    Raises:
        UnknownFormat: it was written by a newer version.
        CorruptResult: it is no pre-image.
    """
    try:
        fields = msgpack.unpackb(packed, unicode_errors="surrogatepass")
        if fields["version"] > PREIMAGE_VERSION:
            fix = "update this library where results are explained"
            raise UnknownFormat(f"the pre-image has version {fields['version']}", where="pre-image", fix=fix)
        common = Preimage(**msgpack.unpackb(fields["common"], unicode_errors="surrogatepass"))
        return BatchPreimage(
            count=fields["count"],
            common=replace(
                common,
                arguments={**common.arguments, **fields["shared"]},
                outlines={**common.outlines, **fields["outlines"]},
            ),
            columns={
                name: CellColumn.unpacked(lengths, joined, fields["count"])
                for name, (lengths, joined) in fields["columns"].items()
            },
            row_outlines=fields["row_outlines"],
            indices=fields["indices"],
        )
    except (msgpack.exceptions.UnpackException, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"these {len(packed)} bytes are no pre-image ({type(error).__name__})"
        raise CorruptResult(problem, where="pre-image") from error


def _shared_outline(name: str, value: Any) -> Outline:
    return value.outline if isinstance(value, EncodedArgument) else outlined(name, value)
