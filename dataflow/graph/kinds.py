"""The kinds of container that references may be nested in: what they hold, and how a copy is made of other children."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import fractions
import pathlib
import re
import reprlib
import types
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["ATOMIC", "Kind", "is_model", "kind_of"]

ATOMIC: frozenset[type] = frozenset(
    {
        bool, bytearray, bytes, complex, float, int, memoryview, range, str, type,
        types.BuiltinFunctionType, types.EllipsisType, types.FunctionType, types.ModuleType, types.NoneType,
        dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone,
        decimal.Decimal, fractions.Fraction, pathlib.PosixPath, pathlib.WindowsPath, re.Pattern, uuid.UUID,
    }
)  # fmt: skip
"""Types that hold no references. Everything that is no container is a leaf too; these are told by one look-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How containers of one kind are taken apart and put together."""

    children: Callable[[Any], Sequence[Any]]
    """What a container holds, in an order that stays the same."""
    label: Callable[[Any, int], str]
    """How child k of a container is written behind its name: ``[2]``, ``['a']``, ``.field``."""
    rebuild: Callable[[Any, list[Any]], Any]
    """A container like the given one with these children in the place of its own; the given one is not changed."""
    is_model: bool = False
    """Whether it is one value with named fields rather than a collection of values."""


# Collections of the standard library. Exact types are built anew, which is fast; subclasses keep their type, their
# attributes and their options (``maxlen``, ``default_factory``), because a copy of the original is emptied and filled.


def _at_index(_: Any, position: int) -> str:
    return f"[{position}]"


def _in_braces(_: Any, position: int) -> str:
    return f"{{{position}}}"


def _filled_copy(fill: str) -> Callable[[Any, list[Any]], Any]:
    def rebuild(original: Any, children: list[Any]) -> Any:
        new = copy.copy(original)
        new.clear()
        getattr(new, fill)(children)
        return new

    return rebuild


def _remade(base: type) -> Callable[[Any, list[Any]], Any]:
    """For immutable ones: made by the base class, so that neither ``__new__`` nor ``__init__`` of a subclass runs."""

    def rebuild(original: Any, children: list[Any]) -> Any:
        new = base.__new__(type(original), children)
        for name, value in getattr(original, "__dict__", {}).items():
            object.__setattr__(new, name, value)
        return new

    return rebuild


def _dict_children(original: dict[Any, Any]) -> list[Any]:
    return [*original.keys(), *original.values()]


def _dict_label(original: dict[Any, Any], position: int) -> str:
    if position < len(original):
        return f".keys()[{position}]"
    return f"[{reprlib.repr(list(original)[position - len(original)])}]"


def _dict_rebuild(original: dict[Any, Any], children: list[Any]) -> dict[Any, Any]:
    middle = len(children) // 2
    return dict(zip(children[:middle], children[middle:], strict=True))


def _dict_refill(original: dict[Any, Any], children: list[Any]) -> dict[Any, Any]:
    new = copy.copy(original)
    new.clear()
    for key, value in _dict_rebuild(original, children).items():
        new[key] = value
    return new


def _copied_list(_: Any, children: list[Any]) -> list[Any]:
    return children


# Values with named fields. They are copied, not initialised again, so that no ``__post_init__`` and no validator runs.


def _fields_kind(names: Callable[[Any], list[str]], with_changes: Callable[[Any, dict[str, Any]], Any]) -> Kind:
    def children(original: Any) -> list[Any]:
        return [getattr(original, name) for name in names(original)]

    def label(original: Any, position: int) -> str:
        return f".{names(original)[position]}"

    def rebuild(original: Any, children: list[Any]) -> Any:
        new = dict(zip(names(original), children, strict=True))
        return with_changes(original, {name: new[name] for name in new if new[name] is not getattr(original, name)})

    return Kind(children=children, label=label, rebuild=rebuild, is_model=True)


def _with_attributes(original: Any, changes: dict[str, Any]) -> Any:
    new = copy.copy(original)
    for name, value in changes.items():
        object.__setattr__(new, name, value)  # frozen ones refuse setattr
    return new


def _with_updates(original: Any, changes: dict[str, Any]) -> Any:
    return original.model_copy(update=changes)


def _dataclass_names(original: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(original) if hasattr(original, field.name)]


def _attrs_names(original: Any) -> list[str]:
    return [field.name for field in type(original).__attrs_attrs__ if hasattr(original, field.name)]


def _pydantic_names(original: Any) -> list[str]:
    fields = (name for name in type(original).model_fields if name in original.__dict__)
    return [*fields, *(original.__pydantic_extra__ or ())]


def _namedtuple_label(original: Any, position: int) -> str:
    return f".{original._fields[position]}"


def _of(base: type) -> Callable[[type], bool]:
    return lambda cls: issubclass(cls, base)


def _with(*names: str) -> Callable[[type], bool]:
    return lambda cls: all(hasattr(cls, name) for name in names)


EXACT: dict[type, Kind] = {
    list: Kind(children=list, label=_at_index, rebuild=_copied_list),
    tuple: Kind(children=list, label=_at_index, rebuild=lambda _, children: tuple(children)),
    dict: Kind(children=_dict_children, label=_dict_label, rebuild=_dict_rebuild),
    set: Kind(children=list, label=_in_braces, rebuild=lambda _, children: set(children)),
    frozenset: Kind(children=list, label=_in_braces, rebuild=lambda _, children: frozenset(children)),
}
INHERITED: tuple[tuple[Callable[[type], bool], Kind], ...] = (
    (_with("model_fields", "model_copy"), _fields_kind(_pydantic_names, _with_updates)),
    (_with("__attrs_attrs__"), _fields_kind(_attrs_names, _with_attributes)),
    (dataclasses.is_dataclass, _fields_kind(_dataclass_names, _with_attributes)),
    (lambda cls: issubclass(cls, tuple) and hasattr(cls, "_fields"),
     Kind(children=list, label=_namedtuple_label, rebuild=_remade(tuple))),
    (_of(list), Kind(children=list, label=_at_index, rebuild=_filled_copy("extend"))),
    (_of(deque), Kind(children=list, label=_at_index, rebuild=_filled_copy("extend"))),
    (_of(tuple), Kind(children=list, label=_at_index, rebuild=_remade(tuple))),
    (_of(dict), Kind(children=_dict_children, label=_dict_label, rebuild=_dict_refill)),
    (_of(set), Kind(children=list, label=_in_braces, rebuild=_filled_copy("update"))),
    (_of(frozenset), Kind(children=list, label=_in_braces, rebuild=_remade(frozenset))),
)  # fmt: skip
"""Which kind a class is that stands not in ``EXACT``; the first rule that holds decides."""


def _find_kind(cls: type) -> Kind | None:
    if cls in ATOMIC:
        return None
    return EXACT.get(cls) or next((kind for holds, kind in INHERITED if holds(cls)), None)


kind_of: Callable[[type], Kind | None] = lru_cache(maxsize=4096)(_find_kind)
"""The kind of container that instances of a class are; None if they are leaves."""


def is_model(cls: type) -> bool:
    """Whether instances of a class are one value with named fields: a dataclass, a pydantic or an attrs model."""
    kind = kind_of(cls)
    return kind is not None and kind.is_model
