"""Garbage collection where it is of no use: rarely while a graph is built, and not while threads are looked at."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Mapping
from types import FrameType

__all__ = ["frames_of_threads", "rarely"]

THRESHOLD = 100_000
"""Allocations between two looks at the youngest objects, instead of 700."""


class _RareCollection:
    """A context manager that may be nested and entered from several threads; the last one out restores what was.

    What is made while a graph is built nearly all lives on, so that looking for garbage finds nothing.
    """

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


def frames_of_threads() -> Mapping[int, FrameType]:
    """What each thread is executing, by its identity.

    Python 3.11 looks at them under a lock that a thread needs to begin. Were garbage collected then, what that calls
    might let another thread run that waits for this lock, and holds the interpreter meanwhile: all stands still.

    Example:
        >>> threading.get_ident() in frames_of_threads()
        True
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if was_enabled:
            gc.enable()
