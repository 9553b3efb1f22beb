"""What packs consist of: kinds of rows, batches, what lies outside, and a pack without its data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np

from dataflow_results.digests import Buffer
from dataflow_results.packs.columns import COLUMNS, Array, unpack_column
from dataflow_results.records import Provenance

__all__ = ["External", "Kind", "PackContent", "PackHead", "Section", "Span", "is_pack_id", "order_of", "pack_id"]

PACK_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{12}")


class Kind(IntEnum):
    """Where the value of a row lies."""

    INLINE = 0
    """In the data of the pack."""
    OBJECT = 1
    """In a file named by its content, shared by equal values."""
    TREE = 2
    """In a folder of its own."""
    FILE = 3
    """In a plain file whose name the user chose."""
    TOMBSTONE = 4
    """Nowhere: the key was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """Where the value of a row lies that is not in the pack."""

    name: str
    """File or folder, relative to the store; of an object its digest in hex."""
    size_bytes: int
    memory: bytes = b""
    """What its reader needs besides, e.g. a checksum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of the data with its checksum."""

    start: int
    """Bytes from the beginning of the data."""
    size_bytes: int
    checksum: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the rows of one batch have in common."""

    provenance: Provenance
    """Without times and pre-image: these have places of their own."""
    preimage: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackContent:
    """What goes into a pack: rows as columns, and what they refer to."""

    keys: bytes
    """20 bytes a row."""
    columns: Mapping[str, Array]
    data: Buffer
    """The rows' bytes one after the other."""
    sections: Sequence[Section]
    """Numbered by the column ``section``; their spans are filled in by the encoder."""
    preimages: Sequence[Buffer]
    """One for each section; empty if there is none."""
    serializers: Sequence[str]
    """Numbered by the column ``serializer``."""
    externals: Mapping[int, External] = field(default_factory=dict)
    """By row."""
    names: Sequence[str | None] | None = None
    """What users call the keys, by row; None if nobody named any."""
    replaces: Sequence[str] = ()
    """Ids of the packs whose rows are in this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackHead:
    """All that is known of a pack without its data."""

    id: str
    collection: str
    signed: bool
    """Whether it carries a signature; whose, only the owner of the key can tell."""
    rows: int
    columns: Mapping[str, tuple[str, Buffer]]
    keys: Buffer
    """20 bytes a row; empty once the index has taken them over."""
    block_rows: Array
    """First row of each block, then the number of rows (int64)."""
    block_starts: Array
    """Where each block begins in the data, then where the last one ends (int64)."""
    block_checksums: bytes
    sections: tuple[Section, ...]
    serializers: tuple[str, ...]
    externals: Mapping[int, External]
    names: tuple[str | None, ...] | None
    replaces: tuple[str, ...]
    data_start: int
    """Bytes from the beginning of the file."""
    data_bytes: int

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self.data_start + self.data_bytes

    @property
    def label(self) -> str:
        """Name for messages."""
        return f"{self.collection}/{self.id}"

    def column(self, name: str) -> Array:
        """One number for each row; see `dataflow_results.packs.columns.COLUMNS`."""
        form, data = self.columns[name]
        return unpack_column(form, COLUMNS[name], self.rows, data)

    def without_keys(self) -> PackHead:
        """The same without the keys, which are most of it."""
        kept = {name: (form, bytes(data)) for name, (form, data) in self.columns.items()}
        return replace(self, keys=b"", columns=kept)

    def provenance(self, row: int) -> Provenance:
        """Where a row comes from; its pre-image is read separately."""
        section = self.sections[int(self.column("section")[row])]
        expires_at = float(self.column("expires_at")[row])
        return replace(
            section.provenance,
            created_at=float(self.column("created_at")[row]),
            expires_at=None if np.isinf(expires_at) else expires_at,
        )


def pack_id(order: int, unique: bytes) -> str:
    """The name of a pack: its order, so that names sort by age, then what makes it the only one of its name.

    Example:
        >>> pack_id(258, b"abcdef")
        '0000000000000102-616263646566'
    """
    return f"{order:016x}-{unique[:6].hex()}"


def order_of(identity: str) -> int:
    """The order in the name of a pack."""
    return int(identity[:16], 16)


def is_pack_id(text: str) -> bool:
    """Whether a text is the name of a pack."""
    return PACK_ID.fullmatch(text) is not None
