"""Progress without a table: plain lines for logs, and JSON lines for programs."""

from __future__ import annotations

import sys
from typing import NamedTuple

from dataflow.causes.values import Cause
from dataflow.progress.endings import ending_text
from dataflow.progress.lines import Line, Picture, json_lines, plain_line, shown_clock, shown_eta

__all__ = ["JsonPainter", "PlainPainter"]

LINE_SECONDS = 10.0
"""A node that goes on gets a line at least as often."""
PARTS = 10
"""And whenever another of so many parts of it has ended."""


class Told(NamedTuple):
    """What was said of a node last."""

    time: float
    parts: int
    line: Line | None


class PlainPainter:
    """Writes a line for a node every 10 seconds, or whenever another tenth of it has ended."""

    every_seconds = 1.0
    shows_short_runs = False

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}

    def draw(self, picture: Picture, now: float) -> None:
        """Write the lines that are due."""
        write("".join(f"{plain_line(line, now)}\n" for line in picture.lines if self._is_due(line, now)))

    def _is_due(self, line: Line, now: float) -> bool:
        parts = PARTS * line.done // line.total if line.total else 0
        if not line.is_begun:
            return False
        last = self._told.get(line.name)
        is_news = last is None or _counts(last.line) != _counts(line)
        has_waited = last is None or now - last.time >= LINE_SECONDS
        has_grown = last is None or parts > last.parts
        if not (is_news and (has_waited or has_grown)):
            return False
        self._told[line.name] = Told(now, parts, line)
        return True

    def end(self, picture: Picture, causes: list[Cause], now: float) -> None:
        """Write what was not said yet, and why elements failed."""
        due = [line for line in picture.lines if line.is_begun and _counts(self._last(line)) != _counts(line)]
        ended = (
            f"{shown_clock(now)} {picture.flow} {picture.run_id} {picture.state} after {shown_eta(picture.seconds)}\n"
        )
        write("".join(f"{plain_line(line, now)}\n" for line in due) + ended + ending_text(picture, causes))

    def _last(self, line: Line) -> Line | None:
        last = self._told.get(line.name)
        return None if last is None else last.line

    def close(self) -> None:
        """There is nothing to leave."""


class JsonPainter:
    """Writes an object for each node every second, and at the end."""

    every_seconds = 1.0
    shows_short_runs = True

    def draw(self, picture: Picture, now: float) -> None:
        """Write how far all nodes are."""
        write(json_lines(picture, now))

    def end(self, picture: Picture, causes: list[Cause], now: float) -> None:
        """Write how they ended."""
        write(json_lines(picture, now))

    def close(self) -> None:
        """There is nothing to leave."""


def write(text: str) -> None:
    """Write lines where progress belongs: not among what the program prints."""
    if text:
        sys.stderr.write(text)
        sys.stderr.flush()


def _counts(line: Line | None) -> tuple[object, ...] | None:
    return None if line is None else (line.done, line.total, line.failed, line.waiting)
