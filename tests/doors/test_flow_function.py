"""The ``@flow`` door: what a flow gives, what decides its final state, and how runs nest and start."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dataflow.annotations import allow_failure, unmapped
from dataflow.bodies import current_body
from dataflow.context import current_run
from dataflow.errors import (
    ArgumentError,
    FlowFailed,
    HandleError,
    MapError,
    TaskDefinitionError,
    UpstreamFailed,
    UsageError,
)
from dataflow.flows import Flow, FlowFunction, flow
from dataflow.futures import wait
from dataflow.states import Completed, Failed, Running, State
from dataflow.tasks import Task, task


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def fail(x: Any = 0) -> Any:
    raise ValueError(f"no {x}")


def inline(function: Any) -> FlowFunction[..., Any]:
    return flow(function, cluster="inline")


def test_call_submit_and_map() -> None:
    """In a body a call gives the value, submit a future, map a mapped future."""

    @inline
    def body() -> Any:
        future, mapped = add.submit(1), add.map([1, 2], unmapped(10))
        return add(1), future.result(), mapped.result(), add(future, y=mapped[0]), len(mapped)

    assert body() == (2, 2, [11, 12], 13, 2)


def test_returned_futures_give_their_values() -> None:
    """A future anywhere in what is returned is replaced by its value."""

    @inline
    def body() -> Any:
        return {"one": add.submit(1), "many": [add.map(range(3)), (add.submit(5), "x")]}

    assert body() == {"one": 2, "many": [[1, 2, 3], (6, "x")]}


def test_returned_failed_future_raises_its_exception() -> None:
    """The exception of the task reaches the caller; the state tells how many failed."""

    @inline
    def body() -> Any:
        return [add.submit(1), fail.submit(3)]

    with pytest.raises(ValueError, match="no 3"):
        body()
    state = body(return_state=True)
    assert (state.name, state.message) == ("Failed", "1 of 2 returned futures did not succeed")
    assert isinstance(state.data, ValueError)


def test_root_cause_is_raised_before_its_consequences() -> None:
    """Where a failed future and what rests on it are returned, the cause is what is raised."""

    @inline
    def body() -> Any:
        failed = fail.submit(3)
        return [add.submit(failed), failed]

    with pytest.raises(ValueError, match="no 3"):
        body()


def test_exception_of_the_body() -> None:
    """An exception of the body is raised unchanged; as a state it is Failed and holds the same object."""
    error = KeyError("mine")

    @inline
    def body() -> Any:
        add.submit(1)
        raise error

    with pytest.raises(KeyError) as caught:
        body()
    assert caught.value is error
    assert body(return_state=True).data is error


@pytest.mark.parametrize(
    ("returned", "name", "value"),
    [(Completed(data=3, message="fine"), "Completed", 3), (Failed(message="bad data"), "Failed", None)],
)
def test_returned_state_decides(returned: State[Any], name: str, value: Any) -> None:
    """A state that the body returns is the final state, whatever else happened."""

    @inline
    def body() -> Any:
        fail.submit()
        return returned

    state = body(return_state=True)
    assert (state.name, state.message, state.data) == (name, returned.message, value)
    assert state.run is not None
    if name == "Failed":
        with pytest.raises(FlowFailed, match="bad data"):
            body()


def test_returned_state_with_futures_in_it() -> None:
    """The data of a returned state may hold futures."""
    assert inline(lambda: Completed(data=[add.submit(1)]))() == [2]


def test_returned_state_that_is_no_end() -> None:
    """A flow cannot end in a state that goes on."""
    with pytest.raises(UsageError, match="not an end"):
        inline(lambda: Running())()


def test_failure_that_nobody_saw() -> None:
    """Failed work that nobody looked at fails the flow, and the first cause is kept."""

    @inline
    def body() -> Any:
        fail.submit(1)
        fail.map([1, 2])
        return "done"

    with pytest.raises(FlowFailed, match="fail, fail-2") as caught:
        body()
    assert isinstance(caught.value.__cause__, ValueError)


SEEN = {
    "state": lambda: fail.submit().state,
    "result": lambda: fail.submit().result(raise_on_failure=False),
    "wait": lambda: wait([fail.submit()]),
    "return_state": lambda: fail(return_state=True),
    "mapped states": lambda: fail.map([1], return_state=True),
    "allow_failure": lambda: add(allow_failure(fail.submit()), y=0, return_state=True),
}


@pytest.mark.parametrize("way", [name for name in SEEN if name != "state"])
def test_failure_that_was_looked_at(way: str) -> None:
    """Looking at failed work in any way leaves the end to the body."""

    @inline
    def body() -> str:
        SEEN[way]()
        return "done"

    assert body() == "done"


def test_failures_in_concurrent_work() -> None:
    """Completed and failed elements of one map are told apart by their states."""

    @inline
    def body() -> Any:
        futures = task(lambda x: 1 / x).map([1, 0, 2])
        done, not_done = wait(futures)
        good = [future.result() for future in done if future.state.is_completed()]
        bad = [future.state for future in done if not future.state.is_completed()]
        return good, [str(state.data) for state in bad], not_done

    assert body() == ([1.0, 0.5], ["division by zero"], [])


def test_states_outlive_the_run() -> None:
    """States that a flow returns give their values after the run is gone."""

    @inline
    def body() -> Any:
        return add.map([1, 2], return_state=True)

    assert [state.result() for state in body()] == [2, 3]


def test_state_of_a_call() -> None:
    """return_state=True of a call waits and gives the state."""

    @inline
    def body() -> Any:
        good, bad = add(1, return_state=True), add.submit("a", return_state=True)
        return good.result(), bad.is_failed(), type(bad.result(raise_on_failure=False)).__name__

    assert body() == (2, True, "TypeError")


def test_waiting_for_failed_work() -> None:
    """What waits for failed work is not run, and its error leads to the cause."""

    @inline
    def body() -> Any:
        failed = fail.submit()
        with pytest.raises(UpstreamFailed) as caught:
            add(1, wait_for=[failed])
        return caught.value.__cause__

    assert isinstance(body(), ValueError)


def test_wrong_calls_raise_at_the_call() -> None:
    """In a body a mistake is an error at its line."""

    @inline
    def body() -> Any:
        for wrong, kind in ((lambda: add(), ArgumentError), (lambda: add.map(1), MapError)):
            with pytest.raises(kind):
                wrong()
        with pytest.raises(ArgumentError, match="two names of one thing"):
            add(1, wait_for=[], upstream_tasks=[])
        return "done"

    assert body() == "done"


def test_future_of_another_run() -> None:
    """A future does not leave its run."""
    kept: list[Any] = []
    inline(lambda: kept.append(add.submit(1)))()
    with pytest.raises(HandleError):
        inline(lambda: add.submit(kept[0]))()


def test_options_of_one_call() -> None:
    """task_args changes the options of one call."""

    @inline
    def body() -> Any:
        add(1, task_args={"name": "plus"})
        run = current_run.get()
        return run and [node.slug for node in run.nodes]

    assert body() == ["plus"]


def test_flow_calls_flow() -> None:
    """A flow called by a flow is a run of its own on the same cluster; futures become values on the way in."""
    clusters: list[Any] = []

    @flow
    def inner(x: int, extra: list[int]) -> int:
        body = current_body.get()
        assert body is not None
        clusters.append(body.cluster)
        return add(x, y=sum(extra))  # type: ignore[no-any-return]

    @inline
    def outer() -> Any:
        run = current_run.get()
        value = inner(add.submit(1), extra=[add.submit(2), 3], wait_for=[add.submit(0)])
        assert current_run.get() is run
        return value

    assert outer() == 8
    assert clusters == ["inline"]
    assert current_run.get() is None


def test_tasks_of_tasks_are_plain_calls() -> None:
    """A task called by a task's function runs in its place and adds no node."""

    @inline
    def body() -> Any:
        value = task(lambda x: add(x) + 1)(1)
        run = current_run.get()
        return value, run and len(run.nodes)

    assert body() == (3, 1)


def test_body_is_not_a_surrounding_block() -> None:
    """A flow function that is run inside a block runs, and its calls are not nodes of the block."""
    with Flow("block") as block:
        assert inline(lambda: add(1))() == 2
    assert block.tasks == set()


def test_start() -> None:
    """Start gives a run at once; its result, state, nodes and numbers come when asked for."""
    gate = threading.Event()

    @inline
    def body(x: int) -> Any:
        gate.wait(10)
        return add(x)

    run = body.start("4")
    assert (run.done(), run.state.name, run.name) == (False, "Running", "body")
    with pytest.raises(TimeoutError):
        run.result(timeout=0)
    gate.set()
    assert run.result() == 5
    assert (run.done(), run.state.name, run.wait().name) == (True, "Completed", "Completed")
    assert [node.slug for node in run.nodes] == ["add"]
    assert [row.elements for row in run.summary()] == [1]


def test_start_that_fails() -> None:
    """A failed run keeps its exception for whoever asks."""
    run = inline(lambda: fail()).start()
    assert run.wait().is_failed()
    with pytest.raises(ValueError, match="no 0"):
        run.result()
    assert isinstance(run.result(raise_on_failure=False), ValueError)


def test_cancel() -> None:
    """A cancelled run ends in the state Cancelled."""
    asked = threading.Event()
    gate = threading.Event()

    @inline
    def body() -> Any:
        asked.set()
        gate.wait(10)
        return add(1)

    run = body.start()
    asked.wait(10)
    run.cancel()
    gate.set()
    assert run.wait(10).name == "Cancelled"


def test_interrupt_is_raised() -> None:
    """Ctrl-C in the body is no state: it is raised on."""

    @inline
    def body() -> Any:
        add.submit(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body(return_state=True)


def test_names_and_options() -> None:
    """A flow is called like its function, with dashes; with_options makes another."""

    @flow(cluster="inline", description="adds")
    def my_flow() -> int:
        """Doc."""
        return 1

    named = my_flow.with_options(name="other", version="2")
    assert (my_flow.name, my_flow.__doc__, named.name, named.options.version) == ("my-flow", "Doc.", "other", "2")
    assert (named.options.cluster, named.options.description) == ("inline", "adds")
    assert my_flow.fn() == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [(3, "is not a function"), (inline(lambda: 1), "is a flow already"), (lambda return_state: 1, "return_state")],
)
def test_what_is_not_a_flow(given: Any, problem: str) -> None:
    """What cannot be a flow is refused where it is written."""
    with pytest.raises(TaskDefinitionError, match=problem):
        flow(given)


def test_classic_task_in_a_body() -> None:
    """A task that is a class with ``run`` works in both doors."""

    class Scale(Task):  # type: ignore[type-arg]
        def run(self, x: int) -> int:
            return 3 * x

    assert inline(lambda: (Scale()(2), Scale().map([1, 2]).result()))() == (6, [3, 6])
