"""Durations in two bytes each: 11 significant bits, from half a nanosecond to a century, in columns.

What a million elements took travels with their reports and lies in the history. Four bytes each were half of both; two
are exact to 0.05 %, which is less than a clock is worth. The form is that of a 32-bit float without its sign, the last
13 bits of its fraction, and the exponents that no duration has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["DURATION_BYTES", "UNKNOWN", "duration_at", "packed", "split", "step_ends", "unpacked"]

DURATION_BYTES: Final = 2
UNKNOWN: Final = b"\xff\xff"
"""Stands for a duration that nobody knows; it is read as NaN."""
DROPPED = np.uint32(13)
"""Bits of the fraction of a 32-bit float that are left out."""
HALF = np.uint32(1 << 12)
UNSIGNED = np.uint32(0x7FFFFFFF)
BASE = (127 - 31) << 10
"""The shortest duration but none, 2 ** -31 s, as a float without those bits."""
LARGEST = 0xFFFE
EXACT_SECONDS = 1e-9


def packed(seconds: npt.ArrayLike) -> bytes:
    """A column of durations, each rounded to the nearest that there is.

    Args:
        seconds: any number of floats, none negative.

    Example:
        >>> unpacked(packed([0.0, 0.25, 1.5, 3600.0])).tolist()
        [0.0, 0.25, 1.5, 3600.0]
        >>> round(float(unpacked(packed([0.1]))[0]), 4)
        0.1
    """
    bits = np.ascontiguousarray(seconds, np.float32).view(np.uint32)
    codes = (((bits & UNSIGNED) + HALF) >> DROPPED).astype(np.int32)
    codes -= BASE
    return bytes(np.clip(codes, 0, LARGEST, out=codes).astype(np.uint16).tobytes())


def unpacked(column: bytes, start: int = 0, count: int = -1) -> npt.NDArray[np.float32]:
    """Durations in seconds.

    Args:
        column: as `packed` gave it.
        start: the first that is wanted.
        count: how many; -1: all that follow.
    """
    codes = np.frombuffer(column, np.uint16, count, start * DURATION_BYTES)
    seconds: npt.NDArray[np.float32] = ((codes.astype(np.uint32) + np.uint32(BASE)) << DROPPED).view(np.float32)
    seconds[codes == 0] = 0.0
    seconds[codes > LARGEST] = np.nan
    return seconds


def duration_at(column: bytes, position: int) -> float:
    """One duration of a column, in seconds.

    Example:
        >>> duration_at(packed([0.25, 1.5]), 1)
        1.5
    """
    start = position * DURATION_BYTES
    return _one(column[start : start + DURATION_BYTES])


@lru_cache(maxsize=4096)
def _one(duration: bytes) -> float:
    """Those of plain nodes are often the same."""
    return float(unpacked(duration)[0])


def split(seconds: float) -> bytes:
    """A column of a few durations that are together as long as this one, to the nanosecond.

    Example:
        >>> abs(float(unpacked(split(1.2345678)).sum(dtype="f8")) - 1.2345678) < 1e-9
        True
    """
    column: list[bytes] = []
    while seconds > EXACT_SECONDS:
        column.append(_rounded_down(seconds))
        seconds -= float(unpacked(column[-1])[0])
    return b"".join(column)


@lru_cache(maxsize=4)  # people ask for one element after the other, and the history for one part of a batch
def step_ends(*columns: bytes) -> npt.NDArray[np.float64]:
    """When each step of each element of a batch ended, in seconds from its begin, which comes first.

    Args:
        columns: what the elements took, a column for each step; the batch takes each element through all steps.

    Example:
        >>> step_ends(packed([1, 2]), packed([0.5, 0.25])).tolist()
        [0.0, 1.0, 1.5, 3.5, 3.75]
    """
    seconds = np.stack(list(map(unpacked, columns)), axis=1)
    return np.concatenate(([0.0], np.cumsum(seconds.ravel(), dtype=np.float64)))


def _rounded_down(seconds: float) -> bytes:
    bits: Any = np.float32(seconds).view(np.uint32)
    shortened = (bits >> DROPPED) << DROPPED
    return packed([shortened.view(np.float32)])
