"""What goes between a worker and the process of an isolated attempt: pickles, with their large buffers beside them.

Requests and answers alternate, so no message has a number. A message is a head, a pickle, and the buffers that the
pickle refers to (arrays and the like, which are not copied into it).
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cloudpickle

__all__ = ["CALL", "LOAD", "SETTLE", "Buffer", "chunks", "dumps", "pack", "receive", "unpack"]

SETTLE, LOAD, CALL = range(3)
"""Kinds of requests: take over surroundings, keep a function (and forget another), call a function that is kept."""

Buffer: TypeAlias = bytes | bytearray | memoryview
HEAD = struct.Struct("<QQ")
"""Length of the pickle, number of buffers; their lengths follow."""
JOINED_BYTES = 256 * 1024
"""Up to this size head and pickle are sent as one, which saves a system call; it costs a copy."""


def pack(value: Any) -> list[Buffer]:
    """The pickle of a value and its buffers; by value where a name could not be looked up on the other side.

    Raises:
        Exception: it cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except Exception:  # noqa: BLE001 - boundary: pickling runs users' code; cloudpickle decides
        data = b"__main__"
    if b"__main__" in data:
        buffers.clear()
        data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [data, *(buffer.raw() for buffer in buffers)]


def dumps(value: Any) -> bytes:
    """The same as one piece.

    Raises:
        Exception: it cannot be pickled.
    """
    try:
        data = pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - boundary: as above
        data = b"__main__"
    return cloudpickle.dumps(value, protocol=5) if b"__main__" in data else data


def unpack(parts: Sequence[Buffer]) -> Any:
    """The value of a message.

    Raises:
        Exception: it cannot be unpickled here.
    """
    return pickle.loads(parts[0], buffers=parts[1:])


def chunks(parts: Sequence[Buffer]) -> list[Buffer]:
    """What to write, one after the other."""
    pickled, *buffers = parts
    head = HEAD.pack(len(pickled), len(buffers)) + struct.pack(f"<{len(buffers)}Q", *map(len, buffers))
    if len(pickled) <= JOINED_BYTES:
        return [head + bytes(pickled), *buffers]
    return [head, pickled, *buffers]


def receive(exactly: Callable[[int], bytearray]) -> list[Buffer]:
    """The parts of the next message.

    Args:
        exactly: gives so many bytes.
    """
    size, count = HEAD.unpack(exactly(HEAD.size))
    sizes = struct.unpack(f"<{count}Q", exactly(8 * count)) if count else ()
    return [exactly(size), *map(exactly, sizes)]
