"""Walking elements against the clock: the walk runs in a thread of its own, and this one looks at its watch.

A thread that is within a blocking call cannot be ended. So a step that takes longer than its limit is given up: the
thread that is in it is left to itself, and another one goes on with the walk, on time. Which of the two has an attempt
is settled by taking its token out of a dict, which only one of them can.
"""

from __future__ import annotations

import contextvars
import ctypes
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dataflow.engine.batch_voice import walking
from dataflow.engine.ledger import Ledger
from dataflow.engine.nests import cancel_begun
from dataflow.engine.slots import woken_by, yield_if_wanted
from dataflow.engine.trials import Abandoned, cancelled, timed_out
from dataflow.engine.walk import CarefulWalk, Check, Clock, walk_fast
from dataflow.errors import TimedOut
from dataflow.rules import Rules

__all__ = ["Watch", "watched_careful", "watched_fast"]

logger = logging.getLogger("dataflow")
MANY_ABANDONED = 16
abandoned: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
"""Threads that were left to themselves, as long as they live."""


def watched_careful(walk: CarefulWalk, ledger: Ledger, clock: Clock) -> int:
    """Run a careful walk: in this thread, or watched where a step of it has a time limit."""
    if not any(call.rules.is_watched for call in ledger.calls):
        return walk.run()
    return Watch(ledger, clock).run(walk.run, lambda: walk)


def watched_fast(
    ledger: Ledger, frame: list[Any], columns: Sequence[Any], rows: Any, clock: Clock, control: Check
) -> int:
    """As `walk_fast`; where a step has a time limit it is watched, and once one was given up, the rest is careful."""
    if not any(call.rules.is_watched for call in ledger.calls):
        return walk_fast(ledger, frame, columns, rows, clock, control)
    bare = iter(columns[0] if len(columns) == 1 else rows)

    def go_on() -> CarefulWalk:
        live = ledger.live[0]
        rest = ((value,) for value in bare) if len(columns) == 1 else bare
        if isinstance(live, CarefulWalk):
            live.take_rows(rest)
            return live
        done, position, values, times = live
        ledger.stamps.extend(times)
        full = [*values, *[None] * (len(frame) - len(values))]
        walk = ledger.live[0] = CarefulWalk(ledger, full, iter(rest), clock, control, done=done, position=position)
        return walk

    walk = partial(walk_fast, ledger, frame, [bare] if len(columns) == 1 else columns, bare, clock, control)
    return Watch(ledger, clock).run(walk, go_on)


class Watch:
    """Watches one walk.

    Args:
        ledger: of the walk; the functions of its limited steps are replaced by ones that say when they are due.
        clock: gives seconds.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[int, float] = {}
        """The attempt that is under way: its token and when it is due."""
        self._tokens = itertools.count()
        self._news = threading.Condition()
        self._outcome: Any = None
        self._is_cancelled = False
        self._ledger = ledger
        ledger.passing = (*ledger.passing, Abandoned)
        ledger.functions = [
            self._limited(call.rules, function) for call, function in zip(ledger.calls, ledger.functions, strict=True)
        ]
        ledger.calls = [call._replace(function=self._limited(call.rules, call.function)) for call in ledger.calls]
        ledger.ends.append(self.cancel)
        limits = (call.rules.timeout_seconds for call in ledger.calls)
        self._shortest = min((limit for limit in limits if limit is not None), default=1.0)

    def _limited(self, rules: Rules, function: Callable[..., Any]) -> Callable[..., Any]:
        if rules.timeout_seconds is None or not rules.is_watched:
            return function
        return partial(self._within, rules.timeout_seconds, function)

    def _within(self, seconds: float, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call a function, unless it is given up meanwhile."""
        token = next(self._tokens)
        self._due[token] = self._clock() + seconds
        try:
            return function(*arguments, **keywords)
        finally:
            if self._due.pop(token, None) is None:
                raise Abandoned

    def run(self, walk: Callable[[], int], go_on: Callable[[], CarefulWalk]) -> int:
        """Run a walk to its end, in as many threads as it takes.

        Args:
            walk: the walk.
            go_on: gives the careful walk that goes on where a step was given up.

        Raises:
            BaseException: what ended the walk, if it was no element's outcome.
        """
        with woken_by(self._look):
            while True:
                thread = self._start(walk)
                try:
                    error = self._watched()
                except BaseException:  # Ctrl-C in the calling thread: the walk must not go on behind its back
                    self._abandon(thread)
                    raise
                if error is None:
                    break
                self._abandon(thread)
                walk = partial(go_on().go_on, error)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return int(self._outcome)

    def cancel(self) -> None:
        """Give up the step under way; from any thread."""
        with self._news:
            self._is_cancelled = True
            self._news.notify()

    def _look(self) -> None:
        """The walk waits for work of its own; from its thread."""
        with self._news:
            self._news.notify()

    def _start(self, go: Callable[[], int]) -> threading.Thread:
        self._outcome = None
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._drive, go), name="dataflow-watched", daemon=True)
        thread.start()
        return thread

    def _drive(self, go: Callable[[], int]) -> None:
        walking()
        try:
            outcome: Any = go()
        except Abandoned:
            return
        except BaseException as error:  # noqa: BLE001 - boundary of the thread: the one that watches raises it
            outcome = error
        with self._news:
            self._outcome = outcome
            self._news.notify()

    def _watched(self) -> BaseException | None:
        """Wait until the walk has ended (None), or a step of it must be given up: then why."""
        with self._news:
            while self._outcome is None:
                yield_if_wanted()
                token, due = next(iter(self._due.copy().items()), (None, self._clock() + self._shortest))
                patience = due - self._clock()
                if token is not None and (self._is_cancelled or patience <= 0) and self._take(token):
                    return cancelled() if self._is_cancelled else self._late()
                self._news.wait(max(patience, 0.0))
        return None

    def _late(self) -> TimedOut:
        live = self._ledger.live[0]
        position = live.position if isinstance(live, CarefulWalk) else live[1]
        return timed_out(self._ledger.calls[position])

    def _take(self, token: int) -> bool:
        """Take an attempt from the thread that is in it; False if it has just ended."""
        return self._due.pop(token, None) is not None

    def _abandon(self, thread: threading.Thread) -> None:
        """Leave a thread to itself; it ends at its next instruction in Python, or when its blocking call returns."""
        abandoned.add(thread)
        if thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Abandoned))
        cancel_begun()
        alive = sum(other.is_alive() for other in abandoned)
        if alive and alive % MANY_ABANDONED == 0:
            note = '%d attempts that timed out still block a thread each; isolation="process" would end them'
            logger.warning(note, alive)
