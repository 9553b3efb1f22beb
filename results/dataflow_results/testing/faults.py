"""Files that fail by script: the third write is lost, the second listing is old, the disk is full from now on.

Nothing is left to chance or to the clock: a script says which call of which operation goes wrong, and how. For what
should happen below the patience of `RemoteFiles` there is `dataflow_results.testing.faulty_filesystem`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import TypeAlias, TypeVar

from dataflow_results.digests import Buffer
from dataflow_results.errors import ResultsError, StoreDenied, StoreFull, StoreUnreachable
from dataflow_results.files.protocol import Entry, Files, as_views, joined

__all__ = ["EVERY_CALL", "Fault", "FaultyFiles", "Script"]

T = TypeVar("T")
Entries: TypeAlias = list[Entry]


class Fault(Enum):
    """What goes wrong."""

    UNREACHABLE = auto()
    """Nothing happens; the caller is told that the store does not answer (5xx, time-out)."""
    LOST_ANSWER = auto()
    """It happens, but the caller is told that the store does not answer."""
    TORN = auto()
    """Of a write, the first half stands under the final name, as on stores without whole writes; then no answer."""
    STALE = auto()
    """A listing, or a question for a file, is answered as it was the first time it was asked."""
    FLIPPED = auto()
    """One bit of what is read, in its middle, is wrong."""
    FULL = auto()
    DENIED = auto()
    SLOW = auto()
    """It happens after `FaultyFiles.slow_seconds`."""


EVERY_CALL = 0
"""In a script: all calls without an entry of their own."""
Script: TypeAlias = Mapping[str, Mapping[int, Fault]]
"""Operation ("read", "write", "create", "remove", "list", "look") → number of the call, from 1 → what goes wrong."""

ERRORS: dict[Fault, Callable[[str], ResultsError]] = {
    Fault.UNREACHABLE: lambda where: StoreUnreachable("the store does not answer", where=where),
    Fault.LOST_ANSWER: lambda where: StoreUnreachable("the answer was lost", where=where),
    Fault.TORN: lambda where: StoreUnreachable("the connection broke in the middle", where=where),
    Fault.FULL: lambda where: StoreFull("no space is left", where=where),
    Fault.DENIED: lambda where: StoreDenied("the store can only be read", where=where),
}
BEFORE = frozenset({Fault.UNREACHABLE, Fault.FULL, Fault.DENIED})
"""Nothing happens at all."""


class FaultyFiles:
    """Files that fail by script, and otherwise do what others do.

    Args:
        inner: the files that do it.
        script: what goes wrong when; may be replaced at any time.
        sleep: how to wait where the script says slow.

    Attributes:
        calls: how often each operation was called.

    Example:
        >>> from dataflow_results.files import open_files
        >>> files = FaultyFiles(open_files("memory://faults-example"), {"write": {2: Fault.LOST_ANSWER}})
        >>> files.write("a", [b"first"])
        >>> files.write("a", [b"second"])
        Traceback (most recent call last):
        dataflow_results.errors.StoreUnreachable: memory://faults-example/a: the answer was lost
        >>> files.read("a")
        b'second'
    """

    slow_seconds = 5.0

    def __init__(self, inner: Files, script: Script, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.inner = inner
        self.script = script
        self.calls: Counter[str] = Counter()
        self._sleep = sleep
        self._first_lists: dict[str, Entries] = {}
        self._first_sizes: dict[str, int | None] = {}

    @property
    def url(self) -> str:
        """See `Files.url`."""
        return self.inner.url

    def _next(self, operation: str) -> Fault | None:
        self.calls[operation] += 1
        entries = self.script.get(operation, {})
        return entries.get(self.calls[operation], entries.get(EVERY_CALL))

    def _act(self, fault: Fault | None, name: str, action: Callable[[], T], torn: Callable[[], T] | None = None) -> T:
        if fault in BEFORE:
            raise ERRORS[fault](f"{self.url}/{name}")
        if fault is Fault.SLOW:
            self._sleep(self.slow_seconds)
        outcome = torn() if fault is Fault.TORN and torn is not None else action()
        if fault in ERRORS:
            raise ERRORS[fault](f"{self.url}/{name}")
        return outcome

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """See `Files.read`."""
        fault = self._next("read")
        data = bytearray(self._act(fault, name, lambda: self.inner.read(name, start, stop)))
        return bytes(_flip(fault, memoryview(data)))

    def read_many(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | ResultsError]:
        """See `Files.read_many`; each part is a call of its own in the script."""
        return [self._read_or_error(*part) for part in parts]

    def _read_or_error(self, name: str, start: int, stop: int | None) -> bytes | ResultsError:
        try:
            return self.read(name, start, stop)
        except ResultsError as error:
            return error

    def read_into(self, name: str, start: int, target: memoryview) -> None:
        """See `Files.read_into`."""
        fault = self._next("read")
        self._act(fault, name, lambda: self.inner.read_into(name, start, target))
        _flip(fault, target.cast("B"))

    def write(self, name: str, parts: Sequence[Buffer]) -> None:
        """See `Files.write`."""
        half = joined(as_views(parts))
        half = half[: len(half) // 2]
        fault = self._next("write")
        self._act(fault, name, lambda: self.inner.write(name, parts), lambda: self.inner.write(name, [half]))

    def write_from(self, pieces: Iterator[Buffer], name_when_done: Callable[[], str]) -> str:
        """See `Files.write_from`."""
        whole = b"".join(bytes(view) for piece in pieces for view in as_views([piece]))
        name = name_when_done()
        self.write(name, [whole])
        return name

    def create(self, name: str, data: bytes) -> bool:
        """See `Files.create`. An answer that was lost for good is told to the caller as such."""
        half = data[: len(data) // 2]
        fault = self._next("create")
        return self._act(fault, name, lambda: self.inner.create(name, data), lambda: self.inner.create(name, half))

    def creates_safely(self) -> bool:
        """See `Files.creates_safely`."""
        return self.inner.creates_safely()

    def remove(self, names: Sequence[str]) -> None:
        """See `Files.remove`; torn means that the first half of the names went."""
        half = names[: len(names) // 2]
        first = names[0] if names else ""
        fault = self._next("remove")
        self._act(fault, first, lambda: self.inner.remove(names), lambda: self.inner.remove(half))

    def list(self, folder: str = "") -> Entries:
        """See `Files.list`."""
        return self._listed(folder, lambda: self.inner.list(folder))

    def leftovers(self) -> Entries:
        """See `Files.leftovers`."""
        return self._listed("leftovers", self.inner.leftovers)

    def _listed(self, folder: str, action: Callable[[], Entries]) -> Entries:
        fault = self._next("list")
        found = self._act(fault, folder, action)
        first = self._first_lists.setdefault(folder, found)
        return first if fault is Fault.STALE else found

    def exists(self, name: str) -> bool:
        """See `Files.exists`."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """See `Files.size`."""
        fault = self._next("look")
        found = self._act(fault, name, lambda: self.inner.size(name))
        first = self._first_sizes.setdefault(name, found)
        return first if fault is Fault.STALE else found


def _flip(fault: Fault | None, view: memoryview) -> memoryview:
    if fault is Fault.FLIPPED and view.nbytes:
        view[view.nbytes // 2] ^= 1
    return view
