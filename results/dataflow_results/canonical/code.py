"""Functions and classes by their source and the source of what they reach in the same project.

What a function is, for a key: its normalised source, its default and closure values, the plain data it reads from its
module, and the same of every function and class of the project that it reaches by name. Two processes agree on it, a
comment or a moved line does not change it, a changed helper does.

- Of the project is what lies neither in the standard library nor among installed packages; a task's function that is
  itself installed reaches the package it belongs to. All else counts by its name, without the version of its package:
  to invalidate on purpose, tasks have a version of their own.
- Globals without canonical form (a client, a model) count by their type only, with a warning. Closure and default
  values without canonical form are refused: they make different functions of one source.
- A method called on an argument is not seen: which class it belongs to is known only when the function runs.
- A function whose source cannot be had, or is not what runs (the file was edited since), counts by its bytecode: never
  wrong, but other versions of Python do not agree on it.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from dataflow_results.canonical.encoder import Handler, OnUnknown, Walk
from dataflow_results.canonical.forms import PREFIX, Parts, node, text
from dataflow_results.canonical.projects import belongs_to_project, shares_package
from dataflow_results.canonical.reach import Reached, attributes_of_class, globals_of, methods_of, type_only
from dataflow_results.canonical.refusals import Refusal, reason_for
from dataflow_results.canonical.sources import bytecode_of, source_of_class, source_of_code
from dataflow_results.digests import digest
from dataflow_results.errors import UnknownType

__all__ = ["Source", "find_code_handler", "find_named_handler", "source_of"]


@dataclass(frozen=True, slots=True)
class Source:
    """What a function does, as far as the source of its project says it.

    Attributes:
        digest: equal if all parts are equal.
        parts: what it is made of, for people: readable name to digest in hex.
    """

    digest: bytes
    parts: Mapping[str, str]


def source_of(function: Callable[..., Any], *, unknown: OnUnknown = "refuse") -> Source:
    """The source of a function and of all it reaches in its project.

    Args:
        function: function, method, partial, class, or an object that wraps one; what wraps a function and has no
            canonical form itself counts by the function alone.
        unknown: what to do with closure and default values that have no canonical form, as in `encode`.

    Raises:
        UnknownType: a closure or default value has no canonical form.

    Example:
        >>> def double(x):  # this comment does not count
        ...     return 2 * x
        >>> source_of(double) == source_of(double)
        True
    """
    gatherer = Gatherer(unknown, _innermost(function))
    name = getattr(function, "__qualname__", type(function).__qualname__)
    walk = SourceWalk(f"source of {name}", gatherer, unknown)
    try:
        return gatherer.gather(walk.encode(function))
    except UnknownType:
        if gatherer.root is function or walk.path:  # refused is something the function holds, not its wrapper
            raise
        return source_of(gatherer.root, unknown=unknown)


class SourceWalk(Walk):
    """A way through a value in which code stands as a reference, and is gathered."""

    __slots__ = ("gatherer",)

    def __init__(self, where: str, gatherer: Gatherer, unknown: OnUnknown) -> None:
        super().__init__(where, unknown)
        self.gatherer = gatherer

    def apart(self, value: Any) -> bytes | Parts:
        """As for any value; the class of an instance is gathered, too, for its methods."""
        cls = type(value)
        if not isinstance(value, type) and self.gatherer.follows(cls.__module__):
            self.gatherer.reference(cls)
        return super().apart(value)

    def fix(self, refusal: Refusal) -> str:
        """What to do about a value that code holds, not an argument."""
        return f"{refusal.advice}, or pass it as an argument"

    def unordered(self, tag: bytes, values: Iterable[Any]) -> bytes:
        """As for any value, but in an order that does not depend on memory, so that references agree."""
        return super().unordered(tag, sorted(values, key=_order_of))

    def mapping(self, tag: bytes, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        """As for any value, but in an order that does not depend on insertion, so that references agree."""
        return super().mapping(tag, sorted(pairs, key=lambda pair: _order_of(pair[0])))


def _order_of(value: Any) -> tuple[str, str]:
    return (type(value).__qualname__, getattr(value, "__qualname__", None) or repr(value))


@dataclass(slots=True)
class Gatherer:
    """Collects code that is reached, each function or class once, in the order it is met.

    Attributes:
        unknown: what to do with values that have no canonical form.
        root: the function it began with, which is followed wherever it lies, as is the rest of its package.
        parts: readable name to digest in hex.
    """

    unknown: OnUnknown
    root: Any = None
    parts: dict[str, str] = field(default_factory=dict)
    _places: dict[int, int] = field(default_factory=dict)
    _waiting: deque[Any] = field(default_factory=deque)
    _kept: list[Any] = field(default_factory=list)  # so that no identity is used twice

    def follows(self, module_name: str) -> bool:
        """Whether the code of a module counts by its source."""
        return belongs_to_project(module_name) or shares_package(module_name, _module_of(self.root))

    def reference(self, code: Any) -> bytes:
        """Stands for a function or class; that one is gathered later, if it is followed."""
        if not self._is_followed(code):
            return node(b"N", f"{_module_of(code)}.{code.__qualname__}".encode())
        place = self._places.get(id(code))
        if place is None:
            place = self._places[id(code)] = len(self._places)
            self._kept.append(code)
            self._waiting.append(code)
        return node(b"@", place.to_bytes(4, "big"))

    def _is_followed(self, code: Any) -> bool:
        module = _module_of(code)
        has_a_name = "<locals>" not in code.__qualname__ and code.__name__ != "<lambda>"
        own = code is self.root and module.partition(".")[0] not in sys.stdlib_module_names
        return own or not has_a_name or self.follows(module)

    def gather(self, root: bytes) -> Source:
        """All that is reached from what was referred to so far."""
        contents = [root]
        while self._waiting:
            code = self._waiting.popleft()
            contents.append(self._class(code) if isinstance(code, type) else self._function(code))
        return Source(digest(b"source", PREFIX, *contents), dict(self.parts))

    def _function(self, function: FunctionType) -> bytes:
        name, code = _name_of(function), function.__code__
        source = source_of_code(code)
        own = self._part(name if source is not None else f"{name} (bytecode)", source or bytecode_of(code))
        values = [
            text(label) + self._value(f"{name} {label}", value, function)
            for label, value in (*_defaults(function), *_closure(function))
        ]
        reached = [self._reached(found) for found in globals_of(function, self.follows)]
        return node(b"F", b"".join([own, *values, *reached]))

    def _class(self, cls: type) -> bytes:
        name, methods = _name_of(cls), methods_of(cls, self.follows)
        filename = next((method.__code__.co_filename for method in methods.values()), "")
        own = self._part(name, source_of_class(cls, filename))
        data = [
            text(label) + self._value(f"{name} {label}", value, cls)
            for label, value in attributes_of_class(cls).items()
        ]
        bases = [self.reference(base) for base in cls.__bases__]
        reached = [text(label) + self.reference(method) for label, method in sorted(methods.items())]
        return node(b"C", b"".join([own, *data, *bases, *reached]))

    def _part(self, name: str, value: Any) -> bytes:
        encoded = SourceWalk(name.removesuffix(" (value)"), self, self.unknown).encode(value)
        number, free = 1, name
        while free in self.parts:
            number += 1
            free = f"{name} #{number}"
        self.parts[free] = digest(b"part", encoded).hex()
        return encoded

    def _value(self, name: str, value: Any, owner: Any) -> bytes:
        if not self.follows(_module_of(owner)):
            return self._or_type(name, value)  # what a library's decorator keeps beside the function
        return self._code_or_part(name, value)

    def _code_or_part(self, name: str, value: Any) -> bytes:
        if isinstance(value, FunctionType | type | ModuleType):
            return SourceWalk(name, self, self.unknown).encode(value)
        return self._part(f"{name} (value)", value)

    def _or_type(self, name: str, value: Any) -> bytes:
        try:
            return self._code_or_part(name, value)
        except UnknownType as error:
            wrapped = getattr(value, "__wrapped__", None)
            if wrapped is not None and wrapped is not value:
                return self._or_type(name, wrapped)
            return self._code_or_part(name, type_only(name, value, error))

    def _reached(self, found: Reached) -> bytes:
        return text(found.label) + (self._or_type(found.name, found.value) if found.exists else b"n")


def _defaults(function: FunctionType) -> list[tuple[str, Any]]:
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    keywords = sorted((function.__kwdefaults__ or {}).items())
    return [(f"default {name}", value) for name, value in (*zip(names, values, strict=True), *keywords)]


def _closure(function: FunctionType) -> list[tuple[str, Any]]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return [(f"closure {name}", _content(cell)) for name, cell in sorted(cells, key=lambda pair: pair[0])]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _innermost(function: Any) -> Any:
    """The function below partials, methods and decorators that say what they wrap."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif "__wrapped__" in getattr(function, "__dict__", ()):
            function = function.__wrapped__
        else:
            return function


def _module_of(code: Any) -> str:
    if isinstance(code, FunctionType):  # functools.wraps writes the module of the wrapped one into __module__
        return str(code.__globals__.get("__name__", code.__module__ or ""))
    return str(getattr(code, "__module__", None) or "")


def _name_of(code: Any) -> str:
    return f"{_module_of(code)}.{code.__qualname__}".removeprefix("__main__.")


# --- as values --------------------------------------------------------------------------------------------------------


def find_code_handler(cls: type) -> Handler | None:
    """The handler of functions, methods, classes, modules, and of what the standard library wraps around functions."""
    return next((handler for kind, handler in HANDLERS if issubclass(cls, kind)), None)


def find_named_handler(cls: type) -> Handler | None:
    """The handler of other callable objects: those of a library that can be imported stand as their name."""
    return (
        _take_named
        if any("__call__" in vars(base) for base in cls.__mro__) and not belongs_to_project(cls.__module__)
        else None
    )


def _take_code(value: Any, walk: Walk) -> bytes:
    if isinstance(walk, SourceWalk):
        return walk.gatherer.reference(value)
    gatherer = Gatherer("refuse")
    reference = gatherer.reference(value)
    return node(b"F", gatherer.gather(reference).digest) if reference.startswith(b"@") else reference


def _take_method(value: Any, _walk: Walk) -> Parts:
    return Parts("method", {".__self__": value.__self__, ".__func__": value.__func__})


def _take_built_in(value: Any, _walk: Walk) -> bytes | Parts:
    owner = value.__self__
    if owner is None or isinstance(owner, ModuleType):
        return node(b"N", f"{value.__module__}.{value.__qualname__}".encode())
    return Parts("method", {".__self__": owner, ".__func__": value.__name__})


def _take_descriptor(value: Any, _walk: Walk) -> bytes:
    return node(b"N", f"{value.__objclass__.__module__}.{value.__qualname__}".encode())


def _take_module(value: ModuleType, _walk: Walk) -> bytes:
    return node(b"N", value.__name__.encode())


def _take_named(value: Any, _walk: Walk) -> bytes:
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    found: Any = sys.modules.get(str(module))
    for name in str(path).split("."):
        found = getattr(found, name, None)
    if found is not value or belongs_to_project(str(module)):  # a library's object around the user's function
        raise reason_for(value)
    return node(b"N", f"{module}.{path}".encode())


def _take_cached(value: Any, _walk: Walk) -> Parts:
    return Parts("functools.lru_cache", {"": value.__wrapped__})


def _take_vectorized(value: Any, _walk: Walk) -> Parts:
    return Parts("numpy.vectorize", {"": value.pyfunc, ".otypes": value.otypes, ".signature": value.signature})


HANDLERS: tuple[tuple[Any, Handler], ...] = (
    ((FunctionType, type), _take_code),
    (types.MethodType, _take_method),
    ((types.BuiltinFunctionType, types.MethodWrapperType), _take_built_in),
    ((types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType), _take_descriptor),
    (ModuleType, _take_module),
    (type(functools.lru_cache(len)), _take_cached),
    (np.vectorize, _take_vectorized),
)
"""Handlers of code by kind of object."""
