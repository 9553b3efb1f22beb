"""A function written for one element, applied to all of them: apply_map."""

from __future__ import annotations

from typing import Any

import pytest

from dataflow import (
    Flow,
    apply_map,
    case,
    flatten,
    merge,
    switch,
    task,
    unmapped,
)
from dataflow.errors import FlowValidationError, MapError, UsageError
from tests.doors.mapped_tasks import WHERE, C, S, add, give, half, is_even, names, results, total


@pytest.mark.parametrize("where", WHERE)
def test_apply_map_repeats_a_function(where: str) -> None:
    """Calls, operators, conditions and merges of a function that is written for one element."""

    def step(x: Any, factor: Any, offset: Any) -> Any:
        even = is_even(x)
        with case(even, True):
            scaled = x * factor
        with case(even, False):
            moved = add(x, offset)
            moved_twice = add(moved, y=1)
        return merge(scaled, moved_twice), {"even": even}

    with Flow("apply") as flow:
        numbers = give.map(range(5))
        merged, told = apply_map(step, numbers, unmapped(10), offset=[100, 200, 300, 400, 500])
        whole = total(merged)
    state = flow.run(cluster=where)
    assert results(state, merged) == [0, 202, 20, 404, 40]
    assert results(state, whole) == 666
    assert results(state, told["even"]) == [True, False, True, False, True]
    assert merged.is_mapped


def test_apply_map_of_containers_indices_and_constants() -> None:
    """Elements inside containers, an index into each element, unpacking, and calls that use no element."""

    @task(nout=2)
    def parts(pair: Any) -> Any:
        return pair[0], pair[1]

    def step(pair: Any, whole: Any) -> Any:
        first, second = parts(pair)
        listed = give([second, {"first": first}])
        constant = give("constant")
        ordered = give(pair[1])
        listed.set_upstream(ordered)
        return listed, constant, ordered, add(pair[0], whole[0])

    with Flow("containers") as flow:
        numbers = give.map([7, 8])
        answers = apply_map(step, [(1, 2), (3, 4)], unmapped(numbers))
    assert [edge.mapped for edge in flow.edges_to(answers[0]) if edge.key is None] == [True]
    state = flow.run(cluster="inline")
    assert [results(state, handle) for handle in answers] == [
        [[2, {"first": 1}], [4, {"first": 3}]], ["constant", "constant"], [2, 4], [8, 10],
    ]  # fmt: skip


def test_apply_map_of_a_list_known_at_run_time_and_flattened() -> None:
    """What a map iterates, this does as well; a switch inside is repeated too."""

    def step(x: Any) -> Any:
        small, large = add(x, 1), add(x, 100)
        switch(x > 2, {True: large, False: small})
        return merge(small, large)

    with Flow("later") as flow:
        later = apply_map(step, give([1, 3]))
        flat = apply_map(step, flatten(give([[1], [2, 3]])))
    state = flow.run(cluster="inline")
    assert (results(state, later), results(state, flat)) == ([2, 103], [2, 3, 103])


def test_apply_map_inside_a_case() -> None:
    """Everything that the function adds is inside the surrounding block."""
    with Flow("case") as flow:
        numbers = give.map(range(4))
        with case(is_even.map(numbers), True):
            halves = apply_map(lambda x: x / 2, numbers)
        with case(give("a"), "b"):
            never = apply_map(lambda x: x / 2, numbers)
    state = flow.run(cluster="inline")
    assert (names(state, halves), names(state, never)) == ([C, S, C, S], [S, S, S, S])


def test_apply_map_refuses_what_it_cannot_do() -> None:
    """Maps in maps, nothing to iterate, and use outside of the graph door."""
    with Flow("refused"):
        with pytest.raises(MapError, match="nothing to iterate"):
            apply_map(give, unmapped([1]))
        with pytest.raises(MapError, match="apply_map inside apply_map"):
            apply_map(lambda x: apply_map(give, [x]), [1])
    with pytest.raises(FlowValidationError, match="a map inside apply_map"), Flow("map"):
        apply_map(lambda x: half.map(x), [[1]])
    with pytest.raises(UsageError, match="outside"):
        apply_map(give, [1])
