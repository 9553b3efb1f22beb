"""Holding: elements that leave a batch unfinished, and what is kept of how far they came, until they go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dataflow.engine.dispatch import Dispatcher
from dataflow.engine.events import Instruction, Release
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.records import BatchRecord, HeldIn, Span
from dataflow.engine.releases import Releases
from dataflow.engine.report import Report

__all__ = ["Holding"]


class Holding:
    """Takes elements aside, and lets go of what was kept of them.

    Args:
        releases: counts who needs the outputs of batches that say how far elements came.
        dispatcher: sends the elements again when it is time.
    """

    def __init__(self, releases: Releases, dispatcher: Dispatcher) -> None:
        self._releases = releases
        self._dispatcher = dispatcher
        self.held: dict[NodeFacts, None] = {}
        """Nodes of which elements were ever held."""

    def hold(self, batch: BatchRecord, span: Span, offset: int, report: Report, seconds: float) -> None:
        """Elements have left a batch unfinished, to be gone on with after so many seconds."""
        key = batch.held_key()
        if key is not None:
            self._releases.use(key, span.stop - span.start)
            span = replace(span, held=HeldIn(key, offset), approval=None)
        for step, facts in enumerate(span.stage.facts):
            segment = Segment(span.start, span.stop, None, offset, report, step)
            facts.provisional.update(dict.fromkeys(range(span.start, span.stop), segment))
            self.held[facts] = None
        self._dispatcher.postpone(batch.lane, span, seconds)

    def let_go(self, span: Span) -> Iterator[Instruction]:
        """Elements have ended, or have come farther: how far they came before is not needed any more."""
        if span.held is None:
            return
        for facts in span.stage.facts:
            for index in range(span.start, span.stop):
                facts.provisional.pop(index, None)
        if self._releases.let_go(span.held.key, span.stop - span.start):
            yield Release(span.held.key)
