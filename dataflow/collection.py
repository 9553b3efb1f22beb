"""Rarer garbage collection while a graph is built: nearly all that is made then lives on, so looking finds nothing."""

from __future__ import annotations

import gc
import threading

__all__ = ["rarely"]

THRESHOLD = 100_000
"""Allocations between two looks at the youngest objects, instead of 700."""


class _RareCollection:
    """A context manager that may be nested and entered from several threads; the last one out restores what was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = gc.get_threshold()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = gc.get_threshold()
                gc.set_threshold(max(THRESHOLD, self._before[0]), *self._before[1:])
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                gc.set_threshold(*self._before)


rarely = _RareCollection()
"""``with rarely:`` around code that makes many objects which live on."""
