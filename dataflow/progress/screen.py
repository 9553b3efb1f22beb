"""The screen: where the tables of all runs of this process stand in the terminal, below what is printed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from dataflow.causes.values import Cause
from dataflow.collection import frames_of_threads
from dataflow.progress.endings import ending_text
from dataflow.progress.lines import Picture
from dataflow.progress.redirecting import redirected
from dataflow.progress.table import drawn

__all__ = ["Screen", "TablePainter"]

DEBUGGERS = frozenset({"bdb", "pdb"})
"""While one of these asks the user, nothing may move on the screen."""
LEFT_FREE = 2
"""Lines at the bottom that tables leave free."""
MOST_FINAL_LINES = 60
"""So many nodes are shown when a run has ended, however high the terminal is."""

Drawing = Callable[[int, int], RenderableType]
"""Gives what is shown, from the width and the number of lines there is room for."""


class Screen:
    """Shows the tables of several runs, and keeps what is printed meanwhile above them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._console = Console(stderr=True, force_jupyter=False)
        self._live: Live | None = None
        self._drawings: dict[object, Drawing] = {}
        self._undo: Callable[[], None] | None = None
        """Takes back that what is printed goes through the console."""

    @property
    def width(self) -> int:
        """Columns of the terminal now."""
        return self._console.size.width

    def show(self, key: object, drawing: Drawing) -> None:
        """Show this for a run, from now on."""
        with self._lock:
            self._drawings[key] = drawing
            if in_debugger():
                self._stop()
                return
            self._refresh()

    def leave(self, key: object, last: RenderableType | None = None) -> None:
        """A run has ended: its table goes, and this is printed once."""
        with self._lock:
            self._drawings.pop(key, None)
            try:
                if self._drawings and self._live is not None:
                    self._refresh()
                else:
                    self._stop()
            finally:
                if last is not None:
                    self._console.print(last, soft_wrap=True)

    def _refresh(self) -> None:
        if self._live is None:
            self._start()
        width, height = self._console.size
        room = max(1, (height - LEFT_FREE) // len(self._drawings))
        live = self._live
        if live is not None:
            live.update(Group(*(drawing(width, room) for drawing in self._drawings.values())), refresh=True)

    def _start(self) -> None:
        self._undo = redirected(self._console)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()

    def _stop(self) -> None:
        live, self._live = self._live, None
        undo, self._undo = self._undo, None
        try:
            if live is not None:
                live.stop()
        finally:
            if undo is not None:
                undo()


SCREEN = Screen()
"""Of this process."""


class TablePainter:
    """Shows one run on the screen."""

    every_seconds = 0.25
    shows_short_runs = False

    def draw(self, picture: Picture, now: float) -> None:
        """Show how far it is."""
        SCREEN.show(self, lambda width, height: drawn(picture, width=width, height=height))

    def end(self, picture: Picture, causes: list[Cause], now: float) -> None:
        """Show how it ended, and why elements failed."""
        text = ending_text(picture, causes)
        table = drawn(picture, width=SCREEN.width, height=MOST_FINAL_LINES)
        SCREEN.leave(self, Group(table, Text(text)) if text else table)

    def close(self) -> None:
        """Leave the terminal as it was, whatever has happened."""
        SCREEN.leave(self)


def in_debugger() -> bool:
    """Whether a thread of this process stands in a debugger that reads from the terminal."""
    if DEBUGGERS.isdisjoint(sys.modules):
        return False
    return any(
        frame.f_globals.get("__name__") in DEBUGGERS for top in frames_of_threads().values() for frame in _stack(top)
    )


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
