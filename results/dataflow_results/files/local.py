"""The files of a store on a disk of this machine, or on a shared one that looks like it: plain calls of the system.

A file is written under a temporary name in its own folder and then renamed, so that a reader, a crash or ``kill -9``
never meets half of it. fsspec is not used: its local writes happen in place, and its ``create`` looks before it writes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial as bound
from pathlib import Path
from typing import TypeAlias, TypeVar

from dataflow_results.digests import Buffer
from dataflow_results.errors import CorruptResult, ResultMissing, ResultsError, StoreUrlError
from dataflow_results.files.protocol import Entry, as_views, check_name, is_partial, joined, partial_name
from dataflow_results.files.trouble import diagnose, error_for

__all__ = ["LocalFiles"]

T = TypeVar("T")

Entries: TypeAlias = list[Entry]
Found: TypeAlias = list[os.DirEntry[str]]

JOIN_BYTES = 1024 * 1024
"""Parts that are together no longer than this are joined: one system call is cheaper than many."""
CALL_BYTES = 1024 * 1024 * 1024
"""The system takes at most 2 GiB in one call."""
WITHOUT_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What filesystems answer that know no hard links."""
FIX_FILE = "the path of a folder, or of none yet"
FOLDER_TRIES = 100
"""How often a folder is made again that somebody removes, being empty, before we write to it."""


class LocalFiles:
    """Files below a folder.

    Args:
        root: the folder; made when first written to.
        durable: whether a write ends only when the disk has it. Without, a power failure (not a crash of a process)
            may lose the last seconds; what is lost is missing, or recognised by its checksum.

    Example:
        >>> import tempfile
        >>> files = LocalFiles(tempfile.mkdtemp())
        >>> files.write("a/b", [b"he", b"llo"])
        >>> files.read("a/b", 1, 3)
        b'el'
    """

    __slots__ = ("_root", "durable")

    def __init__(self, root: str | os.PathLike[str], *, durable: bool = False) -> None:
        self._root = str(Path(root).expanduser().absolute())
        self.durable = durable

    @property
    def url(self) -> str:
        """The folder as a ``file://`` URL."""
        return f"file://{self._root}"

    def __repr__(self) -> str:
        return f"LocalFiles({self._root!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self._root, self.durable))

    def _path(self, name: str) -> str:
        return f"{self._root}/{check_name(name)}"

    def _do(self, name: str, action: Callable[[], T], *, writing: bool = False) -> T:
        try:
            return action()
        except OSError as error:
            if isinstance(error, NotADirectoryError) and _is_no_folder(self._root):
                raise StoreUrlError("a store is a folder, and here is a file", where=self.url, fix=FIX_FILE) from None
            raise error_for(diagnose(error), f"{self.url}/{name}", writing=writing) from error

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """See `Files.read`."""
        path = self._path(name)
        return self._do(name, lambda: _read(path, start, stop))

    def read_many(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | ResultsError]:
        """See `Files.read_many`; one after the other, which is fastest on a disk."""
        return [self._read_or_error(*part) for part in parts]

    def _read_or_error(self, name: str, start: int, stop: int | None) -> bytes | ResultsError:
        try:
            return self.read(name, start, stop)
        except ResultsError as error:
            return error

    def read_into(self, name: str, start: int, target: memoryview) -> None:
        """See `Files.read_into`."""
        path = self._path(name)
        view = target.cast("B")
        missing = self._do(name, lambda: _fill(path, start, view))
        if missing:
            raise CorruptResult(f"the file ends {missing:,} bytes too early", where=f"{self.url}/{name}")

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """See `Files.write`."""
        path = self._path(name)
        views = as_views(parts)
        if sum(view.nbytes for view in views) <= JOIN_BYTES:
            views = as_views([joined(views)])
        self._do(name, lambda: self._publish(path, iter(views)), writing=True)

    def _publish(self, path: str, views: Iterator[memoryview]) -> None:
        partial = self._begin(_folder_of(path), views)
        with _removed_on_failure(partial):
            self._rename(partial, path)

    def _rename(self, partial: str, path: str) -> None:
        _in_folder(path, lambda: os.replace(partial, path))  # noqa: PTH105 - hot path: a Path costs more than the call
        self._settle(path)

    def write_from(self, pieces: Iterator[Buffer], name_when_done: Callable[[], str]) -> str:
        """See `Files.write_from`."""
        views = (view for piece in pieces for view in as_views([piece]))
        partial = self._do("", lambda: self._begin(self._root, views), writing=True)
        with _removed_on_failure(partial):
            name = name_when_done()
            path = self._path(name)
            self._do(name, lambda: self._rename(partial, path), writing=True)
        return name

    def create(self, name: str, data: bytes) -> bool:
        """See `Files.create`."""
        path = self._path(name)
        return self._do(name, lambda: self._create(path, data), writing=True)

    def _create(self, path: str, data: bytes) -> bool:
        partial = self._begin(_folder_of(path), iter(as_views([data])))
        with _removed(partial):
            try:
                os.link(partial, path)
            except FileExistsError:
                # Over NFS a link may be made, its answer lost, and the repeated request be told that it exists.
                return _read_if_there(path) == data
            except OSError as error:
                if error.errno not in WITHOUT_LINKS:
                    raise
                return self._create_in_place(path, data)
            self._settle(path)
            return True

    def _create_in_place(self, path: str, data: bytes) -> bool:
        """Where there are no links: as exclusive, but a reader may meet the file before it is full."""
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            return False
        self._fill_and_close(descriptor, iter(as_views([data])))
        self._settle(path)
        return True

    def creates_safely(self) -> bool:
        """See `Files.creates_safely`: a link is made once, whoever asks."""
        return True

    def remove(self, names: Sequence[str]) -> None:
        """See `Files.remove`; folders that became empty go too."""
        folders = set()
        for name in names:
            path = self._path(name)
            self._do(name, bound(_unlink, path))
            folders.add(_folder_of(path))
        for folder in sorted(folders, key=len, reverse=True):
            self._remove_empty(folder)

    def _remove_empty(self, folder: str) -> None:
        with contextlib.suppress(OSError):  # not empty, or somebody was faster: both are fine
            while len(folder) > len(self._root):
                os.rmdir(folder)  # noqa: PTH106 - as above
                folder = _folder_of(folder)

    def list(self, folder: str = "") -> Entries:
        """See `Files.list`."""
        return sorted((e for e in self._walk(folder) if not is_partial(e.name)), key=lambda entry: entry.name)

    def leftovers(self) -> Entries:
        """See `Files.leftovers`."""
        return sorted((e for e in self._walk("") if is_partial(e.name)), key=lambda entry: entry.name)

    def _walk(self, folder: str) -> Iterator[Entry]:
        top = self._path(folder.rstrip("/")) if folder.strip("/") else self._root
        waiting = [top]
        while waiting:
            path = waiting.pop()
            for found in self._scanned(folder, path):
                if found.is_dir(follow_symlinks=False):
                    waiting.append(found.path)
                    continue
                with contextlib.suppress(FileNotFoundError):  # removed while we look
                    status = found.stat()
                    name = found.path[len(self._root) + 1 :]
                    yield Entry(name=name, size_bytes=status.st_size, modified_seconds=status.st_mtime)

    def _scanned(self, folder: str, path: str) -> Found:
        try:
            return self._do(folder, bound(_scan, path))
        except ResultMissing:  # the name of a file of the store: nothing lies below it
            return []

    def exists(self, name: str) -> bool:
        """See `Files.exists`."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """See `Files.size`."""
        path = self._path(name)
        try:
            return self._do(name, lambda: os.stat(path).st_size)  # noqa: PTH116 - as above
        except ResultMissing:
            return None

    def _begin(self, folder: str, views: Iterator[memoryview]) -> str:
        """Write to a temporary name in a folder; give its path."""
        partial = f"{folder}/{partial_name()}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        descriptor = _in_folder(partial, lambda: os.open(partial, flags, 0o666))
        with _removed_on_failure(partial):
            self._fill_and_close(descriptor, views)
        return partial

    def _fill_and_close(self, descriptor: int, views: Iterator[memoryview]) -> None:
        try:
            for view in views:
                _write_all(descriptor, view)
            if self.durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _settle(self, path: str) -> None:
        """Make the name itself survive a power failure, and the names of the folders above it."""
        if not self.durable:
            return
        folder = path
        while len(folder) > len(self._root):
            folder = _folder_of(folder)
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _rebuild(root: str, durable: bool) -> LocalFiles:
    return LocalFiles(root, durable=durable)


def _is_no_folder(path: str) -> bool:
    """Whether a file is in the way: at the path, or above it."""
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - as below
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _in_folder(path: str, action: Callable[[], T]) -> T:
    """Do what needs the folder of a path, which is made if it is not there."""
    for _ in range(FOLDER_TRIES):
        try:
            return action()
        except FileNotFoundError:
            with contextlib.suppress(FileNotFoundError, FileExistsError):  # somebody removes it while we make it
                os.makedirs(_folder_of(path), exist_ok=True)  # noqa: PTH103 - as above
    return action()


def _write_all(descriptor: int, view: memoryview) -> None:
    while view.nbytes:
        view = view[os.write(descriptor, view[:CALL_BYTES]) :]


def _read(path: str, start: int, stop: int | None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        wanted = (os.fstat(descriptor).st_size if stop is None else stop) - start
        if wanted <= 0:
            return b""
        first = os.pread(descriptor, min(wanted, CALL_BYTES), start)
        if len(first) == wanted or len(first) < min(wanted, CALL_BYTES):
            return first
        rest = bytearray(wanted - len(first))
        missing = _fill_open(descriptor, start + len(first), memoryview(rest))
        return first + bytes(memoryview(rest)[: len(rest) - missing])
    finally:
        os.close(descriptor)


def _fill(path: str, start: int, view: memoryview) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _fill_open(descriptor, start, view)
    finally:
        os.close(descriptor)


def _fill_open(descriptor: int, start: int, view: memoryview) -> int:
    """Fill a view from an open file; how many bytes are missing at the end."""
    while view.nbytes:
        count = os.preadv(descriptor, [view[:CALL_BYTES]], start)
        if not count:
            break
        start, view = start + count, view[count:]
    return view.nbytes


def _read_if_there(path: str) -> bytes | None:
    try:
        return _read(path, 0, None)
    except FileNotFoundError:
        return None


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - as above


def _scan(path: str) -> Found:
    try:
        with os.scandir(path) as found:
            return list(found)
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def _removed(path: str) -> Iterator[None]:
    try:
        yield
    finally:
        _unlink(path)


@contextlib.contextmanager
def _removed_on_failure(path: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # the failure that got us here is the one to tell
            _unlink(path)
        raise
