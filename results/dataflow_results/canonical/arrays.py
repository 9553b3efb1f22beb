"""numpy: arrays and scalars by dtype, shape and content, whatever their order in memory; large ones at memory speed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from dataflow_results.canonical.encoder import Handler, Walk
from dataflow_results.canonical.forms import INLINE_BYTES, Parts, finished, node, running_hash, text
from dataflow_results.canonical.plain import integer
from dataflow_results.canonical.refusals import Refusal

__all__ = ["SCALARS", "encode_array", "find_array_handler", "rows_of_array"]

Array: TypeAlias = "np.ndarray[Any, Any]"

CHUNK_BYTES = 1 << 20
"""Arrays that are not contiguous are put in order piece by piece; a piece of this size stays in the cache."""
FIXED_KINDS = "biufcmMSUV"
"""Kinds of dtype whose elements are bytes of one length."""


def encode_array(array: Array) -> bytes:
    """An array of fixed-size elements without fields: dtype, shape, and the bytes in C order, little-endian."""
    little = array.dtype.newbyteorder("<")
    head = text(little.str) + integer(array.ndim) + b"".join(map(integer, array.shape))
    if len(head) + array.nbytes <= INLINE_BYTES:
        return node(b"A", head + b"".join(bytes(piece) for piece in _pieces(array, little)))
    running = running_hash(b"A", head)
    for piece in _pieces(array, little):
        running.update(piece)
    return finished(running)


def _pieces(array: Array, little: np.dtype[Any]) -> Iterator[memoryview]:
    if array.size == 0:
        return
    if array.flags.c_contiguous and array.dtype.str == little.str and array.dtype.char not in "gG":
        yield _bytes_of(array)
    elif array.nbytes <= CHUNK_BYTES or array.ndim == 0:
        yield _bytes_of(_in_order(array, little))
    else:
        yield from _split(array, little)


def _split(array: Array, little: np.dtype[Any]) -> Iterator[memoryview]:
    row_bytes = array.nbytes // array.shape[0]
    step = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, array.shape[0], step):
        rows = array[start : start + step]
        yield from (
            _pieces(rows[0] if len(rows) == 1 else rows, little) if row_bytes > CHUNK_BYTES else _whole(rows, little)
        )


def _whole(rows: Array, little: np.dtype[Any]) -> Iterator[memoryview]:
    yield _bytes_of(_in_order(rows, little))


def _in_order(array: Array, little: np.dtype[Any]) -> Array:
    ordered = np.ascontiguousarray(array, dtype=little)
    if array.dtype.char in "gG" and np.finfo(np.longdouble).nmant == 63:  # 10 bytes of number, the rest is garbage
        return np.ascontiguousarray(ordered.reshape(-1, 1).view(np.uint8).reshape(-1, 16)[:, :10])
    return ordered


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data  # a memoryview of the array itself refuses dates


def take_array(array: Array, walk: Walk) -> bytes | Parts:
    """An array of any dtype and class."""
    plain = array.view(np.ndarray) if type(array) is not np.ndarray else array
    if type(array) in (np.ndarray, np.memmap):
        return _content(plain, walk)
    return Parts(f"class {type(array).__module__}:{type(array).__qualname__}", {".data": plain, **_attributes(array)})


def _attributes(array: Array) -> dict[str, Any]:
    return {f".{name}": value for name, value in getattr(array, "__dict__", {}).items()}


def _content(array: Array, walk: Walk) -> bytes | Parts:
    dtype = array.dtype
    if dtype.names is not None:  # by field: what lies between fields is garbage
        fields = {f"[{name!r}]": array[name] for name in dtype.names}
        return Parts("numpy structured", {".dtype.names": dtype.names, ".shape": array.shape, **fields})
    if dtype.kind in FIXED_KINDS:
        return encode_array(array)
    if dtype.kind not in "OT":
        raise Refusal(f"an array of dtype {dtype} has no canonical form", instead="convert it with .astype(...)")
    # not .tolist(): it would turn numpy scalars inside into Python's
    elements = array.reshape(-1)
    return Parts(f"numpy {dtype}", {".shape": array.shape, ".flat": [elements[i] for i in range(elements.size)]})


def take_masked(array: Any, _walk: Walk) -> Parts:
    """A masked array: what is under the mask does not count."""
    mask = np.ma.getmaskarray(array)
    visible = array.filled(np.zeros((), dtype=array.dtype)[()])
    return Parts("numpy masked", {".mask": mask, ".data": np.asarray(visible), ".fill_value": array.fill_value})


def take_scalar(value: np.generic, walk: Walk) -> bytes | Parts:
    """A numpy scalar; it is neither a Python number nor an array without dimensions."""
    dtype = value.dtype
    if dtype.names is not None:
        return Parts("numpy record", {f"[{name!r}]": value[name] for name in dtype.names})  # type: ignore[index]
    if dtype.kind not in FIXED_KINDS:
        raise Refusal(f"a numpy scalar of dtype {dtype} has no canonical form")
    return scalar(value)


def scalar(value: np.generic) -> bytes:
    """A numpy scalar of fixed size: the name of its dtype, and its bytes, little-endian."""
    little = value.dtype.newbyteorder("<")
    array = np.asarray(value)
    return node(b"g", little.str.encode() + b"\0" + b"".join(bytes(piece) for piece in _pieces(array, little)))


def take_dtype(dtype: np.dtype[Any], _walk: Walk) -> Parts:
    """A dtype: its description; byte order counts, because functions see it."""
    described = dtype.descr if dtype.names is not None else dtype.str
    return Parts("numpy.dtype", {".descr": described, ".itemsize": dtype.itemsize})


def take_ufunc(function: np.ufunc, _walk: Walk) -> Parts:
    """A ufunc of a library: its name."""
    name = function.__name__
    if getattr(np, name, None) is function:
        return Parts("named code", {".name": f"numpy.{name}"})
    raise Refusal(f"the ufunc {name} is not one of numpy's own, so its name does not say what it does")


def take_generator(generator: Any, _walk: Walk) -> Parts:
    """A random generator: its state."""
    source = generator.bit_generator if isinstance(generator, np.random.Generator) else generator
    state = generator.get_state(legacy=False) if isinstance(generator, np.random.RandomState) else source.state
    return Parts(f"numpy.random.{type(generator).__name__}", {".state": state})


HANDLERS: Mapping[type, Handler] = {
    np.ma.MaskedArray: take_masked,
    np.ndarray: take_array,
    np.generic: take_scalar,
    np.dtype: take_dtype,
    np.ufunc: take_ufunc,
    np.random.Generator: take_generator,
    np.random.RandomState: take_generator,
}

SCALARS: Mapping[type, Any] = {
    kind: scalar
    for kind in (*np.sctypeDict.values(), np.datetime64, np.timedelta64)
    if kind not in (np.void, np.object_)
}
"""Encoders of numpy scalars by exact type."""


def find_array_handler(cls: type) -> Handler | None:
    """The handler of a type of numpy, or of a class built on one."""
    return next((HANDLERS[base] for base in cls.__mro__ if base in HANDLERS), None)


def rows_of_array(values: Array, prefix: bytes) -> list[bytes] | None:
    """The encodings of all elements of a one-dimensional array of numbers or dates; None: not by this way."""
    dtype = values.dtype.newbyteorder("<")
    if values.ndim != 1 or dtype.kind not in "biufcmM" or dtype.char in "gG" or len(values) == 0:
        return None
    payload = dtype.str.encode() + b"\0"
    head = prefix + b"g" + bytes([len(payload) + dtype.itemsize]) + payload
    rows = np.empty((len(values), len(head) + dtype.itemsize), np.uint8)
    rows[:, : len(head)] = np.frombuffer(head, np.uint8)
    rows[:, len(head) :] = np.ascontiguousarray(values, dtype=dtype).view(np.uint8).reshape(len(values), -1)
    return rows.view(f"V{rows.shape[1]}").ravel().tolist()
