"""A machine under test: what it was told, what it asked for, and the invariants that hold at every moment."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dataflow.compiler.plan import compile_stages
from dataflow.compiler.program import Compiler
from dataflow.engine.assemble import Assembled, Assembler
from dataflow.engine.events import (
    BatchLost,
    BatchReported,
    CancelAsked,
    CancelKeys,
    Event,
    HoldersGone,
    Instruction,
    Pull,
    Release,
    StagesAdded,
    Submit,
)
from dataflow.engine.facts import NodeFacts
from dataflow.engine.failures import pack_error
from dataflow.engine.machine import Machine
from dataflow.engine.records import BatchRecord
from dataflow.engine.report import Report, StepReport
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Graph, Node, Reference, TaskSpec
from dataflow.states import StateType

__all__ = ["Rehearsal", "SomethingBroke", "error_bytes", "report_of", "spans_of"]

NEVER_ENDS = 10_000
"""More batches than any test needs."""


class SomethingBroke(Exception):
    """The failure that tests report."""


def error_bytes(message: str = "broken") -> bytes:
    """A packed exception."""
    return pack_error(SomethingBroke(message))


def spans_of(batch: BatchRecord) -> list[tuple[str, int, int]]:
    """The elements of a batch: (slug of the last node of the stage, start, stop)."""
    return [(span.stage.facts[-1].node.slug, span.start, span.stop) for span in batch.spans]


def report_of(
    batch: BatchRecord,
    *,
    count: int | None = None,
    failed: Iterable[int] = (),
    totals: Sequence[int] = (),
    seconds: float = 0.5,
) -> Report:
    """What a worker would say: ``failed`` are offsets at which the first step raised and later ones did not run."""
    ran = batch.count if count is None else count
    errors = {offset: error_bytes(f"element {offset}") for offset in failed if offset < ran}
    steps = []
    for position in range(len(batch.lane.program.steps)):
        kind = StateType.UPSTREAM_FAILED if position else StateType.FAILED
        states = bytes(kind if offset in errors else StateType.COMPLETED for offset in range(ran))
        steps.append(StepReport(states=states, seconds=bytes(4 * ran), errors=dict(errors)))
    outputs = batch.lane.program.outputs
    return Report(
        batch=batch.number,
        count=ran,
        started=0.0,
        seconds=seconds,
        steps=tuple(steps),
        sizes=(100,) * len(outputs),
        totals=tuple(totals),
    )


class Rehearsal:
    """A machine with its graph; every instruction is written down and checked when it is given."""

    def __init__(self, *, threads: int = 2, batch_seconds: float = 0.5) -> None:
        self.machine = Machine(run_id="run", threads=threads, batch_seconds=batch_seconds, async_concurrency=4)
        self.graph = Graph("rehearsal")
        self.builder = Builder(self.graph)
        self.compiler = Compiler(lambda value: False)
        self.assembler = Assembler(self.machine.wiring, self._key_of)
        self.objects: dict[str, Any] = {}
        """Objects that travel under keys of their own; Dask collections as their values."""
        self.sent: list[BatchRecord] = []
        self.waiting: dict[int, BatchRecord] = {}
        """Batches that were sent and not answered, in the order of sending."""
        self.pulls: list[Pull] = []
        self.made: set[str] = set()
        """Keys of columns that reported batches left on the cluster."""
        self.released: list[str] = []
        self.assembled: dict[int, Assembled] = {}
        self._tasks: dict[object, TaskSpec] = {}
        self.announced = 0
        """How many nodes were sent to the machine."""

    # Building

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        batch_size: int | None = None,
        mapped: bool = False,
        strict: bool = True,
        wait_for: Sequence[Node] = (),
        **named: Any,
    ) -> Node:
        """A plain call; nodes may stand for references to them."""
        task = self._tasks.setdefault((function, batch_size), _spec(function, batch_size))
        signature = inspect.signature(function)
        given = tuple(map(_reference, arguments))
        by_name = {name: _reference(value) for name, value in named.items()}
        waits = [Reference(node) for node in wait_for] or None
        return self.builder.call(task, signature, given, by_name, wait_for=waits, mapped=mapped, strict=strict)

    def map(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Node:
        """A mapped call."""
        return self.call(function, *arguments, mapped=True, **options)

    # Telling

    def start(
        self, *, kept: Iterable[Node] = (), cut_held: bool = False, up_to: int | None = None
    ) -> list[Instruction]:
        """Send the nodes that were not sent yet: all, or those whose id is less than ``up_to``."""
        nodes = self.graph.nodes[self.announced : up_to]
        self.announced += len(nodes)
        kept = frozenset(kept) & frozenset(nodes)
        stages = compile_stages(nodes, self.compiler, kept=kept, cut_held=cut_held)
        return self.tell(StagesAdded(tuple(stages), kept))

    def tell(self, event: Event) -> list[Instruction]:
        """Hand an event to the machine and write down what it wants."""
        instructions = self.machine.handle(event)
        for instruction in instructions:
            match instruction:
                case Release(key):
                    self._note_release(key)
                case Pull():
                    self.pulls.append(instruction)
                case CancelKeys(batches):
                    for batch in batches:
                        del self.waiting[batch.number]
        for instruction in instructions:
            if isinstance(instruction, Submit):
                self._note_submit(instruction.batch)
        return instructions

    def answer(self, batch: BatchRecord, **said: Any) -> list[Instruction]:
        """A worker reports a batch; see `report_of`."""
        del self.waiting[batch.number]
        self.made.update(batch.output_keys())
        return self.tell(BatchReported(report_of(batch, **said)))

    def lose(
        self,
        batch: BatchRecord,
        *,
        again: bool = True,
        state: StateType = StateType.CRASHED,
        element: int | None = None,
    ) -> list[Instruction]:
        """The cluster loses a batch."""
        del self.waiting[batch.number]
        return self.tell(BatchLost(batch.number, error_bytes("lost"), again, int(state), element))

    def drop(self, node: Node) -> list[Instruction]:
        """User code drops its last future of a node."""
        node.holders = 0
        return self.tell(HoldersGone((node,)))

    def cancel(self) -> list[Instruction]:
        """User code cancels the run."""
        return self.tell(CancelAsked(error_bytes("cancelled")))

    def next(self) -> BatchRecord:
        """The batch that was sent first of those under way."""
        return next(iter(self.waiting.values()))

    def finish(self, **said: Any) -> list[BatchRecord]:
        """Answer batches in the order of sending until none is under way; gives them."""
        answered = []
        while self.waiting:
            answered.append(self.next())
            self.answer(answered[-1], **said)
            assert len(answered) < NEVER_ENDS, "the machine sends batches for ever"
        return answered

    # Asking

    def facts(self, node: Node) -> NodeFacts:
        """What is known of a node."""
        return self.machine.facts[node]

    def segments(self, node: Node) -> list[tuple[int, int]]:
        """Start and stop of what ended together, by index."""
        return [(segment.start, segment.stop) for segment in self.facts(node).segments]

    def states(self, node: Node) -> list[str]:
        """The state of each element that has ended, by index."""
        return [
            StateType(segment.state_of(index)).name
            for segment in self.facts(node).segments
            for index in range(segment.start, segment.stop)
        ]

    def under_way(self) -> list[list[tuple[str, int, int]]]:
        """What the batches under way hold."""
        return [spans_of(batch) for batch in self.waiting.values()]

    # Invariants

    def _key_of(self, value: Any, is_collection: bool) -> str:
        key = f"object-{id(value)}"
        self.objects[key] = value.compute(scheduler="synchronous") if is_collection else value
        return key

    def _note_release(self, key: str) -> None:
        assert key in self.made, f"{key} is released but was never made"
        assert key not in self.released, f"{key} is released twice"
        self.released.append(key)

    def _note_submit(self, batch: BatchRecord) -> None:
        for span in batch.spans:
            assert span.start < span.stop, f"an empty span is sent: {spans_of(batch)}"
            for other in self.waiting.values():
                for under_way in other.spans:
                    apart = span.stop <= under_way.start or under_way.stop <= span.start
                    assert span.stage is not under_way.stage or apart, f"sent twice at once: {spans_of(batch)}"
            for facts in span.stage.facts:
                assert not list(facts.overlapping(span.start, span.stop)), f"sent after its end: {spans_of(batch)}"
        assert batch.number not in {sent.number for sent in self.sent}
        assembled = self.assembler.assemble(batch)
        gone = [key for key in assembled.keys if key in self.released]
        unmade = [key for key in assembled.keys if key not in self.made and key not in self.objects]
        assert not gone, f"{spans_of(batch)} uses released columns {gone}"
        assert not unmade, f"{spans_of(batch)} uses columns that were not made {unmade}"
        self.assembled[batch.number] = assembled
        self.sent.append(batch)
        self.waiting[batch.number] = batch

    def check(self) -> None:
        """What holds at any time: segments are disjoint, counts add up, and what is under way is known."""
        for facts in self.machine.facts.values():
            position = 0
            for segment in facts.segments:
                assert segment.start >= position, f"{facts.node}: segments overlap: {self.segments(facts.node)}"
                assert segment.stop > segment.start, f"{facts.node}: an empty segment"
                if facts.ended:
                    assert segment.start == position, f"{facts.node}: a gap: {self.segments(facts.node)}"
                position = segment.stop
            assert sum(facts.counts.values()) == facts.done
            good = facts.counts.get(StateType.COMPLETED, 0) + facts.counts.get(StateType.SKIPPED, 0)
            assert facts.unsuccessful == facts.done - good
            if facts.ended:
                assert position == facts.length == facts.done
        assert set(self.machine.dispatcher.in_flight) == set(self.waiting)

    def unended(self) -> list[Node]:
        """Nodes that have not ended."""
        return [facts.node for facts in self.machine.facts.values() if not facts.ended]


def _reference(argument: Any) -> Any:
    return Reference(argument) if isinstance(argument, Node) else argument


def _spec(function: Callable[..., Any], batch_size: int | None) -> TaskSpec:
    names = tuple(inspect.signature(function).parameters)
    is_async = inspect.iscoroutinefunction(function)
    return TaskSpec(
        name=function.__name__, function=function, parameters=names, is_async=is_async, batch_size=batch_size
    )
