"""Control flow inside maps: conditions, merges and loops decide for each element."""

from __future__ import annotations

import pytest
from distributed import Client

from dataflow import (
    Flow,
    allow_failure,
    case,
    context,
    ifelse,
    merge,
    switch,
    task,
)
from dataflow.errors import FlowValidationError, MapLengthError
from dataflow.signals import Loop, Skip
from tests.doors.mapped_tasks import WHERE, C, S, U, add, give, half, is_even, names, results, total


@task
def triple(x: int) -> int:
    return 3 * x + 1


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_mapped_condition_decides_for_each_element(where: str, batch_size: int | None) -> None:
    """Each element takes its own branch; chains skip, gathers leave out, a merge gives all of them."""
    evens, halves = is_even.with_options(batch_size=batch_size), half.with_options(batch_size=batch_size)
    with Flow("collatz") as flow:
        numbers = give.map(range(5))
        even = evens.map(numbers)
        with case(even, True):
            down = halves.map(numbers)
            lower = half.map(down)
        with case(even, False):
            up = triple.map(numbers)
        following = merge(down, up)
        sums = [total(down), total(lower), total(up), total(following)]
    state = flow.run(cluster=where)
    assert names(state, down) == names(state, lower) == [C, S, C, S, C]
    assert names(state, up) == [S, C, S, C, S]
    assert results(state, following) == [0, 4, 1, 10, 2]
    assert [results(state, handle) for handle in sums] == [3, 1.5, 14, 17]
    assert (results(state, down), state.result[down].name) == ([0, 1, 2], C)


def test_mapped_condition_in_worker_processes(client: Client) -> None:
    """The same on a cluster of processes."""
    with Flow("processes") as flow:
        numbers = give.map(range(5))
        with case(is_even.map(numbers), True):
            down = half.map(numbers)
        following = merge(down, numbers)
    state = flow.run(cluster=client)
    assert results(state, following) == [0, 1, 1, 3, 2]


def test_literals_and_lists_known_at_run_time_go_with_the_condition() -> None:
    """What a map inside iterates is zipped with the condition, whatever it is."""
    with Flow("zipped") as flow:
        listed = give([1, 2, 3])
        even = is_even.map(listed)
        with case(even, True):
            literal = half.map([10, 20, 30])
            known_later = half.map(listed)
    state = flow.run(cluster="inline")
    assert names(state, literal) == names(state, known_later) == [S, C, S]


def test_a_map_of_another_length_is_an_error() -> None:
    """Nobody can say which element of the condition would decide."""
    with pytest.raises(FlowValidationError) as caught, Flow("lengths"), case(is_even.map([1, 2, 3]), True):
        half.map([1, 2])
    assert isinstance(caught.value.complaints[0], MapLengthError)


@pytest.mark.parametrize(("numbers", "expected"), [([1, 2], C), ([1, 3], S)])
def test_plain_node_in_a_mapped_case(numbers: list[int], expected: str) -> None:
    """It runs if one of the elements is equal."""
    with Flow("plain") as flow, case(is_even.map(numbers), True):
        once = give(1)
    assert flow.run(cluster="inline").result[once].name == expected


def test_map_in_a_plain_case() -> None:
    """One condition for all elements; a map that was skipped is Skipped as a whole, and so is what gathers it."""
    with Flow("whole") as flow:
        with case(give("a"), "b"):
            halves = half.map([1, 2])
            whole = total(halves)
        with case(give("a"), "a"):
            more = half.map([1, 2])
    state = flow.run(cluster="inline")
    assert (state.result[halves].name, names(state, halves), results(state, halves)) == (S, [S, S], [])
    assert state.result[whole].name == S
    assert results(state, more) == [0.5, 1]


def test_nested_mapped_cases() -> None:
    """An element runs if both conditions hold for it; the inner condition is not asked where the outer one skips."""
    with Flow("nested") as flow:
        numbers = give.map(range(6))
        with case(is_even.map(numbers), True):
            large = (task(lambda x: x > 2, name="large")).map(numbers)
            with case(large, True):
                both = half.map(numbers)
            one = half.map(numbers)
        merged = merge(both, one, numbers)
    state = flow.run(cluster="inline")
    assert names(state, large) == names(state, one) == [C, S, C, S, C, S]
    assert names(state, both) == [S, S, S, S, C, S]
    assert results(state, merged) == [0, 1, 1, 3, 2, 5]


def test_plain_condition_around_a_mapped_one() -> None:
    """The outer one skips all, the inner one some."""

    def run(outer: str) -> list[str]:
        with Flow("outer") as flow:
            numbers = give.map(range(3))
            with case(give(outer), "yes"):
                even = is_even.map(numbers)
                with case(even, True):
                    halves = half.map(numbers)
        return names(flow.run(cluster="inline"), halves)

    assert run("yes") == [C, S, C]
    assert run("no") == [S, S, S]


def test_failed_element_of_a_condition() -> None:
    """Only its own branch and merge fail; the other elements go on."""
    with Flow("failed") as flow:
        numbers = give.map([2, -1, 3])
        with case(is_even.map(numbers), True):
            halves = half.map(numbers)
        merged = merge(halves, numbers)
    state = flow.run(cluster="inline")
    assert names(state, halves) == [C, U, S]
    assert names(state, merged) == [C, U, C]


@pytest.mark.parametrize("where", WHERE)
def test_switch_of_maps(where: str) -> None:
    """Nodes that were there before wait for the comparison element by element."""
    with Flow("switch") as flow:
        words = give.map(["a", "b", "c"])
        first, second = add.map(words, "1"), add.map(words, "2")
        switch(words, {"a": first, "b": second})
        merged = merge(first, second)
        after = add.map(merged, "!")
    state = flow.run(cluster=where)
    assert (names(state, first), names(state, second)) == ([C, S, S], [S, C, S])
    assert (names(state, merged), results(state, after)) == ([C, C, S], ["a1!", "b2!"])


def test_switch_of_a_list() -> None:
    """``mapped=True`` compares the items of a list that a plain node gives."""
    with Flow("list") as flow:
        words = give(["a", "b"])
        chosen = add.map(words, "1")
        switch(words, {"a": chosen}, mapped=True)
        merged = merge(chosen, words, mapped=True)
    state = flow.run(cluster="inline")
    assert results(state, merged) == ["a1", "b"]


def test_ifelse_of_maps() -> None:
    """Each element is true or false; a plain branch runs if one element asks for it."""
    with Flow("ifelse") as flow:
        numbers = give.map([0, 1, 2])
        nonzero, zero = half.map(numbers), give("zero")
        ifelse(numbers, nonzero, zero)
        merged = merge(nonzero, zero)
    state = flow.run(cluster="inline")
    assert (names(state, nonzero), state.result[zero].name) == ([S, C, C], C)
    assert results(state, merged) == ["zero", 0.5, 1]


def test_merge_of_unequal_lengths_is_an_error() -> None:
    """As in any map."""
    with pytest.raises(FlowValidationError, match="different lengths"), Flow("lengths"):
        merge(give.map([1, 2]), give.map([1]))


def test_merge_of_maps_inside_a_case() -> None:
    """Branches from outside do not run it for elements that the case skips."""
    with Flow("barred") as flow:
        numbers = give.map(range(4))
        with case(is_even.map(numbers), True):
            merged = merge(numbers)
            plain = merge(give(1))
    state = flow.run(cluster="inline")
    assert names(state, merged) == [C, S, C, S]
    assert state.result[plain].name == C


def test_allow_failure_and_one_element_beside_cases() -> None:
    """A single element of a branch, and an exception in the place of a value, as without conditions."""
    with Flow("beside") as flow:
        numbers = give.map([2, -1, 3])
        with case(is_even.map(numbers), True):
            halves = half.map(numbers)
        one, skipped = give(halves[0]), give(halves[2])
        kinds = task(lambda x: type(x).__name__, name="kind").map(allow_failure(halves))
    state = flow.run(cluster="inline")
    assert [results(state, handle) for handle in (one, skipped)] == [1, None]
    assert (state.result[skipped].name, names(state, kinds)) == (S, [C, C, S])


@pytest.mark.parametrize("where", WHERE)
def test_loops_of_elements(where: str) -> None:
    """Each element loops as often as it needs, beside others, inside a case and before a gather."""

    @task(batch_size=2)
    def power(base: int, least: int) -> int:
        value: int = context.get("task_loop_result", 1) * base
        if value < least:
            raise Loop(value)
        return value

    with Flow("loops") as flow:
        bases = give.map([2, 3, 5, 6])
        with case(is_even.map(bases), True):
            powers = power.map(bases, 20)
        merged = merge(powers, bases)
        whole = total(merged)
    state = flow.run(cluster=where)
    assert (names(state, powers), results(state, merged), results(state, whole)) == ([C, S, S, C], [32, 3, 5, 36], 76)


def test_skip_with_a_result_reaches_tasks_that_take_it() -> None:
    """Without propagation a skipped input is what its Skip says; the trigger of a merge leaves it out."""

    @task
    def skip_odd(x: int) -> int:
        if x % 2:
            raise Skip("odd", result=-x)
        return x

    with Flow("results") as flow:
        evens = skip_odd.map(range(4))
        taken = add.with_options(skip_on_upstream_skip=False).map(evens, 100)
        merged = merge(evens, task(lambda: "none")())
    state = flow.run(cluster="inline")
    assert results(state, taken) == [100, 99, 102, 97]
    assert results(state, merged) == [0, "none", 2, "none"]
