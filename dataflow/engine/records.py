"""What the machine remembers: stages that wait, sources they wait for, lanes of ready elements, batches under way."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from dataflow.compiler.batches import Pace
from dataflow.compiler.program import Compiled, Program
from dataflow.engine.events import PlacesGranted
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.intervals import IntervalSet
from dataflow.engine.limits.permits import LaneLimits
from dataflow.engine.report import Report
from dataflow.graph.nodes import Input, Node

__all__ = [
    "BatchRecord",
    "Explosion",
    "HeldIn",
    "Lane",
    "Opened",
    "Source",
    "Span",
    "StageRecord",
    "Waiter",
    "reported",
]

LARGEST_BATCH = 1_000_000


@dataclass(slots=True, eq=False)
class Source:
    """Something a mapped stage iterates over: its length when known, and which of its elements are there."""

    length: int | None
    available: IntervalSet = field(default_factory=IntervalSet)
    origin: tuple[NodeFacts, Input] | None = None
    """The node it comes from, and how that is used; None for a literal."""

    def failure_as_whole(self) -> tuple[int, bytes | None] | None:
        """State and error of what is iterated, if that failed before its elements were known."""
        if self.origin is None:
            return None
        facts, used = self.origin
        is_one = facts.node.space is None or isinstance(used.index, int)
        return facts.ended_badly(used) if is_one or facts.failed_as_whole else None


@dataclass(slots=True, eq=False)
class StageRecord:
    """A stage of the run."""

    compiled: Compiled
    facts: list[NodeFacts]
    plain: bool
    strict: bool
    lane: Lane
    sources: list[Source] = field(default_factory=list)
    length: int | None = None
    done: int = 0
    active: bool = False
    """Whether everything that all its elements wait for is there."""
    doomed: tuple[tuple[int, bytes | None], ...] = ()
    """For each step, how all its elements end without having run, if failed inputs keep every step from running."""
    cancelled: set[int] = field(default_factory=set)
    """Positions of steps whose nodes somebody cancelled."""
    upstream: list[NodeFacts] = field(default_factory=list)
    """Nodes it uses, each once."""
    waiter: Waiter | None = None
    """Counts what all its elements wait for."""
    awaits_lengths: bool = False
    """Whether its iterated arguments must be measured against each other before anything runs."""
    generator: bool = False
    pulling: bool = False

    @property
    def ended(self) -> bool:
        """Whether every element has ended."""
        return self.done == self.length

    def position_of(self, node: Node) -> int:
        """The step that a node is."""
        return next(position for position, facts in enumerate(self.facts) if facts.node is node)

    @property
    def lengths_differ(self) -> bool:
        """Whether its iterated arguments are known to have different lengths, and must not."""
        lengths = {source.length for source in self.sources}
        return self.strict and len(lengths) > 1 and None not in lengths


@dataclass(slots=True)
class Waiter:
    """Counts what a stage (``element`` None) or one of its elements still waits for."""

    stage: StageRecord
    element: int | None
    remaining: int = 0
    source: Source | None = None


class HeldIn(NamedTuple):
    """The output of a batch that says how far elements came that left it unfinished."""

    key: str
    offset: int
    """Of the first of them in that batch."""


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive elements of one stage."""

    stage: StageRecord
    start: int
    stop: int
    held: HeldIn | None = None
    """Where it is written how far these elements came; None if they have not left a batch."""
    approval: bytes | None = None
    """Pickled: what they are told by who approved them."""

    def part(self, start: int, stop: int) -> Span:
        """Some of these elements."""
        moved = self.held and self.held._replace(offset=self.held.offset + start - self.start)
        return Span(self.stage, start, stop, moved, self.approval)


@dataclass(slots=True, eq=False)
class Lane:
    """Ready elements that can share a batch: one mapped stage, or plain nodes of one shape."""

    program: Program
    number: int
    batch_size: int | None
    most: int
    """Never more elements than this in a batch."""
    level: int = 0
    ready: deque[Span] = field(default_factory=deque)
    ready_count: int = 0
    again: deque[tuple[tuple[Span, ...], int]] = field(default_factory=deque)
    """Spans of lost batches with how often they were lost; each is sent again as a batch of its own."""
    pace: Pace = field(default_factory=Pace)
    in_flight: int = 0
    """Batches of it that were sent and have not ended."""
    away: int = 0
    """Those of them that have given their threads to others."""
    limits: LaneLimits | None = None
    """Limits that its batches need places of."""

    @property
    def is_waiting(self) -> bool:
        """Whether its batches wait for places of limits."""
        return self.limits is not None and self.limits.is_waiting

    @property
    def has_permits(self) -> bool:
        """Whether it has, or has asked for, places of limits for batches that were not sent yet."""
        return self.limits is not None and not self.limits.is_idle

    def push(self, span: Span) -> None:
        """Add ready elements at the end."""
        if span.stop <= span.start:
            return
        self.ready_count += span.stop - span.start
        last = self.ready[-1] if self.ready else None
        is_next = last is not None and last.stage is span.stage and last.stop == span.start
        if last is not None and is_next and last.held is None and span.held is None:
            self.ready[-1] = Span(span.stage, last.start, span.stop)
        else:
            self.ready.append(span)

    def push_back(self, spans: Iterable[Span]) -> None:
        """Add elements that came back: of a mapped stage in their places, of others at the front."""
        returned = list(spans)
        self.ready_count += sum(span.stop - span.start for span in returned)
        if returned and returned[0].stage.plain:
            self.ready.extendleft(reversed(returned))
        else:
            self.ready = deque(sorted([*returned, *self.ready], key=attrgetter("start")))

    def cut(self, size: int) -> tuple[Span, ...]:
        """Take up to ``size`` elements, of a mapped stage those that are ready now wherever they are."""
        taken: list[Span] = []
        while size > 0 and self.ready and len(taken) < self.most_spans:
            if taken and (taken[0].stage.cancelled or self.ready[0].stage.cancelled) and self.ready[0].stage.plain:
                break
            span = self.ready.popleft()
            count = min(size, span.stop - span.start)
            taken.append(span.part(span.start, span.start + count))
            if span.start + count < span.stop:
                self.ready.appendleft(span.part(span.start + count, span.stop))
            size -= count
            self.ready_count -= count
        return tuple(taken)

    def drop(self, stages: Container[StageRecord]) -> None:
        """Forget the elements of some stages."""
        self.ready = deque(span for span in self.ready if span.stage not in stages)
        self.again = deque(
            (kept, losses)
            for spans, losses in self.again
            if (kept := tuple(span for span in spans if span.stage not in stages))
        )
        self.ready_count = sum(span.stop - span.start for span in self.ready)

    @property
    def most_spans(self) -> int:
        """A batch has at most so many: the keys of kept results are made for consecutive elements of a map."""
        is_mapped_and_kept = self.program.is_kept and self.ready and not self.ready[0].stage.plain
        return 1 if is_mapped_and_kept else LARGEST_BATCH


@dataclass(slots=True, eq=False)
class BatchRecord:
    """A batch under way."""

    number: int
    lane: Lane
    spans: tuple[Span, ...]
    count: int
    budget_seconds: float | None
    expected_seconds: float
    key: str
    """Key of its result; output j of several is ``key`` with ``-j`` behind it."""
    losses: int = 0
    seen_at: float | None = None
    """When the timer first found it under way."""
    measures: Segment | None = None
    """The segment whose elements it only counts."""
    is_away: bool = False
    """Whether it has given its thread to others."""
    permit: PlacesGranted | None = None
    """Places of limits that it holds."""

    @property
    def limits(self) -> tuple[str, ...]:
        """Names of the limits that it holds places of."""
        limits = self.lane.limits if self.permit is not None else None
        return tuple(place.name for place in limits.places) if limits is not None else ()

    def output_keys(self) -> list[str]:
        """A key per output of the program, and one for how far elements came that leave the batch unfinished."""
        outputs = len(self.lane.program.outputs) + self.lane.program.may_hold
        return [self.key] if outputs == 1 else [f"{self.key}-{j}" for j in range(outputs)]

    def value_keys(self) -> list[str]:
        """A key per output of the program."""
        return self.output_keys()[: len(self.lane.program.outputs)]

    def held_key(self) -> str | None:
        """Where it stands how far elements came; None if none may leave the batch unfinished."""
        return self.output_keys()[-1] if self.lane.program.may_hold else None


def reported(
    spans: Sequence[Span], count: int, waiting: Mapping[int, float]
) -> Iterator[tuple[Span, int, float | None]]:
    """What a report says of the spans of a batch.

    Args:
        spans: of the batch.
        count: how many elements it ran.
        waiting: offsets of those that have not ended, with how many seconds they are to wait.

    Yields:
        Spans of elements, each with its offset in the batch and how long they wait; None if they have ended.

    Example:
        >>> from types import SimpleNamespace
        >>> spans = [Span(SimpleNamespace(), 10, 14)]
        >>> [(s.start, s.stop, at, wait) for s, at, wait in reported(spans, 3, {1: 0.5})]
        [(10, 11, 0, None), (11, 12, 1, 0.5), (12, 13, 2, None)]
    """
    begin = 0
    for span in spans:
        end = begin + span.stop - span.start
        ran = range(begin, min(end, count))
        if waiting.keys().isdisjoint(ran):
            runs: Iterable[tuple[float | None, list[int]]] = [(None, [ran.start, ran.stop - 1])] if ran else []
        else:
            runs = ((wait, list(run)) for wait, run in groupby(ran, waiting.get))
        for wait, run in runs:
            start = span.start + run[0] - begin
            yield span.part(start, start + run[-1] + 1 - run[0]), run[0], wait
        begin = end


@dataclass(frozen=True, slots=True)
class Opened:
    """A segment opened some levels: its elements in the new index space."""

    start: int
    stop: int
    segment: Segment


class Explosion:
    """A node opened ``depth`` levels: a new index space that grows as segments and their totals arrive in order."""

    __slots__ = ("_next", "_position", "_waiting", "bounds", "depth", "facts", "opened", "source_views")

    def __init__(self, facts: NodeFacts, bounds: tuple[int, int] | None, depth: int) -> None:
        self.facts = facts
        self.bounds = bounds
        """The elements that are opened, first to last; None for all of them."""
        self.depth = depth
        self.opened: list[Opened] = []
        """By position in the new space."""
        self.source_views: list[tuple[StageRecord, Source]] = []
        """Stages that iterate over it."""
        self._waiting: dict[int, tuple[Segment, int]] = {}
        self._next = bounds[0] if bounds else 0
        self._position = 0

    def add(self, segment: Segment, total: int) -> list[Opened]:
        """A segment's total is known; gives what can now be placed."""
        self._waiting[segment.start] = (segment, total)
        placed = []
        while self._next in self._waiting:
            following, count = self._waiting.pop(self._next)
            placed.append(Opened(self._position, self._position + count, following))
            self._position += count
            self._next = following.stop
        self.opened.extend(placed)
        return placed

    def length(self) -> int | None:
        """Number of elements, once the last segment is placed."""
        end = self.facts.length
        if self.bounds is not None:
            end = min(self.bounds[1], end) if self.facts.ended and end is not None else self.bounds[1]
        complete = end is not None and self._next >= end and (self.facts.ended or self.bounds is not None)
        return self._position if complete else None

    def total_of(self, segment: Segment, program: Program, report: Report | None) -> int | None:
        """How many elements a segment has when opened; None if that has to be counted."""
        if segment.key is None:
            return segment.stop - segment.start
        measure = (segment.step, self.depth)
        if report is None or self.bounds is not None or measure not in program.measures:
            return None
        position = program.measures.index(measure)
        if segment.stop - segment.start == report.count:
            return report.totals[position]
        if not report.lengths:
            return None
        return sum(array("i", report.lengths[position])[segment.offset : segment.offset + segment.stop - segment.start])

    def part_of(self, segment: Segment) -> Segment | None:
        """What of a segment is opened here."""
        if self.bounds is None:
            return segment
        low, high = max(segment.start, self.bounds[0]), min(segment.stop, self.bounds[1])
        return segment.part(low, high) if low < high else None
