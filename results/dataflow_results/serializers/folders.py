"""A folder of files that remembers the checksum of each, and answers the questions that Zarr asks a store.

Zarr is not imported here: `zarr_store` makes the store of it when one is needed.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dataflow_results.digests import Digest, digest
from dataflow_results.errors import CorruptResult, ResultMissing, StoringError
from dataflow_results.serializers.protocol import optional, reading

if TYPE_CHECKING:
    from dataflow_results.digests import Buffer

__all__ = ["Folder", "Holder", "Scratch", "zarr_store"]

MANIFEST = "manifest.json"
TAG = b"tree"


class Holder(Protocol):
    """What a folder needs of the files of a store."""

    def read(self, name: str) -> bytes:
        """The whole file; raises ResultMissing."""

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """Put the parts under a name."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""


class Scratch:
    """Files in memory, to try something on."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        """The whole file."""
        return self._files[name]

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """Put the parts under a name."""
        self._files[name] = b"".join(parts)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""
        for name in names:
            self._files.pop(name, None)


class Folder:
    """Files below a name, each with its size and checksum.

    Args:
        files: holds them.
        name: where they lie.
        known: name below the folder → checksum. What is not in it does not exist, so that nothing is ever listed.
    """

    __slots__ = ("_discarded", "_files", "_idle", "_writing", "known", "name")

    def __init__(self, files: Holder, name: str, known: dict[str, Digest] | None = None) -> None:
        self._files = files
        self._idle = threading.Condition()
        self._writing = 0
        self._discarded = False
        self.name = name
        self.known: dict[str, Digest] = {} if known is None else known

    def __reduce__(self) -> tuple[object, ...]:
        return (Folder, (self._files, self.name, self.known))

    @classmethod
    def sealed(cls, files: Holder, name: str, manifest: Digest) -> Folder:
        """The folder whose manifest has a digest.

        Raises:
            CorruptResult: the manifest is another one, or not there.
        """
        folder = cls(files, name, {MANIFEST: manifest})
        with reading("zarr", ValueError, AttributeError):
            listed = json.loads(folder.read(MANIFEST) or b"")
            folder.known = {key: bytes.fromhex(text) for key, text in listed.items()}
        return folder

    def seal(self) -> Digest:
        """Write down what the folder holds; the digest of that speaks for everything in it."""
        listed = {key: self.known[key].hex() for key in sorted(self.known)}
        self.write(MANIFEST, json.dumps(listed, separators=(",", ":")).encode())
        return self.known.pop(MANIFEST)

    def read(self, key: str) -> bytes | None:
        """A whole file, verified; None if the folder has no such file.

        Raises:
            CorruptResult: it is not what was written, or has gone.
        """
        expected = self.known.get(key)
        if expected is None:
            return None
        where = f"{self.name}/{key}"
        try:
            data = self._files.read(where)
        except ResultMissing as error:
            raise CorruptResult("a file of a stored folder has gone", where=where) from error
        if digest(TAG, data) != expected:
            raise CorruptResult("its content is not what was written", where=where)
        return data

    def write(self, key: str, data: Buffer) -> None:
        """Put a file; replaces one of the same name.

        Raises:
            StoringError: the folder was discarded meanwhile.
        """
        with self._idle:
            if self._discarded:
                raise StoringError("the folder was given up", where=self.name)
            self._writing += 1
            self.known[key] = digest(TAG, data)
        try:
            self._files.write(f"{self.name}/{key}", [data])
        finally:
            with self._idle:
                self._writing -= 1
                self._idle.notify_all()

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files."""
        keys = list(keys)
        self._files.remove([f"{self.name}/{key}" for key in keys])
        with self._idle:
            for key in keys:
                self.known.pop(key, None)

    def discard(self) -> None:
        """Remove all files; those that other threads are still writing are waited for, and no new ones are taken."""
        with self._idle:
            self._discarded = True
            self._idle.wait_for(lambda: not self._writing)
        self.remove(self.below(""))

    def below(self, prefix: str) -> list[str]:
        """Names that begin like that, sorted."""
        with self._idle:
            return sorted(key for key in self.known if key.startswith(prefix))


class _ZarrMethods:
    """What `zarr.abc.store.Store` asks of its children, answered by a folder. Blocking calls run in threads."""

    supports_writes = True
    supports_deletes = True
    supports_listing = True
    folder: Folder
    read_only: bool

    def __init__(self, folder: Folder, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)  # type: ignore[call-arg]
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (zarr_store, (self.folder, self.read_only))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ZarrMethods) and (self.folder.name, self.folder.known) == (
            other.folder.name,
            other.folder.known,
        )

    def __hash__(self) -> int:
        return hash(self.folder.name)

    def __str__(self) -> str:
        return f"results://{self.folder.name}"

    def with_read_only(self, read_only: bool = False) -> Any:
        return type(self)(self.folder, read_only=read_only)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        data = await asyncio.to_thread(self.folder.read, key)
        if data is None:
            return None
        start, stop = _bounds(byte_range, len(data))
        return prototype.buffer.from_bytes(data[start:stop])

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        return list(await asyncio.gather(*(self.get(key, prototype, span) for key, span in key_ranges)))

    async def exists(self, key: str) -> bool:
        return key in self.folder.known

    async def set(self, key: str, value: Any) -> None:
        self._check_writable()  # type: ignore[attr-defined]
        await asyncio.to_thread(self.folder.write, key, value.as_numpy_array().data.cast("B"))

    async def delete(self, key: str) -> None:
        self._check_writable()  # type: ignore[attr-defined]
        await asyncio.to_thread(self.folder.remove, [key])

    async def list(self) -> AsyncIterator[str]:
        for key in self.folder.below(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self.folder.below(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in dict.fromkeys(key[len(start) :].partition("/")[0] for key in self.folder.below(start)):
            yield name


def _bounds(byte_range: Any, size_bytes: int) -> tuple[int, int]:
    """Start and stop of Zarr's four ways to ask for a part: nothing, a range, from an offset, the last bytes."""
    if byte_range is None:
        return 0, size_bytes
    if hasattr(byte_range, "suffix"):
        return max(0, size_bytes - byte_range.suffix), size_bytes
    if hasattr(byte_range, "offset"):
        return byte_range.offset, size_bytes
    return byte_range.start, byte_range.end


def zarr_store(folder: Folder, read_only: bool) -> Any:
    """A store of Zarr on a folder."""
    return _store_class()(folder, read_only=read_only)


@functools.cache
def _store_class() -> Any:
    """The class, made when Zarr is first needed, because it is a child of one of Zarr's."""
    store = optional("zarr.abc.store", serializer="zarr").Store
    return type("FolderStore", (_ZarrMethods, store), {"__module__": __name__})
