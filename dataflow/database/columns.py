"""What stands in the blobs of rows: what few elements have, and lines of logs; packed and unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

__all__ = ["FAST", "Line", "Rare", "pack_lines", "pack_rare", "unpack_lines", "unpack_rare"]

FAST = 1
"""Level of compression: the client has better things to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rare:
    """What only few elements of a segment have, by their position in the segment."""

    errors: Mapping[int, bytes] = field(default_factory=dict)
    """Packed exceptions."""
    tries: Mapping[int, tuple[tuple[Any, ...], ...]] = field(default_factory=dict)
    """Attempts before the last one, each with the fields of `engine.report.Try`."""
    notes: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Name and message of the state that the task itself gave."""


class Line(NamedTuple):
    """A line of a log."""

    element: int | None
    """Index of the element; None for the body of a flow."""
    attempt: int
    time: float
    """Seconds since the epoch."""
    level: int
    """As of `logging`; 0 for what was printed."""
    logger: str
    """Name of the logger; ``"print"`` for what was printed."""
    message: str


def pack_rare(rare: Rare) -> bytes | None:
    """A blob; None if there is nothing in it."""
    if not (rare.errors or rare.tries or rare.notes):
        return None
    columns = [list(column.items()) for column in (rare.errors, rare.tries, rare.notes)]
    return zlib.compress(msgpack.packb(columns), FAST)


def unpack_rare(blob: bytes | None) -> Rare:
    """What `pack_rare` was given."""
    if blob is None:
        return Rare()
    errors, tries, notes = msgpack.unpackb(zlib.decompress(blob))
    return Rare(
        errors=dict(errors),
        tries={position: tuple(map(tuple, many)) for position, many in tries},
        notes={position: (name, message) for position, (name, message) in notes},
    )


def pack_lines(lines: Sequence[Line]) -> bytes:
    """A blob."""
    return zlib.compress(msgpack.packb(list(lines)), FAST)


def unpack_lines(blob: bytes) -> list[Line]:
    """What `pack_lines` was given."""
    return [Line(*fields) for fields in msgpack.unpackb(zlib.decompress(blob))]
