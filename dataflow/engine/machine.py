"""The machine: decides what runs next. Events in, instructions out; it reads no clock and does no input or output.

A stage waits until everything that all its elements need has ended, then its elements become ready one by one (or in
long runs) as the elements they are made from end. Ready elements queue in lanes. Whenever the cluster has room, the
machine cuts a batch from the deepest lane, so that pipelines are drained before new work is begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from dataflow.compiler.program import Compiled
from dataflow.engine import events
from dataflow.engine.cancelling import cancel_all, cancel_nodes, end_rest, give_up, settle_open
from dataflow.engine.dispatch import LARGEST_PULLED_BATCH, Dispatcher, may_try_again
from dataflow.engine.events import Event, Instruction
from dataflow.engine.facts import NodeFacts, Segment, unsent
from dataflow.engine.failures import pack_error
from dataflow.engine.generators import take_items
from dataflow.engine.holding import Holding
from dataflow.engine.intervals import IntervalSet, common
from dataflow.engine.openings import Openings
from dataflow.engine.records import BatchRecord, Source, Span, StageRecord, Waiter, reported
from dataflow.engine.releases import Releases
from dataflow.engine.report import Report
from dataflow.engine.wiring import Wiring, doomed_steps, failed_inputs, length_error
from dataflow.graph.stages import Stage
from dataflow.states import StateType

__all__ = ["Machine"]


class Machine:
    """Decides, for one run, which elements run when.

    Args:
        run_id: prefix of the keys it gives out.
        threads: worker threads of the cluster.
        batch_seconds: how long a batch should take.
        async_concurrency: how many elements of one batch of async tasks run at once.
    """

    def __init__(self, *, run_id: str, threads: int, batch_seconds: float, async_concurrency: int) -> None:
        self.wiring = Wiring()
        self.facts = self.wiring.facts
        self.dispatcher = Dispatcher(
            run_id=run_id, threads=threads, batch_seconds=batch_seconds, async_concurrency=async_concurrency
        )
        self.cancelled: bytes | None = None
        """Packed error of the cancellation, once there was one."""
        self.log: list[tuple[NodeFacts, Segment]] = []
        """What ended, in order."""
        self._releases = Releases()
        self.holding = Holding(self._releases, self.dispatcher)
        self._agenda: deque[Callable[[], None]] = deque()
        """What follows from what was handled so far; worked off in order, so that long chains do not recurse."""
        self._instructions: list[Instruction] = []
        self._openings = Openings(
            self.wiring,
            self.dispatcher,
            arrive=self.arrive,
            settle_length=self.settle_length,
            later=self._agenda.append,
        )

    def handle(self, event: Event) -> list[Instruction]:
        """Take in one event.

        Returns:
            What is to be done about it, in order.
        """
        _HANDLERS[type(event)](self, event)
        while self._agenda:
            self._agenda.popleft()()
        self._instructions.extend(self.dispatcher.dispatch(sends=self.cancelled is None))
        instructions, self._instructions = self._instructions, []
        return instructions

    # Adding stages

    def _on_stages_added(self, event: events.StagesAdded) -> None:
        for node in event.unneeded:
            facts = self.facts[node] = NodeFacts(node, 0)
            for start, stop in facts.settle_open():
                self.write_down(facts, unsent(start, stop, StateType.CACHED))
        for stage, compiled in event.stages:
            self._add_stage(stage, compiled)
        self._releases.keep(self.facts[node] for node in event.kept)
        if self.cancelled is not None:
            settle_open(self, self.cancelled)

    def _add_stage(self, stage: Stage, compiled: Compiled) -> None:
        facts = self.facts
        level = 1 + max((facts[used.node].level for used in stage.outside), default=-1)
        own = [facts.setdefault(node, NodeFacts(node, level)) for node in stage.nodes]
        record = StageRecord(
            compiled=compiled,
            facts=own,
            plain=stage.space is None,
            strict=stage.space is None or stage.strict,
            lane=self.dispatcher.lane(compiled, stage, level),
        )
        for node in stage.nodes:
            self.wiring.stage_of[node] = record
        late = self.wiring.wire(record, stage.outside)
        if record.plain:
            record.length = 1
            if record.active:
                self._activate(record)
            return
        is_ready, record.active = record.active, False  # what arrives while it is wired is queued with the rest
        if record.generator:
            self.dispatcher.pulling.append(record)
            record.lane.most = LARGEST_PULLED_BATCH
        for explosion in late:
            self._openings.open_all(explosion)
        self.settle_length(record)
        if is_ready:
            record.active = True
            self._activate(record)

    # Waiting and becoming ready

    def _fire(self, waiter: Waiter) -> None:
        waiter.remaining -= 1
        if waiter.remaining:
            return
        if waiter.source is not None and waiter.element is not None:
            self.arrive(waiter.stage, waiter.source, waiter.element, waiter.element + 1)
        else:
            waiter.stage.active = True
            self._activate(waiter.stage)

    def _activate(self, stage: StageRecord) -> None:
        """Everything all its elements wait for has ended: queue what is there, or fail it all."""
        if stage.doomed:
            return  # it was cancelled, and has ended but for what is under way
        stage.doomed = doomed_steps(stage, failed_inputs(stage, self.facts))
        if stage.plain:
            self._queue(stage, 0, 1)
            return
        if stage.lengths_differ:
            self._refuse_lengths(stage)
            return
        for start, stop in common([source.available for source in stage.sources]):
            self._queue(stage, start, stop)

    def arrive(self, stage: StageRecord, source: Source, start: int, stop: int) -> None:
        """Elements of one source have ended; those that all other sources have too become ready."""
        source.available.add(start, stop)
        if not stage.active:
            return
        others = [other.available for other in stage.sources if other is not source]
        for low, high in common([IntervalSet(start, stop), *others]):
            self._queue(stage, low, high)

    def _queue(self, stage: StageRecord, start: int, stop: int) -> None:
        if stage.length is not None:
            stop = min(stop, stage.length)
        if stop <= start:
            return
        if stage.doomed:
            self.end_doomed(stage, start, stop)
        else:
            stage.lane.push(Span(stage, start, stop))

    def end_doomed(self, stage: StageRecord, start: int, stop: int) -> None:
        """End elements of which no step can run."""
        for facts, (state, error) in zip(stage.facts, stage.doomed, strict=True):
            self._end_node(facts, unsent(start, stop, StateType(state), error))
        self._count_done(stage, stop - start)

    def _refuse_lengths(self, stage: StageRecord) -> None:
        """End a stage whose iterated arguments turned out, at run time, to have different lengths."""
        broken = next((found for source in stage.sources if (found := source.failure_as_whole())), None)
        stage.active = False  # whatever else arrives is not part of it any more
        self.set_length(stage, 1)
        for facts in stage.facts:
            facts.failed_as_whole = True
        head, *rest = stage.facts
        if broken is not None:
            is_skip = broken[0] == StateType.SKIPPED
            self.end_unsent(stage, 0, 1, StateType.SKIPPED if is_skip else StateType.UPSTREAM_FAILED, broken[1])
            return
        error = pack_error(length_error(head.node, stage))
        self._end_node(head, unsent(0, 1, StateType.FAILED, error))
        for facts in rest:
            self._end_node(facts, unsent(0, 1, StateType.UPSTREAM_FAILED, error))
        self._count_done(stage, 1)

    def settle_length(self, stage: StageRecord) -> None:
        """Find the length of a stage as soon as all its sources have one."""
        if stage.length is not None or any(source.length is None for source in stage.sources):
            return
        lengths = [source.length for source in stage.sources if source.length is not None]
        if len(set(lengths)) == 1 or not stage.strict:
            self.set_length(stage, min(lengths))
        if stage.awaits_lengths and stage.waiter is not None:
            stage.awaits_lengths = False
            self._fire(stage.waiter)

    def set_length(self, stage: StageRecord, length: int) -> None:
        """A stage has so many elements."""
        stage.length = length
        for facts in stage.facts:
            facts.length = length
            for consumer, source in self.wiring.aligned.get(facts, ()):
                source.length = length
                self._agenda.append(partial(self.settle_length, consumer))
            if facts.ended:
                self._agenda.append(partial(self._node_ended, facts))
        if stage.ended:
            self._agenda.append(partial(self._stage_ended, stage))

    # Ending

    def end_unsent(self, stage: StageRecord, start: int, stop: int, state: StateType, error: bytes | None) -> None:
        """End elements that are never sent."""
        for facts in stage.facts:
            self._end_node(facts, unsent(start, stop, state, error))
        self._count_done(stage, stop - start)

    def _end_span(self, batch: BatchRecord, span: Span, offset: int, report: Report) -> None:
        """End elements that a batch reported."""
        stage = span.stage
        key_of = dict(zip(stage.compiled.program.outputs, batch.value_keys(), strict=True))
        for step, facts in enumerate(stage.facts):
            key = key_of.get(step)
            if key is not None:
                self._releases.use(key)
            self._end_node(facts, Segment(span.start, span.stop, key, offset, report, step), report)
        self._count_done(stage, span.stop - span.start)

    def _end_node(self, facts: NodeFacts, segment: Segment, report: Report | None = None) -> None:
        """Fold a segment into a node and tell those who wait for its elements."""
        self.write_down(facts, segment)
        if self.cancelled is None:
            self._agenda.append(partial(self._tell, facts, segment, report))

    def write_down(self, facts: NodeFacts, segment: Segment) -> None:
        """Fold a segment into a node, and tell nobody of the run."""
        facts.add(segment)
        self.log.append((facts, segment))

    def _tell(self, facts: NodeFacts, segment: Segment, report: Report | None) -> None:
        for stage, source in self.wiring.aligned.get(facts, ()):
            self.arrive(stage, source, segment.start, segment.stop)
        for explosion in self.wiring.explosions.get(facts, {}).values():
            self._openings.open(explosion, segment, report)
        for waiter in self.wiring.waiters_for(facts, segment.start, segment.stop):
            self._fire(waiter)
        if facts.ended:
            self._node_ended(facts)

    def _node_ended(self, facts: NodeFacts) -> None:
        for waiter in (*self.wiring.whole_waiters.pop(facts, ()), *self.wiring.waiters_for(facts, 0, 0)):
            self._fire(waiter)
        for explosion in self.wiring.explosions.get(facts, {}).values():
            self._openings.complete(explosion)
        self._release_if_unused(facts)

    def _count_done(self, stage: StageRecord, number: int) -> None:
        stage.done += number
        if stage.ended:
            self._agenda.append(partial(self._stage_ended, stage))

    def _stage_ended(self, stage: StageRecord) -> None:
        upstream, stage.upstream = stage.upstream, []
        for facts in upstream:
            facts.pending_consumers -= 1
            self._release_if_unused(facts)

    # Reports, losses, items

    def _on_reported(self, event: events.BatchReported) -> None:
        report = event.report
        batch = self.dispatcher.take_off(report.batch)
        if batch is None:
            return
        measured = self.dispatcher.measuring.pop(batch.number, None)
        if report.crashed is not None:
            self._end_batch(batch, StateType.FAILED, report.crashed)
        elif measured is None:
            self._take_in(batch, report)
        else:
            if not report.count and not any(report.totals):  # the run was paused before it began
                self.dispatcher.measures.append(measured)
            elif self.cancelled is None:  # else all that waited for it was settled
                self._openings.place(*measured, report.totals[0])
            self._instructions.append(events.Release(batch.key))

    def _take_in(self, batch: BatchRecord, report: Report) -> None:
        """What a batch tells of its elements."""
        waiting = dict(zip(report.waiting, report.delays, strict=True))
        if report.count:
            batch.lane.pace.learn(report.count, report.seconds)
        if report.count == len(waiting):  # its columns hold nothing
            self._instructions.extend(map(events.Release, batch.value_keys()))
        for span, offset, seconds in reported(batch.spans, report.count, waiting):
            self._instructions.extend(self.holding.let_go(span))
            if seconds is None:
                self._end_span(batch, span, offset, report)
            elif self._is_over(span.stage):
                self._end_rest([span])
            else:
                self.holding.hold(batch, span, offset, report, seconds)
        if not waiting and (held_key := batch.held_key()):
            self._instructions.append(events.Release(held_key))
        self._end_rest(self.dispatcher.give_back(batch, report.count, but_not=self._is_over))

    def _is_over(self, stage: StageRecord) -> bool:
        """Whether nothing of a stage is sent any more."""
        return self.cancelled is not None or bool(stage.doomed)

    def _end_rest(self, spans: Iterable[Span]) -> None:
        """End elements that were under way, came back, and are not sent any more."""
        if self.cancelled is not None:
            end_rest(self, spans, self.cancelled)
            return
        for span in spans:
            self.end_doomed(span.stage, span.start, span.stop)

    def _on_timer(self, event: events.TimerFired) -> None:
        self.dispatcher.wake(event.now)
        if overdue := self.dispatcher.overdue(event.now):
            self._instructions.append(events.Recall(overdue))

    def _on_rest_returned(self, event: events.RestReturned) -> None:
        self._end_rest(self.dispatcher.cut_short(event.batch, event.limit, but_not=self._is_over))

    def _on_lost(self, event: events.BatchLost) -> None:
        batch = self.dispatcher.take_off(event.batch)
        if batch is None:
            return
        measured = self.dispatcher.measuring.pop(batch.number, None)
        if measured is not None:
            self.dispatcher.measures.append(measured)
        elif all(self._is_over(span.stage) for span in batch.spans):
            self._end_rest(batch.spans)
        elif event.element is not None:
            blamed = self.dispatcher.spare_others(batch, event.element)
            self.end_unsent(blamed.stage, blamed.start, blamed.stop, StateType(event.state), event.error)
        elif may_try_again(batch, event):
            self.dispatcher.try_again(batch)  # in pieces, until the one that kills workers stands alone
        else:
            self._end_batch(batch, StateType(event.state), event.error)

    def _end_batch(self, batch: BatchRecord, state: StateType, error: bytes) -> None:
        for span in batch.spans:
            self._instructions.extend(self.holding.let_go(span))
            self.end_unsent(span.stage, span.start, span.stop, state, error)

    def _on_holders_gone(self, event: events.HoldersGone) -> None:
        for node in event.nodes:
            if node in self.facts:
                self._release_if_unused(self.facts[node])

    def _release_if_unused(self, facts: NodeFacts) -> None:
        if self._releases.is_unused(facts):
            self._instructions.extend(events.Release(key) for key in self._releases.release(facts))

    def _on_cancel(self, event: events.CancelAsked) -> None:
        if self.cancelled is None:
            self.cancelled = event.error
            self._instructions.extend(cancel_all(self, event.error))

    def _on_cancel_overdue(self, event: events.CancelOverdue) -> None:
        self._instructions.extend(give_up(self, event.error))

    def _on_nodes_cancelled(self, event: events.NodesCancelled) -> None:
        if self.cancelled is None:
            self._instructions.extend(cancel_nodes(self, event.nodes, event.error))

    def _on_approved(self, event: events.Approved) -> None:
        stages = {self.wiring.stage_of[node] for node in event.nodes if node in self.wiring.stage_of}
        self.dispatcher.approve(stages, event.approval)


_HANDLERS: dict[type, Callable[[Machine, Any], None]] = {
    events.StagesAdded: Machine._on_stages_added,
    events.BatchReported: Machine._on_reported,
    events.BatchLost: Machine._on_lost,
    events.BatchAway: lambda machine, event: machine.dispatcher.went_away(event.batch),
    events.RestReturned: Machine._on_rest_returned,
    events.TimerFired: Machine._on_timer,
    events.ItemsPulled: take_items,
    events.ThreadsChanged: lambda machine, event: machine.dispatcher.set_threads(event.threads),
    events.HoldersGone: Machine._on_holders_gone,
    events.PlacesGranted: lambda machine, event: machine.dispatcher.permits.granted(event),
    events.CancelAsked: Machine._on_cancel,
    events.CancelOverdue: Machine._on_cancel_overdue,
    events.NodesCancelled: Machine._on_nodes_cancelled,
    events.Approved: Machine._on_approved,
    events.SendingHeld: lambda machine, event: machine.dispatcher.hold(event.held),
}
