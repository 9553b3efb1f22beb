"""What a serializer is: the two shapes of it, and what all of them share.

A serializer turns a value into a list of buffers and back. Two rules hold for all of them:

- Exact or refused: a value comes back with the same type, dtype and content, or ``Unserializable`` is raised at once.
- Memory: ``dump`` gives views of the value's own memory where it can. ``load`` takes over writable memory, so that
  arrays stand on it without a second copy; of read-only memory it copies what the value keeps.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from dataflow_results.digests import Buffer
from dataflow_results.errors import CorruptResult, ReadingError, ResultsError, StoringError, Unserializable

if TYPE_CHECKING:
    from dataflow_results.files.protocol import Files

__all__ = [
    "Dumped",
    "Serializer",
    "TreeSerializer",
    "corrupt",
    "dump_each",
    "load_each",
    "optional",
    "own",
    "reading",
    "refuse",
    "type_name",
]

Dumped: TypeAlias = bytes | list[Buffer]
"""A serialized value: bytes where it is small and in one piece, else buffers to be written one after the other."""


@runtime_checkable
class Serializer(Protocol):
    """Turns values into buffers and back.

    Reading and writing may happen in several threads at once. A serializer may also have ``dump_many(values)`` and
    ``load_many(datas)``, which do for many what `dump_each` and `load_each` say.
    """

    @property
    def name(self) -> str:
        """Name in the registry; it is written into each record, and found again when the record is read."""

    @property
    def safe(self) -> bool:
        """Whether reading cannot run code."""

    def accepts(self, value: Any) -> bool:
        """Whether ``dump`` would take the value; cheap, so a few values may still be refused by ``dump``."""

    def dump(self, value: Any) -> list[Buffer]:
        """The value as one-dimensional buffers of bytes; raises Unserializable."""

    def load(self, data: memoryview) -> Any:
        """The value again; takes over ``data`` if it is writable. Raises CorruptResult."""


@runtime_checkable
class TreeSerializer(Protocol):
    """Turns a value into a folder of files and back, piece by piece: the value is never whole in memory."""

    @property
    def name(self) -> str:
        """Name in the registry."""

    @property
    def safe(self) -> bool:
        """Whether reading cannot run code."""

    def accepts(self, value: Any) -> bool:
        """Whether ``dump_tree`` would take the value."""

    def dump_tree(self, value: Any, files: Files, folder: str) -> bytes:
        """Write the value below a folder that holds nothing yet; gives what ``load_tree`` needs to know."""

    def load_tree(self, memory: bytes, files: Files, folder: str) -> Any:
        """The value again, lazily where its type can be lazy. Raises CorruptResult."""


def type_name(value: Any) -> str:
    """Name of a value's type, as people write it.

    Example:
        >>> type_name({}), type_name(memoryview(b"").__class__)
        ('dict', 'type')
    """
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def refuse(serializer: str, value: Any, why: str, fix: str) -> Unserializable:
    """The error for a value that a serializer does not take."""
    return Unserializable(f"{type_name(value)} cannot be stored by {serializer!r}: {why}", fix=fix)


def corrupt(serializer: str, why: str) -> CorruptResult:
    """The error for bytes that a serializer did not write."""
    return CorruptResult(f"the stored bytes are not what {serializer!r} wrote: {why}", fix="compute the result again")


@contextmanager
def reading(serializer: str, *expected: type[Exception]) -> Iterator[None]:
    """Turn what a decoder raises on bytes that it did not write into CorruptResult."""
    try:
        yield
    except ResultsError:
        raise
    except expected as error:
        raise corrupt(serializer, f"{type(error).__name__}: {error}") from error


def own(data: memoryview) -> memoryview:
    """The memory itself if it is writable, else a copy: what a value may stand on.

    Example:
        >>> own(memoryview(b"abc")).readonly
        False
    """
    return memoryview(bytearray(data)) if data.readonly else data


def optional(module: str, *, serializer: str) -> Any:
    """A module of an optional package, loaded when a value or a record asks for it.

    Raises:
        StoringError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise StoringError(
            f"serializer {serializer!r} needs the package {package!r}, which cannot be imported here ({error})",
            fix=f"pip install {package}, or store with another serializer",
        ) from error


def dump_each(serializer: Serializer, values: Sequence[Any]) -> list[Dumped | StoringError]:
    """Each value serialized; one that is refused has the error in its place.

    Example:
        >>> from dataflow_results.serializers import find_serializer
        >>> [type(part).__name__ for part in dump_each(find_serializer("json"), [1, (2,)])]
        ['list', 'Unserializable']
    """
    dump_many: Callable[[Sequence[Any]], list[Dumped | StoringError]] | None = getattr(serializer, "dump_many", None)
    return [_dump(serializer, value) for value in values] if dump_many is None else dump_many(values)


def load_each(serializer: Serializer, datas: Iterable[memoryview]) -> list[Any]:
    """Each value again; where one cannot be read, the ReadingError stands in its place.

    Example:
        >>> from dataflow_results.serializers import find_serializer
        >>> load_each(find_serializer("json"), [memoryview(b"[1]"), memoryview(b"?")])
        [[1], CorruptResult(...)]
    """
    load_many: Callable[[Iterable[memoryview]], list[Any]] | None = getattr(serializer, "load_many", None)
    return [_load(serializer, data) for data in datas] if load_many is None else load_many(datas)


def _dump(serializer: Serializer, value: Any) -> Dumped | StoringError:
    try:
        return serializer.dump(value)
    except StoringError as error:
        return error


def _load(serializer: Serializer, data: memoryview) -> Any:
    try:
        return serializer.load(data)
    except ReadingError as error:
        return error
