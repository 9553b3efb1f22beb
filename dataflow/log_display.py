"""Lines of a run's log on stderr as they come, no more of them than a person can read."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from dataflow.engine.notices import LOG, PlacedNotice
from dataflow.logs import RUN_LOGGERS
from dataflow.run_facts import RunFacts

__all__ = ["LogDisplay", "line_of"]

MOST_LINES = 200
"""So many lines are shown in a second; of the others it is said how many there were."""
DIM, PLAIN = "\x1b[2m", "\x1b[0m"
COLOURS = {logging.DEBUG: DIM, logging.INFO: "\x1b[36m", logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}
"""Of levels, on a terminal; more severe ones have that of errors."""


def line_of(notice: PlacedNotice, flow: str, *, in_colour: bool = False) -> str:
    """A line of a log as it is shown.

    Example:
        >>> line_of(PlacedNotice(LOG, None, None, 1, 0.0, (20, "dataflow.flow", "begun")), "etl")[12:]
        ' | INFO    | etl | begun'
    """
    level, _, message = notice.body
    at = datetime.fromtimestamp(notice.time).astimezone()
    clock, name = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}", logging.getLevelName(level) if level else "print"
    place = flow if notice.node is None else notice.node.slug
    place += "" if notice.index is None else f"[{notice.index}]"
    place += "" if notice.attempt == 1 else f" (attempt {notice.attempt})"
    if not in_colour:
        return f"{clock} | {name:<7} | {place} | {message}"
    colour = COLOURS.get(min(level // 10 * 10, logging.ERROR), PLAIN)
    return f"{DIM}{clock} |{PLAIN} {colour}{name:<7}{PLAIN} {DIM}| {place} |{PLAIN} {message}"


class LogDisplay:
    """Shows lines of one run.

    Args:
        facts: gives the facts of the run.
        shows: True: every line; None: those that ``log_prints`` has made of prints, which nobody else would show.
        clock: gives seconds.
    """

    def __init__(
        self, facts: Callable[[], RunFacts], *, shows: bool | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._facts = facts
        self._shows = shows
        self._clock = clock
        self._lock = threading.Lock()
        self._second = float("-inf")
        """When the second began in which lines are counted."""
        self._shown = self._more = 0

    def hear(self, notices: Sequence[PlacedNotice]) -> None:
        """Show those of these lines that are to be shown."""
        wanted = [notice for notice in notices if notice.kind == LOG and self._is_wanted(notice)]
        if wanted:
            with self._lock:
                self._write(wanted)

    def close(self) -> None:
        """The run has ended: say how many lines were left out."""
        with self._lock:
            self._print(self._left_out())

    def _is_wanted(self, notice: PlacedNotice) -> bool:
        if self._shows is not None:
            return self._shows
        says = None if notice.node is None else notice.node.task.rules.log_prints
        return notice.body[1] in RUN_LOGGERS and (self._facts().log_prints if says is None else says)

    def _write(self, notices: Sequence[PlacedNotice]) -> None:
        in_colour, flow = _is_terminal(sys.stderr), self._facts().flow
        lines: list[str] = []
        for notice in notices:
            if self._clock() - self._second >= 1.0:
                lines += self._left_out()
                self._second, self._shown = self._clock(), 0
            if self._shown < MOST_LINES:
                self._shown += 1
                lines.append(line_of(notice, flow, in_colour=in_colour))
            else:
                self._more += 1
        self._print(lines)

    def _left_out(self) -> list[str]:
        more, self._more = self._more, 0
        return [f"... {more:,} more lines: dataflow runs logs {self._facts().id}"] if more else []

    @staticmethod
    def _print(lines: Sequence[str]) -> None:
        if lines and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):  # it was closed, or nobody reads it any more
                sys.stderr.write("".join(f"{line}\n" for line in lines))
                sys.stderr.flush()


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # there is none, or it was closed
        return False
