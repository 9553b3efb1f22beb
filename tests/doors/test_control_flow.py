"""Control flow of the graph door between plain nodes: case, switch, ifelse and merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataflow import (
    Flow,
    Parameter,
    case,
    flow,
    ifelse,
    merge,
    switch,
    task,
)
from dataflow.errors import FlowValidationError, UsageError
from dataflow.flow_states import FlowState
from dataflow.signals import Skip
from dataflow.states import Failed


@task
def give(x: Any) -> Any:
    return x


@task
def add(x: int, y: int) -> int:
    return x + y


@task
def fail(*_: Any) -> None:
    raise ValueError("broken")


@task
def skip(*_: Any) -> None:
    raise Skip("not today")


def names(state: FlowState, *handles: Any) -> list[str]:
    return [state.result[handle].name for handle in handles]


@pytest.mark.parametrize(("value", "expected"), [("a", "Completed"), ("b", "Skipped")])
def test_case_runs_what_is_inside_if_the_values_are_equal(value: str, expected: str) -> None:
    """Nodes inside run or are skipped with what uses them; what merely follows the block runs."""
    with Flow("case") as flow:
        letter = give("a")
        with case(letter, value):
            inside = give(1)
            chained = add(inside, 1)
        after = add(chained, 1)
        beside = give(5)
    state = flow.run(cluster="inline")
    assert names(state, inside, chained, after, beside) == [expected, expected, expected, "Completed"]
    assert state.is_successful()


def test_only_the_first_nodes_of_a_case_wait_for_the_comparison() -> None:
    """A node that uses another one of the block waits through it, so that a picture stays readable."""
    with Flow("edges") as flow:
        letter = give("a")
        with case(letter, "a"):
            first = give(1)
            second = add(first, 1)
    comparison = flow.get_tasks(name="case(give == 'a')")[0]
    assert flow.upstream_tasks(first) == {comparison}
    assert flow.upstream_tasks(second) == {first}
    assert "n1[\"case(give == 'a')\"]" in str(flow.visualize())


def test_empty_case_adds_nothing() -> None:
    """Without a node inside there is nothing to compare for."""
    with Flow("empty") as flow:
        letter = give("a")
        with case(letter, "a"):
            pass
    assert flow.tasks == {letter}


def test_nested_cases() -> None:
    """An inner block runs only if both conditions hold; its condition may come from the outer block."""

    def run(outer: str, inner: str) -> list[str]:
        with Flow("nested") as flow, case(give(outer), "yes"):
            word = give(inner)
            with case(word, "now"):
                both = give(1)
            one = give(2)
        return names(flow.run(cluster="inline"), word, both, one)

    assert run("yes", "now") == ["Completed", "Completed", "Completed"]
    assert run("yes", "later") == ["Completed", "Skipped", "Completed"]
    assert run("no", "now") == ["Skipped", "Skipped", "Skipped"]


@pytest.mark.parametrize(
    ("given", "value", "expected"),
    [
        (True, True, True),
        (False, True, False),
        (None, None, True),
        (1, 1.0, True),
        ([1, 2], [1, 2], True),
        ("a", 1, False),
    ],
)
def test_a_case_compares_any_values(given: Any, value: Any, expected: bool) -> None:
    """Equality is that of Python."""
    with Flow("values") as flow, case(give(given), value):
        inside = give(1)
    assert flow.run(cluster="inline").result[inside].state.is_completed() is expected


def test_case_of_a_parameter_and_of_an_expression() -> None:
    """Parameters and operators are conditions as well, and a flow can be run with another value."""
    with Flow("parameter") as flow:
        number = Parameter("number", default=3)
        with case(number, 3):
            three = give("three")
        with case(number > 3, True):
            more = give("more")
    assert names(flow.run(cluster="inline"), three, more) == ["Completed", "Skipped"]
    assert names(flow.run(number=4, cluster="inline"), three, more) == ["Skipped", "Completed"]


def test_failed_condition_fails_the_branches_and_their_merge() -> None:
    """Nobody can say which branch was meant, so none runs."""
    with Flow("broken") as flow:
        condition = fail()
        with case(condition, 1):
            one = give(1)
        with case(condition, 2):
            two = give(2)
        merged = merge(one, two)
    state = flow.run(cluster="inline")
    assert names(state, one, two, merged) == ["UpstreamFailed"] * 3
    assert isinstance(state.result[merged].state.result(raise_on_failure=False).__cause__, ValueError)


def test_case_follows_into_a_copy_of_the_flow() -> None:
    """What waits for a comparison does so in copies too."""
    with Flow("original") as flow, case(give("a"), "b"):
        inside = give(1)
    assert names(flow.copy().run(cluster="inline"), inside) == ["Skipped"]


@pytest.mark.parametrize("statement", ["case", "switch", "ifelse", "merge"])
def test_control_flow_belongs_to_the_graph_door(statement: str) -> None:
    """In a @flow body and outside of flows the error says to write Python."""

    def enter_case() -> None:
        with case(1, 1):
            pass

    tries: dict[str, Callable[[], Any]] = {
        "case": enter_case,
        "switch": lambda: switch(1, {}),
        "ifelse": lambda: ifelse(1, None, None),
        "merge": lambda: merge(1, 2),
    }
    with pytest.raises(UsageError, match=rf"(?s){statement}\(...\) outside .*if result == value"):
        tries[statement]()

    @flow(cluster="inline")
    def body() -> None:
        with pytest.raises(UsageError, match="outside"):
            tries[statement]()

    body()


def test_the_value_of_a_case_is_known() -> None:
    """A handle has no value to compare with; the error shows how two handles are compared."""
    with Flow("handles"):
        first, second = give(1), give(1)
        with pytest.raises(UsageError, match=r"is_equal"), case(first, second):
            pass


@pytest.mark.parametrize(("language", "greeting"), [("en", "hello"), ("fr", "bonjour")])
def test_switch_and_merge(language: str, greeting: str) -> None:
    """One of several branches runs, and the merge gives its value."""
    with Flow("switch") as flow:
        english, french = give("hello"), give("bonjour")
        switch(give(language), {"en": english, "fr": french})
        merged = merge(english, french)
    state = flow.run(cluster="inline")
    assert sorted(names(state, english, french)) == ["Completed", "Skipped"]
    assert state.result[merged].result == greeting


def test_switch_without_a_match_skips_everything() -> None:
    """All branches and their merge are skipped, which is no failure."""
    with Flow("none") as flow:
        english, french = give("hello"), give("bonjour")
        switch(give("de"), {"en": english, "fr": french})
        merged = merge(english, french)
    state = flow.run(cluster="inline")
    assert names(state, english, french, merged) == ["Skipped"] * 3
    assert state.result[merged].result is None
    assert state.is_successful()


def test_what_a_switched_node_uses_runs_in_any_case() -> None:
    """Only the node itself is part of the switch."""
    with Flow("upstream") as flow:
        loaded = give(1)
        used = add(loaded, 1)
        switch(give("b"), {"a": used})
    assert names(flow.run(cluster="inline"), loaded, used) == ["Completed", "Skipped"]


@pytest.mark.parametrize(("value", "expected"), [([1], ["Completed", "Skipped"]), ([], ["Skipped", "Completed"])])
def test_ifelse_asks_for_the_truth(value: list[int], expected: list[str]) -> None:
    """As in an ``if``, any value is true or false."""
    with Flow("truth") as flow:
        some, none = give("some"), give("none")
        ifelse(give(value), some, none)
    assert names(flow.run(cluster="inline"), some, none) == expected


def test_ifelse_with_one_branch() -> None:
    """A branch may be left out; a plain value as the last branch of a merge stands for it."""
    with Flow("one") as flow:
        some = give("some")
        ifelse(give(0), some, None)
        merged = merge(some, None)
        other = merge(some, "nothing")
    state = flow.run(cluster="inline")
    assert names(state, some, merged) == ["Skipped", "Completed"]
    assert (state.result[merged].result, state.result[other].result) == (None, "nothing")


def test_merge_takes_the_first_in_the_order_of_the_arguments() -> None:
    """Whatever its value, None too, and however many there are."""
    with Flow("order") as flow:
        branches = [skip(), skip(), *(give(i) for i in range(12))]
        merged = merge(*branches)
        nothing = merge(give(None), give(1))
    state = flow.run(cluster="inline")
    assert state.result[merged].result == 0
    assert state.result[nothing].result is None
    assert state.result[nothing].name == "Completed"


def test_failed_branch_fails_the_merge() -> None:
    """A failure is not taken for a branch that was not meant."""
    with Flow("failed") as flow:
        merged = merge(give(1), fail())
    assert names(flow.run(cluster="inline"), merged) == ["UpstreamFailed"]


def test_merge_inside_a_case_is_skipped_with_it() -> None:
    """Also where the branches stand outside, although a merge runs when something it uses was skipped."""
    with Flow("inside") as flow:
        first, second = skip(), give(2)
        with case(give("a"), "b"):
            barred = merge(first, second)
            default = merge(first, 3)
            mixed = merge(give(1), second)
        with case(give("a"), "a"):
            merged = merge(first, second)
    state = flow.run(cluster="inline")
    assert names(state, barred, default, mixed, merged) == ["Skipped", "Skipped", "Skipped", "Completed"]
    assert state.result[merged].result == 2


def test_merge_needs_a_branch() -> None:
    """There is nothing to merge in nothing."""
    with Flow("nothing"), pytest.raises(UsageError, match="without branches"):
        merge()


def test_complaints_inside_a_case_are_told_at_the_end() -> None:
    """A call that does not fit is told with all others, as outside of blocks."""
    with pytest.raises(FlowValidationError, match="add"), Flow("complaints"), case(give(1), 1):
        add(1)  # type: ignore[call-overload]


def test_returned_failure_is_no_branch() -> None:
    """A task that returns a failed state has failed, for a merge as well."""
    with Flow("returned") as flow:
        merged = merge(task(lambda: Failed(message="no"), name="returns")(), give(1))
    assert names(flow.run(cluster="inline"), merged) == ["UpstreamFailed"]
