"""The files of a store on anything fsspec knows: S3, Google, Azure, SFTP, HTTP (to read), the memory of this process.

An object of a cloud store appears when its last byte has arrived, so that a write is one request, and nothing is ever
renamed there. On remote filesystems (SFTP and its like) a write goes to a passing name and is renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeAlias

from dataflow_results.digests import Buffer
from dataflow_results.errors import ResultMissing, ResultsError, StoreDenied, StoreUrlError
from dataflow_results.files.access import Access, Connect
from dataflow_results.files.address import Address
from dataflow_results.files.conditional import created, honours_conditions, ignored_conditions
from dataflow_results.files.habits import Publishing
from dataflow_results.files.listing import entries_below
from dataflow_results.files.protocol import (
    Entry,
    as_views,
    is_partial,
    joined,
    partial_name,
    slices,
    total_bytes,
)
from dataflow_results.files.publishing import PUBLISH, put_renamed, put_whole, send
from dataflow_results.files.ranges import read_into, read_ranges
from dataflow_results.files.trouble import Kind, Patience, Trouble, error_for
from dataflow_results.files.uploads import PART_BYTES, THREADS, part_bytes, remove_s3

__all__ = ["RemoteFiles"]

Entries: TypeAlias = list[Entry]

REMOVERS = 8
"""Files that are removed at once where a store has no request for many."""


class RemoteFiles:
    """Files below a URL of fsspec.

    Args:
        address: where.
        connect: makes the filesystem; called once in each process, when it is first needed.
        patience: how long what may succeed later is tried again.
    """

    __slots__ = ("_access",)

    def __init__(self, address: Address, connect: Connect, *, patience: Patience | None = None) -> None:
        self._access = Access(address, connect, patience or Patience())

    @property
    def url(self) -> str:
        """The URL, without credentials."""
        return self._access.address.shown

    def __repr__(self) -> str:
        return f"RemoteFiles({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        address = self._access.address
        if address.secret:
            raise StoreUrlError(
                "this store has credentials in its URL or options, and those must not travel to other processes",
                where=self.url,
                fix="put them into the environment or the configuration of fsspec on each machine",
            )
        return (RemoteFiles, (address, self._access.connect))

    def _check_writable(self, name: str) -> None:
        if self._access.habits.read_only:
            problem = f"stores over {self._access.address.protocol} can only be read"
            raise StoreDenied(problem, where=self._access.where(name), fix="another URL to write to")

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """See `Files.read`."""
        [found] = read_ranges(self._access, [(name, start, stop)])
        if isinstance(found, ResultsError):
            raise found
        return found

    def read_many(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | ResultsError]:
        """See `Files.read_many`; all at the same time where the filesystem can."""
        return read_ranges(self._access, parts) if parts else []

    def read_into(self, name: str, start: int, target: memoryview) -> None:
        """See `Files.read_into`; a large one by several ranges at a time."""
        read_into(self._access, name, start, target.cast("B"))

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """See `Files.write`; one request up to `PART_BYTES`, in parts above."""
        self._check_writable(name)
        publishing = self._access.habits.publishing
        if publishing is Publishing.RENAME:
            put_renamed(self._access, name, slices(iter(as_views(parts)), part_bytes))
        elif publishing is Publishing.JOIN or total_bytes(parts) <= PART_BYTES:
            put_whole(self._access, name, joined(parts))
        else:
            send(self._access, name, slices(iter(as_views(parts)), part_bytes))

    def write_from(self, pieces: Iterator[Buffer], name_when_done: Callable[[], str]) -> str:
        """See `Files.write_from`; what fits into one request is sent by one."""
        self._check_writable("")
        cut = slices((view for piece in pieces for view in as_views([piece])), part_bytes)
        first, second = next(cut, b""), next(cut, None)
        if second is None:
            name = name_when_done()
            self.write(name, [first])
            return name
        publish = PUBLISH[self._access.habits.publishing]
        return publish(self._access, chain([first, second], cut), name_when_done)

    def create(self, name: str, data: bytes) -> bool:
        """See `Files.create`."""
        if not self.creates_safely():
            raise ignored_conditions(self.url)
        made = created(data, lambda data: self._put_new(name, data), lambda: self._read_or_none(name))
        if isinstance(made, Trouble):
            raise error_for(made, self._access.where(name), writing=True)
        return made

    def _put_new(self, name: str, data: bytes) -> Trouble | None:
        here, path = self._access.here, self._access.path(name)
        if self._access.habits.publishing is Publishing.RENAME:
            self._access.make_folder(name)

        def put() -> None:
            here.filesystem.pipe_file(path, data, mode="create")

        def put_alone() -> None:
            with here.lock:
                put()

        in_memory = self._access.habits.publishing is Publishing.JOIN  # it looks first, and writes then
        return self._access.attempt(put_alone if in_memory else put)

    def _read_or_none(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except ResultMissing:
            return None

    def creates_safely(self) -> bool:
        """See `Files.creates_safely`."""
        here = self._access.here
        if here.conditional is None:
            here.conditional = not self._access.habits.read_only and self._probe()
        return here.conditional

    def _probe(self) -> bool:
        name = partial_name()
        try:
            honoured = honours_conditions(lambda data: self._put_new(name, data))
        finally:
            self.remove([name])
        if isinstance(honoured, Trouble):
            raise error_for(honoured, self.url, writing=True)
        return honoured

    def remove(self, names: Sequence[str]) -> None:
        """See `Files.remove`."""
        if not names:
            return
        self._check_writable(names[0])
        filesystem = self._access.filesystem
        if hasattr(filesystem, "call_s3"):
            paths = [self._access.path(name) for name in names]
            remove_s3(filesystem, paths, lambda action: self._access.call(names[0], action))
        elif len(names) == 1 or not getattr(filesystem, "async_impl", False):
            list(map(self._remove_one, names))
        else:
            with ThreadPoolExecutor(REMOVERS, thread_name_prefix=THREADS) as pool:
                list(pool.map(self._remove_one, names))

    def _remove_one(self, name: str) -> None:
        path = self._access.path(name)
        outcome = self._access.attempt(lambda: self._access.filesystem.rm_file(path))
        if isinstance(outcome, Trouble) and outcome.kind is not Kind.MISSING:
            raise error_for(outcome, self._access.where(name))

    def list(self, folder: str = "") -> Entries:
        """See `Files.list`."""
        return [entry for entry in self._find(folder) if not is_partial(entry.name)]

    def leftovers(self) -> Entries:
        """See `Files.leftovers`; uploads to S3 that never ended are not listed: buckets have rules for that."""
        return [entry for entry in self._find("") if is_partial(entry.name)]

    def _find(self, folder: str) -> Entries:
        return sorted(entries_below(self._access, folder.strip("/")), key=lambda entry: entry.name)

    def exists(self, name: str) -> bool:
        """See `Files.exists`."""
        return self._info(name) is not None

    def size(self, name: str) -> int | None:
        """See `Files.size`."""
        info = self._info(name)
        return None if info is None else int(info["size"] or 0)

    def _info(self, name: str) -> dict[str, Any] | None:
        path = self._access.path(name)
        info = self._access.attempt(lambda: self._access.filesystem.info(path))
        if isinstance(info, Trouble):
            if info.kind is Kind.MISSING:
                return None
            raise error_for(info, self._access.where(name))
        return info if info["type"] == "file" else None
