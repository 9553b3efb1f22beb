"""Stages that iterate over a generator of the user: what it gave, when it ends, and when it raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflow.engine.events import ItemsPulled
from dataflow.engine.records import StageRecord
from dataflow.states import StateType

if TYPE_CHECKING:
    from dataflow.engine.machine import Machine

__all__ = ["take_items"]


def take_items(machine: Machine, event: ItemsPulled) -> None:
    """A generator gave items, or has no more, or has raised."""
    stage = event.stage
    stage.pulling = False
    if event.count:
        start = stage.sources[0].available.count()
        machine.arrive(stage, stage.sources[0], start, start + event.count)
    if event.error is not None:
        _fail(machine, stage, event.error)
    elif event.exhausted:
        _end(machine, stage)


def _end(machine: Machine, stage: StageRecord) -> None:
    if stage in machine.dispatcher.pulling:
        machine.dispatcher.pulling.remove(stage)
    stage.sources[0].length = stage.sources[0].available.count()
    machine.settle_length(stage)


def _fail(machine: Machine, stage: StageRecord, error: bytes) -> None:
    """A generator that raised: its exception is the outcome of one more element."""
    position = stage.sources[0].available.count()
    stage.sources[0].available.add(position, position + 1)
    machine.end_unsent(stage, position, position + 1, StateType.FAILED, error)
    _end(machine, stage)
