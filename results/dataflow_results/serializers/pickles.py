"""Pickle, protocol 5: large buffers stay outside of the pickle and are never copied.

A value without large buffers is one plain pickle. Any other is frames: a head, the pickle, then each buffer, all of
them beginning at multiples of 64 bytes, so that arrays are aligned for vector instructions when they stand on the
memory again::

    MAGIC | number of frames, 8 bytes | length of each, 8 bytes | pickle | buffer | buffer …
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cloudpickle

from dataflow_results.errors import ReadingError, StoringError
from dataflow_results.serializers.protocol import Dumped, corrupt, own, refuse

if TYPE_CHECKING:
    from dataflow_results.digests import Buffer

__all__ = ["ALIGNMENT_BYTES", "OUT_OF_BAND_BYTES", "PickleSerializer"]

ALIGNMENT_BYTES = 64
OUT_OF_BAND_BYTES = 64 * 1024
"""Buffers from this size on stay outside of the pickle; below it, a copy costs less than a frame."""

PROTOCOL = 5
MAGIC = b"\x00DFFRAME"
"""No pickle begins with a zero byte."""
COUNT = struct.Struct("<Q")
MAIN = b"__main__"
FIX = "give back plain data, or choose a serializer that takes it: @task(result_serializer=...)"


class _Large(Exception):
    """A buffer turned up that does not belong inside of a pickle."""


@dataclass(frozen=True, slots=True)
class PickleSerializer:
    """Takes what pickle or cloudpickle takes: classes and functions of ``__main__`` and lambdas travel by value.

    Raises:
        Unserializable: neither pickle nor cloudpickle takes the value.
        CorruptResult: the bytes are no pickle of ours.
        ReadingError: the value's own module cannot be imported here.

    Example:
        >>> serializer = PickleSerializer()
        >>> serializer.load(memoryview(b"".join(serializer.dump({"a": (1, 2)}))))
        {'a': (1, 2)}
    """

    name: str = field(default="pickle", init=False)
    safe: bool = field(default=False, init=False)

    def accepts(self, value: Any) -> bool:
        """True: whether it goes is seen when it is tried."""
        return True

    def dump(self, value: Any) -> list[Buffer]:
        """One plain pickle, or frames."""
        frames = _frames_of(value)
        return frames if len(frames) == 1 else _framed(frames)

    def dump_many(self, values: Sequence[Any]) -> list[Dumped | StoringError]:
        """As `dump_each` says; about 0.3 µs for a small value."""
        if cloudpickle.list_registry_pickle_by_value():
            return [self._dump_or_error(value) for value in values]
        dumps = pickle.dumps
        dumped: list[Dumped | StoringError] = []
        for value in values:
            try:
                data = dumps(value, PROTOCOL, buffer_callback=_refuse_large)
            except Exception:  # noqa: BLE001 - boundary: code of the value's class; the slow way finds out what it was
                dumped.append(self._dump_or_error(value))
            else:
                dumped.append(data if MAIN not in data else self._dump_or_error(value))
        return dumped

    def load(self, data: memoryview) -> Any:
        """The value; its large arrays stand on ``data`` if that is writable."""
        if data[:1] == MAGIC[:1]:
            pickled, *buffers = _split(own(data))
            return _unpickled(pickled, buffers)
        return _unpickled(data, ())

    def load_many(self, datas: Iterable[memoryview]) -> list[Any]:
        """As `load_each` says; about 0.2 µs for a small value."""
        loads, loaded = pickle.loads, []
        for data in datas:
            try:
                loaded.append(loads(data))
            except Exception:  # noqa: BLE001 - boundary: code of the value's class; the slow way finds out what it was
                loaded.append(self._load_or_error(data))
        return loaded

    def _dump_or_error(self, value: Any) -> Dumped | StoringError:
        try:
            parts = self.dump(value)
        except StoringError as error:
            return error
        return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else parts

    def _load_or_error(self, data: memoryview) -> Any:
        try:
            return self.load(data)
        except ReadingError as error:
            return error


def _refuse_large(buffer: pickle.PickleBuffer) -> bool:
    if buffer.raw().nbytes >= OUT_OF_BAND_BYTES:
        raise _Large
    return True


def _frames_of(value: Any) -> list[Buffer]:
    """Pickle what other processes find by name, else cloudpickle: their ``__main__`` is another module."""
    if not cloudpickle.list_registry_pickle_by_value():
        try:
            frames = _collect(pickle.dumps, value)
        except Exception:  # noqa: BLE001, S110 - boundary: code of the value's class; cloudpickle says what is wrong
            pass
        else:
            if MAIN not in frames[0]:
                return frames
    try:
        return _collect(cloudpickle.dumps, value)
    except Exception as error:  # boundary: code of the value's class
        raise refuse("pickle", value, f"{type(error).__name__}: {error}", FIX) from error


def _collect(dumps: Callable[..., bytes], value: Any) -> list[Buffer]:
    """The pickle of a value, then its large buffers."""
    buffers: list[Buffer] = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= OUT_OF_BAND_BYTES:
            buffers.append(raw)
            return False
        return True

    pickled = dumps(value, PROTOCOL, buffer_callback=stays_inside)
    return [pickled, *buffers]


def _framed(frames: list[Buffer]) -> list[Buffer]:
    """A head, then the frames with the padding between them."""
    lengths = struct.pack(f"<{len(frames)}Q", *map(len, frames))
    head = MAGIC + COUNT.pack(len(frames)) + lengths
    parts: list[Buffer] = [head]
    size_bytes = len(head)
    for frame in frames:
        padding = -size_bytes % ALIGNMENT_BYTES
        parts += [bytes(padding), frame]
        size_bytes += padding + len(frame)
    return parts


def _split(data: memoryview) -> Iterator[memoryview]:
    """The frames of what `_framed` gave, as views."""
    fixed = len(MAGIC) + COUNT.size
    if bytes(data[: len(MAGIC)]) != MAGIC or len(data) < fixed:
        raise corrupt("pickle", "it does not begin like a pickle")
    (count,) = COUNT.unpack(data[len(MAGIC) : fixed])
    start = fixed + 8 * count
    if start > len(data):
        raise corrupt("pickle", "it is cut off in its head")
    for length in struct.unpack(f"<{count}Q", data[fixed:start]):
        start += -start % ALIGNMENT_BYTES
        if start + length > len(data):
            raise corrupt("pickle", f"it has {len(data)} bytes where {start + length} are needed")
        yield data[start : start + length]
        start += length


def _unpickled(pickled: memoryview, buffers: Iterable[memoryview]) -> Any:
    try:
        return pickle.loads(pickled, buffers=buffers)
    except (ImportError, AttributeError) as error:
        fix = "install what is missing, or compute the result again"
        raise ReadingError(f"the stored value needs code that is not here: {error}", fix=fix) from error
    except Exception as error:  # boundary: code of the value's class, or bytes that are no pickle
        raise corrupt("pickle", f"{type(error).__name__}: {error}") from error
