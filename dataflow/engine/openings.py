"""Openings: nodes whose values are iterated become index spaces, segment by segment, as their lengths become known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dataflow.engine.dispatch import Dispatcher
from dataflow.engine.facts import Segment
from dataflow.engine.records import Explosion, Source, StageRecord
from dataflow.engine.report import Report
from dataflow.engine.wiring import Wiring

__all__ = ["Openings"]


class Openings:
    """Opens nodes for the stages that iterate over their values.

    Args:
        wiring: who iterates over what.
        dispatcher: has elements counted where nobody knows how many there are.
        arrive: takes elements of a source that are there now.
        settle_length: called later, when a source of a stage has a length.
        later: puts something on the agenda of the machine.
    """

    def __init__(
        self,
        wiring: Wiring,
        dispatcher: Dispatcher,
        *,
        arrive: Callable[[StageRecord, Source, int, int], None],
        settle_length: Callable[[StageRecord], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._wiring = wiring
        self._dispatcher = dispatcher
        self._arrive = arrive
        self._settle_length = settle_length
        self._later = later

    def open(self, explosion: Explosion, arrived: Segment, report: Report | None) -> None:
        """Find out how many elements a segment has when opened: known, or reported, or to be counted now."""
        segment = explosion.part_of(arrived)
        if segment is None:
            return
        program = self._wiring.stage_of[explosion.facts.node].compiled.program
        total = explosion.total_of(segment, program, report)
        if total is None:
            self._dispatcher.measures.append((explosion, segment))
        else:
            self.place(explosion, segment, total)

    def open_all(self, explosion: Explosion) -> None:
        """Open what of a node has ended before anybody iterated over it."""
        for segment in explosion.facts.arrivals:
            self.open(explosion, segment, None)
        if explosion.facts.ended:
            self.complete(explosion)

    def place(self, explosion: Explosion, segment: Segment, total: int) -> None:
        """A segment has so many elements when opened."""
        for opened in explosion.add(segment, total):
            for stage, source in explosion.source_views:
                self._arrive(stage, source, opened.start, opened.stop)
        self._settle(explosion)

    def complete(self, explosion: Explosion) -> None:
        """The node has ended; one element of it that turned out not to exist is a failed one."""
        bounds = explosion.bounds
        if bounds is not None and bounds[1] - bounds[0] == 1 and explosion.facts.segment_at(bounds[0]) is None:
            self.place(explosion, explosion.facts.element(bounds[0]), 1)
        self._settle(explosion)

    def _settle(self, explosion: Explosion) -> None:
        length = explosion.length()
        if length is None:
            return
        for stage, source in explosion.source_views:
            if source.length is None:
                source.length = length
                self._later(partial(self._settle_length, stage))
