"""Arrays of numpy as .npy files: a short head, then the memory of the array itself."""

from __future__ import annotations

import functools
import io
import tokenize
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dataflow_results.serializers.protocol import corrupt, own, reading, refuse

if TYPE_CHECKING:
    from dataflow_results.digests import Buffer

__all__ = ["NumpySerializer", "plain_dtype"]

FIXED_BYTES = 10
"""Magic, version, and the length of the rest of the head."""
LONGEST_HEAD_BYTES = 10_000
"""What numpy itself reads without being told to trust the file."""

UNREADABLE = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError, OverflowError)
"""What numpy raises for a head that is none: it reads a literal of Python."""


@dataclass(frozen=True, slots=True)
class NumpySerializer:
    """Takes numpy arrays of any shape and order whose elements are no Python objects; `numpy.load` reads the files.

    Raises:
        Unserializable: not exactly an ndarray, object elements, or a dtype that .npy does not give back equal.
        CorruptResult: the bytes are no such file.

    Example:
        >>> serializer = NumpySerializer()
        >>> array = serializer.load(memoryview(b"".join(serializer.dump(np.eye(2)))))
        >>> array.tolist(), array.flags.writeable
        ([[1.0, 0.0], [0.0, 1.0]], True)
    """

    name: str = field(default="numpy", init=False)
    safe: bool = field(default=True, init=False)

    def accepts(self, value: Any) -> bool:
        """Whether it is exactly an ndarray of plain elements."""
        return type(value) is np.ndarray and plain_dtype(value.dtype)

    def dump(self, value: Any) -> list[Buffer]:
        """The head, and the array's own memory if that is contiguous."""
        if type(value) is not np.ndarray:
            raise refuse(self.name, value, "it is not exactly an ndarray", "use numpy.asarray(value), or 'pickle'")
        if not plain_dtype(value.dtype):
            fix = "use an array of numbers, strings or times, or serializer 'pickle'"
            raise refuse(self.name, value, f"its dtype is {value.dtype!r}", fix)
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        head = _head(value.dtype, value.shape, fortran)
        return [head, _memory(value.T if fortran else value)] if value.nbytes else [head]

    def load(self, data: memoryview) -> np.ndarray[Any, Any]:
        """The array, standing on ``data`` if that is writable."""
        with reading(self.name, *UNREADABLE):
            dtype, shape, fortran, start = _parsed(_head_bytes(data))
            if dtype.hasobject:
                raise corrupt(self.name, "its elements are Python objects")
            expected = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
            if len(data) != expected:
                raise corrupt(self.name, f"it has {len(data)} bytes where {expected} are needed")
            return np.ndarray(shape, dtype, buffer=own(data), offset=start, order="F" if fortran else "C")


def plain_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether .npy gives a dtype back equal: numbers, bool, bytes, str, times, and records of them.

    Example:
        >>> plain_dtype(np.dtype("<M8[ns]")), plain_dtype(np.dtype(object))
        (True, False)
    """
    if dtype.hasobject or dtype.metadata is not None:
        return False
    try:
        again = _parsed(_head(dtype, (), fortran=False))[0]
    except ValueError:  # field names beyond latin-1, or a head that is too long
        return False
    return again == dtype and again.isalignedstruct == dtype.isalignedstruct


@functools.lru_cache(maxsize=4096)
def _head(dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> bytes:
    stream = io.BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def _head_bytes(data: memoryview) -> bytes:
    length = int.from_bytes(data[FIXED_BYTES - 2 : FIXED_BYTES], "little")
    return bytes(data[: FIXED_BYTES + min(length, LONGEST_HEAD_BYTES)])


@functools.lru_cache(maxsize=4096)
def _parsed(head: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Dtype, shape, whether in Fortran order, and where the elements begin."""
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"version {version} of .npy")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    return dtype, shape, fortran, stream.tell()


def _memory(array: np.ndarray[Any, Any]) -> memoryview:
    """The bytes of an array in C order; a copy only if they do not lie in one piece."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
