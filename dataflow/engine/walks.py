"""Which walk the elements of a batch, or of a part of it, are taken through."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

from dataflow.engine.batch_voice import walking
from dataflow.engine.ledger import Ledger
from dataflow.engine.walk import CarefulWalk, Check, Clock
from dataflow.engine.walk_async import walk_async
from dataflow.engine.watched import watched_careful, watched_fast

__all__ = ["walk_elements"]


def walk_elements(
    ledger: Ledger,
    frame: list[Any],
    columns: Sequence[Sequence[Any]],
    *,
    is_whole: bool,
    clock: Clock,
    control: Check,
    async_concurrency: int,
) -> int:
    """Run elements until all are done or the control says stop; gives how many were run.

    Args:
        ledger: where to write down what became of them.
        frame: the frame, with constants and broadcasts filled in.
        columns: the values of the column slots.
        is_whole: whether none of the inputs failed, was skipped, or stands for several.
        clock: gives seconds.
        control: asked between elements; a negative answer stops the walk.
        async_concurrency: how many elements of async tasks are under way at once.
    """
    program = ledger.program
    walking(ledger)
    rows: Any = zip(*columns, strict=True) if columns else repeat((), ledger.count)
    if program.is_async:
        return walk_async(ledger, frame, rows, clock, control, async_concurrency)
    if is_whole and program.runs_when_whole and not ledger.is_special:
        return watched_fast(ledger, frame, columns, rows, clock, control)
    return watched_careful(CarefulWalk(ledger, frame, iter(rows), clock, control), ledger, clock)
