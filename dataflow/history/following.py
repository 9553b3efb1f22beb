"""Following the logs of a run that goes on: each line once, until the run has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from operator import attrgetter

from dataflow.history.logs import LogLine
from dataflow.history.past_runs import PastRun

__all__ = ["follow_logs"]

TURN_SECONDS = 0.5


def _pause() -> None:
    threading.Event().wait(TURN_SECONDS)


def follow_logs(
    run: PastRun,
    node: str | None = None,
    *,
    index: int | None = None,
    level: int | str | None = None,
    text: str | None = None,
    pause: Callable[[], None] = _pause,
) -> Iterator[LogLine]:
    """The lines of a run as they are written, those that are there first; ends when the run does.

    Args:
        run: the run.
        node: name of a node.
        index: index of an element.
        level: at least this level.
        text: only lines in which this stands.
        pause: waits between two looks.
    """
    seen: dict[str, int] = {}
    while True:
        run = run.again()  # looked at before its lines: those of its end are written before its end is
        found: list[LogLine] = []
        for execution in run.executions:
            lines, seen[execution.id] = execution.new_logs(
                seen.get(execution.id, 0), node, index=index, level=level, text=text
            )
            found += lines
        yield from sorted(found, key=attrgetter("time"))
        if not run.goes_on:
            return
        pause()
