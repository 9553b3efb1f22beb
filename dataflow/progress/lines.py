"""Lines of progress: what is shown of a node, as plain text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dataflow.progress.rates import eta_seconds

__all__ = [
    "WORDS",
    "Line",
    "Picture",
    "json_lines",
    "plain_line",
    "shown_done",
    "shown_eta",
    "shown_rate",
    "shown_share",
]

WORDS = ("failed", "cancelled", "cached", "skipped", "waiting")
"""Counts of a line that are shown where they are not 0."""
MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One node, or all plain nodes of one task."""

    name: str
    """Slug of the node; of several nodes the name of their task."""
    nodes: int = 1
    done: int = 0
    total: int | None = None
    """Number of elements; None while unknown."""
    failed: int = 0
    """Not run because of a failed input, too."""
    cancelled: int = 0
    cached: int = 0
    skipped: int = 0
    waiting: int = 0
    """For another attempt, or an approval."""
    rate: float | None = None
    """Elements per second; None if none has ended, and of what has ended as a whole."""
    is_begun: bool = False
    """Whether elements of it have ended, or wait."""

    @property
    def label(self) -> str:
        """The name, and how many nodes there are if several."""
        return self.name if self.nodes == 1 else f"{self.name} ({self.nodes:,} calls)"

    @property
    def is_ended(self) -> bool:
        """Whether all elements that are known have ended."""
        return self.total is not None and self.done >= self.total

    @property
    def is_running(self) -> bool:
        """Whether some of it has happened, and not all."""
        return self.is_begun and not self.is_ended

    @property
    def eta_seconds(self) -> float | None:
        """How long the rest will take."""
        return None if self.is_ended else eta_seconds(self.done, self.total, self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is shown of a run at one moment."""

    flow: str
    run_id: str
    seconds: float
    """Since it began."""
    threads: int
    """Of the cluster."""
    batches: int
    """Under way."""
    lines: Sequence[Line]
    attempt: int = 1
    state: str = ""
    """Name of the final state; empty before the end."""


def shown_done(line: Line) -> str:
    """Ended and all elements.

    Example:
        >>> shown_done(Line(name="load", done=40_000, total=100_000)), shown_done(Line(name="load"))
        ('40,000/100,000', '0/?')
    """
    return f"{line.done:,}/{'?' if line.total is None else f'{line.total:,}'}"


def shown_share(line: Line) -> str:
    """The ended ones in percent, rounded down, so that 100 % is the end; empty while unknown.

    Example:
        >>> shown_share(Line(name="load", done=1_999, total=2_000))
        '99 %'
    """
    return "" if line.total is None else f"{100 * line.done // line.total if line.total else 100} %"


def shown_rate(rate: float | None) -> str:
    """Elements per second, or per minute or hour where they take long, with two digits.

    Example:
        >>> shown_rate(8_932.0), shown_rate(3.4), shown_rate(0.05), shown_rate(None)
        ('8,900/s', '3.4/s', '3.0/min', '')
    """
    if not rate:
        return ""
    factor, unit = next((pair for pair in ((1, "s"), (MINUTE, "min")) if rate * pair[0] >= 1), (HOUR, "h"))
    number = rate * factor
    return f"{number:.1f}/{unit}" if number < 9.95 else f"{float(f'{number:.2g}'):,.0f}/{unit}"


def shown_eta(seconds: float | None) -> str:
    """A length of time in whole seconds, minutes, hours or days.

    Example:
        >>> shown_eta(6.2), shown_eta(200), shown_eta(7_500), shown_eta(200_000), shown_eta(None)
        ('7 s', '3 min 20 s', '2 h 5 min', '2 d 7 h', '')
    """
    if seconds is None:
        return ""
    whole = -int(-seconds // 1)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return (
        f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
        if whole < DAY
        else f"{whole // DAY} d {whole % DAY // HOUR} h"
    )


def plain_line(line: Line, now: float) -> str:
    """A line of text with the time of the day.

    Example:
        >>> plain_line(Line(name="load", done=40_000, total=100_000, failed=3, rate=8_900.0), 0.0)[9:]
        'load 40,000/100,000 40 % 3 failed 8,900/s ETA 7 s'
    """
    told = [f"{count:,} {word}" for word in WORDS if (count := getattr(line, word))]
    eta = shown_eta(line.eta_seconds)
    parts = [line.label, shown_done(line), shown_share(line), *told, shown_rate(line.rate), eta and f"ETA {eta}"]
    return " ".join([shown_clock(now), *filter(None, parts)])


def shown_clock(now: float) -> str:
    """The time of the day as clocks here show it."""
    return datetime.fromtimestamp(now).astimezone().strftime("%H:%M:%S")


def json_lines(picture: Picture, now: float) -> str:
    """An object for each node on a line of its own; ``state`` is empty until the end of the run."""
    return "".join(f"{json.dumps(_object(picture, line, now))}\n" for line in picture.lines)


def _object(picture: Picture, line: Line, now: float) -> dict[str, Any]:
    eta = line.eta_seconds
    return {
        "time": round(now, 3),
        "flow": picture.flow,
        "run": picture.run_id,
        "attempt": picture.attempt,
        "state": picture.state,
        "node": line.name,
        "nodes": line.nodes,
        "done": line.done,
        "total": line.total,
        **{word: getattr(line, word) for word in WORDS},
        "rate": None if line.rate is None else round(line.rate, 3),
        "eta_seconds": None if eta is None else round(eta, 3),
    }
