"""Writing the history of runs: one thread per process and database, fed by pulling, never in the way of a run."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from typing import Final

from dataflow.database.addresses import canonical_url, without_password
from dataflow.database.duties import Duties, Followed, Source
from dataflow.database.retention import Keep
from dataflow.errors import HistoryError

__all__ = ["Source", "Writer", "writer_of"]

INTERVAL_SECONDS: Final = 0.25
LONGEST_INTERVAL_SECONDS: Final = 5.0
REST: Final = 4.0
"""How much longer than a round the time between rounds is at least: a slow database is written to less often."""
LINGER_SECONDS: Final = 0.5
"""How long the thread waits for another run when there is nothing to do."""
EXIT_SECONDS: Final = 5.0
FORK_SECONDS: Final = 5.0
"""How long a fork of the process waits for rounds to end."""
THREAD_NAME: Final = "dataflow-history"

logger = logging.getLogger("dataflow")


class Writer:
    """Writes what sources have to tell into one database.

    No method raises or waits for the database, but for `finish` and `close`, which wait as long as they are told.

    Args:
        url: as `canonical_url` spells it.
        keep: which runs are not forgotten.
    """

    def __init__(self, url: str, keep: Keep) -> None:
        self._url = url
        self._duties = Duties(url, keep)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.in_round = threading.RLock()
        """Held while the thread is at work."""
        self._condition = threading.Condition()
        self._followed: dict[int, Followed] = {}
        """By the identity of the source: there may be ten thousand of them."""
        self._thread: threading.Thread | None = None
        self._is_woken = False
        self._is_closing = False

    def follow(self, source: Source) -> None:
        """Ask a source for its rows from now on, several times a second."""
        with self._condition:
            self._followed[id(source)] = Followed(source)
            if not self._is_at_work:
                self._wake()

    def finish(self, source: Source, timeout_seconds: float) -> bool:
        """Ask a source for its last rows; whether all of them were in the database within the time."""
        with self._condition:
            one = self._followed.get(id(source))
            if one is None or one.source is not source:
                return False
            one.is_finishing = True
            if timeout_seconds > 0:  # who does not wait is served in the next round: many ends are not many rounds
                self._wake()
        one.done.wait(timeout_seconds)
        return one.is_kept

    def close(self, timeout_seconds: float = EXIT_SECONDS) -> bool:
        """Finish all sources and end the thread; whether all rows were in the database within the time."""
        with self._condition:
            for one in self._followed.values():
                one.is_finishing = True
            thread = self._thread
            if thread is not None:
                self._is_closing = True
                self._wake()
        if thread is not None:
            thread.join(timeout_seconds)
        return not self._duties.pending

    def set_keep(self, keep: Keep) -> None:
        """Which runs are not forgotten, from now on."""
        self._duties.keep = keep

    def begin_again_after_fork(self) -> None:
        """The thread and the connections are the other process's, and so are its runs."""
        self._duties.forget_connections()
        self._duties = Duties(self._url, self._duties.keep)
        self._begin_anew()

    @property
    def _is_at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _wake(self) -> None:
        """Let the thread make a round at once; the lock is held."""
        self._is_woken = True
        self._condition.notify_all()
        if self._followed and not self._is_at_work:
            self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter is ending, and begins no threads any more
                self._thread = None
                logger.warning("history %s: not written, because Python is ending", without_password(self._url))

    def _work(self) -> None:
        """The thread: rounds until there is nothing to do for a while."""
        pause_seconds = 0.0
        idle_since: float | None = None
        while True:
            followed, is_last = self._due(pause_seconds)
            began = time.monotonic()
            with self.in_round:
                self._duties.round(followed, time.time(), is_last=is_last)
            took_seconds = time.monotonic() - began
            pause_seconds = min(LONGEST_INTERVAL_SECONDS, max(INTERVAL_SECONDS, REST * took_seconds))
            is_idle = self._drop_done() and self._duties.is_idle
            idle_since = (idle_since or began) if is_idle else None
            is_over = is_last or (idle_since is not None and time.monotonic() - idle_since >= LINGER_SECONDS)
            if is_over and self._end(is_last=is_last):
                return

    def _due(self, pause_seconds: float) -> tuple[list[Followed], bool]:
        """Wait until the next round is due; who takes part in it, and whether it is the last one."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_woken, timeout=pause_seconds)
            self._is_woken = False
            return list(self._followed.values()), self._is_closing

    def _drop_done(self) -> bool:
        """Forget sources that are done; whether none is left."""
        with self._condition:
            self._followed = {key: one for key, one in self._followed.items() if not one.done.is_set()}
            return not self._followed

    def _end(self, *, is_last: bool) -> bool:
        """End the thread, unless a source came in this moment; the database is closed before a next thread opens it."""
        self._duties.close()
        with self._condition:
            if self._followed and not is_last:
                return False
            self._thread = None
            self._is_closing = False
            return True


class _Writers:
    """The writers of this process, by the address of their database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_url: dict[str, Writer] = {}
        self._held: list[threading.RLock] = []

    def get(self, url: str, keep: Keep) -> Writer:
        address = _address_of(url)
        with self._lock:
            if address not in self._by_url:
                self._by_url[address] = Writer(address, keep)
            writer = self._by_url[address]
        writer.set_keep(keep)
        return writer

    def close(self) -> None:
        """At the end of the process: what can be written in a moment is written."""
        deadline = time.monotonic() + EXIT_SECONDS
        for url, writer in self._by_url.items():
            if not writer.close(max(0.0, deadline - time.monotonic())):
                logger.warning("history %s: the last moments of this process are not in it", without_password(url))

    def before_fork(self) -> None:
        """Let no thread be in the middle of a round: the new process would have half of it, as of an import."""
        until = time.monotonic() + FORK_SECONDS
        held = [writer.in_round for writer in self._by_url.values()]
        self._held = [lock for lock in held if lock.acquire(timeout=max(0.0, until - time.monotonic()))]

    def after_fork_in_parent(self) -> None:
        for lock in self._held:
            lock.release()

    def begin_again_after_fork(self) -> None:
        self._lock = threading.Lock()
        for writer in self._by_url.values():
            writer.begin_again_after_fork()


_WRITERS = _Writers()
atexit.register(_WRITERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_WRITERS.before_fork,
        after_in_parent=_WRITERS.after_fork_in_parent,
        after_in_child=_WRITERS.begin_again_after_fork,
    )


def writer_of(url: str, *, keep_days: float | None = 90.0, keep_runs: int | None = 1000) -> Writer:
    """The one writer of this process for a database; nothing is opened until it follows a source.

    Args:
        url: a SQLite file or any other URL that SQLAlchemy takes; a path is a SQLite file.
        keep_days: runs that ended earlier are forgotten; None or 0: none because of their age.
        keep_runs: of more runs the oldest are forgotten; None or 0: none because of their number.
    """
    return _WRITERS.get(url, Keep(days=keep_days, runs=keep_runs))


def _address_of(url: str) -> str:
    """The canonical URL; of one that can never be used, itself, so that the writer's thread says what is wrong."""
    try:
        return canonical_url(url)
    except HistoryError:
        return url
