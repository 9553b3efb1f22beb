"""A filesystem of fsspec, ``faulty://``, that raises the raw errors of cloud libraries by script.

It lies below the patience of `dataflow_results.files`, so that retries, lost answers and the telling of errors can be
tested with the very errors that S3, Google and Azure raise.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem

__all__ = ["FaultyFileSystem", "RawFault", "RawScript"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFault:
    """An error of the library below."""

    error: BaseException
    happened: bool = False
    """Whether what was asked for was done before; then only the answer is lost."""


@dataclass(slots=True, eq=False)
class RawScript:
    """What goes wrong: for each method of fsspec, the fault of its next call, of the one after, and so on.

    None stands for a call that goes well; so do calls after the last entry.
    """

    faults: dict[str, list[RawFault | None]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    ignores_conditions: bool = False
    """Whether a create overwrites, as some clones of S3 do."""
    _left: dict[str, deque[RawFault | None]] = field(default_factory=dict)

    def next(self, method: str) -> RawFault | None:
        """The fault of this call of a method."""
        self.calls[method] += 1
        left = self._left.setdefault(method, deque(self.faults.get(method, ())))
        return left.popleft() if left else None


class FaultyFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The memory of this process, with faults.

    Args:
        script: what goes wrong.

    Example:
        >>> from dataflow_results.files import open_files
        >>> script = RawScript({"pipe_file": [RawFault(error=TimeoutError("no answer"))]})
        >>> files = open_files("faulty://faults-example", {"script": script})
        >>> files.write("a", [b"hello"])  # tried again
        >>> files.read("a"), script.calls["pipe_file"]
        (b'hello', 2)
    """

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def __init__(self, *args: Any, script: RawScript | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.script = script or RawScript()

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(super()._strip_protocol(str(path).replace("faulty://", "memory://")))

    def _act(self, method: str, action: Callable[[], T]) -> T:
        fault = self.script.next(method)
        if fault is None:
            return action()
        if fault.happened:
            action()
        raise fault.error

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a file."""
        mode = "overwrite" if self.script.ignores_conditions else mode
        self._act("pipe_file", lambda: MemoryFileSystem.pipe_file(self, path, value, mode=mode, **options))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """Read a file."""
        return bytes(
            self._act("cat_file", lambda: MemoryFileSystem.cat_file(self, path, start=start, end=end, **options))
        )

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        self._act("rm_file", lambda: MemoryFileSystem._rm(self, path))

    def find(self, path: str, *args: Any, **options: Any) -> Any:
        """List files."""
        return self._act("find", lambda: MemoryFileSystem.find(self, path, *args, **options))

    def info(self, path: str, **options: Any) -> Any:
        """Facts of a file."""
        return self._act("info", lambda: MemoryFileSystem.info(self, path, **options))


register_implementation("faulty", FaultyFileSystem, clobber=True)
