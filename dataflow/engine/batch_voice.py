"""The voice of a batch: what its elements say is put down with their places, and sent about once a second."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dataflow.bare_threads import batch_begins, batch_ends
from dataflow.compiler.program import Program
from dataflow.compiler.recipes import Batch
from dataflow.context import current_voice
from dataflow.engine.capture import captured
from dataflow.engine.ledger import Ledger
from dataflow.engine.notices import LOG, Notice
from dataflow.engine.voices import PRINT, Lines, Where, arguments_by_name, hushed
from dataflow.engine.whereabouts import Whereabouts, awaited_trial
from dataflow.run_facts import RunFacts

__all__ = ["BatchVoice", "Tell", "voiced", "walking"]

logger = logging.getLogger("dataflow")
SEND_SECONDS = 1.0
"""How long what was said may wait to be sent with more."""
SEND_BYTES = 256 * 1024
"""So much is sent at once."""
RUN_LOGGER = "dataflow.task"
Tell = Callable[[int, Sequence[Notice]], None]
"""Sends what elements of a batch said, given its number, to who drives the run; from any thread."""


class BatchVoice:
    """Takes what the elements of one batch say; made in the thread that runs it.

    Args:
        program: of the batch.
        batch: the batch.
        tell: sends notices.
    """

    def __init__(self, program: Program, batch: Batch, tell: Tell) -> None:
        self.facts = program.facts or RunFacts()
        self.whereabouts = Whereabouts()
        self._program = program
        self._batch = batch
        self._tell = tell
        self._lines = Lines(self.facts.log_bytes, self._put_line)
        self._lock = threading.RLock()
        self._notices: list[Notice] = []
        self._bytes = 0
        self._named: dict[tuple[str, str], int] = {}
        """Where the notices stand that give way to later ones, by kind and name."""
        self._sent = time.monotonic()
        self._timer: threading.Timer | None = None
        self._is_open = True
        self._printed: tuple[int, Where | None] = (0, None)
        """The thread that printed last, and for whom."""

    # Taking

    def say(self, kind: str, body: Any, at: float | None = None, replaces: str | None = None) -> bool:
        """Take a notice of the element that is executing; False if none is.

        One that is not sent yet gives way to a later one of the same kind and name.
        """
        where = self.whereabouts.where()
        if where is None:
            return False
        notice = Notice(kind, *where, time.time() if at is None else at, body)
        with self._lock:
            if self._is_open:
                self._put(notice, _size_of(body), None if replaces is None else (kind, replaces))
        return self._sends_later()

    def log(self, level: int, name: str, message: str, at: float | None = None) -> bool:
        """Take a line of a log; False if no element is executing."""
        where = self.whereabouts.where()
        if where is None:
            return False
        with self._lock:
            if self._is_open and self.facts.log_bytes:
                self._lines.add(where, time.time() if at is None else at, level, name, message)
        return self._sends_later()

    def write(self, text: str) -> bool:
        """Take what is printed; whether it is not to be printed any more, because it is shown elsewhere."""
        where = self._printing(text) if self.facts.log_bytes else None
        if where is None:
            return False
        is_logged = self._logs_prints(where)
        with self._lock:
            if not self._is_open:
                return False
            self._lines.printed(where, text, *((logging.INFO, RUN_LOGGER) if is_logged else (0, PRINT)))
        self._sends_later()
        return is_logged or self.facts.shows_logs

    def shows(self, name: str) -> bool:
        """Whether lines of a logger of this name are shown where the run was started."""
        if self.facts.shows_logs or name != RUN_LOGGER:
            return self.facts.shows_logs
        where = self.whereabouts.where()
        return where is not None and self._logs_prints(where)

    def _logs_prints(self, where: Where) -> bool:
        says = self._program.steps[where.step].rules.log_prints
        return self.facts.log_prints if says is None else says

    def _printing(self, text: str) -> Where | None:
        """Who prints this: an end of line comes from who printed before it, as `print` does it in two pieces."""
        thread = threading.get_ident()
        if text == "\n" and self._printed[0] == thread:
            return self._printed[1]
        where = self.whereabouts.where()
        self._printed = (thread, where)
        return where

    # Knowing

    def element(self) -> Mapping[str, Any]:
        """Task, slug, index and tags of the element that is executing; empty if none is."""
        where = self.whereabouts.where()
        if where is None:
            return {}
        step, batch = self._program.steps[where.step], self._batch
        found = {"task": step.name, "tags": sorted(step.rules.tags), "attempt": where.attempt}
        if batch.mapped:
            return {**found, "slug": batch.slugs[0][where.step], "index": self._index(where.offset)}
        return {**found, "slug": batch.slugs[where.offset][where.step]} if batch.slugs else {**found, "slug": step.name}

    def _index(self, offset: int) -> int:
        if not self._batch.starts:
            return self._batch.first + offset
        span = bisect_right(self._batch.starts, offset, key=lambda start: start[0]) - 1
        first, index = self._batch.starts[span]
        return index + offset - first

    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the function that is executing, by name."""
        found = self.whereabouts.arguments()
        if found is None:
            return {}
        step, values = found
        count = len(step.positional)
        keywords = dict(zip((name for name, _ in step.keywords), values[count:], strict=False))
        return arguments_by_name(step.function, values[:count], keywords)

    # Sending

    def _put_line(self, where: Where, at: float, body: tuple[int, str, str], size: int) -> None:
        self._put(Notice(LOG, *where, at, body), size)

    def _put(self, notice: Notice, size: int, name: tuple[str, str] | None = None) -> None:
        earlier = self._named.get(name) if name is not None else None
        if earlier is not None:
            self._notices[earlier] = notice
        else:
            if name is not None:
                self._named[name] = len(self._notices)
            self._notices.append(notice)
            self._bytes += size
        if self._bytes >= SEND_BYTES or time.monotonic() - self._sent >= SEND_SECONDS:
            self._send()

    def _sends_later(self) -> bool:
        """See to it that what was taken is sent in time; gives whether the batch goes on.

        Called without the lock: who starts a thread waits for it, and it may have to collect garbage that prints.
        """
        with self._lock:
            if self._timer is not None or not self._notices or not self._is_open:
                return self._is_open
            rest_seconds = self._sent + SEND_SECONDS - time.monotonic()
            timer = self._timer = threading.Timer(rest_seconds, self._send_on_time)
            timer.name, timer.daemon = "dataflow-notices", True
        with contextlib.suppress(RuntimeError):  # no thread can be started: it goes with the next line, or at the end
            timer.start()
        return True

    def _send_on_time(self) -> None:
        with self._lock:
            self._timer = None
            self._send()

    def _send(self) -> None:
        notices, self._notices, self._bytes, self._sent = self._notices, [], 0, time.monotonic()
        self._named.clear()
        if not notices:
            return
        try:
            with hushed():
                self._tell(self._batch.number, notices)
        except Exception:  # boundary: the connection of the worker; what was said must not fail the element
            logger.debug("what elements said could not be sent", exc_info=True)

    def end(self) -> None:
        """The batch has ended: send what is left; what its threads say from now on is not taken any more."""
        with self._lock:
            self._is_open = False
            self._lines.end()
            self.whereabouts.ledger = None  # who still refers to this voice must not hold the values of the batch
            if self._timer is not None:
                self._timer.cancel()
            self._send()


def _size_of(body: Any) -> int:
    """About how many bytes a notice takes that is no line of a log."""
    values = body.values() if isinstance(body, Mapping) else ()
    return 100 + sum(len(value) for value in values if isinstance(value, bytes | str))


@contextlib.contextmanager
def voiced(program: Program, batch: Batch, tell: Tell | None) -> Iterator[None]:
    """What the elements of a batch say that is run inside is heard; without ``tell``, by nobody."""
    if tell is None:
        yield
        return
    voice = BatchVoice(program, batch, tell)
    token, trial_token = current_voice.set(voice), awaited_trial.set(None)  # that of the task which runs this batch
    batch_begins(voice)
    try:
        with captured():
            yield
    finally:
        batch_ends(voice)
        awaited_trial.reset(trial_token)
        current_voice.reset(token)
        voice.end()


def walking(ledger: Ledger | None = None) -> None:
    """The batch of this context is walked in this thread now, and in this ledger, if one is given."""
    voice = current_voice.get()
    if isinstance(voice, BatchVoice):
        voice.whereabouts.come_here()
        voice.whereabouts.ledger = ledger or voice.whereabouts.ledger
