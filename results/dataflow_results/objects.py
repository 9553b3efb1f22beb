"""Large values as files of their own, named by the digest of their content, so that equal values share one file.

Hashing costs no time of its own: while one piece is on its way to the disk or from the store, another thread hashes its
neighbour (BLAKE3 lets the interpreter go on meanwhile).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from dataflow_results.digests import DIGEST_BYTES, Buffer, Digest, Hasher, digest, hasher
from dataflow_results.errors import CorruptResult
from dataflow_results.files.protocol import Files, as_views

__all__ = ["OBJECTS", "object_digest", "object_name", "read_object", "write_object"]

OBJECTS = "objects"
"""Folder of all objects."""
TAG = b"object"
NAME = re.compile(rf"{OBJECTS}/[0-9a-f]{{2}}/(?P<digest>[0-9a-f]{{{2 * DIGEST_BYTES}}})")
RENAMING = "file:"
"""Stores whose files are renamed at no cost, so that the name may be found out while writing."""
ALIGNMENT_BYTES = 64
WRITTEN_PIECE_BYTES = 8 * 1024 * 1024
"""Large enough that handing a piece to a thread costs nothing, small enough to be still in the cache for the disk."""
READ_PIECE_BYTES = 64 * 1024 * 1024
"""Larger, because a store fetches the ranges of one piece at the same time."""


def object_name(named: Digest) -> str:
    """Where the object of a digest lies in a store.

    Example:
        >>> object_name(bytes(20))
        'objects/00/0000000000000000000000000000000000000000'
    """
    text = named.hex()
    return f"{OBJECTS}/{text[:2]}/{text}"


def object_digest(name: str) -> Digest | None:
    """The digest that the name of an object says; None if it is no such name.

    Example:
        >>> object_digest(object_name(bytes(20))) == bytes(20), object_digest("objects/README")
        (True, None)
    """
    found = NAME.fullmatch(name)
    return None if found is None else bytes.fromhex(found["digest"])


def write_object(files: Files, parts: Sequence[Buffer]) -> tuple[Digest, int]:
    """Store parts, one after the other, as one object; nothing is sent if an equal one is there.

    Large ones on a disk are hashed while they are written, and renamed. Elsewhere the digest is taken first, because
    an object of a cloud store keeps the name it was sent under.

    Returns:
        The digest that names the object, and its size in bytes.

    Raises:
        StoreError: the store is in trouble.

    Example:
        >>> import tempfile
        >>> from dataflow_results.files import open_files
        >>> files = open_files(tempfile.mkdtemp())
        >>> named, size_bytes = write_object(files, [b"he", b"llo"])
        >>> bytes(read_object(files, named, size_bytes))
        b'hello'
    """
    views = as_views(parts)
    size_bytes = sum(len(view) for view in views)
    if size_bytes > WRITTEN_PIECE_BYTES and files.url.startswith(RENAMING):
        with _HashingThread() as hashing:
            files.write_from(hashing.passing(_pieces(views)), lambda: object_name(hashing.digest()))
            return hashing.digest(), size_bytes
    named = digest(TAG, *views)
    if files.size(object_name(named)) != size_bytes:
        files.write(object_name(named), views)
    return named, size_bytes


def read_object(files: Files, named: Digest, size_bytes: int) -> memoryview:
    """The content of an object in fresh, writable memory that begins at a multiple of 64 bytes.

    Args:
        files: the store.
        named: the digest that names it.
        size_bytes: as `write_object` told it.

    Raises:
        ResultMissing: there is no such object.
        CorruptResult: its content is not what was written.
        StoreError: the store is in trouble.
    """
    name = object_name(named)
    memory = _room(size_bytes)
    with _HashingThread() as hashing:
        for start in range(0, size_bytes, READ_PIECE_BYTES):
            piece = memory[start : start + READ_PIECE_BYTES]
            files.read_into(name, start, piece)
            hashing.update(piece)
        if hashing.digest() != named:
            raise CorruptResult("its content is not what was written", where=f"{files.url}/{name}")
    return memory


class _HashingThread:
    """Hashes pieces in a thread of its own, in order, one behind its caller."""

    def __init__(self) -> None:
        self._hasher: Hasher = hasher(TAG)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dataflow-results-hash")
        self._last: Future[object] | None = None

    def __enter__(self) -> _HashingThread:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def update(self, piece: memoryview) -> None:
        """Begin to hash a piece once the one before it is done."""
        self._wait()
        self._last = self._pool.submit(self._hasher.update, piece)

    def passing(self, pieces: Iterator[memoryview]) -> Iterator[memoryview]:
        """The pieces, each of them hashed while its receiver works on it."""
        for piece in pieces:
            self.update(piece)
            yield piece

    def digest(self) -> Digest:
        """The digest of all pieces so far."""
        self._wait()
        return self._hasher.digest(DIGEST_BYTES)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None


def _pieces(views: Sequence[memoryview]) -> Iterator[memoryview]:
    """The parts, long ones cut: what is small enough to be written and hashed at once."""
    for view in views:
        yield from (view[start : start + WRITTEN_PIECE_BYTES] for start in range(0, len(view), WRITTEN_PIECE_BYTES))


def _room(size_bytes: int) -> memoryview:
    """Fresh memory of a size, aligned; its pages are taken when they are written to."""
    memory = np.empty(size_bytes + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[start : start + size_bytes].data
