"""Time limits of code that runs here, in this thread: an alarm clock in the main thread, a watching one for others."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Deadline", "Late", "limited"]

GRACE_SECONDS = 0.1
"""So long the code may take to end by itself, once whatever it waits for has been cancelled."""
SOONEST_SECONDS = 1e-6
"""An alarm in 0 seconds would be none."""


class Late(KeyboardInterrupt):
    """Raised in code whose time is over: Ctrl-C by the clock, so that it passes wherever Ctrl-C does.

    Args:
        deadline: whose end it is; None: of the one that the code itself has set.
    """

    def __init__(self, deadline: Deadline | None = None) -> None:
        super().__init__()
        self.deadline = deadline


class Deadline:
    """Whether the time of some code is over.

    Args:
        seconds: how long the code may take; None: as long as it likes.
    """

    __slots__ = ("due", "is_over", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds or 0.0
        self.due = None if seconds is None else time.monotonic() + seconds
        self.is_over = False

    def has_ended(self, error: BaseException) -> bool:
        """Whether this error is what became of the code at its end; that of another deadline is not."""
        is_own = isinstance(error, Late) and error.deadline in (None, self)
        return self.is_over and (is_own or isinstance(error, Exception))


@contextmanager
def limited(deadline: Deadline, *, cancel: Callable[[], Any], stuck: Callable[[], Any] = int) -> Iterator[None]:
    """The code inside gets `Late` when its time is over; the deadline says whether that was so.

    In the main thread it comes on time, also within a blocking call. Elsewhere Python cannot interrupt those: there
    ``cancel`` is called first, so that what waits for the run ends, and `Late` comes with the next instruction.

    Args:
        deadline: made just before.
        cancel: called from another thread; ends what the code may be waiting for.
        stuck: called from another thread, when the code goes on in spite of that.

    Example:
        >>> deadline = Deadline(0.01)
        >>> try:
        ...     with limited(deadline, cancel=int):
        ...         time.sleep(5)
        ... except Late:
        ...     print(deadline.is_over)
        True
    """
    if deadline.due is None:
        yield
    elif threading.current_thread() is threading.main_thread():
        with _Alarm(deadline):
            yield
    else:
        with _Watcher(deadline, cancel, stuck):
            yield


class _Alarm:
    """The alarm clock of the process; what was set before goes off in between, and goes on afterwards."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._before: Any = None
        self._due_before: float | None = None

    def __enter__(self) -> None:
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        self._before = signal.signal(signal.SIGALRM, self._ring)
        self._due_before = time.monotonic() + left if left else None
        self._set(self._deadline.due, self._due_before)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        self._set(self._due_before)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        due = self._deadline.due
        if not self._deadline.is_over and due is not None and time.monotonic() >= due:
            self._deadline.is_over = True
            raise Late(self._deadline)
        self._due_before = None
        if callable(self._before):
            self._before(number, frame)
        if not self._deadline.is_over:
            self._set(due)

    @staticmethod
    def _set(*due: float | None) -> None:
        soonest = min((moment for moment in due if moment is not None), default=None)
        if soonest is not None:
            signal.setitimer(signal.ITIMER_REAL, max(soonest - time.monotonic(), SOONEST_SECONDS))


class _Watcher:
    """A thread that looks at its watch while another one runs the code."""

    def __init__(self, deadline: Deadline, cancel: Callable[[], Any], stuck: Callable[[], Any]) -> None:
        self._deadline = deadline
        self._cancel = cancel
        self._stuck = stuck
        self._watched = threading.get_ident()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dataflow-deadline", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended.set()
            self._throw(None)
        self._thread.join()

    def _watch(self) -> None:
        if self._ended.wait((self._deadline.due or 0.0) - time.monotonic()):
            return
        self._deadline.is_over = True
        self._cancel()
        if self._ended.wait(GRACE_SECONDS):
            return
        with self._lock:
            if not self._ended.is_set():
                self._throw(Late)
        if not self._ended.wait(GRACE_SECONDS):
            self._stuck()

    def _throw(self, error: type[BaseException] | None) -> None:
        """Have the watched thread raise an error at its next instruction; None takes back one that it has not yet."""
        thrown = None if error is None else ctypes.py_object(error)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._watched), thrown)
