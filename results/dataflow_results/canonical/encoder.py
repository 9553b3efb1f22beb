"""Turns values into their canonical form: finds the handler of a type, walks containers, knows the path and cycles."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from dataflow_results.canonical.forms import PREFIX, CanonicalWarning, Parts, node, text
from dataflow_results.canonical.plain import BULK, LEAVES
from dataflow_results.canonical.refusals import Refusal, leave_out, reason_for
from dataflow_results.errors import UnknownType

__all__ = [
    "Finder",
    "Handler",
    "OnUnknown",
    "Step",
    "Walk",
    "encode",
    "encode_many",
    "find_handler",
    "set_finders",
    "set_rows",
    "written",
]

Handler: TypeAlias = Callable[[Any, "Walk"], bytes | Parts]
"""Gives the encoding of a value, or takes it apart into simpler ones."""
Finder: TypeAlias = Callable[[type], Handler | None]
"""Knows the handlers of one family of types."""
OnUnknown: TypeAlias = Literal["refuse", "pickle"]
Step: TypeAlias = int | str | tuple[Any]
"""A piece of the path: an index, a piece of text as it is, or the key of a dict."""

BULK_FROM = 16
"""From this length on, looking at all types first costs less than it gains."""

_finders: tuple[Finder, ...] = ()
_handlers: dict[type, Handler] = {}


def set_finders(finders: Iterable[Finder]) -> None:
    """Say who knows the handlers of types; the first that answers is taken. Forgets what was found before."""
    global _finders  # noqa: PLW0603 - wired once by the package, and again by a registration
    _finders = tuple(finders)
    _handlers.clear()


def find_handler(cls: type) -> Handler | None:
    """The handler of a type, or None if it has no canonical form."""
    handler = _handlers.get(cls)
    if handler is None:
        handler = next((found for find in _finders if (found := find(cls)) is not None), None)
        if handler is not None:
            _handlers[cls] = handler
    return handler


class Walk:
    """One way through one value: where it is, what is open above it, and what is known already.

    Args:
        where: what the value is called in messages.
        unknown: what to do with a value that has no canonical form.
    """

    __slots__ = ("_active", "_cyclic", "_memo", "_unknown", "_where", "path")

    def __init__(self, where: str, unknown: OnUnknown = "refuse") -> None:
        self._where = where
        self._unknown = unknown
        self.path: list[Step] = []
        self._active: dict[int, int] = {}
        self._memo: dict[int, tuple[Any, bytes]] = {}
        self._cyclic = False

    @property
    def place(self) -> str:
        """The path so far, as a user would write it."""
        return self._where + "".join(map(written, self.path))

    def encode(self, value: Any) -> bytes:
        """The encoding of a value below the current place."""
        leaf = LEAVES.get(type(value))
        return leaf(value) if leaf is not None else self._composite(value)

    def below(self, step: Step, value: Any) -> bytes:
        """The encoding of a value one step further down."""
        self.path.append(step)
        encoded = self.encode(value)
        self.path.pop()
        return encoded

    def sequence(self, tag: bytes, values: Sequence[Any]) -> bytes:
        """A list, a tuple, or what counts as one: its elements in their order."""
        pieces = _in_bulk(values, b"") if len(values) >= BULK_FROM else None
        return node_of(tag, self._each(values) if pieces is None else pieces)

    def unordered(self, tag: bytes, values: Iterable[Any]) -> bytes:
        """A set: its elements in the order of their encodings."""
        return node_of(tag, sorted(self.below("{...}", value) for value in values))

    def mapping(self, tag: bytes, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        """A dict: its pairs in the order of the encodings of their keys."""
        return node_of(tag, sorted(self.below(".keys()", key) + self.below((key,), item) for key, item in pairs))

    def parts(self, parts: Parts) -> bytes:
        """A value that was taken apart: its kind, then its fields by name."""
        fields = sorted(text(step) + self.below(step, value) for step, value in parts.fields.items())
        return node_of(b"o", [text(parts.label), *fields])

    def apart(self, value: Any) -> bytes | Parts:
        """The encoding of a value that is no container of Python's own, or its parts.

        Raises:
            UnknownType: its type has no canonical form.
        """
        handler = find_handler(type(value))
        if handler is None:
            return self._unknown_value(value, None)
        try:
            return handler(value, self)
        except Refusal as refusal:
            return self._unknown_value(value, refusal)

    def fix(self, refusal: Refusal) -> str:
        """What to do about a value that is refused."""
        return f"{refusal.advice}, or {leave_out(self.place)}"

    def _composite(self, value: Any) -> bytes:
        identity = id(value)
        if identity in self._active:
            return self._cycle(identity)
        known = self._memo.get(identity)
        if known is not None:
            return known[1]
        self._active[identity] = len(self._active)
        container = CONTAINERS.get(type(value))
        apart = self.apart(value) if container is None else b""
        if container is not None:
            encoded = container(self, value)
        else:
            encoded = self.parts(apart) if isinstance(apart, Parts) else apart
        del self._active[identity]
        if not self._cyclic and (container is not None or isinstance(apart, Parts)):
            self._memo[identity] = (value, encoded)  # holds no reference upwards, and is worth not walking again
        return encoded

    def _cycle(self, identity: int) -> bytes:
        self._cyclic = True
        return b"^" + struct.pack(">I", len(self._active) - self._active[identity])

    def _each(self, values: Iterable[Any]) -> Iterator[bytes]:
        for index, value in enumerate(values):
            leaf = LEAVES.get(type(value))
            yield leaf(value) if leaf is not None else self.below(index, value)

    def _unknown_value(self, value: Any, refusal: Refusal | None) -> bytes:
        reason = refusal or reason_for(value)
        if self._unknown == "pickle" and reason.pickle_may_help:
            return self._pickled(value)
        raise UnknownType(reason.problem, where=self.place, fix=self.fix(reason))

    def _pickled(self, value: Any) -> bytes:
        try:
            stored = pickle.dumps(value, protocol=5)
        except Exception as error:
            problem = f"{_name_of(type(value))} has no canonical form and cannot be pickled either ({error})"
            raise UnknownType(problem, where=self.place, fix=self.fix(reason_for(value))) from error
        message = f"{self.place}: {_name_of(type(value))} has no canonical form and counts by its pickle, which may \
differ between processes and versions: the same value may be computed again"
        warnings.warn(message, CanonicalWarning, stacklevel=2)
        return node(b"P", stored)


CONTAINERS: Mapping[type, Callable[[Walk, Any], bytes]] = {
    list: lambda walk, value: walk.sequence(b"l", value),
    tuple: lambda walk, value: walk.sequence(b"u", value),
    dict: lambda walk, value: walk.mapping(b"m", value.items()),
    MappingProxyType: lambda walk, value: walk.mapping(b"M", value.items()),
    set: lambda walk, value: walk.unordered(b"e", value),
    frozenset: lambda walk, value: walk.unordered(b"E", value),
}
"""Python's own containers, by exact type. A list is no tuple, a set no frozenset: a function can tell them apart."""


def node_of(tag: bytes, pieces: Iterable[bytes]) -> bytes:
    """A node whose payload comes in pieces, which may be many."""
    return node(tag, b"".join(pieces))


def encode(value: Any, where: str = "value", *, unknown: OnUnknown = "refuse") -> bytes:
    """The canonical form of a value: equal for equal values in every process and on every machine.

    At most 67 bytes; it ends where it says, so encodings can follow each other without separators. Order does not
    matter in dicts and sets; types do (``1``, ``1.0`` and ``True`` differ). Arrays, tables and long texts stand as
    their digests. Objects count by what they hold, not by the methods of their class.

    Args:
        value: anything; see `register` for types of your own.
        where: what the value is called in messages, as ``"argument 'model'"``.
        unknown: ``"refuse"`` a type without canonical form, or take its ``"pickle"`` with a warning.

    Raises:
        UnknownType: a type has no canonical form; the message has the path to it.

    Example:
        >>> encode({"a": 1, "b": {2, 3}}) == encode({"b": {3, 2}, "a": 1})
        True
        >>> encode(1) == encode(1.0)
        False
    """
    leaf = LEAVES.get(type(value))
    if leaf is not None:
        return PREFIX + leaf(value)
    return PREFIX + _walked(Walk(where, unknown), value)


def encode_many(values: Sequence[Any], where: str = "value", *, unknown: OnUnknown = "refuse") -> list[bytes]:
    """The canonical forms of many values; equal to `encode` of each, and much faster for numbers and strings.

    Args:
        values: list, tuple, range, one-dimensional array, or any other sequence.
        where: what the sequence is called in messages; the index is added.
        unknown: as in `encode`.

    Raises:
        UnknownType: an element has no canonical form; the message has its index.

    Example:
        >>> encode_many(range(3)) == [encode(0), encode(1), encode(2)]
        True
    """
    rows = find_rows(type(values))
    pieces = rows(values, PREFIX) if rows is not None else _in_bulk(values, PREFIX)
    if pieces is not None:
        return pieces
    return list(_one_by_one(values, where, unknown))


Rows: TypeAlias = Callable[[Any, bytes], list[bytes] | None]
_rows: dict[type, Rows] = {}


def find_rows(cls: type) -> Rows | None:
    """What encodes all elements of a column of this type at once, if there is something."""
    return _rows.get(cls)


def set_rows(cls: type, rows: Rows) -> None:
    """Say what encodes all elements of a column of this type at once; it may decline with None."""
    _rows[cls] = rows


def _one_by_one(values: Iterable[Any], where: str, unknown: OnUnknown) -> Iterator[bytes]:
    for index, value in enumerate(values):
        leaf = LEAVES.get(type(value))
        if leaf is not None:
            yield PREFIX + leaf(value)
            continue
        walk = Walk(where, unknown)
        walk.path.append(index)
        yield PREFIX + _walked(walk, value)


def _walked(walk: Walk, value: Any) -> bytes:
    try:
        return walk.encode(value)
    except RecursionError as error:
        fix = "flatten it, or give its class a __dataflow_key__() that returns a flat value"
        place = walk.place if len(walk.path) < 10 else f"{walk.place[:200]}..."
        raise UnknownType("is nested too deeply for a canonical form", where=place, fix=fix) from error


def _in_bulk(values: Sequence[Any], prefix: bytes) -> list[bytes] | None:
    if type(values) is range:
        return BULK[int](values, prefix)
    kinds = set(map(type, values))
    bulk = BULK.get(kinds.pop()) if len(kinds) == 1 else None
    return bulk(values, prefix) if bulk is not None else None


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")


def written(step: Step) -> str:
    """A piece of the path as a user would write it."""
    if isinstance(step, int):
        return f"[{step}]"
    if isinstance(step, tuple):
        return f"[{_short(step[0])}]"
    return step


def _short(key: Any) -> str:
    written = repr(key)
    return written if len(written) <= 60 else f"{written[:57]}..."
