"""Files that count what is asked of them: how many requests a look-up costs is tested, not guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from dataflow_results.digests import Buffer
from dataflow_results.errors import ResultsError
from dataflow_results.files.protocol import Entry, Files

__all__ = ["CountingFiles"]

Entries: TypeAlias = list[Entry]


class CountingFiles:
    """Files that do what others do, and count it.

    Attributes:
        inner: the files that do it.
        counts: calls by kind: "read", "write", "list", "create", "remove", "look" (`exists` and `size`). Each part of
            `read_many` counts as one read.
        bytes_read: how many bytes were given.
        bytes_written: how many were taken.

    Example:
        >>> from dataflow_results.files import open_files
        >>> files = CountingFiles(open_files("memory://counting-example"))
        >>> files.write("a", [b"hello"])
        >>> files.read_many([("a", 0, 2), ("a", 2, 4)])
        [b'he', b'll']
        >>> dict(files.counts), files.total, files.bytes_read
        ({'write': 1, 'read': 2}, 3, 4)
    """

    def __init__(self, inner: Files) -> None:
        self.inner = inner
        self.counts: Counter[str] = Counter()
        self.bytes_read = 0
        self.bytes_written = 0

    @property
    def total(self) -> int:
        """All calls so far."""
        return self.counts.total()

    def reset(self) -> None:
        """Count anew from zero."""
        self.counts.clear()
        self.bytes_read = self.bytes_written = 0

    @property
    def url(self) -> str:
        """See `Files.url`."""
        return self.inner.url

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """See `Files.read`."""
        self.counts["read"] += 1
        data = self.inner.read(name, start, stop)
        self.bytes_read += len(data)
        return data

    def read_many(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | ResultsError]:
        """See `Files.read_many`."""
        self.counts.update(["read"] * len(parts))
        found = self.inner.read_many(parts)
        self.bytes_read += sum(len(one) for one in found if isinstance(one, bytes))
        return found

    def read_into(self, name: str, start: int, target: memoryview) -> None:
        """See `Files.read_into`."""
        self.counts["read"] += 1
        self.inner.read_into(name, start, target)
        self.bytes_read += target.nbytes

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """See `Files.write`."""
        self.counts["write"] += 1
        self.bytes_written += sum(memoryview(part).nbytes for part in parts)
        self.inner.write(name, parts)

    def write_from(self, pieces: Iterator[Buffer], name_when_done: Callable[[], str]) -> str:
        """See `Files.write_from`."""
        self.counts["write"] += 1
        return self.inner.write_from(self._counted(pieces), name_when_done)

    def _counted(self, pieces: Iterator[Buffer]) -> Iterator[Buffer]:
        for piece in pieces:
            self.bytes_written += memoryview(piece).nbytes
            yield piece

    def create(self, name: str, data: bytes) -> bool:
        """See `Files.create`."""
        self.counts["create"] += 1
        self.bytes_written += len(data)
        return self.inner.create(name, data)

    def creates_safely(self) -> bool:
        """See `Files.creates_safely`; not counted: it is asked of the store once."""
        return self.inner.creates_safely()

    def remove(self, names: Sequence[str]) -> None:
        """See `Files.remove`; counted once, or not at all if there is nothing to remove."""
        self.counts.update(["remove"][: len(names)])
        self.inner.remove(names)

    def list(self, folder: str = "") -> Entries:
        """See `Files.list`."""
        self.counts["list"] += 1
        return self.inner.list(folder)

    def leftovers(self) -> Entries:
        """See `Files.leftovers`."""
        self.counts["list"] += 1
        return self.inner.leftovers()

    def exists(self, name: str) -> bool:
        """See `Files.exists`."""
        self.counts["look"] += 1
        return self.inner.exists(name)

    def size(self, name: str) -> int | None:
        """See `Files.size`."""
        self.counts["look"] += 1
        return self.inner.size(name)
