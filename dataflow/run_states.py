"""States of nodes and elements of a run, made from what is known of them when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from dataflow.engine.durations import step_ends
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.failures import unpack_error
from dataflow.engine.report import Report, Try
from dataflow.states import State, StateType
from dataflow.summaries import node_message
from dataflow.values import Values

__all__ = ["NEEDLESS", "Times", "attempts_of", "known_segment", "skip_message", "state_of", "times_of", "was_tried"]

Load = Callable[[], Any]
WAITING = frozenset({StateType.AWAITING_RETRY, StateType.PAUSED})
NOT_TRIED = frozenset(
    {
        StateType.PENDING,
        StateType.UPSTREAM_FAILED,
        StateType.CACHED,
        StateType.PAUSED,
        StateType.AWAITING_RETRY,
    }
)
"""States that no attempt ends in."""
SAID_BY_TASK = frozenset({StateType.SKIPPED, StateType.CANCELLED})
"""States that an attempt ends in only if the task itself says so."""

NEEDLESS = "not run: what uses it was found in the store"


class Times(NamedTuple):
    """When the last attempt of an element began (seconds since the epoch), and how long it took."""

    started: float
    seconds: float

    @property
    def ended(self) -> float:
        """Seconds since the epoch."""
        return self.started + self.seconds


def state_of(facts: NodeFacts, index: int | None, values: Values, *, run: Any, load: Load) -> State[Any]:
    """The state of a node, or of one element of it, now.

    Args:
        facts: what is known of the node.
        index: of the element; None for the node as a whole.
        values: gives exceptions.
        run: the run that the state belongs to.
        load: gives the value.
    """
    if facts.node.space is None or index is not None:
        return _element_state(facts, index or 0, values, run=run, load=load)
    return State(type=facts.state_type(), message=node_message(facts), run=run, load=load if facts.ended else None)


def known_segment(facts: NodeFacts, index: int) -> Segment | None:
    """The segment of an element that has ended, or that waits for another attempt or an approval; None of any other."""
    if facts.failed_as_whole:
        return facts.element(index)
    return facts.segment_at(index) or facts.provisional.get(index)


def attempts_of(segment: Segment, index: int) -> int:
    """How many times an element was tried, in the last round of its loop."""
    tries = segment.tries_of(index)
    rounds = [position for position, one in enumerate(tries, start=1) if one.state == StateType.LOOPING]
    return len(tries) - (rounds[-1] if rounds else 0) + int(was_tried(segment, index))


def was_tried(segment: Segment, index: int) -> bool:
    """Whether the state of an element is the end of an attempt."""
    kind = segment.state_of(index)
    if segment.report is None or kind in NOT_TRIED:
        return False
    return kind not in SAID_BY_TASK or bool(segment.note_of(index) or segment.tries_of(index))


def times_of(segment: Segment, index: int) -> Times | None:
    """When the last attempt of an element began, and how long it took; None of what no worker told of.

    A report tells how long each step of each element took; what was before in its batch tells when it began. Elements
    that ran at the same time, or were found in the store, are put as late as the end of their batch allows.
    """
    report = segment.report
    if report is None:
        return None
    ends = step_ends(*(step.seconds for step in report.steps))
    at = (segment.offset + index - segment.start) * len(report.steps) + segment.step
    before, after = float(ends[at]), float(ends[at + 1])
    seconds = after - before
    started = report.started + min(before, max(0.0, report.seconds - seconds))
    tries = segment.tries_of(index)
    return _last_of(tries, Times(started, seconds), report) if tries else Times(started, seconds)


def _last_of(tries: tuple[Try, ...], whole: Times, report: Report) -> Times:
    """The times of the last attempt, where those before it, in the same batch, are part of what was measured."""
    here = [one for one in tries if one.started >= report.started]
    if not here:
        return whole
    began = here[-1].started + here[-1].seconds
    return Times(began, max(0.0, whole.seconds - (began - here[0].started)))


def _element_state(facts: NodeFacts, index: int, values: Values, *, run: Any, load: Load) -> State[Any]:
    segment = known_segment(facts, index)
    if segment is None:
        return State(type=StateType.PENDING, run=run)
    kind, times = StateType(segment.state_of(index)), times_of(segment, index)
    data = values.error(facts, index, segment) if _has_error(segment, index, kind) else None
    name, message = segment.note_of(index) or ("", "")
    if kind is StateType.SKIPPED:
        message = message or skip_message(segment, index)
    return State(
        type=kind,
        name=name,
        message=message or _told(segment, kind, data),
        data=data,
        attempt=attempts_of(segment, index),
        started=None if times is None else times.started,
        seconds=None if times is None else times.seconds,
        run=run,
        load=None if kind in WAITING else load,
    )


def _has_error(segment: Segment, index: int, kind: StateType) -> bool:
    return bool(segment.error_of(index)) and kind is not StateType.SKIPPED


def skip_message(segment: Segment, index: int) -> str:
    """Why an element was skipped, as the skip itself says it."""
    error = segment.error_of(index)
    return str(unpack_error(error)) if error else ""


def _told(segment: Segment, kind: StateType, error: BaseException | None) -> str:
    """What a state says of itself, where the task said nothing."""
    if error is not None:
        return f"{type(error).__name__}: {error}"
    return NEEDLESS if kind is StateType.CACHED and segment.report is None else ""
