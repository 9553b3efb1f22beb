"""Notices: what an element says while it runs (log lines, artifacts), sent ahead of the report of its batch."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dataflow.graph.nodes import Node

__all__ = ["ARTIFACT", "LOG", "Notice", "Noticed", "PlacedNotice", "pack_notices", "unpack_notices"]

LOG = "log"
"""Body: (level, name of the logger, message)."""
ARTIFACT = "artifact"
"""Body: the fields of an artifact by name, plain types only."""
FAST = 1
"""Level of compression: the scheduler passes notices on, and remembers them for a while."""


class Notice(NamedTuple):
    """Something that an element of a batch said. Plain types only, for the message stream."""

    kind: str
    step: int
    """Position of the step in the program."""
    offset: int
    """Of the element in its batch."""
    attempt: int
    time: float
    """Seconds since the epoch."""
    body: Any


class PlacedNotice(NamedTuple):
    """A notice with the element that it is about; of the body of a flow with neither node nor index."""

    kind: str
    node: Node | None
    index: int | None  # type: ignore[assignment]  # a tuple's method of this name is not used
    """None for a plain node."""
    attempt: int
    time: float
    body: Any


@dataclass(frozen=True, slots=True)
class Noticed:
    """A batch under way said something; handled by the driver, not by the machine."""

    batch: int
    notices: Sequence[Notice]


def pack_notices(notices: Sequence[Notice]) -> bytes:
    """Notices as they travel.

    Example:
        >>> unpack_notices(pack_notices([Notice(LOG, 0, 3, 1, 0.5, (20, "root", "hello"))]))[0].body
        (20, 'root', 'hello')
    """
    return zlib.compress(pickle.dumps([tuple(notice) for notice in notices], protocol=5), FAST)


def unpack_notices(data: bytes) -> list[Notice]:
    """What `pack_notices` was given."""
    return [Notice._make(fields) for fields in pickle.loads(zlib.decompress(data))]
