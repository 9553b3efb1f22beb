"""What the engine knows of batches and of elements that have ended, as rows of the database of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dataflow.database.columns import Rare, pack_rare
from dataflow.database.rows import BatchRow, SegmentRow
from dataflow.engine.durations import DURATION_BYTES, step_ends
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.report import Report, StepReport
from dataflow_results.digests import DIGEST_BYTES

__all__ = ["batch_row", "element_begins", "segment_row"]

V = TypeVar("V")


def batch_row(execution_id: str, report: Report) -> BatchRow:
    """The row of a batch that has reported."""
    return BatchRow(
        execution_id=execution_id,
        number=report.batch,
        worker=report.worker,
        started=report.started,
        seconds=report.seconds,
        count=report.count,
    )


def segment_row(execution_id: str, facts: NodeFacts, segment: Segment) -> SegmentRow:
    """The row of elements of a node that ended together.

    Of elements that were never sent the error at position 0 holds for all of them.

    Args:
        execution_id: of the execution they belong to.
        facts: what is known of their node.
        segment: the elements, as the log of the machine holds them.
    """
    if segment.report is None:
        return _unsent_row(execution_id, facts.node.id, segment)
    step, low = segment.report.steps[segment.step], segment.offset
    high = low + segment.stop - segment.start
    state, states = _states_of(step.states, low, high)
    return SegmentRow(
        execution_id=execution_id,
        node=facts.node.id,
        start=segment.start,
        stop=segment.stop,
        batch=segment.report.batch,
        step=segment.step,
        offset=low,
        state=state,
        states=states,
        seconds=step.seconds[low * DURATION_BYTES : high * DURATION_BYTES],
        keys=step.keys[low * DIGEST_BYTES : high * DIGEST_BYTES] or None,
        rare=_rare_of(step, low, high),
        before_seconds=float(element_begins(segment.report)[low]) if low else 0.0,
    )


def element_begins(report: Report) -> npt.NDArray[np.float64]:
    """When a batch began with each of its elements, in seconds from the first."""
    return step_ends(*(step.seconds for step in report.steps))[:: len(report.steps)]


def _unsent_row(execution_id: str, node: int, segment: Segment) -> SegmentRow:
    return SegmentRow(
        execution_id=execution_id,
        node=node,
        start=segment.start,
        stop=segment.stop,
        state=int(segment.state),
        rare=pack_rare(Rare(errors={0: segment.error})) if segment.error else None,
    )


def _states_of(states: int | bytes, low: int, high: int) -> tuple[int | None, bytes | None]:
    """One number for all of these elements, or one byte for each where they differ."""
    if isinstance(states, int):
        return int(states), None
    part = states[low:high]
    return (part[0], None) if part.count(part[0]) == len(part) else (None, part)


def _rare_of(step: StepReport, low: int, high: int) -> bytes | None:
    if not (step.errors or step.tries or step.notes):
        return None
    return pack_rare(
        Rare(
            errors=_part(step.errors, low, high),
            tries=_part(step.tries, low, high),
            notes=_part(step.notes, low, high),
        )
    )


def _part(column: Mapping[int, V], low: int, high: int) -> dict[int, V]:
    """What these elements have of it, by position among them.

    A batch of plain nodes is cut into many small parts, so the smaller of both decides what is gone through.
    """
    if high - low < len(column):
        return {offset - low: column[offset] for offset in range(low, high) if offset in column}
    return {offset - low: value for offset, value in column.items() if low <= offset < high}
