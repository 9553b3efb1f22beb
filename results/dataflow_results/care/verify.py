"""Reading through a whole store: each pack, object, folder and file that a result needs, against its checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from dataflow_results.care.inventory import QuietProblems, ReadOnlyFiles, shelf_of
from dataflow_results.digests import DIGEST_BYTES, Digest, hasher
from dataflow_results.errors import CorruptResult, ReadingError, ResultMissing
from dataflow_results.files.protocol import Files
from dataflow_results.packs.layout import Layout
from dataflow_results.packs.objects import OBJECTS, TAG, object_digest, object_name
from dataflow_results.packs.parts import External, Kind, PackHead
from dataflow_results.packs.shelf import Shelf, check_pack
from dataflow_results.problems import Problem
from dataflow_results.serializers.trees import check_tree

if TYPE_CHECKING:
    from dataflow_results.store import ResultStore

__all__ = ["Verified", "verify"]

THREADS: Final = 4
PIECE_BYTES: Final = 16 * 1024 * 1024
"""Large files are read in pieces of this size."""
FILE_TAG: Final = b"file"
TREE_CHECKS: Final[Mapping[str, Callable[[bytes, Files, str], None]]] = {"zarr": check_tree}
"""By name of the serializer; folders of others are looked at by their existence only."""
READINGS: Final = 2
"""Damage is believed when it is seen a second time."""

Item = TypeVar("Item")
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was looked at, and what is wrong."""

    packs: int
    results: int
    """Rows of packs that are in order."""
    objects: int
    folders: int
    files: int
    """Plain files whose names users chose."""
    size_bytes: int
    """What was read."""
    problems: tuple[Problem, ...]
    """By place; empty if all is well."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needed:
    """A file or folder that results need."""

    kind: Kind
    serializer: str
    external: External
    by: str
    """A pack that names it."""


def verify(store: ResultStore, *, set_aside: bool = False) -> Verified:
    """Read every byte that a look-up could ever use, and compare it with its checksum.

    Nothing is unpickled and nothing is changed, unless damage is to be set aside. Unfinished writes and merged packs
    that were left behind are no problem: `dataflow_results.care.collecting` removes them.

    Args:
        store: the store.
        set_aside: move damaged packs to ``set-aside/``, and remove damaged objects, so that what they held is missing
            and computed again.

    Raises:
        StoreError: the store does not answer.
        UnknownFormat: the store has a newer layout.

    Example:
        >>> from dataflow_results.store import ResultStore
        >>> store = ResultStore("memory://verify-example")
        >>> reference = store.put("answer", 42)
        >>> report = verify(store)
        >>> report.ok, report.packs, report.results
        (True, 1, 1)
    """
    return _Verification(store, set_aside=set_aside).run()


class _Verification:
    """One reading through a store."""

    def __init__(self, store: ResultStore, *, set_aside: bool) -> None:
        self._files: Files = store.files if set_aside else ReadOnlyFiles(store.files)
        self._store = store
        self._set_aside = set_aside
        self._problems = QuietProblems()
        self._needed: dict[tuple[Kind, str], _Needed] = {}
        self._packs = self._results = self._pack_bytes = 0

    def run(self) -> Verified:
        Layout(self._files).check()
        listed = [entry for entry in self._files.list(OBJECTS) if object_digest(entry.name) is not None]
        for collection in self._store.collections():
            self._read_collection(shelf_of(self._files, collection, self._store.signing_key, self._problems))
        outside = [each for each in self._needed.values() if each.kind is not Kind.OBJECT]
        wanted = {_object_of(each): each for each in self._needed.values() if each.kind is Kind.OBJECT}
        objects = sorted({*(entry.name for entry in listed), *wanted})
        self._check_objects(objects, wanted)
        for one, error in zip(outside, _at_once(self._outside_error, outside), strict=True):
            self._note(one.external.name, one, error)
        return Verified(
            packs=self._packs,
            results=self._results,
            objects=len(objects),
            folders=sum(each.kind is Kind.TREE for each in outside),
            files=sum(each.kind is Kind.FILE for each in outside),
            size_bytes=self._pack_bytes
            + sum(entry.size_bytes for entry in listed)
            + sum(each.external.size_bytes for each in outside),
            problems=tuple(sorted(self._problems.all(), key=lambda problem: problem.where)),
        )

    # packs

    def _read_collection(self, shelf: Shelf) -> None:
        """Read all packs of a collection, such that appear meanwhile included."""
        seen: set[str] = set()
        while unseen := sorted(shelf.listed().keys() - seen):
            seen.update(unseen)
            for identity, found in zip(unseen, _at_once(lambda one: self._pack(shelf, one), unseen), strict=True):
                if isinstance(found, PackHead):
                    self._take_note(shelf, found)
                elif isinstance(found, CorruptResult) and self._set_aside:
                    shelf.doubt(identity, found)
                elif found is not None:
                    shelf.refuse(identity, found)

    def _pack(self, shelf: Shelf, identity: str) -> PackHead | ReadingError | None:
        """The head of a pack that is in order as a whole, else what is wrong; None if it is gone."""
        error: ReadingError | None = None
        for _ in range(READINGS):
            try:
                data = shelf.files.read(shelf.name(identity))
                head = check_pack(data, where=shelf.label(identity), signing_key=shelf.signing_key)
            except ResultMissing:
                return None
            except ReadingError as found:
                error = found
            else:
                return replace(head.without_keys(), keys=b"")
        return error

    def _take_note(self, shelf: Shelf, head: PackHead) -> None:
        self._packs += 1
        self._results += int((head.column("kind") != Kind.TOMBSTONE).sum())
        self._pack_bytes += head.size_bytes
        kinds, numbers = head.column("kind"), head.column("serializer")
        for row, external in head.externals.items():
            kind = Kind(int(kinds[row]))
            self._needed[kind, external.name] = _Needed(
                kind=kind,
                serializer=head.serializers[int(numbers[row])],
                external=external,
                by=shelf.name(head.id),
            )

    # what lies outside of packs

    def _check_objects(self, names: Sequence[str], wanted: Mapping[str, _Needed]) -> None:
        for name, error in zip(names, _at_once(self._object_error, names), strict=True):
            removed = self._set_aside and isinstance(error, CorruptResult)
            if removed:
                self._files.remove([name])  # it has the name of the right one, which could not be written again
            self._note(name, wanted.get(name), error, set_aside=removed)

    def _note(self, name: str, needed: _Needed | None, error: ReadingError | None, *, set_aside: bool = False) -> None:
        if error is None:
            return
        if isinstance(error, ResultMissing) and (needed is None or not self._files.exists(needed.by)):
            return  # collected while we looked
        error.where = name if needed is None else f"{name}, needed by {needed.by}"
        self._problems.report(Problem(where=name, error=error, set_aside=set_aside))

    def _object_error(self, name: str) -> ReadingError | None:
        return self._tried(lambda: self._hash(name, TAG, object_digest(name) or b""))

    def _outside_error(self, needed: _Needed) -> ReadingError | None:
        external = needed.external
        if needed.kind is Kind.FILE:
            return self._tried(lambda: self._hash(external.name, FILE_TAG, external.memory))
        check = TREE_CHECKS.get(needed.serializer, _is_there)
        return self._tried(lambda: check(external.memory, self._files, external.name))

    def _tried(self, check: Callable[[], None]) -> ReadingError | None:
        """What is wrong, also at the second look."""
        error: ReadingError | None = None
        for _ in range(READINGS):
            try:
                check()
            except ReadingError as found:
                error = found
            else:
                return None
        return error

    def _hash(self, name: str, tag: bytes, wanted: Digest) -> None:
        """Compare a file with its checksum, a piece at a time."""
        running, start = hasher(tag), 0
        while True:
            piece = self._files.read(name, start, start + PIECE_BYTES)
            running.update(piece)
            start += len(piece)
            if len(piece) < PIECE_BYTES:
                break
        if running.digest(DIGEST_BYTES) != wanted:
            raise CorruptResult("its content is not what was written", where=name, fix="compute the result again")


def _object_of(needed: _Needed) -> str:
    return object_name(bytes.fromhex(needed.external.name))


def _is_there(memory: bytes, files: Files, folder: str) -> None:
    """Whether there are files in a folder whose checksums only its serializer knows."""
    if not files.list(folder):
        raise ResultMissing("the folder is empty", where=folder, fix="compute the result again")


def _at_once(function: Callable[[Item], Given], items: Sequence[Item]) -> Iterator[Given]:
    """The function of each item, several at a time, in order."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="dataflow-results-verify") as pool:
        yield from pool.map(function, items)
