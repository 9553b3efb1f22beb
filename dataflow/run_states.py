"""States of nodes and elements of a run, made from what is known of them when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataflow.engine.facts import NodeFacts
from dataflow.states import State, StateType
from dataflow.summaries import node_message
from dataflow.values import Values

__all__ = ["state_of"]

Load = Callable[[], Any]


def state_of(facts: NodeFacts, index: int | None, values: Values, *, run: Any, load: Load) -> State[Any]:
    """The state of a node, or of one element of it, now.

    Args:
        facts: what is known of the node.
        index: of the element; None for the node as a whole.
        values: gives exceptions.
        run: the run that the state belongs to.
        load: gives the value.
    """
    if facts.node.space is None:
        if facts.ended:
            return _element_state(facts, 0, values, run=run, load=load)
    elif index is not None:
        return _element_state(facts, index, values, run=run, load=load)
    kind = facts.state_type()
    return State(type=kind, message=node_message(facts), run=run, load=load if facts.ended else None)


def _element_state(facts: NodeFacts, index: int, values: Values, *, run: Any, load: Load) -> State[Any]:
    segment = facts.segment_at(index)
    if segment is None:
        return State(type=StateType.PENDING, run=run)
    kind = StateType(segment.state_of(index))
    error = segment.error_of(index)
    data = values.error(facts, index, segment) if error else None
    report, offset = segment.report, segment.offset + index - segment.start
    was_run = report is not None and kind not in (StateType.UPSTREAM_FAILED, StateType.CACHED)
    return State(
        type=kind,
        message=_needless(segment.key, kind) if data is None else f"{type(data).__name__}: {data}",
        data=data,
        attempt=1 if was_run else 0,
        started=None if report is None else report.started,
        seconds=None if report is None else report.steps[segment.step].durations()[offset],
        run=run,
        load=load,
    )


def _needless(key: str | None, kind: StateType) -> str:
    """What a state says of work that was left out."""
    return "not run: what uses it was found in the store" if kind is StateType.CACHED and key is None else ""
