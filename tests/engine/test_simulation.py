"""Generated flows on a simulated cluster that answers in any order, gives work back and loses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow.engine.assemble import Assembled
from dataflow.engine.columns import Column
from dataflow.engine.dispatch import MOST_LOSSES
from dataflow.engine.events import (
    BatchLost,
    BatchReported,
    CancelAsked,
    CancelOverdue,
    Event,
    ItemsPulled,
    RestReturned,
    ThreadsChanged,
    TimerFired,
)
from dataflow.engine.records import BatchRecord
from dataflow.engine.report import Report
from dataflow.engine.worker import WorkerContext, run_batch
from dataflow.graph.nodes import Graph, Node
from dataflow.states import StateType
from tests.engine.rehearsal import Rehearsal, error_bytes
from tests.semantics.flows_strategy import Recipe, build, recipes
from tests.semantics.functions import UNTIMED_NAMES
from tests.semantics.interpreter import Outcome, interpret

MANY = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MOST_ROUNDS = 20_000

Draw = Callable[[st.SearchStrategy[Any]], Any]


class SimulatedRun(Rehearsal):
    """A rehearsal whose batches really run, one at a time, when and as far as ``draw`` decides."""

    def __init__(self, graph: Graph, draw: Draw, *, crashes: bool = False) -> None:
        super().__init__(threads=draw(st.integers(1, 3)))
        self.graph = graph
        self.draw = draw
        self.crashes = crashes
        """Whether batches are lost for good, too."""
        self.columns: dict[str, Column] = {}
        """Every column that was ever made, released or not."""
        self.limits: dict[int, int] = {}
        """After how many elements batches were asked to stop."""
        self.rounds = 0
        self.now = 0.0

    def one_thing_happens(self) -> bool:
        """Let something happen that can; gives False if nothing is under way."""
        if not (self.waiting or self.pulls or self._is_due):
            return False
        self.rounds += 1
        assert self.rounds < MOST_ROUNDS, "the run does not come to an end"
        self.tell(self._what_happens())
        self.check()
        if self.draw(st.integers(0, 9)) == 0:
            self.tell(ThreadsChanged(self.draw(st.integers(0, 5))))
        return True

    def run(self) -> None:
        """Let things happen until nothing is under way."""
        while self.one_thing_happens():
            pass
        assert self.unended() == []

    @property
    def _is_due(self) -> bool:
        """Whether elements wait for the time at which they go on."""
        return self.machine.dispatcher.due_in(self.now) is not None

    def _what_happens(self) -> Event:
        choices = len(self.waiting) + len(self.pulls)
        chosen = self.draw(st.integers(0, choices - 1 + self._is_due))
        if chosen == choices:
            self.now += self.machine.dispatcher.due_in(self.now) or 0.0
            return TimerFired(self.now)
        if chosen >= len(self.waiting):
            return self._pulled(chosen - len(self.waiting))
        batch = list(self.waiting.values())[chosen]
        fate = self.draw(st.sampled_from(("ends", "ends", "ends", "is lost", "is recalled")))
        if fate == "is recalled" and self._can_be_recalled(batch):
            self.limits[batch.number] = self.draw(st.integers(1, batch.count - 1))
            return RestReturned(batch.number, self.limits[batch.number])
        del self.waiting[batch.number]
        if fate == "is lost" and (self.crashes or batch.losses < MOST_LOSSES):
            return self._lost(batch)
        return BatchReported(self._ran(self.assembled[batch.number]))

    def _can_be_recalled(self, batch: BatchRecord) -> bool:
        asked_before = batch.number in self.limits
        return (
            batch.budget_seconds is not None and batch.count > 1 and not (asked_before or batch.lane.program.measures)
        )

    def _lost(self, batch: BatchRecord) -> BatchLost:
        again = not self.crashes or self.draw(st.booleans())
        blamed = None
        if self.crashes and batch.count and self.draw(st.booleans()):
            blamed = self.draw(st.integers(0, batch.count - 1))
        return BatchLost(batch.number, error_bytes("lost"), again, int(StateType.CRASHED), blamed)

    def _ran(self, assembled: Assembled) -> Report:
        """Run a batch; its clock ticks once per look, so that a small budget gives back a rest."""
        batch, limit = assembled.batch, self.limits.get(assembled.record.number)
        if batch.budget_seconds is not None:
            budget = float(self.draw(st.integers(1, 20))) if limit is None else None
            batch = replace(batch, budget_seconds=budget)
        ticks = count()
        context = WorkerContext(crosses_processes=False, async_concurrency=2, clock=lambda: float(next(ticks)))
        dependencies = [(self.columns.get(key) or self.objects[key]) for key in assembled.keys]
        report, outputs = run_batch(assembled.record.lane.program, batch, dependencies, context)
        keys = assembled.record.output_keys()
        self.columns.update(zip(keys, outputs, strict=True))
        self.made.update(keys)
        return report if limit is None else cut_report(report, limit)

    def _pulled(self, position: int) -> ItemsPulled:
        pull = self.pulls.pop(position)
        wanted = min(pull.count, self.draw(st.integers(1, 9)))
        came, exhausted, _ = self.assembler.generator_of(pull.stage).pull(wanted)
        return ItemsPulled(pull.stage, came, exhausted)

    def outcome(self, node: Node) -> list[tuple[str, Any]]:
        """State of each element, and its value if it completed and its value left the batch."""
        return [
            (
                StateType(segment.state_of(index)).name,
                shown(self.columns[segment.key].values[segment.offset + index - segment.start])
                if segment.key is not None and segment.state_of(index) == StateType.COMPLETED
                else None,
            )
            for segment in self.facts(node).segments
            for index in range(segment.start, segment.stop)
        ]

    def keys_of(self, nodes: set[Node]) -> set[str]:
        """Keys of the columns that hold values of these nodes."""
        return {segment.key for node in nodes for segment in self.facts(node).segments if segment.key is not None}


def cut_report(report: Report, limit: int) -> Report:
    """The report of a batch that stopped after ``limit`` elements."""
    steps = tuple(
        replace(
            step,
            states=step.states if isinstance(step.states, int) else step.states[:limit],
            seconds=step.seconds[: 4 * limit],
            errors={offset: error for offset, error in step.errors.items() if offset < limit},
            tries={offset: tries for offset, tries in step.tries.items() if offset < limit},
            notes={offset: note for offset, note in step.notes.items() if offset < limit},
        )
        for step in report.steps
    )
    kept = [(at, delay) for at, delay in zip(report.waiting, report.delays, strict=True) if at < limit]
    return replace(
        report,
        count=limit,
        steps=steps,
        waiting=tuple(at for at, _ in kept),
        delays=tuple(delay for _, delay in kept),
    )


def shown(value: Any) -> Any:
    """A value in a form that compares: exceptions by the name of their class."""
    match value:
        case BaseException():
            return f"<{type(value).__name__}>"
        case list() | tuple():
            return type(value)(map(shown, value))
        case dict():
            return {key: shown(item) for key, item in value.items()}
    return value


NAMES = {"".join(word.title() for word in kind.name.split("_")): kind.name for kind in StateType}


def assert_as_interpreted(run: SimulatedRun, truth: dict[Node, Outcome], *, with_values: set[Node]) -> None:
    """Compare the state of each element, and the values of some nodes, with what the interpreter says."""
    for node, (mine, outcome) in zip(run.graph.nodes, truth.items(), strict=True):
        assert node.slug == mine.slug
        elements = (outcome,) if outcome.elements is None else outcome.elements
        found = run.outcome(node)
        assert [state for state, _ in found] == [NAMES[each.state] for each in elements], node.slug
        if node in with_values:
            values = [shown(each.value) if each.completed else None for each in elements]
            assert [value for _, value in found] == values, node.slug


@MANY
@given(recipe=recipes(ruled=UNTIMED_NAMES), batch_size=st.sampled_from((1, 2, None)), data=st.data())
def test_order_rests_and_losses_are_invisible(recipe: Recipe, batch_size: int | None, data: st.DataObject) -> None:
    """Whatever ends first, is given back or is sent again: each element ends once and as the interpreter says."""
    truth = interpret(build(recipe).nodes)
    graph = build(recipe, batch_size)
    run = SimulatedRun(graph, data.draw)
    kept = {node for node in graph.nodes if data.draw(st.booleans())}
    run.start(kept=kept)
    run.run()
    assert_as_interpreted(run, truth, with_values=kept)
    assert run.made - set(run.released) == run.keys_of(kept)


@MANY
@given(recipe=recipes(ruled=UNTIMED_NAMES), data=st.data())
def test_nodes_may_come_while_others_run(recipe: Recipe, data: st.DataObject) -> None:
    """Nodes that are sent in pieces, and futures that are dropped at any time, change nothing; all is released."""
    truth = interpret(build(recipe).nodes)
    graph = build(recipe)
    run = SimulatedRun(graph, data.draw)
    for node in graph.nodes:
        node.holders = 1
    while run.announced < len(graph.nodes):
        run.start(cut_held=True, up_to=run.announced + data.draw(st.integers(1, 3)))
        while data.draw(st.booleans()) and run.one_thing_happens():
            pass
    for node in data.draw(st.permutations(graph.nodes)):
        run.drop(node)
        while data.draw(st.booleans()) and run.one_thing_happens():
            pass
    run.run()
    assert_as_interpreted(run, truth, with_values=set(graph.nodes))
    assert run.made == set(run.released)


@MANY
@given(recipe=recipes(ruled=UNTIMED_NAMES), batch_size=st.sampled_from((1, 3, None)), data=st.data())
def test_crashes_and_cancelling_end_each_element_once(
    recipe: Recipe, batch_size: int | None, data: st.DataObject
) -> None:
    """Batches lost for good, elements to blame and a cancel at any moment: nothing hangs, nothing ends twice."""
    graph = build(recipe, batch_size)
    run = SimulatedRun(graph, data.draw, crashes=True)
    run.start(kept=graph.nodes)
    cancel_after = data.draw(st.integers(0, 30))
    while run.one_thing_happens():
        if run.rounds == cancel_after:
            run.tell(CancelAsked(error_bytes("cancelled")))
            run.pulls.clear()
            if data.draw(st.booleans()):
                run.tell(CancelOverdue(error_bytes("still running")))
    assert run.unended() == []
    assert run.waiting == {}
    run.check()


def numbers(length: int) -> Iterator[int]:
    yield from range(length)


def double(x: int) -> int:
    return 2 * x


def add_one(x: int) -> int:
    return x + 1


@MANY
@given(length=st.integers(0, 40), batch_size=st.sampled_from((1, 3, None)), data=st.data())
def test_generators_lose_and_repeat_nothing(length: int, batch_size: int | None, data: st.DataObject) -> None:
    """Each item of a generator becomes one element, in order, however it is pulled and whatever is lost."""
    run = SimulatedRun(Graph("pulled"), data.draw)
    run.builder.graph = run.graph
    doubled = run.map(double, numbers(length), batch_size=batch_size)
    last = run.map(add_one, doubled, batch_size=data.draw(st.sampled_from((batch_size, 2))))
    run.start(kept=[last])
    run.run()
    assert run.outcome(last) == [("COMPLETED", 2 * x + 1) for x in range(length)]
    assert run.made - set(run.released) == run.keys_of({last})
