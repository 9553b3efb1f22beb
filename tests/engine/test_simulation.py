"""Generated flows on a simulated cluster that answers in any order, gives work back and loses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from dataflow.compiler.program import Compiler
from dataflow.engine.assemble import Assembled
from dataflow.engine.columns import Column
from dataflow.engine.dispatch import MOST_LOSSES
from dataflow.engine.events import BatchLost, BatchReported, Event, ItemsPulled, ThreadsChanged
from dataflow.engine.worker import WorkerContext, run_batch
from dataflow.graph.nodes import Graph, Node
from dataflow.states import StateType
from tests.engine.rehearsal import Rehearsal, error_bytes
from tests.semantics.flows_strategy import Recipe, build, recipes
from tests.semantics.interpreter import Outcome, interpret

MANY = settings(max_examples=2500, phases=(Phase.generate,), report_multiple_bugs=False, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
MOST_ROUNDS = 20_000

Draw = Callable[[st.SearchStrategy[Any]], Any]


class SimulatedRun(Rehearsal):
    """A rehearsal whose batches really run, one at a time, when and as far as ``draw`` decides."""

    def __init__(self, graph: Graph, draw: Draw, *, threads: int = 2, crashes: bool = False) -> None:
        super().__init__(threads=threads)
        self.graph = graph
        self.draw = draw
        self.crashes = crashes
        """Whether batches are lost for good, too."""
        self.columns: dict[str, Column] = {}
        """Every column that was ever made, released or not."""
        self.rounds = 0

    def run(self) -> None:
        """Let things happen until nothing is under way."""
        while self.waiting or self.pulls:
            self.check()
            self.rounds += 1
            assert self.rounds < MOST_ROUNDS, "the run does not come to an end"
            self.tell(self._what_happens())
            self._sometimes_change_threads()
        self.check()

    def _what_happens(self) -> Event:
        number_of_batches = len(self.waiting)
        chosen = self.draw(st.integers(0, number_of_batches + len(self.pulls) - 1))
        if chosen >= number_of_batches:
            return self._pulled(chosen - number_of_batches)
        batch = list(self.waiting.values())[chosen]
        del self.waiting[batch.number]
        fate = self.draw(st.sampled_from(("ends", "ends", "ends", "is lost")))
        if fate == "is lost" and (self.crashes or batch.losses < MOST_LOSSES):
            return self._lost(batch.number, batch.count)
        return self._ran(self.assembled[batch.number])

    def _lost(self, number: int, elements: int) -> BatchLost:
        again = not self.crashes or self.draw(st.booleans())
        blamed = self.draw(st.integers(0, elements - 1)) if self.crashes and elements and self.draw(st.booleans()) else None
        return BatchLost(number, error_bytes("lost"), again, int(StateType.CRASHED), blamed)

    def _ran(self, assembled: Assembled) -> BatchReported:
        """Run a batch; its clock ticks once per look, so that a small budget gives back a rest."""
        batch = assembled.batch
        if batch.budget_seconds is not None:
            batch = replace(batch, budget_seconds=float(self.draw(st.integers(1, 20))))
        ticks = count()
        context = WorkerContext(crosses_processes=False, async_concurrency=2, clock=lambda: float(next(ticks)))
        dependencies = [{**self.columns, **self.objects}[key] for key in assembled.keys]
        report, outputs = run_batch(assembled.record.lane.program, batch, dependencies, context)
        keys = assembled.record.output_keys()
        self.columns.update(zip(keys, outputs, strict=True))
        self.made.update(keys)
        return BatchReported(report)

    def _pulled(self, position: int) -> ItemsPulled:
        pull = self.pulls.pop(position)
        came, exhausted = self.assembler.generator_of(pull.stage).pull(min(pull.count, self.draw(st.integers(1, 9))))
        return ItemsPulled(pull.stage, came, exhausted)

    def _sometimes_change_threads(self) -> None:
        if self.draw(st.integers(0, 9)) == 0:
            self.tell(ThreadsChanged(self.draw(st.integers(0, 5))))

    def outcome(self, node: Node) -> list[tuple[str, Any]]:
        """State and, if it completed and left its batch, value of each element."""
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


NAMES = {"Completed": "COMPLETED", "Failed": "FAILED", "UpstreamFailed": "UPSTREAM_FAILED"}


def expected(outcome: Outcome, *, with_values: bool) -> list[tuple[str, Any]]:
    """What the interpreter says of each element."""
    elements = (outcome,) if outcome.elements is None else outcome.elements
    return [(NAMES[each.state], shown(each.value) if with_values and each.completed else None) for each in elements]


@MANY
@given(recipe=recipes(), batch_size=st.sampled_from((1, 2, None)), data=st.data())
def test_order_rests_and_losses_are_invisible(recipe: Recipe, batch_size: int | None, data: st.DataObject) -> None:
    """Whatever ends first, is given back or is lost and sent again: each element ends once, as the interpreter says."""
    assume("Lazy" not in repr(recipe))
    graph = build(recipe, batch_size)
    truth = interpret(build(recipe).nodes)
    for node in truth:
        assume(not truth[node].as_whole)
        for used in node.inputs():
            if used.node.space is not None and used.index is not None:
                last = used.index if isinstance(used.index, int) else used.index.stop - 1
                assume(last < len(truth[used.node].elements))
    run = SimulatedRun(graph, data.draw, threads=data.draw(st.integers(1, 3)))
    kept = {node for node in graph.nodes if data.draw(st.booleans())}
    run.start(kept=kept)
    run.run()
    assert run.unended() == []
    for node, outcome in truth.items():
        mine = graph.nodes[node.id]
        found = run.outcome(mine)
        if mine not in kept:
            found = [(state, None) for state, _ in found]
        if outcome.as_whole:
            assert len(found) == 1
            assert found[0][0] in ("FAILED", "UPSTREAM_FAILED")
            continue
        assert found == expected(outcome, with_values=mine in kept), mine.slug
    kept_keys = {segment.key for node in kept for segment in run.facts(node).segments if segment.key}
    assert run.made - set(run.released) == kept_keys
