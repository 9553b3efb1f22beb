"""The plain values: numbers, text, bytes and the constants of Python, one by one and a million at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, TypeAlias

from dataflow_results.canonical.forms import node, text

__all__ = ["BULK", "LEAVES", "Leaf", "integer"]

Leaf: TypeAlias = Callable[[Any], bytes]

_pack_integer = struct.Struct(">cq").pack
_pack_float = struct.Struct(">cd").pack
_pack_prefixed_integer = struct.Struct(">2sq").pack
_pack_prefixed_float = struct.Struct(">2sd").pack
NAN = struct.pack(">cQ", b"d", 0x7FF8000000000000)
"""All NaNs are one value: they cannot be told apart in Python."""


def integer(value: int) -> bytes:
    """An int of any size."""
    try:
        return _pack_integer(b"i", value)
    except struct.error:
        size_bytes = value.bit_length() // 8 + 1
        return node(b"I", value.to_bytes(size_bytes, "big", signed=True))


def floating(value: float) -> bytes:
    """A float; 0.0 and -0.0 differ, because a function can tell them apart."""
    return _pack_float(b"d", value) if value == value else NAN  # noqa: PLR0124 - only NaN differs from itself


def complex_number(value: complex) -> bytes:
    """A complex number: its two floats."""
    return node(b"c", floating(value.real) + floating(value.imag))


def boolean(value: bool) -> bytes:
    """True or False, which are no ints here."""
    return b"t" if value else b"f"


LEAVES: dict[type, Leaf] = {
    int: integer,
    float: floating,
    bool: boolean,
    str: text,
    bytes: lambda value: node(b"y", value),
    bytearray: lambda value: node(b"Y", bytes(value)),
    complex: complex_number,
    type(None): lambda _: b"n",
    type(Ellipsis): lambda _: node(b"k", b"Ellipsis"),
    type(NotImplemented): lambda _: node(b"k", b"NotImplemented"),
}
"""Encoders by exact type. A subclass is another kind of value and is not found here."""


def integers(values: Iterable[int], prefix: bytes) -> list[bytes]:
    """Many ints at once, each behind a prefix."""
    head = prefix + b"i"
    kept = list(values)
    try:
        if len(head) == 2:
            return list(map(_pack_prefixed_integer, repeat(head), kept))
        return list(map(_pack_integer, repeat(b"i"), kept))
    except struct.error:
        return [prefix + integer(value) for value in kept]


def floats(values: Iterable[float], prefix: bytes) -> list[bytes]:
    """Many floats at once, each behind a prefix."""
    head = prefix + b"d"
    nan = prefix + NAN
    if len(head) == 2:
        pack = _pack_prefixed_float
        return [pack(head, value) if value == value else nan for value in values]  # noqa: PLR0124 - as above
    return [prefix + floating(value) for value in values]


def texts(values: Iterable[str], prefix: bytes) -> list[bytes]:
    """Many strings at once, each behind a prefix."""
    heads = [prefix + b"s" + bytes([size]) for size in range(65)]
    return [heads[len(raw)] + raw if len(raw) <= 64 else prefix + node(b"s", raw) for raw in _utf8(values)]


def _utf8(values: Iterable[str]) -> Iterator[bytes]:
    kept = list(values)
    try:
        return iter([value.encode() for value in kept])
    except UnicodeEncodeError:
        return iter([value.encode("utf-8", "surrogatepass") for value in kept])


BULK: dict[type, Callable[[Iterable[Any], bytes], list[bytes]]] = {int: integers, float: floats, str: texts}
"""Encoders of many values of one exact type; equal to one by one."""
