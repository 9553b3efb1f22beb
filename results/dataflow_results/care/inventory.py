"""What lies in a store, read without changing anything: the heads of all packs, and the rows of them in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from dataflow_results.digests import Buffer
from dataflow_results.errors import ResultsError, StoreDenied, StoreUnreachable, UntrustedResult
from dataflow_results.files.protocol import Entry, Files
from dataflow_results.packs.index import newest_rows
from dataflow_results.packs.layout import Layout
from dataflow_results.packs.parts import Kind, PackHead, is_pack_id
from dataflow_results.packs.shelf import PackCache, Shelf
from dataflow_results.problems import Problem, Problems

if TYPE_CHECKING:
    from dataflow_results.packs.columns import Array

__all__ = ["CollectionPacks", "QuietProblems", "ReadOnlyFiles", "packs_of", "read_packs", "shelf_of"]

TASKS: Final = "tasks"
THREADS: Final = 8
"""Collections that are read at the same time."""
HEADS_AT_ONCE: Final = 128
"""A first read gives more than the head; so many are held at the same time."""
LISTINGS: Final = 5
"""How often a listing is repeated while packs are being merged under it."""

Entries: TypeAlias = list[Entry]


class ReadOnlyFiles:
    """Files that can be looked at and refuse every change: what looks must not touch.

    Example:
        >>> from dataflow_results.files import open_files
        >>> ReadOnlyFiles(open_files("memory://untouched")).remove(["a"])
        Traceback (most recent call last):
        dataflow_results.errors.StoreDenied: memory://untouched: this only looks at the store...
    """

    def __init__(self, inner: Files) -> None:
        self.inner = inner

    @property
    def url(self) -> str:
        """See `Files.url`."""
        return self.inner.url

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """See `Files.read`."""
        return self.inner.read(name, start, stop)

    def read_many(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | ResultsError]:
        """See `Files.read_many`."""
        return self.inner.read_many(parts)

    def read_into(self, name: str, start: int, target: memoryview) -> None:
        """See `Files.read_into`."""
        self.inner.read_into(name, start, target)

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """Refused."""
        raise self._refusal()

    def write_from(self, pieces: Iterator[Buffer], name_when_done: Callable[[], str]) -> str:
        """Refused."""
        raise self._refusal()

    def create(self, name: str, data: bytes) -> bool:
        """Refused."""
        raise self._refusal()

    def creates_safely(self) -> bool:
        """Nothing is created here."""
        return False

    def remove(self, names: Sequence[str]) -> None:
        """Refused."""
        raise self._refusal()

    def list(self, folder: str = "") -> Entries:
        """See `Files.list`."""
        return self.inner.list(folder)

    def leftovers(self) -> Entries:
        """See `Files.leftovers`."""
        return self.inner.leftovers()

    def exists(self, name: str) -> bool:
        """See `Files.exists`."""
        return self.inner.exists(name)

    def size(self, name: str) -> int | None:
        """See `Files.size`."""
        return self.inner.size(name)

    def _refusal(self) -> StoreDenied:
        return StoreDenied("this only looks at the store", where=self.url, fix="use the store itself")


class QuietProblems(Problems):
    """Keeps problems and warns of none: whoever looks through a store tells them in a report."""

    def __init__(self) -> None:
        self._quiet: dict[str, Problem] = {}

    def report(self, problem: Problem, *, stacklevel: int = 2) -> None:
        """Keep a problem."""
        self._quiet[problem.where] = problem

    def all(self) -> list[Problem]:
        """All problems so far, oldest first."""
        return list(self._quiet.values())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CollectionPacks:
    """The packs of one collection as they were at one moment."""

    name: str
    heads: tuple[PackHead, ...]
    """With keys; packs whose rows are in a merged one too are not among them. Oldest first."""
    in_force: tuple[Array, ...]
    """For each head the rows that no newer one replaces (int64); deletions and expired ones are among them."""
    left_behind: Mapping[str, int]
    """Packs whose rows are in a merged one: id to size in bytes."""
    foreign: tuple[PackHead, ...] = ()
    """Heads of packs that are not signed with our key; nothing of them is used."""
    unreadable: tuple[Problem, ...] = ()
    """Packs of which not even the head can be read, and foreign ones."""

    def given(self, number: int, now: float) -> Array:
        """The rows of one head that a look-up gives: not replaced, not deleted, not expired by now (int64)."""
        head, rows = self.heads[number], self.in_force[number]
        living = (head.column("expires_at")[rows] > now) & (head.column("kind")[rows] != Kind.TOMBSTONE)
        found: Array = rows[living]
        return found

    @property
    def is_complete(self) -> bool:
        """Whether what all packs refer to is known."""
        return len(self.unreadable) == len(self.foreign)


def shelf_of(files: Files, collection: str, signing_key: bytes | None, problems: Problems) -> Shelf:
    """A shelf that keeps nothing in memory."""
    cache = PackCache(limit_bytes=0)
    return Shelf(files=files, collection=collection, signing_key=signing_key, cache=cache, problems=problems)


def read_packs(
    files: Files, signing_key: bytes | None, *, only: Callable[[str], bool] = lambda name: True
) -> list[CollectionPacks]:
    """The packs of all collections, by name: one listing, and one range read for most packs.

    Args:
        files: of the store; nothing is changed.
        signing_key: heads that are not signed with it are given apart.
        only: which collections.

    Raises:
        StoreError: the store does not answer.
        UnknownFormat: the store has a newer layout.
    """
    Layout(files).check()
    sizes: dict[str, dict[str, int]] = {}
    for entry in files.list(TASKS):
        parts = entry.name.split("/")
        identity = parts[-1].removesuffix(".pack")
        if len(parts) == 4 and parts[2] == "packs" and is_pack_id(identity) and only(parts[1]):
            sizes.setdefault(parts[1], {})[identity] = entry.size_bytes
    with ThreadPoolExecutor(THREADS, thread_name_prefix="dataflow-results-look") as pool:
        return list(pool.map(lambda item: packs_of(files, signing_key, *item), sorted(sizes.items())))


def packs_of(
    files: Files, signing_key: bytes | None, collection: str, sizes: Mapping[str, int] | None = None
) -> CollectionPacks:
    """The packs of one collection.

    Args:
        files: of the store; nothing is changed.
        signing_key: as in `read_packs`.
        collection: its name.
        sizes: packs as they were just listed: id to size in bytes; None: they are listed now.

    Raises:
        StoreError: the store does not answer, or packs are merged faster than they can be read.
    """
    looking = ReadOnlyFiles(files)
    for _ in range(LISTINGS):
        shelf = shelf_of(looking, collection, signing_key, QuietProblems())
        listed = shelf.listed() if sizes is None else sizes
        sizes = None
        heads, complete = _heads(shelf, listed)
        if complete:
            return _seen(shelf, listed, heads)
    raise StoreUnreachable("packs are merged faster than they can be read", where=f"{files.url}/{shelf.folder}")


def _heads(shelf: Shelf, sizes: Mapping[str, int]) -> tuple[list[PackHead], bool]:
    names = sorted(sizes)
    heads: list[PackHead] = []
    for start in range(0, len(names), HEADS_AT_ONCE):
        found, complete = shelf.read_heads({name: sizes[name] for name in names[start : start + HEADS_AT_ONCE]})
        heads += map(_alone, found)
        if not complete:
            return [], False
    return heads, True


def _alone(head: PackHead) -> PackHead:
    """A head with keys of its own, so that the first read of its pack can be let go."""
    return replace(head.without_keys(), keys=bytes(head.keys))


def _seen(shelf: Shelf, sizes: Mapping[str, int], heads: Sequence[PackHead]) -> CollectionPacks:
    covered = {name for head in heads for name in head.replaces}
    problems = [problem for problem in shelf.problems.all() if problem.where.rpartition("/")[2] not in covered]
    used = tuple(sorted((head for head in heads if head.id not in covered), key=lambda head: head.id))
    return CollectionPacks(
        name=shelf.collection,
        heads=used,
        in_force=tuple(newest_rows(used)) if used else (),
        left_behind={name: size for name, size in sizes.items() if name in covered},
        foreign=_foreign_heads(shelf, sizes, problems),
        unreadable=tuple(problems),
    )


def _foreign_heads(shelf: Shelf, sizes: Mapping[str, int], problems: Sequence[Problem]) -> tuple[PackHead, ...]:
    """Heads that are in order but for their signature: what they refer to is somebody's."""
    names = [problem.where.rpartition("/")[2] for problem in problems if isinstance(problem.error, UntrustedResult)]
    if not names:
        return ()
    unsigned = shelf_of(shelf.files, shelf.collection, None, QuietProblems())
    heads, _ = unsigned.read_heads({name: sizes[name] for name in names})
    return tuple(map(_alone, heads))
