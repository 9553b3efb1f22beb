"""The interpreter itself, on flows small enough to be worked out by hand."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from dataflow.annotations import allow_failure, flatten, mapped, unmapped
from dataflow.errors import MapError, MapLengthError, UpstreamFailed
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Graph, Reference
from tests.semantics.functions import FUNCTIONS, Refused, specs
from tests.semantics.interpreter import Outcome, interpret

DONE = "Completed"
FAILED = "Failed"
UPSTREAM = "UpstreamFailed"


class Sketch:
    """Builds a flow call by call and interprets it."""

    def __init__(self) -> None:
        self.graph = Graph("sketch")
        self.builder = Builder(self.graph)
        self.tasks = specs(None)

    def call(self, function: str, *arguments: Any, wait_for: Any = None) -> Reference:
        """A plain call."""
        return self._add(function, arguments, wait_for=wait_for)

    def map(self, function: str, *arguments: Any, strict: bool = True, wait_for: Any = None) -> Reference:
        """A mapped call."""
        return self._add(function, arguments, mapped=True, strict=strict, wait_for=wait_for)

    def _add(self, function: str, arguments: tuple[Any, ...], **how: Any) -> Reference:
        node = self.builder.call(
            self.tasks[function],
            inspect.signature(FUNCTIONS[function]),
            arguments,
            {},
            **how,
        )
        return Reference(node)

    def outcome(self, reference: Reference) -> Outcome:
        return interpret(self.graph.nodes)[reference.node]

    def states(self, reference: Reference) -> list[str]:
        elements = self.outcome(reference).elements
        assert elements is not None
        return [element.state for element in elements]


@pytest.fixture
def sketch() -> Sketch:
    """An empty flow to build."""
    return Sketch()


def test_a_chain_of_plain_calls_passes_values(sketch: Sketch) -> None:
    """keep(keep([1, 2])) is [1, 2]."""
    assert sketch.outcome(sketch.call("keep", sketch.call("keep", [1, 2]))).value == [1, 2]


def test_a_map_runs_for_each_element(sketch: Sketch) -> None:
    """Scalars and unmapped values go to every element; the value of the mapped node is the list."""
    assert sketch.outcome(sketch.map("keep", [1, 2], 7)).value == [[1, 7], [2, 7]]
    assert sketch.outcome(sketch.map("keep", [1, 2], unmapped([7, 8]))).value == [[1, [7, 8]], [2, [7, 8]]]


def test_an_empty_map_is_completed(sketch: Sketch) -> None:
    """Nothing to do is done: []."""
    outcome = sketch.outcome(sketch.map("keep", []))
    assert (outcome.state, outcome.value) == (DONE, [])


def test_a_failure_stays_at_its_element(sketch: Sketch) -> None:
    """refuse_some refuses multiples of three; its neighbours complete, its dependants are not run."""
    first = sketch.map("refuse_some", [1, 2, 3], 0)
    then = sketch.map("keep", first)
    assert sketch.states(first) == [DONE, DONE, FAILED]
    assert sketch.states(then) == [DONE, DONE, UPSTREAM]
    assert (sketch.outcome(first).state, sketch.outcome(then).state) == (FAILED, UPSTREAM)


def test_a_gather_needs_all_elements_unless_failures_are_allowed(sketch: Sketch) -> None:
    """With allow_failure the exception stands at its index."""
    first = sketch.map("refuse_some", [1, 3], 0)
    assert sketch.outcome(sketch.call("keep", first)).state == UPSTREAM
    value = sketch.outcome(sketch.call("keep", allow_failure(first))).value
    assert value[0] == 1
    assert isinstance(value[1], Refused)


def test_allowed_upstream_failures_are_chained_to_their_root(sketch: Sketch) -> None:
    """An element that was not run gives an UpstreamFailed whose cause is what the user's function raised."""
    second = sketch.map("keep", sketch.map("refuse_some", [3], 0))
    (error,) = sketch.outcome(sketch.call("keep", allow_failure(second))).value
    assert isinstance(error, UpstreamFailed)
    assert isinstance(error.__cause__, Refused)


def test_a_list_of_a_task_is_iterated_at_run_time(sketch: Sketch) -> None:
    """A plain node's list, and with flatten its lists."""
    assert sketch.outcome(sketch.map("keep", sketch.call("keep", [4, 5]))).value == [4, 5]
    assert sketch.outcome(sketch.map("keep", flatten(sketch.call("keep", [[4], [5, 6]])))).value == [4, 5, 6]


def test_flatten_opens_a_mapped_node(sketch: Sketch) -> None:
    """Each element's list is opened; in a plain call the gathered list is flattened."""
    lists = sketch.map("keep", [[1], [], [2, 3]])
    assert sketch.outcome(sketch.map("keep", flatten(lists))).value == [1, 2, 3]
    assert sketch.outcome(sketch.call("keep", flatten(lists))).value == [1, 2, 3]


def test_what_cannot_be_opened_is_one_failed_element(sketch: Sketch) -> None:
    """A string among lists costs its own element only."""
    opened = sketch.map("keep", flatten(sketch.map("keep", [[1], "ab"])))
    assert sketch.states(opened) == [DONE, UPSTREAM]
    assert isinstance(sketch.outcome(opened).value, MapError)


def test_a_failed_element_is_one_element_of_what_is_flattened(sketch: Sketch) -> None:
    """Flattening keeps a failed element as one, so that it is not lost."""
    lists = sketch.map("refuse_some", [1, 3], 0)
    boxed = sketch.map("keep", lists, [[7], [8]])
    opened = sketch.map("keep", flatten(boxed))
    assert sketch.states(opened) == [DONE, DONE, UPSTREAM]


def test_different_lengths_at_run_time_fail_the_node(sketch: Sketch) -> None:
    """Strict: one failed element stands for all; not strict: the shortest decides."""
    two, three = sketch.call("keep", [1, 2]), sketch.call("keep", [1, 2, 3])
    strict = sketch.map("keep", two, three)
    assert sketch.states(strict) == [FAILED]
    assert isinstance(sketch.outcome(strict).value, MapLengthError)
    assert sketch.outcome(sketch.map("keep", two, three, strict=False)).value == [[1, 1], [2, 2]]


def test_a_failed_source_is_not_a_different_length(sketch: Sketch) -> None:
    """The root cause is the failure, not the length it never had."""
    zipped = sketch.map("keep", [1, 2], sketch.call("refuse_all", 0))
    assert sketch.states(zipped) == [UPSTREAM]
    assert isinstance(sketch.outcome(zipped).value, Refused)


def test_wait_for_needs_completed_work_and_passes_nothing(sketch: Sketch) -> None:
    """The waiting call gets no value, and does not run after a failure unless it is allowed."""
    failed = sketch.call("refuse_all", 0)
    assert sketch.outcome(sketch.call("keep", 1, wait_for=[failed])).state == UPSTREAM
    assert sketch.outcome(sketch.call("keep", 1, wait_for=[allow_failure(failed)])).value == 1


def test_wait_for_mapped_waits_element_by_element(sketch: Sketch) -> None:
    """Wrapped in mapped(...), element i waits for element i."""
    first = sketch.map("refuse_some", [1, 3], 0)
    assert sketch.states(sketch.map("keep", [5, 6], wait_for=[mapped(first)])) == [DONE, UPSTREAM]
    assert sketch.states(sketch.map("keep", [5, 6], wait_for=[first])) == [UPSTREAM, UPSTREAM]


def test_references_in_containers_are_filled(sketch: Sketch) -> None:
    """To any depth, and as rows of a map."""
    one = sketch.call("keep", 1)
    assert sketch.outcome(sketch.call("keep", {"a": [one, 2]})).value == {"a": [1, 2]}
    assert sketch.outcome(sketch.map("keep", [one, (one, 3)])).value == [1, (1, 3)]


def test_async_functions_are_awaited(sketch: Sketch) -> None:
    """combine_later(1) is 1 + 1."""
    assert sketch.outcome(sketch.call("combine_later", 1)).value == 2
