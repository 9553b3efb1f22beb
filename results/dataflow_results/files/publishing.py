"""How a stream of pieces becomes a file of a remote store: in parts, under a name that may be known only at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

from dataflow_results.files.access import Access
from dataflow_results.files.habits import Publishing
from dataflow_results.files.protocol import partial_name
from dataflow_results.files.uploads import PART_BYTES, upload, upload_s3

__all__ = ["PUBLISH", "put_renamed", "put_whole", "send"]


def send(access: Access, name: str, pieces: Iterator[bytes]) -> None:
    """Write pieces under a name, in parts."""
    put = upload_s3 if hasattr(access.filesystem, "call_s3") else upload
    put(access.filesystem, access.path(name), pieces, lambda action: access.call(name, action, writing=True))


def put_whole(access: Access, name: str, data: bytes) -> None:
    """Write a file by one request."""
    path = access.path(name)
    access.call(name, lambda: access.filesystem.pipe_file(path, data), writing=True)


def put_renamed(access: Access, name: str, pieces: Iterator[bytes]) -> None:
    """Write pieces where a write in progress can be seen: under a passing name in the same folder."""
    folder, slash, _ = name.rpartition("/")
    _passing(access, f"{folder}{slash}{partial_name()}", pieces, lambda: name)


def _passing(access: Access, passing: str, pieces: Iterator[bytes], name_when_done: Callable[[], str]) -> str:
    old = access.path(passing)
    access.make_folder(passing)
    try:
        send(access, passing, pieces)
        name = name_when_done()
        new = access.path(name)
        access.make_folder(name)
        access.call(name, lambda: access.filesystem.mv(old, new), writing=True)
    except BaseException:
        access.attempt(lambda: access.filesystem.rm_file(old))  # if that fails too, it is among the leftovers
        raise
    return name


def _by_renaming(access: Access, pieces: Iterator[bytes], name_when_done: Callable[[], str]) -> str:
    return _passing(access, partial_name(), pieces, name_when_done)


def _by_copying(access: Access, pieces: Iterator[bytes], name_when_done: Callable[[], str]) -> str:
    passing = partial_name()
    send(access, passing, pieces)
    old = access.path(passing)
    try:
        name = name_when_done()
        new = access.path(name)
        access.call(name, lambda: access.filesystem.cp_file(old, new), writing=True)
    finally:
        access.attempt(lambda: access.filesystem.rm_file(old))  # if that fails, it is among the leftovers
    return name


def _by_spooling(access: Access, pieces: Iterator[bytes], name_when_done: Callable[[], str]) -> str:
    with tempfile.TemporaryFile(prefix="dataflow-") as spool:
        spool.writelines(pieces)
        name = name_when_done()
        spool.seek(0)
        send(access, name, iter(lambda: spool.read(PART_BYTES), b""))
    return name


def _by_joining(access: Access, pieces: Iterator[bytes], name_when_done: Callable[[], str]) -> str:
    whole = b"".join(pieces)
    name = name_when_done()
    put_whole(access, name, whole)
    return name


PUBLISH: dict[Publishing, Callable[[Access, Iterator[bytes], Callable[[], str]], str]] = {
    Publishing.COPY: _by_copying,
    Publishing.JOIN: _by_joining,
    Publishing.RENAME: _by_renaming,
    Publishing.SPOOL: _by_spooling,
}
"""How a stream gets the name that is known at its end, by the habits of the store."""
