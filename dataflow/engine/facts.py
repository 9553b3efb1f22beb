"""Facts of a run: what is known of each node, folded from reports into segments; only the machine writes them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from dataflow.engine.failures import pack_error
from dataflow.engine.intervals import IntervalSet
from dataflow.engine.report import Report, Try
from dataflow.graph.nodes import Input, Node
from dataflow.states import UNSUCCESSFUL, StateType
from dataflow.triggers import Counts
from dataflow_results.digests import DIGEST_BYTES

__all__ = ["NodeFacts", "Segment", "unsent"]

COMPLETED = int(StateType.COMPLETED)
CACHED = int(StateType.CACHED)
SKIPPED = int(StateType.SKIPPED)
WORST_FIRST = (
    StateType.FAILED,
    StateType.CRASHED,
    StateType.TIMED_OUT,
    StateType.UPSTREAM_FAILED,
    StateType.CANCELLED,
)
"""What an element without a value makes of its node, the strongest first."""
OF_ELEMENTS = frozenset({StateType.CRASHED, StateType.TIMED_OUT})
"""States that make a mapped node Failed, because not all of it is in them."""


class Segment(NamedTuple):
    """Elements of a node that ended together: where their values are and where it is written what became of them."""

    start: int
    stop: int
    key: str | None
    """Key of the column that holds the values; None if there are none."""
    offset: int
    """Position of the first of these elements in the column and in the report."""
    report: Report | None
    """None if they were never sent; then ``state`` and ``error`` hold for all of them."""
    step: int
    state: int = 0
    error: bytes | None = None

    def state_of(self, index: int) -> int:
        """`StateType` number of an element."""
        if self.report is None:
            return self.state
        return self.report.steps[self.step].state(self.offset + index - self.start)

    def error_of(self, index: int) -> bytes | None:
        """Packed exception of an element, if it has one."""
        if self.report is None:
            return self.error
        return self.report.steps[self.step].errors.get(self.offset + index - self.start)

    def tries_of(self, index: int) -> tuple[Try, ...]:
        """The attempts of an element before its last one."""
        if self.report is None:
            return ()
        return self.report.steps[self.step].tries.get(self.offset + index - self.start, ())

    def note_of(self, index: int) -> tuple[str, str] | None:
        """Name and message of the state that the task itself gave for an element, if it did."""
        if self.report is None:
            return None
        return self.report.steps[self.step].notes.get(self.offset + index - self.start)

    def key_of(self, index: int) -> bytes:
        """Key of an element's result in the store; empty if it has none, or if it follows from the index."""
        if self.report is None:
            return b""
        start = (self.offset + index - self.start) * DIGEST_BYTES
        return self.report.steps[self.step].keys[start : start + DIGEST_BYTES]

    def count(self, state: int) -> int:
        """How many of these elements are in a state."""
        if self.report is None:
            return self.stop - self.start if self.state == state else 0
        end = self.offset + self.stop - self.start
        return self.report.steps[self.step].count(state, self.offset, end)

    def part(self, start: int, stop: int) -> Segment:
        """The part of this segment from start to stop."""
        return self._replace(start=start, stop=stop, offset=self.offset + start - self.start)

    def valued(self) -> int:
        """How many of these elements have a value."""
        return self.count(COMPLETED) + self.count(CACHED)

    def all_completed(self) -> bool:
        """Whether every one of these elements has a value."""
        return self.valued() == self.stop - self.start

    def failed(self) -> int:
        """How many of these elements ended without a value, other than by being skipped."""
        return self.stop - self.start - self.valued() - self.count(SKIPPED)


def unsent(start: int, stop: int, state: StateType, error: bytes | None = None) -> Segment:
    """Elements that ended without being sent."""
    return Segment(start, stop, None, 0, None, 0, state, error)


def _counts(segment: Segment) -> list[tuple[int, int]]:
    return [(state, number) for state in StateType if (number := segment.count(state))]


class NodeFacts:
    """What is known of one node of a run."""

    __slots__ = (
        "_segments",
        "_sorted",
        "arrivals",
        "counts",
        "done",
        "failed_as_whole",
        "length",
        "level",
        "looked_at",
        "node",
        "pending_consumers",
        "provisional",
        "released",
        "unsuccessful",
    )  # fmt: skip

    def __init__(self, node: Node, level: int) -> None:
        self.node = node
        self.level = level
        """Barriers before this node in the whole run; deeper work goes first."""
        self.length: int | None = 1 if node.space is None else node.space.length
        """Number of elements, None while unknown."""
        self.done = 0
        """Number of elements that have ended."""
        self.counts: dict[int, int] = {}
        """Number of elements by `StateType` number; ended elements only."""
        self.unsuccessful = 0
        """Number of elements that ended without a value, other than by being skipped."""
        self.provisional: dict[int, Segment] = {}
        """Elements that wait for another attempt or an approval now, by index."""
        self.arrivals: list[Segment] = []
        """Segments in the order in which they ended."""
        self._segments: list[Segment] = []
        self._sorted = True
        self.pending_consumers = 0
        """Stages that use this node and have not ended."""
        self.failed_as_whole = False
        """Whether its index space could not be made; then one element stands for all."""
        self.released = False
        """Whether the values were dropped."""
        self.looked_at = False
        """Whether somebody asked for a result or state, so that a failure is not silent."""

    def add(self, segment: Segment) -> None:
        """Fold in elements that have ended."""
        self.arrivals.append(segment)
        self._sorted = False
        self.done += segment.stop - segment.start
        size = segment.stop - segment.start
        completed = segment.count(COMPLETED)
        self.unsuccessful += 0 if completed == size else segment.failed()
        for state, number in ((COMPLETED, completed),) if completed == size else _counts(segment):
            self.counts[state] = self.counts.get(state, 0) + number

    @property
    def segments(self) -> list[Segment]:
        """Segments by index."""
        if not self._sorted:
            self._segments = sorted(self.arrivals, key=lambda segment: segment.start)
            self._sorted = True
        return self._segments

    @property
    def ended(self) -> bool:
        """Whether every element has ended."""
        return self.done == self.length

    def segment_at(self, index: int) -> Segment | None:
        """The segment that an element is in, None if the element has not ended."""
        segments = self.segments
        position = bisect_right(segments, index, key=lambda segment: segment.start) - 1
        if position < 0 or index >= segments[position].stop:
            return None
        return segments[position]

    def element(self, index: int) -> Segment:
        """The segment of just one element of a node that has ended; an element that does not exist has failed."""
        at = 0 if self.failed_as_whole else index
        segment = self.segment_at(at)
        if segment is not None:
            return segment.part(at, at + 1)._replace(start=index, stop=index + 1)
        error = IndexError(f"{self.node.slug} has {self.length} elements, there is no element {index}")
        return Segment(index, index + 1, None, 0, None, 0, StateType.FAILED, pack_error(error))

    def overlapping(self, start: int, stop: int) -> Iterator[tuple[Segment, int, int]]:
        """Segments that hold elements from start to stop, each with the part that is meant."""
        segments = self.segments
        position = max(0, bisect_right(segments, start, key=lambda segment: segment.start) - 1)
        while position < len(segments) and segments[position].start < stop:
            segment = segments[position]
            low, high = max(start, segment.start), min(stop, segment.stop)
            if low < high:
                yield segment, low, high
            position += 1

    def ended_indices(self) -> IntervalSet:
        """Which elements have ended."""
        found = IntervalSet()
        for segment in self.segments:
            found.add(segment.start, segment.stop)
        return found

    def settle_open(self, busy: IntervalSet | None = None) -> list[tuple[int, int]]:
        """The runs of elements that have not ended and are not busy, after settling the length: nothing more comes."""
        known = self.ended_indices()
        for start, stop in busy or ():
            known.add(start, stop)
        if self.length is None:
            self.length = max((stop for _, stop in known), default=0) or 1
        return list(known.missing(0, self.length))

    def state_type(self) -> StateType:
        """The state of the node as a whole."""
        if not self.ended:
            return StateType.RUNNING if self.done else StateType.PENDING
        for state in WORST_FIRST:
            if self.counts.get(state):
                return StateType.FAILED if state in OF_ELEMENTS and self.node.space is not None else state
        for state in (StateType.CACHED, StateType.SKIPPED):
            if self.done and self.counts.get(state) == self.done:
                return state
        return StateType.COMPLETED

    def first_failure(self, within: range | None = None) -> tuple[int, Segment] | None:
        """Index and segment of the first element (of those within a range) that ended without a value."""
        return self._first(UNSUCCESSFUL, within) if self.unsuccessful else None

    def _first(self, states: frozenset[StateType], within: range | None) -> tuple[int, Segment] | None:
        for segment in self.segments:
            if segment.all_completed():
                continue
            for index in range(segment.start, segment.stop):
                if segment.state_of(index) in states and (within is None or index in within):
                    return index, segment
        return None

    def failure_of(self, used: Input) -> tuple[int, bytes | None] | None:
        """State and packed error that keep this use of the node from being an input; None if it is whole."""
        failure = None if used.judged else self.ended_badly(used)
        return None if failure is None or (used.allow_failure and failure[0] != SKIPPED) else failure

    def ended_badly(self, used: Input) -> tuple[int, bytes | None] | None:
        """State and packed error of what is used here, if it failed, or if all of it was skipped."""
        if self.node.space is None or isinstance(used.index, int):
            at = used.index if isinstance(used.index, int) and self.node.space is not None else 0
            element = self.element(at)
            return None if element.valued() else (element.state_of(at), element.error_of(at))
        within = used.index if isinstance(used.index, range) else None
        found = self.first_failure(within)
        counts = self.counts_of(used)
        if found is None and counts.skipped and counts.skipped == counts.total:
            found = self._first(frozenset({StateType.SKIPPED}), within)
        return None if found is None else (found[1].state_of(found[0]), found[1].error_of(found[0]))

    def counts_of(self, used: Input) -> Counts:
        """How many of the elements that are used here ended how."""
        if isinstance(used.index, range):
            wanted = used.index
            runs = [(wanted.start, wanted.stop)] if wanted.step == 1 else [(index, index + 1) for index in wanted]
            parts = [segment.part(low, high) for run in runs for segment, low, high in self.overlapping(*run)]
            skipped = sum(part.count(SKIPPED) for part in parts)
            failed = sum(part.failed() for part in parts)
            return Counts(sum(part.valued() for part in parts), failed, skipped)
        skipped = self.counts.get(SKIPPED, 0)
        return Counts(self.done - self.unsuccessful - skipped, self.unsuccessful, skipped)
