"""Cancelling: what has not begun ends at once, what runs is asked to stop and ends when it tells how far it came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from dataflow.engine.events import CancelKeys, Instruction, Recall, Stop
from dataflow.engine.facts import unsent
from dataflow.engine.intervals import IntervalSet
from dataflow.engine.records import BatchRecord, Span, StageRecord
from dataflow.engine.wiring import steps_doomed_by
from dataflow.graph.nodes import Node
from dataflow.states import StateType

if TYPE_CHECKING:
    from dataflow.engine.machine import Machine

__all__ = ["cancel_all", "cancel_nodes", "end_rest", "give_up", "settle_open"]

CANCELLED = int(StateType.CANCELLED)


def cancel_all(machine: Machine, error: bytes) -> Iterator[Instruction]:
    """Cancel everything; batches under way are asked to stop."""
    dispatcher = machine.dispatcher
    dispatcher.pulling.clear()
    dispatcher.measures.clear()
    dispatcher.forget(set(machine.wiring.stage_of.values()))
    settle_open(machine, error)
    if dispatcher.in_flight:
        yield Stop(tuple(dispatcher.in_flight.values()))


def give_up(machine: Machine, error: bytes) -> Iterator[Instruction]:
    """Batches that were asked to stop have not done so in time: nobody waits for them any more."""
    batches = tuple(machine.dispatcher.in_flight.values())
    for batch in batches:
        machine.dispatcher.take_off(batch.number)
    settle_open(machine, error)
    if batches:
        yield CancelKeys(batches)


def settle_open(machine: Machine, error: bytes) -> None:
    """End everything that has not ended and is not under way."""
    busy = _under_way(machine.dispatcher.in_flight.values())
    for facts in machine.facts.values():
        spans = busy.get(machine.wiring.stage_of.get(facts.node))
        for start, stop in facts.settle_open(spans):
            machine.write_down(facts, unsent(start, stop, StateType.CANCELLED, error))
        facts.provisional.clear()


def end_rest(machine: Machine, spans: Iterable[Span], error: bytes) -> None:
    """End the elements that a batch has given back after it was cancelled."""
    for span in spans:
        for facts in span.stage.facts:
            machine.write_down(facts, unsent(span.start, span.stop, StateType.CANCELLED, error))


def _under_way(batches: Iterable[BatchRecord]) -> dict[StageRecord | None, IntervalSet]:
    busy: dict[StageRecord | None, IntervalSet] = {}
    for batch in batches:
        for span in batch.spans:
            busy.setdefault(span.stage, IntervalSet()).add(span.start, span.stop)
    return busy


def cancel_nodes(machine: Machine, nodes: Sequence[Node], error: bytes) -> Iterator[Instruction]:
    """Cancel some nodes; what uses them is not run, what they use goes on."""
    positions: dict[StageRecord, set[int]] = {}
    for node in nodes:
        stage = machine.wiring.stage_of.get(node)
        if stage is not None and not stage.ended:
            positions.setdefault(stage, set()).add(stage.position_of(node))
    for stage, cancelled in positions.items():
        stage.cancelled |= cancelled
        ends = steps_doomed_by(stage, dict.fromkeys(stage.cancelled, (CANCELLED, error)))
        under_way = tuple(batch for batch in machine.dispatcher.in_flight.values() if _holds(batch, stage))
        if ends:
            _end_stage(machine, stage, ends)
            yield Stop(under_way)
        elif under_way:
            yield Recall(under_way)


def _holds(batch: BatchRecord, stage: StageRecord) -> bool:
    return any(span.stage is stage for span in batch.spans)


def _end_stage(machine: Machine, stage: StageRecord, ends: tuple[tuple[int, bytes | None], ...]) -> None:
    """End the elements of a stage that are not under way; later ones end as they become ready."""
    dispatcher = machine.dispatcher
    dispatcher.forget({stage})
    if stage in dispatcher.pulling:
        dispatcher.pulling.remove(stage)
    stage.doomed, stage.active = ends, False
    busy = _under_way(batch for batch in dispatcher.in_flight.values() if _holds(batch, stage)).get(stage)
    open_runs = stage.facts[0].settle_open(busy)
    if stage.length is None:
        machine.set_length(stage, stage.facts[0].length or 1)
    for start, stop in open_runs:
        machine.end_doomed(stage, start, stop)
