"""States in and out: what a task or flow returns as a state, and what is given where a state is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dataflow import Flow, errors, flow, task
from dataflow.errors import FlowFailed, FlowValidationError, UsageError
from dataflow.signals import Loop, Skip
from dataflow.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Running,
    Skipped,
    State,
    StateType,
    TimedOut,
    UpstreamFailed,
)

STATES = [
    Completed(message="fine", data=7, name="Checked"),
    Failed(message="no such file"),
    Failed(message="that one", data=KeyError("k"), name="Refused"),
    TimedOut(message="too long"),
    Skipped(message="not today", data=3),
    Cancelled(message="not wanted"),
    Crashed(message="gone"),
]
"""Each kind of end that somebody may give; what is made of it is told by the state itself."""


@task
def give(state: Any) -> Any:
    return state


@task
def skip(x: int) -> int:
    if x % 2:
        raise Skip(f"{x} is odd", result=-x)
    return x


@task
def after(x: Any) -> Any:
    return x


def told(state: State[Any]) -> tuple[str, str, str, str]:
    """What a state says: type, name, message, and its value or exception."""
    return state.type.name, state.name, state.message, repr(state.result(raise_on_failure=False))


TOLD = [
    ("COMPLETED", "Checked", "fine", "7"),
    ("FAILED", "Failed", "no such file", "FlowFailed('no such file')"),
    ("FAILED", "Refused", "that one", "KeyError('k')"),
    ("TIMED_OUT", "TimedOut", "too long", "TimedOut('too long')"),
    ("SKIPPED", "Skipped", "not today", "3"),
    ("CANCELLED", "Cancelled", "not wanted", "Cancelled('not wanted')"),
    ("CRASHED", "Crashed", "gone", "ExecutionError('gone')"),
]


@pytest.mark.parametrize(
    ("given", "expected"), list(zip(STATES, TOLD, strict=True)), ids=[state.name for state in STATES]
)
def test_a_flow_that_returns_a_state(given: State[Any], expected: tuple[str, ...]) -> None:
    """It ends in that state, with its name and message; who asks for the value gets it, or the error."""
    body = flow(lambda: given, cluster="inline", name="body")
    assert told(body(return_state=True)) == expected
    if given.is_successful():
        assert body() == given.data
    else:
        with pytest.raises(type(given.result(raise_on_failure=False))):  # type: ignore[arg-type]
            body()


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_tasks_that_return_states(cluster: str) -> None:
    """The same for each element of a map: the state is not the value, it is the element's own."""
    body = flow(lambda: give.map(STATES, return_state=True), cluster=cluster)
    assert [told(state) for state in body(return_state=True).data] == TOLD


def test_what_a_returned_state_means_for_what_comes_after() -> None:
    """Data of Completed is the value; failures fail what uses them; Skipped skips it, and gathers leave it out."""

    @flow(cluster="inline")
    def body() -> Any:
        given = give.map(STATES)
        gathered = after(give.map([STATES[0], STATES[4]]))
        return [state.name for state in after.map(given, return_state=True)], gathered

    bad = "UpstreamFailed"
    assert body() == (["Completed", bad, bad, bad, "Skipped", bad, bad], [7])


def test_a_failure_that_a_task_returns_is_tried_again() -> None:
    """A Failed or TimedOut state counts as an exception does."""

    @flow(cluster="inline")
    def body() -> Any:
        return give.with_options(retries=2).map(STATES, return_state=True)

    assert [state.attempt for state in body()] == [1, 3, 3, 3, 1, 1, 1]


def test_a_state_that_is_no_end() -> None:
    """It is refused, with what to return instead."""
    error = flow(lambda: give(Running()), cluster="inline")(return_state=True).data
    assert "the task returned the state Running(), which is not an end" in str(error)
    with pytest.raises(UsageError, match=r"the flow returned the state Running\(\), which is not an end"):
        flow(lambda: Running(), cluster="inline")()


# Where a state is asked for


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_return_state_in_a_flow(cluster: str) -> None:
    """A call, submit and map give states instead of values or futures."""

    @flow(cluster=cluster)
    def body() -> Any:
        called, submitted = skip(1, return_state=True), skip.submit(2, return_state=True)
        mapped = skip.map([1, 2], return_state=True)
        return [told(state)[1:] for state in (called, submitted, *mapped)]

    odd, even = ("Skipped", "1 is odd", "-1"), ("Completed", "", "2")
    assert body() == [odd, even, odd, even]


def outside(function: Any, *arguments: Any) -> State[Any]:
    return task(function)(*arguments, return_state=True)


def raising(error: BaseException) -> Any:
    raise error


async def async_raising(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("function", [raising, async_raising])
def test_return_state_outside_of_flows(function: Callable[..., Any]) -> None:
    """A call gives what became of it as a state; without ``return_state`` the function simply runs."""

    def state_of(*arguments: Any) -> State[Any]:
        found = outside(function, *arguments)
        return asyncio.run(found) if function is async_raising else found  # type: ignore[arg-type]

    assert told(state_of(ValueError("no"))) == ("FAILED", "Failed", "ValueError: no", "ValueError('no')")
    assert told(state_of(Skip("odd", 5))) == ("SKIPPED", "Skipped", "odd", "5")
    assert outside(len, "ab").data == 2
    assert outside(lambda: STATES[0]) is STATES[0]
    assert give(STATES[1]) is STATES[1]
    with pytest.raises(Skip):
        task(raising)(Skip())


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_return_state_inside_a_task(cluster: str) -> None:
    """A task that calls another one gets the state of that call."""

    @task
    def outer() -> Any:
        return [told(skip(x, return_state=True))[1:] for x in (1, 2)]

    assert flow(lambda: outer(), cluster=cluster)() == [("Skipped", "1 is odd", "-1"), ("Completed", "", "2")]


def test_return_state_in_the_graph_door() -> None:
    """Nothing has run there, and the error says where the state will be."""
    with pytest.raises(FlowValidationError, match=r"flow.run\(\).result\[handle\], after the block"), Flow("graph"):
        skip(1, return_state=True)


# Skipped and looping flows, and what skipped work does to a flow


def test_a_flow_that_raises_skip() -> None:
    """It ends Skipped, and its value is what the Skip says."""

    @flow(cluster="inline")
    def body() -> Any:
        skip.submit(1)
        raise Skip("nothing to do", result=[])

    assert told(body(return_state=True)) == ("SKIPPED", "Skipped", "nothing to do", "[]")
    assert body() == []
    with pytest.raises(UsageError, match="a flow cannot loop"):
        flow(raising, cluster="inline", validate_parameters=False)(Loop(1))


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_skipped_work_is_no_failure(cluster: str) -> None:
    """A flow whose work was skipped completes; a future gives what the Skip said, and None for what only used it."""

    @flow(cluster=cluster)
    def body() -> Any:
        skip.submit(1)
        odd, mapped = skip.submit(3), skip.map(range(5))
        return odd, after.submit(odd), mapped, after.submit(mapped), skip.map([1, 3])

    assert body() == (-3, None, [0, 2, 4], [0, 2, 4], [])


@pytest.mark.parametrize(
    ("states", "name", "message"),
    [
        ([0, 4], "Completed", "all reference tasks succeeded"),
        ([4], "Completed", "all reference tasks succeeded"),
        ([0, 3], "Failed", "1 of 2 reference tasks took too long"),
        ([0, 1, 2, 3], "Failed", "2 of 4 reference tasks failed"),
        ([1, 6], "Crashed", "1 of 2 reference tasks crashed"),
        ([1, 5], "Cancelled", "1 of 2 reference tasks were cancelled"),
    ],
)
def test_reference_tasks_decide_the_graph_door(states: list[int], name: str, message: str) -> None:
    """The strongest state of the reference tasks is the flow's; skipped ones count as good."""
    with Flow("graph") as graph:
        for number in states:
            give(STATES[number])
    state = graph.run(cluster="inline")
    assert (state.name, state.message) == (name, message)


def test_every_constructor_of_an_end_is_covered() -> None:
    """The table above has every kind of end that can be returned, but what only the engine gives."""
    only_the_engine = {StateType.CACHED, UpstreamFailed().type, StateType.ROLLED_BACK}
    final = {kind for kind in StateType if State(type=kind).is_final()}
    assert {state.type for state in STATES} | only_the_engine == final
    assert isinstance(Cancelled().result(raise_on_failure=False), errors.Cancelled)
    assert isinstance(Failed().result(raise_on_failure=False), FlowFailed)
