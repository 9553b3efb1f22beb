"""Values that do not lie in packs: objects shared by content, folders, and plain files whose names users chose."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from dataflow_results.digests import Buffer, digest
from dataflow_results.errors import CorruptResult, ReadingError, ResultsError, StoreError
from dataflow_results.files.protocol import Files
from dataflow_results.packs.objects import object_name, read_object, write_object
from dataflow_results.packs.parts import External, Kind, PackHead
from dataflow_results.records import Provenance
from dataflow_results.serializers.protocol import Serializer, TreeSerializer
from dataflow_results.serializers.registry import AnySerializer, choose

__all__ = ["FoundRow", "OutsideFiles", "Placed", "found_rows", "rows_in_files"]

THREADS = 8
"""Values that are on their way at the same time."""
TREES = "trees/"
"""The folder of values that are folders and have no name that a user chose."""
Item = TypeVar("Item")
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A value that was put into a plain file or a folder."""

    kind: Kind
    serializer: str
    external: External


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """What is known of a stored result besides its value."""

    provenance: Provenance
    """Without the pre-image."""
    index: int
    """The element of the mapped node that it was computed for."""
    file: str
    """The plain file (or folder) whose name the user chose; empty if it lies elsewhere."""


@dataclass(frozen=True, slots=True)
class OutsideFiles:
    """Puts values next to the packs of a store, several at a time, and reads them again."""

    files: Files

    def objects(self, values: Sequence[Sequence[Buffer]]) -> list[External | ResultsError]:
        """Store serialized values as objects; the error stands in the place of one that failed."""
        return _each(self._object, values)

    def _object(self, parts: Sequence[Buffer]) -> External:
        name, size_bytes = write_object(self.files, parts)
        return External(name=name.hex(), size_bytes=size_bytes)

    def trees(self, serializer: TreeSerializer, values: Sequence[Any]) -> list[External | ResultsError]:
        """Store values as folders; the error stands in the place of one that failed."""
        return _each(lambda value: self._tree(serializer, value, f"{TREES}{os.urandom(16).hex()}"), values)

    def _tree(self, serializer: TreeSerializer, value: Any, folder: str) -> External:
        memory = serializer.dump_tree(value, self.files, folder)
        size_bytes = sum(entry.size_bytes for entry in self.files.list(folder))
        return External(name=folder, size_bytes=size_bytes, memory=memory)

    def targets(
        self, values: Sequence[Any], names: Sequence[str], serializer: AnySerializer | None
    ) -> list[Placed | ResultsError]:
        """Store each value as a plain file (or folder) of its own name, which other programs can read."""
        return _each(lambda item: self._target(*item, serializer), list(zip(values, names, strict=True)))

    def _target(self, value: Any, name: str, serializer: AnySerializer | None) -> Placed:
        used = choose(value, serializer)
        if isinstance(used, TreeSerializer):
            return Placed(kind=Kind.TREE, serializer=used.name, external=self._tree(used, value, name))
        parts = used.dump(value)
        self.files.write(name, parts)
        size_bytes = sum(memoryview(part).nbytes for part in parts)
        external = External(name=name, size_bytes=size_bytes, memory=digest(b"file", *parts))
        return Placed(kind=Kind.FILE, serializer=used.name, external=external)

    def load(self, items: Sequence[tuple[Kind, External, AnySerializer]]) -> list[Any]:
        """The values again; where one cannot be read, the error stands in its place."""
        return _each(lambda item: self._load(*item), items)

    def forget_object(self, external: External) -> None:
        """Remove a damaged object; in a store that cannot be written to, it stays."""
        try:
            self.files.remove([object_name(bytes.fromhex(external.name))])
        except StoreError:
            return

    def _load(self, kind: Kind, external: External, serializer: AnySerializer) -> Any:
        if isinstance(serializer, TreeSerializer):
            return serializer.load_tree(external.memory, self.files, external.name)
        return READERS[kind](self.files, external, serializer)


def _load_object(files: Files, external: External, serializer: Serializer) -> Any:
    return serializer.load(read_object(files, bytes.fromhex(external.name), external.size_bytes))


def _load_file(files: Files, external: External, serializer: Serializer) -> Any:
    data = bytearray(files.read(external.name))
    if digest(b"file", data) != external.memory:
        raise CorruptResult("the file was changed since it was stored", where=external.name, fix="compute it again")
    return serializer.load(memoryview(data))


READERS = {Kind.OBJECT: _load_object, Kind.FILE: _load_file}


def _each(function: Callable[[Item], Given], items: Sequence[Item]) -> list[Given | ResultsError]:
    """The function of each item, several at a time; an error of ours stands in the place of what it gives."""

    def attempt(item: Item) -> Given | ResultsError:
        try:
            return function(item)
        except ResultsError as error:
            return error
        except Exception as error:  # noqa: BLE001 - boundary: code of serializers that others wrote
            return ReadingError(f"{type(error).__name__}: {error}")

    if len(items) < 2:
        return [attempt(item) for item in items]
    with ThreadPoolExecutor(min(THREADS, len(items)), thread_name_prefix="dataflow-results") as pool:
        return list(pool.map(attempt, items))


def found_rows(head: PackHead, rows: Sequence[int]) -> list[FoundRow]:
    """What is known of rows of a pack besides their values."""
    columns = [head.column(name) for name in ("section", "created_at", "expires_at", "index", "kind")]
    known: dict[tuple[Any, ...], Provenance] = {}
    found = []
    for row in rows:
        section, created_at, expires_at, index, kind = (column[row].item() for column in columns)
        batch = (section, created_at, expires_at)
        provenance = known.get(batch) or known.setdefault(batch, head.provenance(row))
        found.append(FoundRow(provenance=provenance, index=index, file=_plain_file(kind, head.externals.get(row))))
    return found


def rows_in_files(head: PackHead, names: AbstractSet[str], run_id: str) -> list[int]:
    """The rows of a run in a pack that lie in plain files of some names."""
    if not any(section.provenance.run_id == run_id for section in head.sections):
        return []
    rows = [row for row, external in head.externals.items() if external.name in names]
    return [row for row in rows if head.provenance(row).run_id == run_id]


def _plain_file(kind: int, external: External | None) -> str:
    """The file or folder whose name the user chose; empty if it has none."""
    is_ours = external is None or kind == Kind.OBJECT or external.name.startswith(TREES)
    return "" if is_ours or external is None else external.name
