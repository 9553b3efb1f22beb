"""The graph door: building, looking at, and running ``with Flow(...)``."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dataflow.annotations import mapped, unmapped
from dataflow.errors import (
    ArgumentError,
    FlowValidationError,
    HandleError,
    MapError,
    ParameterError,
    TaskDefinitionError,
    UsageError,
)
from dataflow.flow_edits import Edge
from dataflow.flows import Flow
from dataflow.parameters import Parameter
from dataflow.tasks import Task, task


@task(tags=["math"])
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def invert(x: float) -> float:
    return 1 / x


class Add(Task):  # type: ignore[type-arg]
    def run(self, x: int, y: int = 1) -> int:
        return x + y


def test_nothing_runs_while_the_flow_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    """A call adds a node and gives a handle; the function runs with the flow, each time anew."""
    with Flow("hello") as flow:
        task(lambda: print("Hello, World!"))()
    assert capsys.readouterr().out == ""
    flow.run(cluster="inline")
    flow.run(cluster="inline")
    assert capsys.readouterr().out == "Hello, World!\nHello, World!\n"


def test_state_of_a_run() -> None:
    """The state holds the state of every handle; a handle's result is its value, a mapped one's a list."""
    with Flow("sums") as flow:
        sums = add.map([1, 2, 3], unmapped(10))
        whole = total(sums)
    state = flow.run(cluster="inline")
    assert state.is_successful()
    assert (state.result[sums].result, state.result[whole].result) == ([11, 12, 13], 36)
    assert set(state.result) == {sums, whole}
    assert [element.result for element in state.result[sums].map_states] == [11, 12, 13]
    assert [element.result for element in state.result[sums].map_states[1:]] == [12, 13]


def test_failed_elements() -> None:
    """One failed element fails its mapped handle and what gathers it, and leaves the others their values."""
    with Flow("inverses") as flow:
        inverses = invert.map([1, 0, 4])
        whole = total(inverses)
    state = flow.run(cluster="inline")
    assert state.is_failed()
    assert state.message == "1 of 1 reference tasks were not run, because an input failed"
    states = state.result[inverses].map_states
    assert [element.is_failed() for element in states] == [False, True, False]
    assert (states[0].result, states[2].result) == (1.0, 0.25)
    assert isinstance(states[1].result, ZeroDivisionError)
    assert state.result[whole].is_upstream_failed()


def test_plain_handle_has_no_element_states() -> None:
    """Only mapped handles have states of elements."""
    with Flow("plain") as flow:
        one = add(0)
    with pytest.raises(AttributeError, match="not mapped"):
        flow.run(cluster="inline").result[one].map_states  # noqa: B018


def test_reference_tasks_decide() -> None:
    """The terminal tasks decide the final state, unless others are named."""
    with Flow("references") as flow:
        good, bad = invert(1), invert(0)
    assert flow.reference_tasks() == {good, bad}
    assert flow.run(cluster="inline").is_failed()
    flow.set_reference_tasks([good])
    assert flow.run(cluster="inline").is_successful()


def test_wrong_calls_are_told_together() -> None:
    """The block goes on after a wrong call; at its end all complaints come at once, each with its place."""
    with pytest.raises(FlowValidationError) as caught, Flow("wrong") as flow:
        broken = total()
        later = add(broken, y=2)
        add.map({"a": 1})
        add.map(1)
        add(1, 2, 3)
    assert [type(complaint) for complaint in caught.value.complaints] == [
        ArgumentError, MapError, MapError, ArgumentError,
    ]  # fmt: skip
    assert "total" in caught.value.complaints[0].where
    assert "test_flow_block.py:" in str(caught.value)
    assert flow.upstream_tasks(later) == {broken}
    with pytest.raises(FlowValidationError):
        flow.run(cluster="inline")


def test_an_error_of_the_block_itself_is_not_hidden() -> None:
    """Complaints do not take the place of an exception that the block raised."""
    with pytest.raises(KeyError, match="mine"), Flow("wrong"):
        total()
        raise KeyError("mine")


def test_run_inside_the_block() -> None:
    """A flow is not run before it is complete."""
    with Flow("early") as flow:
        add(1)
        with pytest.raises(UsageError, match="after the block"):
            flow.run(cluster="inline")


@pytest.mark.parametrize("name", ["", None, 3])
def test_name_of_a_flow(name: Any) -> None:
    """A flow has a name."""
    with pytest.raises(TaskDefinitionError, match="the name of a flow"):
        Flow(name)


def test_classic_executor_is_answered_with_cluster() -> None:
    """The classic keyword of run is unknown here, and the message names ours."""
    with Flow("classic") as flow:
        add(1)
    with pytest.raises(ParameterError, match="cluster="):
        flow.run(executor=object())


def test_looking_at_a_flow() -> None:
    """Tasks, edges, roots, ends, neighbours and look-ups by name, slug, tag and class."""
    with Flow("look") as flow:
        one = add(1)
        two = add(one, y=one)
        three = Add()(two)
        three.set_upstream(one)
    assert flow.tasks == {one, two, three}
    assert flow.edges == {
        Edge(one, two, "x"), Edge(one, two, "y"), Edge(two, three, "x"), Edge(one, three, None),
    }  # fmt: skip
    assert (flow.root_tasks(), flow.terminal_tasks()) == ({one}, {three})
    assert (flow.upstream_tasks(three), flow.downstream_tasks(one)) == ({one, two}, {two, three})
    assert flow.get_tasks(name="add") == [one, two]
    assert flow.get_tasks(slug="add-2") == [two]
    assert flow.get_tasks(tags=["math"]) == [one, two]
    assert flow.get_tasks(task_type=Add) == [three]
    assert flow.sorted_tasks() == (one, two, three)
    assert one in flow
    assert len(flow) == 3


def test_edges_of_maps() -> None:
    """An edge says whether it is iterated and whether it is flattened."""
    with Flow("maps") as flow:
        first = add.map([1, 2])
        second = add.map(first, unmapped(first))
    assert flow.edges == {Edge(first, second, "x", mapped=True), Edge(first, second, "y")}


def test_drawing() -> None:
    """The picture names the nodes, as text and for notebooks."""
    with Flow("draw") as flow:
        add(add(1))
    picture = flow.visualize()
    assert "add-2" in str(picture)
    assert "add-2" in picture.dot
    assert picture._repr_mimebundle_()["text/vnd.mermaid"] == str(picture)


def test_flows_inside_each_other() -> None:
    """The innermost block takes the calls; a block can be entered again to add more."""
    with Flow("outer") as outer:
        one = add(1)
        with Flow("inner") as inner:
            two = add(2)
        three = add(3)
    with outer:
        four = add(one)
    assert (outer.tasks, inner.tasks) == ({one, three, four}, {two})


def test_call_options() -> None:
    """Keywords of the call: options for it, its flow, what it waits for, and mapping by keyword."""
    flow = Flow("options")
    one = add(1, flow=flow, task_args={"name": "first", "tags": ["x"]})
    many = add([1, 2], mapped=True, flow=flow, upstream_tasks=[one])
    assert (one.name, one.tags, add.name) == ("first", {"x"}, "add")
    assert flow.upstream_tasks(many) == {one}
    assert flow.run(cluster="inline").result[many].result == [2, 3]


def test_waiting_is_not_iterated_unless_asked() -> None:
    """upstream_tasks of a map are taken whole; wrapped in mapped(...) they go element by element."""
    with Flow("waits") as flow:
        first = invert.map([1, 0])
        whole = add.map([1, 2], upstream_tasks=[first])
        each = add.map([1, 2], upstream_tasks=[mapped(first)])
    state = flow.run(cluster="inline")
    assert [element.is_failed() for element in state.result[whole].map_states] == [True, True]
    assert [element.is_failed() for element in state.result[each].map_states] == [False, True]


def test_state_keyword_has_no_meaning_while_building() -> None:
    """Asking for a state inside the block is a complaint that says where the state will be."""
    with pytest.raises(FlowValidationError, match=r"flow.run\(\).result\[handle\]"), Flow("state"):
        add(1, return_state=True)


def test_result_of_a_stranger() -> None:
    """A handle of another flow has no state here."""
    with Flow("mine") as flow:
        add(1)
    with Flow("theirs"):
        foreign = add(1)
    state = flow.run(cluster="inline")
    with pytest.raises(HandleError, match="not in this flow"):
        state.result[foreign]
    assert foreign not in state.result


def test_keep_is_checked() -> None:
    """Only the two ways of keeping values are taken."""
    with Flow("keep") as flow:
        last = add(add(1))
    with pytest.raises(UsageError, match="keep"):
        flow.run(cluster="inline", keep="none")
    assert flow.run(cluster="inline", keep="terminal").result[last].result == 3


def test_runs_at_once_have_their_own_parameters() -> None:
    """Two threads may run one flow with different parameters."""
    with Flow("parallel") as flow:
        doubled = add(Parameter("n"), y=1)
    found: dict[int, int] = {}

    def run(number: int) -> None:
        found[number] = flow.run(n=number, cluster="inline").result[doubled].result

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number + 1 for number in range(8)}


def test_empty_flow() -> None:
    """A flow without tasks ends well at once."""
    with Flow("empty") as flow:
        pass
    state = flow.run(cluster="inline")
    assert state.is_successful()
    assert len(state.result) == 0


def test_interrupted_run_leaves_nothing_running() -> None:
    """Ctrl-C while a run is waited for is raised on, and the flow can be run again."""
    times: list[int] = []

    def interrupted_once() -> int:
        times.append(1)
        if len(times) == 1:
            raise KeyboardInterrupt
        return 5

    with Flow("interrupted") as flow:
        five = task(interrupted_once)()
    with pytest.raises(KeyboardInterrupt):
        flow.run(cluster="inline")
    assert flow.run(cluster="inline").result[five].result == 5
