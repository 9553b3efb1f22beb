"""The inputs of failed elements, pickled as far as they are small, so that a failure can be reproduced elsewhere."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import cloudpickle

from dataflow.engine.columns import size_of_value

__all__ = ["InputsOfFailures", "note_inputs", "within_bounds"]

MOST_BYTES = 16_384
"""Of one element."""
MOST_BYTES_OF_A_BATCH = 262_144
"""Of one step in one batch."""


class InputsOfFailures(dict[int, bytes]):
    """Pickled arguments by offset in the batch."""

    noted_bytes = 0
    """Of all that was noted here."""


def note_inputs(inputs: InputsOfFailures, offset: int, arguments: Sequence[Any]) -> None:
    """Keep the arguments of an element as they are now, if they and all that is kept stay small.

    Example:
        >>> inputs = InputsOfFailures()
        >>> note_inputs(inputs, 3, (b"small", 1))
        >>> note_inputs(inputs, 4, (bytes(1_000_000), 1))
        >>> list(inputs), pickle.loads(inputs[3])
        ([3], (b'small', 1))
    """
    room = min(MOST_BYTES, MOST_BYTES_OF_A_BATCH - inputs.noted_bytes)
    if any(size_of_value(argument) > MOST_BYTES for argument in arguments):
        return
    data = _pickled(tuple(arguments), room)
    if data is not None:
        inputs[offset] = data
        inputs.noted_bytes += len(data)


def within_bounds(inputs: Mapping[int, bytes]) -> dict[int, bytes]:
    """What of inputs that were noted in several places a report takes along."""
    kept: dict[int, bytes] = {}
    room = MOST_BYTES_OF_A_BATCH
    for offset, data in inputs.items():
        room -= len(data)
        if room < 0:
            break
        kept[offset] = data
    return kept


class _Full(Exception):
    """There is no room for more."""


class _Bounded(io.BytesIO):
    """A file that takes only so many bytes, so that no more than that is pickled of something large."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: Any, /) -> int:
        self._room -= memoryview(data).nbytes
        if self._room < 0:
            raise _Full
        return super().write(data)


def _pickled(value: Any, room: int) -> bytes | None:
    for kind in (pickle.Pickler, cloudpickle.Pickler):  # the second takes more, at a higher price
        file = _Bounded(room)
        try:
            kind(file, protocol=5).dump(value)
        except _Full:
            return None
        except Exception:  # noqa: BLE001, S112 - boundary: pickling runs code of the user's classes, which may raise anything
            continue
        return file.getvalue()
    return None
