"""Generated flows whose tasks keep their results: the same values and states as without, and found again afterwards."""

from __future__ import annotations

import inspect
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings

from dataflow.graph.nodes import Graph
from dataflow.persistence import FlowPersistence, Persistence, StoreAddress
from dataflow.run_starts import open_run
from dataflow_results import RunRecords, open_store
from dataflow_results.policies import INPUTS, CachePolicy
from tests.semantics.flows_strategy import Recipe, build, recipes
from tests.semantics.functions import FUNCTIONS, RULED_NAMES
from tests.semantics.interpreter import interpret
from tests.semantics.test_equivalence import BATCH_SIZES, PATIENCE_SECONDS, expected, observed

MAY_FAIL = {"refuse_some", "refuse_all", "combine_later", *RULED_NAMES}
ran: Counter[str] = Counter()
"""How often each function was called."""


def counted(name: str) -> Any:
    """A function of generated flows that counts its calls."""
    function = FUNCTIONS[name]

    def call(*arguments: Any, **keywords: Any) -> Any:
        ran[name] += 1
        return function(*arguments, **keywords)

    async def call_later(*arguments: Any, **keywords: Any) -> Any:
        ran[name] += 1
        return await function(*arguments, **keywords)

    return call_later if inspect.iscoroutinefunction(function) else call


def persistence(name: str, policy: CachePolicy | None) -> Persistence:
    """What a task says that keeps its results."""
    return Persistence(
        persist=True, policy=policy, expires_after_seconds=None, refresh=False, storage=None, template=None,
        serializer=None, version=None, function=FUNCTIONS[name], signature=inspect.signature(FUNCTIONS[name]),
    )  # fmt: skip


def run_kept(graph: Graph, store: str, resume: str) -> list[dict[str, Any]]:
    """Run a graph whose tasks keep their results in a store, and ask for all of it; Cached counts as Completed."""
    kept = FlowPersistence(persist=True, storage=StoreAddress(url=store))
    records = RunRecords(open_store(store).files)
    records.begin(resume, flow="generated")
    records.end(resume, "Failed")
    run = open_run("generated", graph, "inline", persistence=kept, resume=resume)
    try:
        for node in graph.nodes:
            run.hold(node)
            run.announce(node)
        for node in graph.nodes:
            assert run.wait(node, timeout=PATIENCE_SECONDS), f"{node} has not ended"
        return [_uncached(observed(run, node)) for node in graph.nodes]
    finally:
        run.close()


def _uncached(said: dict[str, Any]) -> dict[str, Any]:
    """Without the attempts, of which what was found had none."""
    return {place: ("Completed" if state == "Cached" else state, *rest[:1]) for place, (state, *rest) in said.items()}


def kept_graph(recipe: Recipe, batch_size: int | None, policy: CachePolicy | None) -> Graph:
    """The graph of a recipe with tasks that keep their results and count their calls."""
    return build(recipe, batch_size, lambda name: {"function": counted(name), "persistence": persistence(name, policy)})


@pytest.mark.parametrize("policy", [None, INPUTS], ids=["by place", "by inputs"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(recipe=recipes(ruled=RULED_NAMES))
def test_keeping_results_changes_nothing(policy: CachePolicy | None, recipe: Recipe) -> None:
    """At every batch size a flow that keeps results is the interpreter, and its second run runs only what failed."""
    truth = [_uncached(expected(outcome)) for outcome in interpret(build(recipe).nodes).values()]
    store = f"memory://{uuid.uuid4().hex}"
    for batch_size in BATCH_SIZES:
        ran.clear()
        assert run_kept(kept_graph(recipe, batch_size, policy), store, "one-run") == truth
        if batch_size == BATCH_SIZES[0]:
            first: Mapping[str, int] = dict(ran)
        failing = {name: number for name, number in ran.items() if name in MAY_FAIL}
        if batch_size != BATCH_SIZES[0]:
            assert set(ran) <= set(failing), "only what failed before is tried again"
            assert all(number <= first[name] for name, number in failing.items())
