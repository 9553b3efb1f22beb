"""One thread of a process that keeps all its claims alive; it starts with the first and ends with the last."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Protocol

from dataflow_results.errors import ResultsError

__all__ = ["HEART", "Beating", "Heart"]

THREAD = "dataflow-results-heartbeat"


class Beating(Protocol):
    """What a heart keeps alive."""

    def beat(self) -> None:
        """Tell others that we live."""


class Heart:
    """Calls ``beat`` of each thing it watches, again and again.

    What nobody refers to any more is forgotten, so that a claim that was lost sight of expires.
    """

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._due: weakref.WeakKeyDictionary[Beating, tuple[float, float]] = weakref.WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def watch(self, one: Beating, every_seconds: float) -> None:
        """Let it beat, the first time in ``every_seconds``."""
        if self._process != os.getpid():
            self._start_over()  # after a fork: neither the thread nor the claims are ours
        with self._changed:
            self._due[one] = (time.monotonic() + every_seconds, every_seconds)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
                self._thread.start()
            self._changed.notify()

    def forget(self, one: Beating) -> None:
        """Let it beat no more."""
        if self._process == os.getpid():
            with self._changed:
                self._due.pop(one, None)
                self._changed.notify()

    def _run(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """Wait for what is due next and let it beat; False when nothing is left, and the thread ends."""
        for one in self._wait():
            _beat(one)
        with self._changed:
            if not self._due:
                self._thread = None
            return bool(self._due)

    def _wait(self) -> list[Beating]:
        with self._changed:
            now = time.monotonic()
            ready = [one for one, (due, _) in self._due.items() if due <= now]
            for one in ready:
                every_seconds = self._due[one][1]
                self._due[one] = (now + every_seconds, every_seconds)
            if not ready:
                self._changed.wait(min((due for due, _ in self._due.values()), default=now) - now)
            return ready


def _beat(one: Beating) -> None:
    try:
        one.beat()
    except ResultsError:
        return  # the next beat tries again; if none succeeds in time, the claim notices by its own clock


HEART = Heart()
"""The one of this process."""
