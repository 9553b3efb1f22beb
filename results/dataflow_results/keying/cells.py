"""Cells: what one argument of one element adds to a key, and columns of them in a few bytes.

A cell is a canonical form, which is at most 67 bytes long and ends where it says, or the key of an upstream result. So
a key is hashed over little, and a column of cells can be kept beside the results to explain a miss later.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dataflow_results.canonical import encode, outline
from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.errors import KeyingError

__all__ = ["CellColumn", "Outline", "key_cell", "label", "outlined", "readable", "short_cell", "text_cell"]

KEY = b"\xfe"
"""Begins the cell of an upstream key. Canonical forms begin with their version, which is far from it."""
DIGEST_MARKS = (encode("x" * 100)[:2], KEY)
"""How cells begin that hold a digest: a canonical form too long to stand for itself, and a key."""
DIGEST_LENGTHS = [len(mark) + DIGEST_BYTES for mark in DIGEST_MARKS]
SHORT_DIGEST_BYTES = 8
"""Enough to see that two cells differ, where nothing wrong follows from mistaking one for the other."""
TEXT_CHARACTERS = 60
OUTLINE_LEAVES = 200
"""More leaves of one argument are not kept: a difference below them is known by the argument only."""

Outline: TypeAlias = Mapping[str, str]
"""Path to short text or digest of each leaf of a value."""


def key_cell(key: bytes) -> bytes:
    """The cell of an argument that stands for an upstream result by its key."""
    return KEY + key


def text_cell(text: str) -> bytes:
    """The cell of text that a key function gave."""
    return encode(text)


def label(name: str) -> bytes:
    """What stands before the cell of an argument: its name behind the name's length."""
    encoded = name.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(2, "big") + encoded


def short_cell(cell: bytes) -> bytes:
    """A cell as a record keeps it: whole if it holds the value, cut if it holds a digest.

    Example:
        >>> len(short_cell(key_cell(b"k" * 20)))
        9
    """
    for mark in DIGEST_MARKS:
        if cell.startswith(mark) and len(cell) in DIGEST_LENGTHS:
            return cell[: len(mark) + SHORT_DIGEST_BYTES]
    return cell


def readable(cell: bytes) -> str:
    """The value in a cell, for messages; empty if the cell does not show it.

    Example:
        >>> readable(encode(3)), readable(encode("day")), readable(encode({"a": 1}))
        ('3', "'day'", '')
    """
    form = cell[1:]
    if form in CONSTANTS:
        return CONSTANTS[form]
    if len(form) == 9 and form[:1] in NUMBERS:
        return repr(struct.unpack(NUMBERS[form[:1]], form[1:])[0])
    if form[:1] == b"s" and len(form) == form[1] + 2:
        text = repr(form[2:].decode("utf-8", "backslashreplace"))
        return text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 3]}..."
    return ""


CONSTANTS = {b"n": "None", b"t": "True", b"f": "False"}
NUMBERS = {b"i": ">q", b"d": ">d"}


def outlined(name: str, value: Any) -> Outline:
    """The leaves of an argument, few enough to be kept; none if its parts cannot be named."""
    try:
        return outline(value, name, limit=OUTLINE_LEAVES)
    except KeyingError:
        return {}  # it counts by its pickle, which has no parts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellColumn:
    """Many short cells in two buffers.

    Example:
        >>> CellColumn.of([b"a", b"bcd"])[1]
        b'bcd'
    """

    ends: npt.NDArray[np.uint32]
    """Where each cell ends in `joined`."""
    joined: bytes

    @classmethod
    def of(cls, cells: Sequence[bytes]) -> CellColumn:
        """The column of some cells, cut as `short_cell` cuts them."""
        lengths = np.fromiter(map(len, cells), np.uint32, len(cells))
        if np.isin(lengths, DIGEST_LENGTHS).any():
            cells = [short_cell(cell) for cell in cells]
            lengths = np.fromiter(map(len, cells), np.uint32, len(cells))
        return cls(ends=np.cumsum(lengths, dtype=np.uint32), joined=b"".join(cells))

    def packed(self) -> list[bytes]:
        """Lengths (one byte for each cell, or a single one if all are equal) and the cells."""
        lengths = np.diff(self.ends, prepend=np.uint32(0)).astype(np.uint8)
        equal = len(lengths) > 0 and bool((lengths == lengths[0]).all())
        return [(lengths[:1] if equal else lengths).tobytes(), self.joined]

    @classmethod
    def unpacked(cls, lengths: bytes, joined: bytes, count: int) -> CellColumn:
        """The column that `packed` packed."""
        each = np.frombuffer(lengths, np.uint8)
        if len(each) == 1:
            each = np.repeat(each, count)
        return cls(ends=np.cumsum(each, dtype=np.uint32), joined=joined)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> bytes:
        start = int(self.ends[row - 1]) if row else 0
        return self.joined[start : int(self.ends[row])]
