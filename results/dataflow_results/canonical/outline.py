"""What a value is made of, in short: the path of each leaf and a text or digest of it, to say which part changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FunctionType, MappingProxyType
from typing import Any

from dataflow_results.canonical.code import source_of
from dataflow_results.canonical.encoder import Step, Walk, written
from dataflow_results.canonical.forms import Parts
from dataflow_results.canonical.plain import LEAVES
from dataflow_results.digests import digest
from dataflow_results.errors import UnknownType

__all__ = ["outline"]

TEXT_CHARACTERS = 60
"""A leaf whose text is longer is shown by its beginning and its digest."""


def outline(value: Any, where: str = "value", limit: int = 200) -> dict[str, str]:
    """The leaves of a value: path to short text, or to type and digest. Two values are compared by comparing these.

    Args:
        value: anything that `encode` takes; what has no canonical form is shown by its type.
        where: what the value is called at the beginning of each path.
        limit: the largest number of leaves; what is left then stands as one digest under ``...``.

    Example:
        >>> outline({"a": [1, 2.5], "b": "text"})
        {"value['a'][0]": '1', "value['a'][1]": '2.5', "value['b']": "'text'"}
    """
    leaves: dict[str, str] = {}
    for path, shown in _leaves(value, where, ()):
        if len(leaves) == limit:
            return {**leaves, "...": _digest_of(value)}
        leaves[path] = shown
    return leaves


def _leaves(value: Any, path: str, above: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    if id(value) in above:
        yield path, f"the value {len(above) - above.index(id(value))} levels above"
        return
    if isinstance(value, FunctionType):
        yield from _code(value, path)
        return
    inside = _inside(value, path)
    if isinstance(inside, str):
        yield path, inside
        return
    for step, held in inside:
        yield from _leaves(held, path + written(step), (*above, id(value)))


def _inside(value: Any, path: str) -> str | Iterable[tuple[Step, Any]]:
    """What a value holds, or the text of a leaf."""
    cls = type(value)
    if cls in INSIDE and value:
        return INSIDE[cls](value)
    if cls in LEAVES or cls in INSIDE:
        return _text_of(value)
    try:
        apart = Walk(path).apart(value)
    except UnknownType:
        return f"{_name_of(cls)} without canonical form"
    if not isinstance(apart, Parts):
        return f"{_shape_of(value)} {_short(apart)}"
    return apart.fields.items() if _is_worth_it(apart) else repr(value)[:TEXT_CHARACTERS]


def _is_worth_it(apart: Parts) -> bool:
    """Whether the parts tell more than the text: not for dates, paths and the like."""
    return not apart.label.startswith(("datetime.", "decimal.", "fractions.", "pathlib.", "uuid.", "zoneinfo."))


def _code(function: FunctionType, path: str) -> Iterator[tuple[str, str]]:
    try:
        parts = source_of(function).parts
    except UnknownType as error:
        parts = {function.__qualname__: error.problem}
    for name, shown in parts.items():
        yield f"{path} source of {name}", shown[:16]


def _text_of(value: Any) -> str:
    shown = (
        repr(value)
        if not isinstance(value, str | bytes | bytearray) or len(value) <= TEXT_CHARACTERS
        else repr(value[:TEXT_CHARACTERS])
    )
    if len(shown) <= TEXT_CHARACTERS:
        return shown
    return f"{shown[: TEXT_CHARACTERS - 20]}... {_digest_of(value)}"


def _digest_of(value: Any) -> str:
    try:
        return _short(Walk("value").encode(value))
    except UnknownType:
        return "without canonical form"


def _short(encoded: bytes) -> str:
    return digest(b"outline", encoded).hex()[:16]


def _shape_of(value: Any) -> str:
    if isinstance(value, type):
        return f"class {_name_of(value)}"
    name, shape, dtype = _name_of(type(value)), getattr(value, "shape", None), getattr(value, "dtype", None)
    return " ".join(str(part) for part in (name, dtype, shape) if part is not None)


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")


def _by_key(value: Mapping[Any, Any]) -> Iterable[tuple[Step, Any]]:
    return (((key,), value[key]) for key in sorted(value, key=repr))


def _by_index(value: Sequence[Any]) -> Iterable[tuple[Step, Any]]:
    return enumerate(value)


def _members(value: frozenset[Any] | set[Any]) -> Iterable[tuple[Step, Any]]:
    return ((f"{{{position}}}", held) for position, held in enumerate(sorted(value, key=repr)))


INSIDE: Mapping[type, Callable[[Any], Iterable[tuple[Step, Any]]]] = {
    dict: _by_key,
    MappingProxyType: _by_key,
    list: _by_index,
    tuple: _by_index,
    set: _members,
    frozenset: _members,
}
"""What Python's own containers hold."""
