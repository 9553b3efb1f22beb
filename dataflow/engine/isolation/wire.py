"""What goes between a worker and the process of an isolated attempt: pickles, with their large buffers beside them.

Requests and answers alternate, so no message has a number; before its answer a call may say things. A message is a
head, a pickle, and the buffers that the pickle refers to (arrays and the like, which are not copied into it).
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cloudpickle

__all__ = [
    "CALL",
    "LOAD",
    "SETTLE",
    "Buffer",
    "Said",
    "chunks",
    "pack",
    "pack_said",
    "receive",
    "said",
    "unpack",
]

SETTLE, LOAD, CALL = range(3)
"""Kinds of requests: take over surroundings, keep a function (and forget another), call a function that is kept."""

Buffer: TypeAlias = bytes | bytearray | memoryview
HEAD = struct.Struct("<QQ")
"""Length of the pickle, number of buffers; their lengths follow."""
SAID = b"S"
"""What a message begins with that is said before the answer; pickles begin otherwise."""
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


def unpack(parts: Sequence[Buffer]) -> Any:
    """The value of a message.

    Raises:
        Exception: it cannot be unpickled here.
    """
    return pickle.loads(parts[0], buffers=parts[1:])


Said: TypeAlias = tuple[str, float, Any, str | None]
"""What was said: its kind, when, its body, and the name of what it replaces."""


def pack_said(kind: str, at: float, body: Any, replaces: str | None = None) -> list[Buffer]:
    """A message of something that was said, before the answer.

    Example:
        >>> said(pack_said("log", 0.5, "hello")), said(pack(True))
        (('log', 0.5, 'hello', None), None)
    """
    return [SAID + pickle.dumps((kind, at, body, replaces), protocol=5)]


def said(parts: Sequence[Buffer]) -> Said | None:
    """What a message says; None if it is an answer."""
    return pickle.loads(memoryview(parts[0])[1:]) if parts[0][:1] == SAID else None


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
