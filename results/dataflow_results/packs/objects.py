"""Large values as files of their own, named by the digest of their content, so that equal values share one file.

An object is written before the pack that names it. Until then only its age keeps it from being collected as unused, so
an equal one that was there before is written again once it is old.

Hashing costs hardly any time of its own: another thread does it while the bytes are on their way (BLAKE3 lets the
interpreter go on meanwhile).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dataflow_results.digests import DIGEST_BYTES, Buffer, Digest, digest, hasher
from dataflow_results.errors import CorruptResult
from dataflow_results.files.protocol import Files, as_views

__all__ = ["OBJECTS", "object_digest", "object_name", "read_object", "write_object"]

OBJECTS = "objects"
"""Folder of all objects."""
TAG = b"object"
THREADS = "dataflow-results-hash"
NAME = re.compile(rf"{OBJECTS}/[0-9a-f]{{2}}/(?P<digest>[0-9a-f]{{{2 * DIGEST_BYTES}}})")
ALIGNMENT_BYTES = 64
PARALLEL_BYTES = 8 * 1024 * 1024
"""From this size on a second thread costs less than it gains."""
PIECE_BYTES = {True: 16 * 1024 * 1024, False: 256 * 1024 * 1024}
"""What is read before its hashing begins. From a disk: what is still in the cache of the processor. From elsewhere: as
much as possible, because a store fetches the ranges of one piece at the same time, and then waits for the last."""


YOUNG_SECONDS = 1_800.0
"""An object that is no older is as good as new: collection leaves it at least as long again (an hour, if not told
otherwise), and until then the pack that names it is written."""


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


def write_object(files: Files, parts: Sequence[Buffer], *, now: float | None = None) -> tuple[Digest, int]:
    """Store parts, one after the other, as one object; nothing is sent if an equal one is there and young.

    Large ones on a disk are hashed while they are written, and renamed. Elsewhere the digest is taken first, because
    an object of a cloud store keeps the name it was sent under.

    Args:
        files: the store.
        parts: the content.
        now: seconds since the epoch; the clock is asked if it is not said.

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
    if size_bytes >= PARALLEL_BYTES and _renames(files):
        with ThreadPoolExecutor(1, thread_name_prefix=THREADS) as pool:
            hashing = pool.submit(digest, TAG, *views)
            files.write_from(iter(views), lambda: object_name(hashing.result()))
            return hashing.result(), size_bytes
    named = digest(TAG, *views)
    name = object_name(named)
    if files.size(name) != size_bytes or _is_old(files, name, time.time() if now is None else now):
        files.write(name, views)
    return named, size_bytes


def _is_old(files: Files, name: str, now: float) -> bool:
    """Whether collection may soon take an object that no pack names; one whose age is not told it never takes."""
    folder = name.rpartition("/")[0]
    modified = next((entry.modified_seconds for entry in files.list(folder) if entry.name == name), 0.0)
    return 0.0 < modified < now - YOUNG_SECONDS


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
    piece_bytes = PIECE_BYTES[_renames(files)]
    hashing = hasher(TAG)
    with ThreadPoolExecutor(1, thread_name_prefix=THREADS) as pool:
        for start in range(0, size_bytes, piece_bytes):
            piece = memory[start : start + piece_bytes]
            files.read_into(name, start, piece)
            pool.submit(hashing.update, piece)
    if hashing.digest(DIGEST_BYTES) != named:
        raise CorruptResult("its content is not what was written", where=f"{files.url}/{name}")
    return memory


def _renames(files: Files) -> bool:
    """Whether renaming costs nothing, so that a name may be found out while writing."""
    return files.url.startswith("file:")


def _room(size_bytes: int) -> memoryview:
    """Fresh memory of a size, aligned; its pages are taken when they are written to."""
    memory = np.empty(size_bytes + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[start : start + size_bytes].data
