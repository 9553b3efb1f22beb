"""What a function or class reaches by name: globals, what it takes from modules of the project, methods, class data."""

from __future__ import annotations

import builtins
import contextvars
import dis
import enum
import functools
import importlib
import importlib.util
import threading
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from dataflow_results.canonical.forms import CanonicalWarning
from dataflow_results.canonical.plain import LEAVES

__all__ = ["Reached", "attributes_of_class", "globals_of", "methods_of", "type_only"]

Follows = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Reached:
    """A value that code reaches by name.

    Attributes:
        label: how the code calls it.
        name: its full name, for people.
        value: what it is now.
        exists: False if there is nothing of that name.
    """

    label: str
    name: str
    value: Any = None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Names:
    """The names that occur in a code object and in all code nested in it."""

    loaded: frozenset[str]
    """Of globals."""
    attributes: frozenset[str]
    imported: frozenset[tuple[str, int]]
    """Modules imported inside, with the number of leading dots."""


@functools.lru_cache(maxsize=1024)
def names_in(code: CodeType) -> Names:
    """The names in a code object; the same set in every version of Python."""
    found = list(_instructions(code))
    loaded = {name for kind, name, _ in found if "LOAD" in kind and ("GLOBAL" in kind or "NAME" in kind)}
    attributes = {name for kind, name, _ in found if kind in ATTRIBUTE_INSTRUCTIONS}
    imported = {(name, level) for kind, name, level in found if kind == "IMPORT_NAME"}
    return Names(frozenset(loaded), frozenset(attributes), frozenset(imported))


ATTRIBUTE_INSTRUCTIONS = frozenset({"IMPORT_FROM", "LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})


def _instructions(code: CodeType) -> Iterator[tuple[str, str, int]]:
    before: list[Any] = [None, None]
    for instruction in dis.get_instructions(code):
        level = before[-2] if isinstance(before[-2], int) else 0
        if isinstance(instruction.argval, str):
            yield instruction.opname, instruction.argval, level
        before = [before[-1], instruction.argval]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)


def globals_of(function: FunctionType, follows: Follows) -> list[Reached]:
    """What a function reaches by the names in it, in the order of the names."""
    names, space = names_in(function.__code__), function.__globals__
    found: list[Reached] = []
    for name in sorted(names.loaded):
        if name in space:
            found += _expanded(name, f"{space.get('__name__', '')}.{name}", space[name], names.attributes, follows)
        elif not hasattr(builtins, name):
            found.append(Reached(name, name, exists=False))
    for name, level in sorted(names.imported):
        found += _imported(name, level, space, names.attributes, follows)
    return [each for each in found if not _is_dunder(each.label)]


def _expanded(
    label: str, name: str, value: Any, attributes: Iterable[str], follows: Follows, seen: tuple[Any, ...] = ()
) -> list[Reached]:
    name = name.removeprefix("__main__.")
    if not isinstance(value, ModuleType) or not follows(value.__name__):
        return [Reached(label, name, value)]
    if value in seen:
        return []
    found: list[Reached] = []
    for attribute in sorted(set(attributes).intersection(vars(value))):
        inner, full = vars(value)[attribute], f"{value.__name__}.{attribute}"
        if not _is_dunder(attribute):
            found += _expanded(f"{label}.{attribute}", full, inner, attributes, follows, (*seen, value))
    return found


def _imported(
    name: str, level: int, space: Mapping[str, Any], attributes: Iterable[str], follows: Follows
) -> list[Reached]:
    package = str(space.get("__package__") or "")
    full = importlib.util.resolve_name("." * level + name, package) if level else name
    if not follows(full):
        return [Reached(f"import {name}", full, full)]
    try:
        module = importlib.import_module(full)
    except Exception:  # noqa: BLE001 - boundary: importing runs code of the project; the function may never get there
        return [Reached(f"import {name}", full, full)]
    return _expanded(f"import {name}", full, module, attributes, follows)


def _is_dunder(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last.startswith("__") and last.endswith("__")


GENERATED = ("<string>", "<attrs generated")
"""Files of methods that dataclasses and attrs write: the fields say all."""


def methods_of(cls: type, follows: Follows) -> dict[str, FunctionType]:
    """The functions a class defines, also those below property, classmethod and the like; not what a library adds."""
    found = {}
    for name, member in vars(cls).items():
        for suffix, function in _functions_in(member):
            written_here = follows(str(function.__globals__.get("__name__", "")))
            if written_here and not function.__code__.co_filename.startswith(GENERATED):
                found[name + suffix] = function
    return found


MEMBER_FUNCTIONS = ("", "__func__", "fget", "fset", "fdel", "func", "__wrapped__")


def _functions_in(member: Any) -> Iterator[tuple[str, FunctionType]]:
    for attribute in MEMBER_FUNCTIONS:
        held = member if not attribute else getattr(member, attribute, None)
        if isinstance(held, FunctionType):
            yield f".{attribute}" if attribute else "", held
            if not attribute:
                return


def attributes_of_class(cls: type) -> dict[str, Any]:
    """Plain data in a class: numbers, texts, the members of an enum, the names that are annotated."""
    plain = {name: held for name, held in vars(cls).items() if type(held) in LEAVES and not _is_dunder(name)}
    if issubclass(cls, enum.Enum):
        plain = {name: member.value for name, member in cls.__members__.items()}
    return {**dict(sorted(plain.items())), "annotations": sorted(getattr(cls, "__annotations__", {}))}


HARMLESS = (type(threading.Lock()), type(threading.RLock()), threading.local, contextvars.ContextVar, typing.TypeVar)
"""Globals whose content does not change results."""


def type_only(name: str, value: Any, error: Exception) -> str:
    """Stands for a global without canonical form: its type; warns, because a change of it is not seen."""
    cls = type(value)
    if not isinstance(value, HARMLESS):
        told = getattr(error, "problem", "it has no canonical form")
        message = f"{name} is used by the code of a task, but a change of it will not be seen: {told}. Pass it as an \
argument, or give its class a canonical form with dataflow_results.register"
        warnings.warn(message, CanonicalWarning, stacklevel=2)
    return f"{cls.__module__}.{cls.__qualname__}"
