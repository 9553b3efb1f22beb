"""The interpreter itself, on flows small enough to be worked out by hand."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from dataflow.annotations import allow_failure, flatten, mapped, unmapped
from dataflow.errors import Cancelled, ExecutionError, FlowFailed, MapError, MapLengthError, TimedOut, UpstreamFailed
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Graph, Reference
from dataflow.signals import NOTHING
from tests.semantics.functions import FUNCTIONS, Refused, specs
from tests.semantics.interpreter import Outcome, interpret

DONE = "Completed"
FAILED = "Failed"
SKIPPED = "Skipped"
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


def test_retries_are_counted_for_each_element(sketch: Sketch) -> None:
    """The task flaky refuses (x + 1) % 3 times, and gives 10 x and the attempt; one retry is not enough for 1."""
    tried = sketch.outcome(sketch.map("flaky", [2, 3, 1])).elements
    assert tried is not None
    assert [(one.state, one.attempts) for one in tried] == [(DONE, 1), (DONE, 2), (FAILED, 2)]
    assert [one.value for one in tried[:2]] == [21, 32]


def test_a_condition_ends_the_retries(sketch: Sketch) -> None:
    """flaky@picky has two retries, and its condition takes only the first."""
    assert [sketch.outcome(sketch.call(name, 1)).attempts for name in ("flaky@later", "flaky@picky")] == [3, 2]


def test_delays_and_limits_take_no_time(sketch: Sketch) -> None:
    """The task dawdle takes too long where it is given a three, at first."""
    limited = sketch.map("dawdle", [1, 3])
    assert sketch.states(limited) == [DONE, "TimedOut"]
    assert sketch.outcome(limited).state == FAILED
    assert sketch.outcome(sketch.call("dawdle@again", 3)).value == 3 + 2


def test_skipped_elements_are_left_out_of_gathers(sketch: Sketch) -> None:
    """skip_some skips multiples of three, and so does what uses them; the rest is gathered, in order."""
    some = sketch.map("keep", sketch.map("skip_some", [1, 3, 4], 0))
    assert sketch.states(some) == [DONE, SKIPPED, DONE]
    assert sketch.outcome(some).value == [1, 4]
    assert sketch.outcome(sketch.call("keep", some)).value == [1, 4]


def test_a_gather_of_nothing_but_skipped_elements_is_skipped(sketch: Sketch) -> None:
    """And one of a failed and a skipped element is upstream failed; an empty one is []."""
    skipped, mixed = sketch.map("skip_all", [1, 2]), sketch.map("refuse_some", sketch.map("skip_some", [3, 6, 5], 0), 1)
    assert sketch.outcome(skipped).state == sketch.outcome(sketch.call("keep", skipped)).state == SKIPPED
    assert sketch.states(mixed) == [SKIPPED, SKIPPED, FAILED]
    assert sketch.outcome(sketch.call("keep", mixed)).state == UPSTREAM
    assert sketch.outcome(sketch.call("keep", sketch.map("skip_all", []))).value == []


def test_a_skip_beats_a_failure(sketch: Sketch) -> None:
    """Of two inputs, unless skips do not matter to the task; then it gets what the skip said, and the exception."""
    skipped, failed = sketch.call("skip_all", 4), sketch.call("refuse_all", 0)
    assert sketch.outcome(sketch.call("keep", skipped, failed)).state == SKIPPED
    assert sketch.outcome(sketch.call("keep@all_finished", skipped, failed)).state == SKIPPED
    value = sketch.outcome(sketch.call("keep@all_finished, tolerant", skipped, failed)).value
    assert (value[0], type(value[1])) == (4, Refused)


def test_triggers_count_the_elements_of_a_gather(sketch: Sketch) -> None:
    """Two of three failed: enough for at_least=2, too many for at_most=0.5; the function gets exceptions in place."""
    mapped_node = sketch.map("refuse_some", [3, 1, 6], 0)
    enough = sketch.outcome(sketch.call("keep@some_failed(at_least=2)", mapped_node))
    assert [type(value) for value in enough.value] == [Refused, int, Refused]
    assert sketch.outcome(sketch.call("keep@some_failed(at_most=0.5)", mapped_node)).state == UPSTREAM
    assert sketch.states(sketch.map("keep@any_failed", mapped_node)) == [DONE, UPSTREAM, DONE]


def test_a_trigger_that_nothing_failed_for_is_its_own_reason(sketch: Sketch) -> None:
    """Not run, though all inputs are whole: the error says so itself, and literals are no inputs."""
    unasked = sketch.outcome(sketch.call("keep@any_failed", sketch.call("keep", 1), 2))
    assert (unasked.state, type(unasked.value)) == (UPSTREAM, UpstreamFailed)


def test_a_merge_takes_what_was_not_skipped(sketch: Sketch) -> None:
    """Skipped inputs are NOTHING under not_all_skipped, and it is skipped if all are."""
    skipped, value = sketch.call("skip_all", 0), sketch.call("keep", 5)
    merged = sketch.outcome(sketch.call("keep@not_all_skipped, tolerant", skipped, value)).value
    assert merged == [NOTHING, 5]
    assert sketch.outcome(sketch.call("keep@not_all_skipped, tolerant", skipped, skipped)).state == SKIPPED


def test_each_round_of_a_loop_has_its_own_attempts(sketch: Sketch) -> None:
    """loop(x, y) adds 1 ... x to y, each times the attempts; in its second round it refuses y % 3 times."""
    assert [sketch.outcome(sketch.call("loop", x, 10)).value for x in (0, 1, 3)] == [10, 11, 10 + 1 + 2 * 2 + 3]
    assert sketch.outcome(sketch.call("loop", 1, 10)).attempts == 2
    assert sketch.outcome(sketch.call("loop", 2, 10)).attempts == 1, "of the last round"
    assert sketch.outcome(sketch.call("loop", 1, 11)).state == FAILED


@pytest.mark.parametrize(
    ("folded", "state", "value"),
    [
        (0, DONE, 0),
        (2, FAILED, FlowFailed),
        (3, "TimedOut", TimedOut),
        (4, "Crashed", ExecutionError),
        (5, "Cancelled", Cancelled),
        (6, DONE, 7),
        (7, SKIPPED, 7),
        (8, FAILED, FlowFailed),
        (9, FAILED, Refused),
    ],
)
def test_a_state_that_is_returned_decides(sketch: Sketch, folded: int, state: str, value: Any) -> None:
    """state_of(6, 7) is a loop whose second round gives 7; a failure without an exception raises as its state does."""
    outcome = sketch.outcome(sketch.call("state_of", folded, 7))
    assert outcome.state == state
    assert outcome.value == value if isinstance(value, int) else isinstance(outcome.value, value)


def test_system_exit_is_a_crash(sketch: Sketch) -> None:
    """It is not tried again, and makes its mapped node failed."""
    crashing = sketch.map("crash_some", [2, 3], 1)
    assert sketch.states(crashing) == ["Crashed", DONE]
    assert sketch.outcome(crashing).elements[0].attempts == 1  # type: ignore[index]
    assert sketch.outcome(crashing).state == FAILED


def test_a_lost_process_is_a_crash_that_is_tried_again(sketch: Sketch) -> None:
    """The task perish ends its process where it is given a four, at first."""
    assert sketch.outcome(sketch.call("perish", 4)).state == "Crashed"
    assert sketch.outcome(sketch.call("perish@again", 4)).value == 4 + 2
