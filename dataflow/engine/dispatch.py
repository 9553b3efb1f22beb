"""Dispatch: from ready elements to batches, as many as the cluster has room for, deepest work first."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Container
from dataclasses import replace
from itertools import count
from operator import attrgetter

from dataflow.compiler.batches import BATCH_OVERHEAD_SECONDS, batch_size, budget_seconds, may_send
from dataflow.compiler.program import Compiled, Program, Step
from dataflow.engine.events import BatchLost, Instruction, Pull, Submit, Withdraw
from dataflow.engine.facts import Segment
from dataflow.engine.limits.permits import LaneLimits, Permits, limits_of
from dataflow.engine.records import LARGEST_BATCH, BatchRecord, Explosion, Lane, Span, StageRecord
from dataflow.graph.nodes import Node
from dataflow.graph.stages import Stage
from dataflow.states import StateType

__all__ = ["LARGEST_PULLED_BATCH", "Dispatcher", "may_try_again"]

LARGEST_PULLED_BATCH = 50_000
ITEMS_AHEAD = 4
"""Items of a generator that are taken ahead, in batches per worker thread."""
FIRST_ITEMS = 1024
"""Items of a generator that are taken first, per worker thread."""
LEAST_PATIENCE_SECONDS = 0.15
"""A batch is not asked for its rest earlier than this."""
MOST_LOSSES = 3
MOST_AWAY = 3
"""Batches of a lane that are under way at most, per worker thread, once one of them waits without a thread."""
PIECES_OF_A_LOST_BATCH = 8


def may_try_again(batch: BatchRecord, lost: BatchLost) -> bool:
    """Whether a lost batch is sent again: if nobody is to blame, a few times; if somebody may be, until he is alone."""
    may_split = batch.count > 1 and (lost.again or lost.state == StateType.CRASHED)
    return may_split or (lost.again and batch.losses < MOST_LOSSES)


class Dispatcher:
    """Keeps the lanes of ready elements and the batches under way; as the machine, without input, output or clock.

    Args:
        run_id: part of the keys it gives out.
        threads: worker threads of the cluster.
        batch_seconds: how long a batch should take.
        async_concurrency: how many elements of one batch of async tasks run at once.
    """

    def __init__(self, *, run_id: str, threads: int, batch_seconds: float, async_concurrency: int) -> None:
        self.threads = max(1, threads)
        self.in_flight: dict[int, BatchRecord] = {}
        """Batches that were sent and have not ended, by number."""
        self.batches_sent = 0
        self.measures: deque[tuple[Explosion, Segment]] = deque()
        """Columns whose elements must be counted before they can be iterated."""
        self.measuring: dict[int, tuple[Explosion, Segment]] = {}
        """The same, by the number of the batch that counts."""
        self.pulling: list[StageRecord] = []
        """Stages that iterate over a generator which has more."""
        self.permits = Permits()
        """Places of limits that batches need before they are sent."""
        self.paused: list[tuple[Lane, Span]] = []
        """Elements that wait for an approval."""
        self.is_held = False
        """Whether nothing is sent until somebody lets the run go on."""
        self._delayed: list[tuple[Lane, Span, float]] = []
        """Elements that wait so many seconds, from the next time that is told."""
        self._postponed: list[tuple[float, int, Lane, Span]] = []
        """Elements that wait for a time: a heap."""
        self._run_id = run_id
        self._batch_seconds = batch_seconds
        self._async_concurrency = async_concurrency
        self._numbers = count()
        self._lanes: dict[object, Lane] = {}
        self._in_flight_seconds = 0.0
        self._away = 0
        self._instructions: list[Instruction] = []

    def hold(self, held: bool) -> None:
        """Send nothing from now on, or go on.

        Batches under way are asked for what they have not begun; places of limits that none uses are given back.
        """
        self.is_held = held
        if held and self.in_flight:
            self._instructions.append(Withdraw(self.batches_sent - 1))
        for lane in self._lanes.values():
            if held and lane.limits is not None:
                self._instructions.extend(self.permits.give_up_all(lane.limits))

    def set_threads(self, threads: int) -> None:
        """How many worker threads the cluster has now."""
        self.threads = max(1, threads)

    def lane(self, compiled: Compiled, stage: Stage, level: int) -> Lane:
        """The lane of a stage; stages of one shape share it."""
        lane = self._lanes.get(compiled.key)
        if lane is None:
            size = stage.nodes[0].task.batch_size
            most = 1 if compiled.program.measures and stage.space is None else LARGEST_BATCH
            lane = self._lanes[compiled.key] = Lane(compiled.program, len(self._lanes), size, most)
            lane.limits = limits_of(stage.nodes)
        # What holds places of limits is not to wait on a worker behind what holds none.
        lane.level = max(lane.level, level + (lane.limits is not None))
        return lane

    def take_off(self, number: int) -> BatchRecord | None:
        """A batch has ended or is lost; None if it is not under way (any more)."""
        batch = self.in_flight.pop(number, None)
        if batch is not None:
            self.came_back(batch)
            self._in_flight_seconds -= batch.expected_seconds
            batch.lane.in_flight -= 1
            self._instructions.extend(self.permits.take_from(batch))
        return batch

    def went_away(self, number: int) -> None:
        """A batch has given its thread to others, while it waits: there is room for one more."""
        batch = self.in_flight.get(number)
        if batch is not None and not batch.is_away:
            batch.is_away = True
            batch.lane.away += 1
            self._away += 1
            self._in_flight_seconds -= batch.expected_seconds

    def came_back(self, batch: BatchRecord) -> None:
        """A batch needs its thread."""
        if batch.is_away:
            batch.is_away = False
            batch.lane.away -= 1
            self._away -= 1
            self._in_flight_seconds += batch.expected_seconds

    def give_back(
        self, batch: BatchRecord, ran: int, *, but_not: Callable[[StageRecord], bool] = lambda stage: False
    ) -> list[Span]:
        """The elements that a batch did not begin are ready again, but for those of some stages, which it gives."""
        rest: list[Span] = []
        for span in batch.spans:
            size = span.stop - span.start
            if ran < size:
                rest.append(span.part(span.start + max(0, ran), span.stop))
            ran -= size
        batch.lane.push_back(span for span in rest if not but_not(span.stage))
        return [span for span in rest if but_not(span.stage)]

    def spare_others(self, batch: BatchRecord, element: int) -> Span:
        """One element is to blame for the loss of its batch; the others are ready again. Gives the span of the one."""
        blamed = batch.spans[0]
        spared: list[Span] = []
        for span in batch.spans:
            at = span.start + element
            if span.start <= at < span.stop:
                blamed = span.part(at, at + 1)
                rest = [span.part(span.start, at), span.part(at + 1, span.stop)]
            else:
                rest = [span]
            spared.extend(part for part in rest if part.start < part.stop)
            element -= span.stop - span.start
        batch.lane.push_back(spared)
        return blamed

    def try_again(self, batch: BatchRecord) -> None:
        """Send the elements of a lost batch again, in smaller batches, so that one that kills workers stands alone."""
        size = -(-batch.count // PIECES_OF_A_LOST_BATCH)
        pieces = [
            span.part(start, min(start + size, span.stop))
            for span in batch.spans
            for start in range(span.start, span.stop, size)
        ]
        batch.lane.again.extend(((piece,), batch.losses + 1) for piece in pieces)

    def postpone(self, lane: Lane, span: Span, seconds: float) -> None:
        """Elements that go on after so many seconds (infinite: when somebody approves) hold no thread until then."""
        if seconds == float("inf"):
            self.paused.append((lane, span))
        else:
            self._delayed.append((lane, span, seconds))

    def wake(self, now: float) -> None:
        """Make ready what was postponed long enough ago; delays begin when the first time after them is known."""
        for lane, span, seconds in self._delayed:
            heapq.heappush(self._postponed, (now + seconds, next(self._numbers), lane, span))
        self._delayed.clear()
        due: dict[Lane, list[Span]] = {}
        while self._postponed and self._postponed[0][0] <= now:
            _, _, lane, span = heapq.heappop(self._postponed)
            due.setdefault(lane, []).append(span)
        for lane, spans in due.items():
            lane.push_back(spans)

    def due_in(self, now: float) -> float | None:
        """In how many seconds postponed elements want to go on; None if there are none."""
        if self._delayed:
            return 0.0
        return max(0.0, self._postponed[0][0] - now) if self._postponed else None

    def approve(self, stages: Container[StageRecord], approval: bytes | None = None) -> None:
        """The elements of these stages that wait for an approval are ready, with what they are told by who approved."""
        for lane, span in self.paused:
            if span.stage in stages:
                lane.push(replace(span, approval=approval))
        self.paused = [(lane, span) for lane, span in self.paused if span.stage not in stages]

    def forget(self, stages: Container[StageRecord]) -> None:
        """Nothing of these stages is sent any more."""
        self.paused = [(lane, span) for lane, span in self.paused if span.stage not in stages]
        self._delayed = [entry for entry in self._delayed if entry[1].stage not in stages]
        self._postponed = [entry for entry in self._postponed if entry[3].stage not in stages]
        heapq.heapify(self._postponed)
        for lane in self._lanes.values():
            lane.drop(stages)
            if lane.limits is not None and not lane.ready and not lane.again:
                self._instructions.extend(self.permits.balance(lane, lane.limits, threads=self.threads, at_once=1))

    def is_paused(self, nodes: Container[Node]) -> bool:
        """Whether elements of some of these nodes wait for an approval."""
        return any(facts.node in nodes for _, span in self.paused for facts in span.stage.facts)

    @property
    def only_paused(self) -> bool:
        """Whether nothing goes on before somebody approves."""
        is_busy = self.in_flight or self._delayed or self._postponed or self.pulling or self.measures
        return bool(self.paused) and not is_busy and not any(lane.ready or lane.again for lane in self._lanes.values())

    @property
    def wants_timer(self) -> bool:
        """Whether threads are idle while batches run, so that one that takes long should give its rest back."""
        return 0 < len(self.in_flight) - self._away < self.threads and not any(
            lane.ready and not lane.is_waiting for lane in self._lanes.values()
        )

    def overdue(self, now: float) -> tuple[BatchRecord, ...]:
        """Batches of more than one element that take much longer than expected while threads are idle."""
        found = []
        for batch in self.in_flight.values():
            if batch.lane.is_waiting:
                continue  # its rest would only wait
            if batch.seen_at is None:
                batch.seen_at = now
            patience = max(LEAST_PATIENCE_SECONDS, 2 * batch.expected_seconds)
            if batch.count > 1 and batch.budget_seconds is not None and now - batch.seen_at > patience:
                found.append(batch)
        return tuple(found) if self.wants_timer else ()

    def cut_short(
        self, number: int, limit: int, *, but_not: Callable[[StageRecord], bool] = lambda stage: False
    ) -> list[Span]:
        """A batch will end after ``limit`` elements; the others are ready again, but for those that it gives."""
        batch = self.in_flight.get(number)
        if batch is None or limit >= batch.count:
            return []
        over = self.give_back(batch, limit, but_not=but_not)
        kept: list[Span] = []
        for span in batch.spans:
            size = min(span.stop - span.start, limit - sum(s.stop - s.start for s in kept))
            if size > 0:
                kept.append(span.part(span.start, span.start + size))
        batch.spans, batch.count = tuple(kept), limit
        return over

    def dispatch(self, *, sends: bool = True) -> list[Instruction]:
        """Send batches while the cluster has room, deepest lanes first; with all that follows from what was before."""
        if sends and not self.is_held:
            self._send_batches()
            for stage in self.pulling:
                self._pull(stage)
        instructions, self._instructions = self._instructions, []
        return instructions

    def _send_batches(self) -> None:
        while self.measures and self._room(None):
            self._send_measure(*self.measures.popleft())
        busy = [lane for lane in self._lanes.values() if lane.ready or lane.again or lane.has_permits]
        for lane in sorted(busy, key=attrgetter("level"), reverse=True):
            if lane.limits is not None:
                self._send_limited(lane, lane.limits)
                continue
            while lane.again and self._room(None):
                spans, losses = lane.again.popleft()
                self._send(lane, spans, None).losses = losses
            while lane.ready and self._send_next(lane):
                pass

    def _room(self, next_seconds: float | None) -> bool:
        return may_send(
            in_flight=len(self.in_flight) - self._away,
            in_flight_seconds=self._in_flight_seconds,
            next_seconds=next_seconds,
            threads=self.threads,
        )

    def _send_next(self, lane: Lane) -> bool:
        if lane.most == LARGEST_PULLED_BATCH and lane.in_flight >= ITEMS_AHEAD * self.threads:
            return False  # items of a generator are in memory from when they are taken until they have ended
        if lane.away and lane.in_flight >= MOST_AWAY * self.threads:
            return False  # more of the same would only wait as well
        size = self._size(lane)
        per_element = lane.pace.seconds_per_element
        if per_element is None and lane.batch_size is not None:
            per_element = BATCH_OVERHEAD_SECONDS / lane.batch_size
        if not self._room(None if per_element is None else per_element * size):
            return False
        self._send_ready(lane, size)
        return True

    def _send_ready(self, lane: Lane, size: int) -> None:
        chosen = lane.batch_size
        budget = budget_seconds(chosen=chosen, pace=lane.pace, batch_seconds=self._batch_seconds)
        self._send(lane, lane.cut(size), budget)

    def _send_limited(self, lane: Lane, limits: LaneLimits) -> None:
        """Send as many batches as there are permits; ask for those that are of use."""
        while limits.idle and (lane.again or lane.ready):
            if lane.again:
                spans, losses = lane.again.popleft()
                self._send(lane, spans, None).losses = losses
            else:
                self._send_ready(lane, self._size(lane))
        at_once = limits.most(self._async_concurrency) if lane.program.is_async else 1
        self._instructions.extend(self.permits.balance(lane, limits, threads=self.threads, at_once=at_once))

    def _size(self, lane: Lane) -> int:
        threads, at_once = self.threads, self._async_concurrency if lane.program.is_async else 1
        if lane.limits is not None:
            threads, at_once = lane.limits.most(threads), lane.limits.most(at_once)
        size = batch_size(
            chosen=lane.batch_size,
            pace=lane.pace,
            remaining=lane.ready_count,
            threads=threads,
            batch_seconds=self._batch_seconds,
            least=at_once,
        )
        return min(size, lane.most)

    def _send(self, lane: Lane, spans: tuple[Span, ...], budget: float | None) -> BatchRecord:
        number = next(self._numbers)
        elements = sum(span.stop - span.start for span in spans)
        per_element = lane.pace.seconds_per_element or 0.0
        batch = BatchRecord(
            number=number,
            lane=lane,
            spans=spans,
            count=elements,
            budget_seconds=budget,
            expected_seconds=max(BATCH_OVERHEAD_SECONDS, per_element * elements),
            key=f"{lane.program.name}-{self._run_id}-{number}",
        )
        self.permits.give_to(batch)
        self.in_flight[number] = batch
        self.batches_sent += 1
        lane.in_flight += 1
        self._in_flight_seconds += batch.expected_seconds
        self._instructions.append(Submit(batch))
        return batch

    def _send_measure(self, explosion: Explosion, segment: Segment) -> None:
        """Count, on a worker, the elements of a column that is to be iterated."""
        lane = self._lanes.setdefault(
            ("measure", explosion.depth), Lane(_measuring_program(explosion.depth), len(self._lanes), 1, 1)
        )
        batch = self._send(lane, (), None)
        batch.measures = segment
        self.measuring[batch.number] = (explosion, segment)

    def _pull(self, stage: StageRecord) -> None:
        lane = stage.lane
        wanted = ITEMS_AHEAD * self.threads * self._size(lane) if lane.ready_count else self.threads * FIRST_ITEMS
        if not stage.pulling and lane.ready_count < wanted // 2:
            stage.pulling = True
            self._instructions.append(Pull(stage, wanted - lane.ready_count))


def _identity(value: object) -> object:
    return value


def _measuring_program(depth: int) -> Program:
    step = Step(name="measure", function=_identity, positional=(0,), keywords=(), guards=())
    return Program(
        name="measure", constants=(), broadcasts=0, columns=1, steps=(step,), outputs=(0,), measures=((0, depth),)
    )
