"""What a store needs of the place it lies at: eleven methods, the rules for names, and what a listing tells.

Nothing here is ever changed in place. A file is written whole, replaced whole, created once, or removed; a reader sees
the whole of one version or no file at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dataflow_results.digests import Buffer
from dataflow_results.errors import ResultsError, TemplateError

__all__ = [
    "PARTIAL_PREFIX",
    "Entry",
    "Files",
    "as_views",
    "check_name",
    "is_partial",
    "joined",
    "partial_name",
    "slices",
    "total_bytes",
]

PARTIAL_PREFIX = ".partial-"
"""How the last part of the name of an unfinished write begins. Such files are never listed as results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a listing."""

    name: str
    """Relative to the store, with ``/``."""
    size_bytes: int
    modified_seconds: float
    """Seconds since the epoch on the clock of whoever holds the file; 0.0 where that is not told."""


Entries: TypeAlias = list[Entry]


class Files(Protocol):
    """The files of one store. Names are relative to it and use ``/``.

    All methods may be called from several threads at once. They raise only errors of `dataflow_results.errors`:
    `StoreUnreachable`, `StoreDenied`, `StoreFull`, `StoreUrlError`, or another `StoreError`, and those named below.
    """

    @property
    def url(self) -> str:
        """Where the files lie, without credentials."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from start up to stop (None: up to the end); fewer where the file ends before.

        Raises:
            ResultMissing: there is no such file.
        """

    def read_many(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | ResultsError]:
        """Each ``(name, start, stop)`` as `read` gives it, or the error it raises; at the same time where that pays."""

    def read_into(self, name: str, start: int, target: memoryview) -> None:
        """Fill target with the bytes from start on.

        Raises:
            ResultMissing: there is no such file.
            CorruptResult: the file ends before target is full.
        """

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """Put the parts, one after the other, under a name; replaces what was there. Whole or not at all."""

    def write_from(self, pieces: Iterator[Buffer], name_when_done: Callable[[], str]) -> str:
        """Put pieces as they come, and give the file its name once they have ended.

        The caller can hash the pieces while they pass, so that the name may be made of their digest. A piece may be
        reused by the caller as soon as the next one is asked for. If the iterator raises, no file appears.

        Returns:
            The name.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Put data under a name if nothing is there. True: we made it. False: somebody else did.

        Data must differ from what any other caller would write: if an answer was lost on its way, comparing the
        content tells who made the file.

        Raises:
            StoreError: the store cannot create conditionally (see `creates_safely`).
        """

    def creates_safely(self) -> bool:
        """Whether `create` works: some stores ignore the condition. Asked of the store once per process."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove files. Absent ones are no error."""

    def list(self, folder: str = "") -> Entries:
        """All files below a folder, sorted by name, never from a cache; an absent folder is empty."""

    def leftovers(self) -> Entries:
        """Unfinished files: of writers that died, and of those at work (mind the age). `remove` takes their names."""

    def exists(self, name: str) -> bool:
        """Whether the file is there."""

    def size(self, name: str) -> int | None:
        """Size in bytes; None if there is no such file."""


def check_name(name: str) -> str:
    """The name, if it is relative and stays inside the store.

    Raises:
        TemplateError: it does not; names are made of templates and of what other people stored.

    Example:
        >>> check_name("tasks/load/packs/1.pack")
        'tasks/load/packs/1.pack'
    """
    if not name or name[0] == "/" or "\\" in name or "\0" in name or _leaves(f"/{name}/"):
        raise TemplateError(
            f"{name!r} is no name for a file of a store",
            where=name,
            fix="a relative name such as 'tables/2026.parquet', without '..', '.', '//' or '\\'",
        )
    return name


def _leaves(wrapped: str) -> bool:
    return "//" in wrapped or "/../" in wrapped or "/./" in wrapped


def is_partial(name: str) -> bool:
    """Whether a name is that of an unfinished write.

    Example:
        >>> is_partial("tasks/.partial-018f-1-a0b1"), is_partial("tasks/1.pack")
        (True, False)
    """
    return name.rpartition("/")[2].startswith(PARTIAL_PREFIX)


def partial_name() -> str:
    """A fresh last part of a name for an unfinished write: time, process, randomness."""
    return f"{PARTIAL_PREFIX}{int(time.time() * 1000):012x}-{os.getpid()}-{os.urandom(6).hex()}"


def as_views(parts: Sequence[Buffer]) -> list[memoryview]:
    """The parts that are not empty, as views of single bytes; nothing is copied."""
    views = (memoryview(part) for part in parts)
    return [view if view.format == "B" and view.ndim == 1 else view.cast("B") for view in views if view.nbytes]


def total_bytes(parts: Sequence[Buffer]) -> int:
    """Length of all parts together."""
    return sum(memoryview(part).nbytes for part in parts)


def joined(parts: Sequence[Buffer]) -> bytes:
    """The parts as one piece; a single ``bytes`` is given back as it is."""
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return parts[0]
    return b"".join(parts)


def slices(pieces: Iterator[memoryview], size_bytes: Callable[[int], int]) -> Iterator[bytes]:
    """The bytes of all pieces, cut anew: slice number n has ``size_bytes(n)``; only the last may be shorter.

    Example:
        >>> list(slices(iter([memoryview(b"abcd"), memoryview(b"e")]), lambda number: 2))
        [b'ab', b'cd', b'e']
    """
    held: list[memoryview | bytes] = []
    number = 0
    room = size_bytes(number)
    for piece in pieces:
        rest = piece
        while rest.nbytes >= room:
            yield b"".join([*held, rest[:room]])
            number += 1
            rest, held, room = rest[room:], [], size_bytes(number)
        if rest.nbytes:
            held.append(bytes(rest))  # copied: the caller may reuse the piece
            room -= rest.nbytes
    if held:
        yield b"".join(held)
