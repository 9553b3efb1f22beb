"""Generated flows give the same states and values everywhere: interpreter, inline, Dask, at any batch size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from distributed import Client
from hypothesis import HealthCheck, Phase, given, settings

from dataflow.errors import ProcessDied, UpstreamFailed
from dataflow.graph.nodes import Graph, Node
from dataflow.run_starts import open_run
from dataflow.session import Run
from dataflow.states import StateType
from tests.semantics.flows_strategy import Delayed, Lazy, Recipe, Step, Use, Wrapped, build, recipes
from tests.semantics.functions import RULED_NAMES, Refused
from tests.semantics.interpreter import Outcome, interpret

pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module"  # clusters in the background do, while hypothesis draws
)

NAMES = {kind: "".join(word.title() for word in kind.name.split("_")) for kind in StateType}
BATCH_SIZES = (1, 7, 10_000, None)
"""One element, some, all, and what the engine chooses."""

PATIENCE_SECONDS = 5.0
"""So that a flow that never ends is shown as one."""

WITHOUT_CLUSTER = settings(max_examples=120, deadline=None, derandomize=True)
ON_DASK = settings(
    WITHOUT_CLUSTER,
    phases=[Phase.explicit, Phase.generate],  # a flow that fails on Dask alone is too slow to be made smaller
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ON_THREADS = settings(ON_DASK, max_examples=40)
ON_PROCESSES = settings(ON_DASK, max_examples=20)


def written(value: Any) -> Any:
    """A value in a form that compares: exceptions by class, those of user code also by message."""
    match value:
        case Refused():
            return ("raised", "Refused", str(value))
        case BaseException():
            return ("raised", type(value).__name__)
        case list() | tuple():
            return type(value)(written(item) for item in value)
        case dict():
            return {key: written(item) for key, item in value.items()}
    return value


def expected(outcome: Outcome) -> dict[str, Any]:
    """What the interpreter says of a node."""
    said: dict[str, Any] = {"": _said(outcome)}
    for index, element in enumerate(outcome.elements or ()):
        said[f"[{index}]"] = _said(element)
    if outcome.elements is not None:
        said[""] = (outcome.state, written(outcome.value)) if outcome.completed else (outcome.state,)
    return said


def _said(outcome: Outcome) -> tuple[Any, ...]:
    if outcome.state == "UpstreamFailed":
        return outcome.state, AnyOf(written(cause) for cause in outcome.causes), outcome.attempts
    return outcome.state, written(outcome.value), outcome.attempts


class AnyOf(list[Any]):
    """Equal to each of its items: where more than one input failed, any of them may be named as the root."""

    __hash__ = list.__hash__

    def __eq__(self, other: object) -> bool:
        return other in list(self)


def observed(run: Run, node: Node) -> dict[str, Any]:
    """What a run says of a node, asked as user code asks."""
    if node.space is None:
        return {"": _observed(run, node)}
    state = run.state(node)
    whole = (NAMES[state.type], written(run.value(node))) if state.is_completed() else (NAMES[state.type],)
    return {"": whole, **{f"[{index}]": _observed(run, node, index) for index in range(run.length(node))}}


def _observed(run: Run, node: Node, index: int | None = None) -> tuple[Any, ...]:
    state, value = run.state(node, index), run.value(node, index, raise_on_failure=False)
    is_blocked = state.is_upstream_failed() and isinstance(value, UpstreamFailed)
    return NAMES[state.type], written((value.__cause__ or value) if is_blocked else value), state.attempt


def run_everything(graph: Graph, cluster: Any) -> list[dict[str, Any]]:
    """Run a graph as the body of a flow would, and ask for all of it."""
    run = open_run("generated", graph, cluster)
    try:
        for node in graph.nodes:
            run.hold(node)
        for node in graph.nodes:
            run.announce(node)
        for node in graph.nodes:
            assert run.wait(node, timeout=PATIENCE_SECONDS), f"{node} has not ended"
        return [observed(run, node) for node in graph.nodes]
    finally:
        run.close()


def assert_same(recipe: Recipe, cluster: Any, batch_sizes: Sequence[int | None] = BATCH_SIZES) -> None:
    """Compare every node, at every batch size, with the interpreter."""
    truth = [expected(outcome) for outcome in interpret(build(recipe).nodes).values()]
    for batch_size in batch_sizes:
        graph = build(recipe, batch_size)
        found = run_everything(graph, cluster)
        for node, want, got in zip(graph.nodes, truth, found, strict=True):
            assert got == want, f"{node.slug} at batch size {batch_size}"


@WITHOUT_CLUSTER
@given(recipes(ruled=RULED_NAMES))
def test_inline_is_the_interpreter(recipe: Recipe) -> None:
    """In the calling thread, at batch sizes 1, 7, all and chosen."""
    assert_same(recipe, "inline")


@ON_THREADS
@given(recipes(ruled=RULED_NAMES))
def test_threads_are_the_interpreter(recipe: Recipe) -> None:
    """On a Dask cluster in this process."""
    assert_same(recipe, "threads")


def test_processes_are_the_interpreter(client: Client) -> None:
    """On a Dask cluster of processes, where everything travels."""

    @ON_PROCESSES
    @given(recipes(ruled=RULED_NAMES))
    def compare(recipe: Recipe) -> None:
        assert_same(recipe, client)

    compare()


def exercise(name: str) -> Recipe:
    """A flow of one task with rules: mapped, over itself, over failures and skips, gathered, and plain."""
    numbers = [0, 1, 2, 3, 4, 7]
    return (
        Step(name, (numbers, [1, 2, 3, 0, 0, 1]), mapped=True),
        Step(name, (Use(0),), mapped=True),
        Step("keep", (Wrapped(Use(1), ("allow_failure",)),)),
        Step("skip_some", (numbers, 0), mapped=True),
        Step("refuse_some", (Use(3), 2), mapped=True),
        Step(name, (Use(4),), mapped=True),
        Step(name, (Use(4),)),
        Step(name, (Use(3, 0), Use(4, 1))),
    )


@pytest.mark.parametrize("name", RULED_NAMES)
def test_each_task_with_rules_is_the_interpreter(name: str) -> None:
    """Also those that the generated flows seldom bring to their limits."""
    assert_same(exercise(name), "inline", (1, 7))


def test_each_task_with_rules_is_the_interpreter_on_processes(client: Client) -> None:
    """The same where everything travels; triggers are judged by the same code there."""
    for name in (name for name in RULED_NAMES if not name.startswith(("keep@", "dawdle@"))):
        assert_same(exercise(name), client, (2,))


REFUSED = Step("refuse_all", ([0],), mapped=True)
TRAPS: dict[str, Recipe] = {
    "an index beyond a length known at run time": (
        Step("some", (1,)),
        Step("keep", (Use(0),), mapped=True),
        Step("keep", (Use(1, 3),)),
    ),
    "a failed element is iterated beside a list": (REFUSED, Step("combine", ([1, 2], Use(0, 0)), mapped=True)),
    "a map that failed as a whole is zipped": (
        Step("combine", (0,)),
        Step("combine", (Use(0),), mapped=True),
        Step("combine", (Use(1), [1, 2]), mapped=True),
    ),
    "a slice without the failure is gathered": (
        Step("refuse_some", ([1, 2, 3], 0), mapped=True),
        Step("combine", (Use(0, range(2)),)),
    ),
    "a node is used twice, once with its failures": (
        REFUSED,
        Step("combine", (Use(0), Wrapped(Use(0), ("allow_failure",))), mapped=True),
    ),
    "a map waits for a node that was added after its own source": (
        Step("combine", (0,)),
        Step("combine", (Use(0),), mapped=True),
        Step("combine", (0,)),
        Step("combine", (Use(1),), mapped=True, wait_for=(Use(2),)),
    ),
    "a generator is zipped with a list": (Step("combine", ([1, 2], Lazy((1, 2))), mapped=True),),
    "a generator is zipped with a node": (REFUSED, Step("combine", (Use(0), Lazy((1,))), mapped=True)),
    "a map that is not strict follows a strict one that does not fit": (
        Step("combine", (0,)),
        Step("combine", ([], Use(0)), mapped=True),
        Step("combine", (0,), mapped=True, strict=False, wait_for=(Wrapped(Use(1), ("mapped",)),)),
    ),
    "a literal is no input that a trigger counts": (
        REFUSED,
        Step("keep@all_failed", (0, Use(0))),
        Step("keep@any_successful", ([1], Use(0)), mapped=True),
        Step("keep@all_failed", ([Delayed(1), Use(0, 0)], 2), mapped=True),
    ),
    "an allowed failure counts as a success, also without its value": (
        Step("refuse_all", ([1, 2],), mapped=True),
        Step("keep@any_failed", (Wrapped(Use(0), ("allow_failure",)),)),
        Step("keep@any_failed", (1,), wait_for=(Wrapped(Use(0), ("allow_failure",)),)),
    ),
    "a skipped input in a container, beside a failed one": (
        REFUSED,
        Step("skip_all", (0,)),
        Step("keep@any_failed", ([Use(0, 0), Use(1)],)),
        Step("keep@not_all_skipped, tolerant", ({"a": Use(1), "b": [2]},)),
    ),
    "what was never sent is flattened by who takes failures": (
        Step("refuse_all", (0,)),
        Step("combine", (Use(0),)),
        Step("keep@all_failed", (Wrapped(Use(1), ("flatten",)),)),
        Step("keep", (Wrapped(Use(1), ("flatten", "allow_failure")),)),
    ),
    "what cannot be opened counts as failed": (
        Step("label", ([1, 2],), mapped=True),
        Step("keep@some_failed(at_least=2)", (Wrapped(Use(0), ("flatten",)),)),
    ),
    "an input that is used twice counts twice": (
        Step("refuse_all", (0,)),
        Step("keep@some_failed(at_least=2)", (Use(0), Use(0))),
        Step("keep@some_failed(at_least=2)", ([1, 2], Use(0)), mapped=True, wait_for=(Use(0),)),
    ),
    "a failure is allowed, a skip is not": (
        Step("skip_all", (0,)),
        Step("keep", (1,), wait_for=(Wrapped(Use(0), ("allow_failure",)),)),
        Step("keep", (Wrapped(Use(0), ("allow_failure",)),)),
    ),
    "a skip two steps away has no result": (
        Step("skip_all", ([5, 6],), mapped=True),
        Step("keep", (Use(0),), mapped=True),
        Step("keep@all_finished, tolerant", (Use(1),), mapped=True),
        Step("keep@all_finished, tolerant", (Use(0),), mapped=True),
    ),
    "states that a task gives": (
        Step("state_of", (list(range(10)), 4), mapped=True),
        Step("state_of@again", (list(range(10)), 4), mapped=True),
        Step("keep", (Wrapped(Use(0), ("allow_failure",)),)),
        Step("state_of", (5,)),
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_traps_are_the_interpreter(trap: str) -> None:
    """Flows that once hung or gave another answer, kept as examples."""
    assert_same(TRAPS[trap], "inline")


def elements_of(outcomes: list[Outcome]) -> list[Outcome]:
    """Every element of every node, and the plain nodes."""
    return [element for outcome in outcomes for element in outcome.elements or (outcome,)]


def has_states(outcomes: list[Outcome], *states: str) -> bool:
    """Whether the elements of some map are in these states, and in no others."""
    return any({element.state for element in outcome.elements or ()} == set(states) for outcome in outcomes)


INTERESTING: dict[str, Callable[[list[Outcome]], bool]] = {
    "some elements failed": lambda outcomes: has_states(outcomes, "Completed", "Failed"),
    "some elements were not run": lambda outcomes: has_states(outcomes, "Completed", "UpstreamFailed"),
    "some elements were skipped": lambda outcomes: has_states(outcomes, "Completed", "Skipped"),
    "all elements were skipped": lambda outcomes: has_states(outcomes, "Skipped"),
    "lengths did not fit": lambda outcomes: any(outcome.as_whole for outcome in outcomes),
    "an empty map": lambda outcomes: any(outcome.elements == () for outcome in outcomes),
    "completed at a later attempt": lambda outcomes: any(
        one.completed and one.attempts > 1 for one in elements_of(outcomes)
    ),
    "failed at a later attempt": lambda outcomes: any(
        one.state == "Failed" and one.attempts > 1 for one in elements_of(outcomes)
    ),
    "took too long": lambda outcomes: any(one.state == "TimedOut" and one.attempts for one in elements_of(outcomes)),
    "crashed": lambda outcomes: any(one.state == "Crashed" for one in elements_of(outcomes)),
    "lost its process": lambda outcomes: any(isinstance(one.value, ProcessDied) for one in elements_of(outcomes)),
    "not run, though nothing failed": lambda outcomes: any(
        outcome.state == "UpstreamFailed" and all(one.completed for one in outcomes[:position])
        for position, outcome in enumerate(outcomes)
    ),
    "an exception as a value": lambda outcomes: any(
        outcome.completed and "raised" in str(written(outcome.value)) for outcome in outcomes
    ),
}


@functools.cache
def kinds_generated() -> frozenset[str]:
    """The kinds of flows that the strategy generates, each found at least once."""
    found: set[str] = set()

    @settings(ON_DASK, max_examples=500)
    @given(recipes(ruled=RULED_NAMES))
    def look(recipe: Recipe) -> None:
        outcomes = list(interpret(build(recipe).nodes).values())
        found.update(kind for kind, is_kind in INTERESTING.items() if kind not in found and is_kind(outcomes))

    look()
    return frozenset(found)


@pytest.mark.parametrize("kind", INTERESTING)
def test_the_generated_flows_are_worth_comparing(kind: str) -> None:
    """The strategy reaches each of the cases that engines get wrong."""
    assert kind in kinds_generated()
