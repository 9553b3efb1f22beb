"""Changing a graph after its calls: dependencies, edges, copies, parts of other flows, replacements."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest

from dataflow.annotations import unmapped
from dataflow.errors import ArgumentError, CycleError, FlowValidationError, HandleError
from dataflow.flows import Flow
from dataflow.parameters import Parameter
from dataflow.tasks import Task, task
from tests.processes import printed_by

calls: list[str] = []


@task
def say(word: str) -> str:
    calls.append(word)
    return word


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


class Add(Task):  # type: ignore[type-arg]
    def run(self, x: int, y: int = 1) -> int:
        return x + y


def test_tasks_without_calls() -> None:
    """The imperative way: tasks are added as themselves and get their arguments by name."""
    first, second = Add(name="first"), Add(name="second")
    flow = Flow("imperative")
    flow.add_task(first)
    flow.set_dependencies(first, keyword_tasks={"x": 1})
    flow.set_dependencies(second, keyword_tasks={"x": first, "y": 10})
    state = flow.run(cluster="inline")
    assert (state.result[first].result, state.result[second].result) == (2, 12)
    assert [handle.name for handle in flow.sorted_tasks()] == ["first", "second"]


def test_task_that_never_got_its_arguments() -> None:
    """What is missing at the run is a complaint that names task and argument."""
    flow = Flow("incomplete")
    flow.add_task(Add())
    with pytest.raises(FlowValidationError, match="nothing for x") as caught:
        flow.run(cluster="inline")
    assert isinstance(caught.value.complaints[0], ArgumentError)


def test_bind_changes_the_one_node() -> None:
    """Binding twice does not add a node, and the later argument is the one that holds."""
    plus = Add()
    with Flow("bind") as flow:
        handle = plus.bind(1, y=5)
        assert plus.bind(x=2) is handle
    assert len(flow.tasks) == 1
    assert flow.run(cluster="inline").result[plus].result == 7


def test_order_without_data() -> None:
    """set_upstream, set_downstream, `|` and chain make tasks wait for each other."""
    calls.clear()
    with Flow("order") as flow:
        d, c, b, a = say("d"), say("c"), say("b"), say("a")
        c.set_downstream(d)
        c.set_upstream(b)
        assert (a | b) is b
    assert flow.upstream_tasks(b) == {a}
    flow.run(cluster="inline")
    assert calls == ["a", "b", "c", "d"]
    calls.clear()
    with Flow("chain") as chained:
        words = [say(word) for word in "dcba"]
        chained.chain(*reversed(words))
    chained.run(cluster="inline")
    assert calls == ["a", "b", "c", "d"]


def test_tasks_that_set_their_order_themselves() -> None:
    """Tasks that are added as themselves take part in a flow that is named or current."""
    first, second = task(lambda: 1), task(lambda x: x + 1)
    with Flow("own") as flow:
        second.set_upstream(first, key="x")
        first.set_downstream(Add(name="plus"), key="x")
    state = flow.run(cluster="inline")
    assert state.result[second].result == 2
    assert state.result[flow.get_tasks(name="plus")[0]].result == 2
    with pytest.raises(HandleError, match="there is no flow"):
        second.set_upstream(first)


def test_an_argument_that_turns_a_call_into_a_map() -> None:
    """An edit may make a node a map; what gathers it is brought up to that."""
    with Flow("turn") as flow:
        one = add(1, y=1)
        after = add.map(total.map([[1], [2]]), y=one)
        whole = total([one, one])
    flow.set_dependencies(one, keyword_tasks={"x": [10, 20]}, mapped=True)
    with pytest.raises(FlowValidationError) as caught:
        flow.set_dependencies(one, keyword_tasks={"y": [1, 2, 3]}, mapped=True)
        flow.run(cluster="inline")
    assert "2" in str(caught.value)
    flow.set_dependencies(one, keyword_tasks={"y": [1, 2]}, mapped=True)
    state = flow.run(cluster="inline")
    assert state.result[one].result == [11, 22]
    assert state.result[after].result == [12, 24]
    assert state.result[whole].is_failed()


def test_edges() -> None:
    """add_edge gives an argument, iterated or flattened, or only an order."""
    with Flow("edges") as flow:
        nested = task(lambda: [[1, 2], [3]])()
        plus, flat, end = add(0), total([]), say("end")
    flow.add_edge(nested, flat, key="numbers", flattened=True)
    flow.add_edge(flat, plus, key="x")
    flow.add_edge(plus, end)
    state = flow.run(cluster="inline")
    assert (state.result[flat].result, state.result[plus].result) == (6, 7)
    assert flow.upstream_tasks(end) == {plus}


def test_mapped_edge() -> None:
    """A mapped edge repeats the task for each element of a list that is known only at run time."""
    with Flow("mapped edge") as flow:
        numbers, plus = task(lambda: [1, 2, 3])(), add(0)
        whole = total(plus[0:2])
    flow.replace(whole, task(list)(plus, flow=flow))
    flow.add_edge(numbers, plus, key="x", mapped=True)
    state = flow.run(cluster="inline")
    assert state.result[plus].result == [2, 3, 4]
    assert state.result[whole].result == [2, 3, 4]


def test_cycle_is_a_complaint() -> None:
    """Tasks that wait for each other are named, and nothing runs."""
    with pytest.raises(FlowValidationError) as caught, Flow("circle"):
        one = say("one")
        two = add(one)
        one.set_upstream(two)
    (complaint,) = caught.value.complaints
    assert isinstance(complaint, CycleError)
    assert "say" in str(complaint)
    assert "add" in str(complaint)


def test_copy_is_independent_and_understands_old_handles() -> None:
    """A copy runs alike, takes handles of the original, and changes without it."""
    with Flow("original") as flow:
        n = Parameter("n", default=1)
        many = add.map([1, 2], unmapped(n))
        whole = total(many)
    flow.set_reference_tasks([many])
    twin = flow.copy()
    with twin:
        more = add(whole, y=n)
    assert (len(flow.tasks), len(twin.tasks)) == (3, 4)
    state = twin.run(n=5, cluster="inline")
    assert (state.result[many].result, state.result[whole].result, state.result[more].result) == ([6, 7], 13, 18)
    assert flow.run(cluster="inline").result[whole].result == 5
    assert {handle.name for handle in twin.reference_tasks()} == {"add"}
    assert [handle.slug for handle in twin.sorted_tasks()][:3] == [handle.slug for handle in flow.sorted_tasks()]


def test_update_joins_flows() -> None:
    """The parts of another flow can be used with one's own; parameters of one name are joined if asked."""
    with Flow("first") as first:
        left = add(Parameter("n"), y=1)
    with Flow("second") as second:
        right = add(Parameter("n"), y=2)
    first.update(second, merge_parameters=True)
    with first:
        whole = add(left, y=right)
    state = first.run(n=10, cluster="inline")
    assert state.result[whole].result == 23
    assert (len(first.parameters()), len(second.tasks)) == (1, 2)


def test_update_with_two_parameters_of_one_name() -> None:
    """Without being asked, nothing is joined: the name is a complaint."""
    with Flow("first") as first:
        add(Parameter("n"))
    with Flow("second") as second:
        add(Parameter("n"))
    first.update(second)
    with pytest.raises(FlowValidationError, match="two parameters are called 'n'"):
        first.run(n=1, cluster="inline")


def test_replace_by_handle_value_and_task() -> None:
    """A node gives way to a handle, a plain value, or a task that takes over its arguments."""
    with Flow("replace") as flow:
        one, five = add(0), add(4)
        end = add(one, y=one)
    flow.replace(one, five)
    assert flow.run(cluster="inline").result[end].result == 10
    assert flow.tasks == {five, end}
    flow.replace(five, 7)
    assert flow.run(cluster="inline").result[end].result == 14
    times = task(lambda x, y: x * y, name="times")
    flow.replace(end, times)
    state = flow.run(cluster="inline")
    assert (state.result[times].result, state.result[end].result) == (49, 49)
    with flow:
        assert flow.upstream_tasks(add(end)) == {flow.handle(times)}


def test_replaced_map_changes_its_consumers() -> None:
    """When a list takes the place of a single value, a map over it follows."""
    with Flow("replace map") as flow:
        source = task(lambda: [1, 2])()
        mapped = add.map(source, y=0)
    with flow:
        longer = add.map([1, 2, 3], y=10)
    flow.replace(source, longer)
    assert flow.run(cluster="inline").result[mapped].result == [11, 12, 13]


def calls_of_edits(count: int) -> int:
    """How many functions are called by so many edits of one node."""
    with Flow("many") as flow:
        words = [say("x") for _ in range(count)]
    counted = itertools.count()
    sys.setprofile(lambda *_: next(counted))
    try:
        for word in words[1:]:
            words[0].set_upstream(word)
        flow.validate()
    finally:
        sys.setprofile(None)
    return next(counted)


def test_many_edits_cost_their_sum() -> None:
    """Twice the edits of one node make about twice the calls of functions, not four times as many."""
    found = printed_by("-c", "from tests.doors.test_flow_edits import calls_of_edits as of; print(of(500), of(1000))")
    few, many = map(int, found.split())
    assert 500 < many < 2.5 * few
