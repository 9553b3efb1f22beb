"""Displays: a thread beside a run that reads its numbers and shows them, in the way that was asked for."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self

from dataflow.causes.values import Cause
from dataflow.engine.nests import current_nest
from dataflow.progress.lines import Picture
from dataflow.progress.plain import JsonPainter, PlainPainter
from dataflow.progress.watching import Watch
from dataflow.settings import settings
from dataflow.states import State

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = ["Display", "display_of", "mode_of"]

logger = logging.getLogger("dataflow")
START_SECONDS = 1.0
"""Runs that are shorter show nothing."""
SHARE_OF_TIME = 40.0
"""A display rests so many times as long as it has worked, so that it costs the run nothing to speak of."""
LONGEST_REST_SECONDS = 5.0
"""But not longer than this."""

ON_TERMINAL = {"auto": "table", "on": "table"}
ELSEWHERE = {"auto": "off", "on": "plain"}
"""What these words mean."""
BOOLEANS = {True: "on", False: "off"}


class Painter(Protocol):
    """Shows pictures of one run."""

    every_seconds: float
    shows_short_runs: bool

    def draw(self, picture: Picture, now: float) -> None:
        """Show how far it is."""

    def end(self, picture: Picture, causes: list[Cause], now: float) -> None:
        """Show how it ended."""

    def close(self) -> None:
        """Leave everything as it was; called last, whatever has happened."""


def _table() -> Painter:
    # Loaded when there is something to show: most runs show nothing, and rich takes long to load.
    painter: Painter = importlib.import_module("dataflow.progress.screen").TablePainter()
    return painter


PAINTERS: dict[str, Callable[[], Painter]] = {"table": _table, "plain": PlainPainter, "json": JsonPainter}


def mode_of(wanted: str | bool | None, *, is_terminal: bool) -> str:
    """How progress is shown: ``"table"``, ``"plain"``, ``"json"`` or ``"off"``.

    Args:
        wanted: the option of the flow; None leaves it to the setting.
        is_terminal: whether there is a terminal to show it on.

    Example:
        >>> mode_of("auto", is_terminal=True), mode_of("auto", is_terminal=False), mode_of(True, is_terminal=False)
        ('table', 'off', 'plain')
    """
    word = settings().progress if wanted is None else BOOLEANS[wanted] if isinstance(wanted, bool) else wanted
    return (ON_TERMINAL if is_terminal else ELSEWHERE).get(word, word)


def display_of(wanted: str | bool | None) -> Display:
    """A display for a run that is begun here; of what is begun in another run nothing is shown."""
    if current_nest.get() is not None:
        return Display("off")
    return Display(mode_of(wanted, is_terminal=_is_terminal()))


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Display:
    """Shows one run, which may take several attempts.

    Args:
        mode: how; see `mode_of`.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._attempts = 0
        self._began = 0.0
        self._watch: Watch | None = None
        self._state = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close(None)

    def watch(self, run: Run) -> None:
        """An attempt has begun; the first one begins the display."""
        if self._mode == "off":
            return
        self._attempts += 1
        self._watch = Watch(run, self._attempts)
        if self._thread is None:
            self._began = time.time()
            self._thread = threading.Thread(target=self._drive, name=f"dataflow-progress-{run.id}", daemon=True)
            self._thread.start()

    def opening(self, opened: Callable[..., Run]) -> Callable[..., Run]:
        """The same function, whose runs are watched."""

        def watched(*args: Any, **kwargs: Any) -> Run:
            run = opened(*args, **kwargs)
            self.watch(run)
            return run

        return watched

    def close(self, state: State[Any] | None) -> None:
        """The run has ended, in this state, if it is known; waits until everything is shown."""
        if self._thread is None or self._ended.is_set():
            return
        self._state = state.name if state is not None and state.is_final() else "Interrupted"
        self._ended.set()
        self._thread.join()
        self._watch = None

    def _drive(self) -> None:
        painter = PAINTERS[self._mode]()
        try:
            if not self._ended.wait(START_SECONDS):
                self._draw_all(painter)
            elif not painter.shows_short_runs:
                return
            self._end(painter)
        except Exception:  # boundary: the terminal may be gone, and no run is to fail for that
            logger.debug("progress is not shown any more", exc_info=True)
        finally:
            painter.close()

    def _draw_all(self, painter: Painter) -> None:
        self._draw(painter)  # the first time takes longer than others ever will, so it is not counted
        rest_seconds = painter.every_seconds
        while not self._ended.wait(rest_seconds):
            began = time.perf_counter()
            self._draw(painter)
            worked = time.perf_counter() - began
            rest_seconds = min(max(painter.every_seconds, SHARE_OF_TIME * worked), LONGEST_REST_SECONDS)

    def _draw(self, painter: Painter) -> None:
        watch, now = self._watch, time.time()
        if watch is not None:
            painter.draw(watch.look(now, began=self._began), now)

    def _end(self, painter: Painter) -> None:
        watch, now = self._watch, time.time()
        if watch is not None:
            painter.end(watch.look(now, began=self._began, state=self._state), watch.causes(), now)
