"""A round of the writer's thread: collect, write, pass on what is asked, forget old runs. Knows no threads."""

from __future__ import annotations

import importlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Final, Protocol

from dataflow.collection import rarely
from dataflow.database.health import Health, Trouble, after_failure, after_success
from dataflow.database.pending import Pending
from dataflow.database.retention import Keep
from dataflow.database.rows import RequestRow, Row
from dataflow.errors import HistoryError

if TYPE_CHECKING:
    from dataflow.database.storage import Storage

__all__ = ["Duties", "Followed", "Source"]

STORAGE: Final = "dataflow.database.storage"
ASK_SECONDS: Final = 1.0
PRUNE_SECONDS: Final = 3_600.0
PRUNE_AT_ONCE_SECONDS: Final = 0.05
"""How long a round may take away old runs; others want to write, too."""
WORTH_WAITING_SECONDS: Final = 2.0
"""For so long after trouble began, runs that end wait for it to pass, as long as they would wait at all."""
ROWS_AT_ONCE: Final = 20_000
BYTES_AT_ONCE: Final = 16_000_000
"""How much goes into one transaction: only after trouble there is more."""

OFF: Final = "runs go on, and those of this process are not kept"

logger = logging.getLogger("dataflow")


class Source(Protocol):
    """Something that has rows for the database: one execution of a run."""

    run_id: str

    def collect(self, now: float) -> Sequence[Row]:
        """The rows that came up since the last time; called in the writer's thread, never twice at once."""
        ...

    def asked(self, request: RequestRow) -> None:
        """Somebody asks something of the run; called in the writer's thread, once for each request."""
        ...


@dataclass(eq=False, slots=True)
class Followed:
    """A source and how far the writer is with it."""

    source: Source | None
    """None as soon as it is done: whoever finished it must be able to let go of its run."""
    is_finishing: bool = False
    is_collected: bool = False
    """Whether it was asked for the last time."""
    is_failed: bool = False
    """Whether it raised: nothing more is asked of it."""
    is_kept: bool = False
    """Whether all its rows are in the database."""
    done: Event = field(default_factory=Event)
    passed_on: set[str] = field(default_factory=set)
    """Ids of requests."""


class Duties:
    """The work on one database.

    Args:
        url: as `canonical_url` spells it.
        keep: which runs are not forgotten.
    """

    def __init__(self, url: str, keep: Keep) -> None:
        self.keep = keep
        self.pending = Pending()
        self.health = Health()
        self._url = url
        self._storage: Storage | None = None
        self._ask_due = 0.0
        self._prune_due = 0.0
        self._going: deque[str] = deque()
        """Runs to forget."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.pending and not self._going

    def round(self, followed: Sequence[Followed], now: float, *, is_last: bool = False) -> None:
        """Do all that is due. Those that finish are done when their rows are written, or cannot be written soon."""
        with rarely:
            self._round(followed, now, is_last=is_last)

    def _round(self, followed: Sequence[Followed], now: float, *, is_last: bool) -> None:
        for one in followed:
            self._collect(one, now)
        if self.health.is_off:
            self.pending.clear()
        elif is_last or now >= self.health.next_try:
            self._attempt(self._write)
        if is_last or not self.pending or self._is_hard(now):
            for one in followed:
                self._settle(one)
        if self.health.is_well and not is_last:
            self._attempt(lambda: self._look_after(followed, now))

    def close(self) -> None:
        """Let go of the database until the next round."""
        self._guarded_close()

    def forget_connections(self) -> None:
        """Let go of what belongs to the process this one was forked from."""
        if self._storage is not None:
            self._storage.forget()

    def _is_hard(self, now: float) -> bool:
        """Whether it would take a run long to wait for its rows to be written."""
        since = self.health.failing_since
        return self.health.is_off or (since is not None and now - since > WORTH_WAITING_SECONDS)

    def _settle(self, one: Followed) -> None:
        if one.is_collected:
            one.is_kept = not (one.is_failed or self.pending or self.health.is_off)
            one.source = None
            one.done.set()

    def _collect(self, one: Followed, now: float) -> None:
        if one.is_collected or one.source is None:
            return
        one.is_collected = one.is_finishing  # read first: what comes up after that is there before it is asked
        if one.is_failed:
            return
        try:
            self.pending.add(one.source.collect(now))
        except Exception:  # boundary: whatever goes wrong in telling of a run must not end the run
            one.is_failed = True
            logger.warning("run %s: its history ends here; the run goes on", one.source.run_id, exc_info=True)

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do something with the database; trouble with it is remembered and said, and never raised."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - boundary: databases and their drivers raise whatever they like
            trouble = self._storage.trouble_of(error) if self._storage is not None else Trouble.HOPELESS
            self._guarded_close()
            self.health, warns = after_failure(self.health, time.time(), trouble)
            if warns:
                logger.warning("%s", _words_for(self._where, error, is_off=self.health.is_off))
        else:
            self.health, recovered = after_success(self.health)
            if recovered:
                logger.info("history %s: works again; %s", self._where, self.pending.loss())

    def _write(self) -> None:
        storage = self._opened()
        while self.pending:
            rows = self.pending.first(ROWS_AT_ONCE, BYTES_AT_ONCE)
            refused = storage.write(rows)
            self.pending.remove(rows)
            for row in refused:
                self.pending.lose(row)
                logger.warning("history %s: no database takes this row, it is left out: %.300r", self._where, row)

    def _look_after(self, followed: Sequence[Followed], now: float) -> None:
        """What has time: pass on what is asked, forget old runs."""
        by_run = {one.source.run_id: one for one in followed if one.source is not None}
        if by_run and now >= self._ask_due:
            self._ask_due = now + ASK_SECONDS
            self._pass_on(by_run)
        if now >= self._prune_due:
            self._prune_due = now + PRUNE_SECONDS
            self._going.extend(run_id for run_id in self._opened().outdated(self.keep, now) if run_id not in by_run)
        self._prune()
        self._opened().tidy()

    def _pass_on(self, by_run: Mapping[str, Followed]) -> None:
        for request in self._opened().open_requests(by_run):
            one = by_run[request.run_id]
            if one.source is not None and request.id not in one.passed_on:
                one.passed_on.add(request.id)
                _ask(one.source, request)

    def _prune(self) -> None:
        until = time.monotonic() + PRUNE_AT_ONCE_SECONDS
        while self._going and time.monotonic() < until:
            self._opened().delete(self._going[0])
            self._going.popleft()

    def _opened(self) -> Storage:
        if self._storage is None:
            # Only in the writer's thread, at its first round: what is loaded with it would make starting a flow slower.
            self._storage = importlib.import_module(STORAGE).Storage(self._url)
        if self._storage.open():
            logger.warning("history %s: was taken away while runs went on; a new one is begun", self._where)
        return self._storage

    @property
    def _where(self) -> str:
        return self._storage.where if self._storage is not None else self._url

    def _guarded_close(self) -> None:
        try:
            if self._storage is not None:
                self._storage.close()
        except Exception:  # boundary: a driver that fails to close has nothing left to lose
            logger.debug("history %s: could not be closed", self._where, exc_info=True)


def _ask(source: Source, request: RequestRow) -> None:
    try:
        source.asked(request)
    except Exception:  # boundary: what is asked of a run must not end its history
        logger.warning("run %s: could not be asked to %s", source.run_id, request.kind, exc_info=True)


def _words_for(where: str, error: Exception, *, is_off: bool) -> str:
    """What is said of trouble: the problem, what it means for runs, and what can be done."""
    if isinstance(error, HistoryError):
        return f"history {where}: cannot be used ({error.problem}); {OFF}; instead: {error.fix}"
    problem = str(error).splitlines()[0] if str(error) else type(error).__name__
    if is_off:
        return f"history {where}: cannot be used ({problem}); {OFF}. It is left as it is: move it away to begin anew"
    return f"history {where}: is not written now ({problem}); runs go on, and it is tried again"
