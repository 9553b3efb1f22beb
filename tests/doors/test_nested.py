"""Flows and tasks inside of tasks: where they run, what they give, how they end; inline and on one worker thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client, LocalCluster

from dataflow import Flow, as_completed, context, flow, task
from dataflow.errors import Cancelled, FlowFailed, TimedOut
from dataflow.parameters import Parameter
from dataflow.states import Completed, State
from tests.doors.nested_flows import depth_by_task, double, doubles, sum_of_doubles

# Where two threads would do, a fault in giving back the only one would not show.


@pytest.fixture(scope="module")
def one_thread() -> Iterator[Client]:
    """A cluster in this process with a single worker thread."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(params=["inline", "one thread"])
def place(request: pytest.FixtureRequest) -> Any:
    """Where the outermost flow runs."""
    return "inline" if request.param == "inline" else request.getfixturevalue("one_thread")


def run_on(place: Any, function: Any, *arguments: Any) -> Any:
    """What a function gives as the body of a flow there."""
    return flow(function, name="outermost", cluster=place)(*arguments)


@task
def inverse(x: int) -> float:
    return 1 / x


@flow
def directly(n: int) -> int:
    return 1 + directly(n - 1) if n else 0


class Shared(list[Any]):
    """A list that cannot be pickled, so that tasks in this process get it itself and no copy."""

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


# Flows inside of tasks


def test_a_flow_called_in_a_task_gives_its_value(place: Any) -> None:
    """A task gets the value of a flow as of any function; also each element of a map."""
    assert run_on(place, lambda: sum_of_doubles(4)) == 12
    assert run_on(place, lambda: sum_of_doubles.map([1, 2, 3, 4])) == [0, 2, 6, 12]


def test_recursion_through_tasks_and_directly(place: Any) -> None:
    """A flow whose task calls the flow again, and one that calls itself, end also where there is one thread."""
    assert run_on(place, lambda: depth_by_task(6)) == 6
    assert run_on(place, lambda: directly(20)) == 20


def test_a_run_started_in_a_task(place: Any) -> None:
    """Runs that a task starts go on beside each other; waiting for them frees the thread that they need."""

    @task
    def both() -> list[Any]:
        runs = [doubles.start(n) for n in (2, 3)]
        return [run.result() for run in runs]

    assert run_on(place, lambda: both()) == [[0, 2], [0, 2, 4]]


def test_a_nested_flow_says_where_it_runs(one_thread: Client) -> None:
    """The cluster that is said on a flow is taken also inside of a task; else it is that of the task."""

    @task
    def where() -> str:
        return threading.current_thread().name

    @task
    def threads_of_flows() -> list[str]:
        here = threading.current_thread().name
        inline, default = flow(lambda: where(), cluster="inline")(), flow(lambda: where())()
        return ["same" if name == here else name.partition("-")[2][:12] for name in (inline, default)]

    assert run_on(one_thread, lambda: threads_of_flows()) == ["same", "Dask-Default"]


def test_async_flows_in_async_tasks(place: Any) -> None:
    """What an async task awaits of a flow may need the thread that the event loop of the task runs in."""

    @task
    async def doubled(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    @flow
    async def inner(n: int) -> int:
        futures = doubled.map(range(n))
        return sum([await future for future in futures]) + await doubled(n)

    @task
    async def outer(n: int) -> int:
        return await inner(n)

    @task
    def in_a_loop(n: int) -> int:
        return asyncio.run(inner(n))

    assert run_on(place, lambda: outer.map([1, 2, 3])) == [2, 6, 12]
    assert run_on(place, lambda: in_a_loop(3)) == 12


def test_errors_of_nested_flows_arrive_with_their_chain(place: Any) -> None:
    """The task fails with the very exception of the nested work, and so does the outermost flow."""

    @flow
    def fails() -> float:
        return inverse(0)

    @flow
    def unseen() -> None:
        inverse.submit(0)

    with pytest.raises(ZeroDivisionError, match="division by zero"):
        run_on(place, lambda: task(lambda: fails(), name="calls")())
    with pytest.raises(FlowFailed, match="nobody looked at it: inverse") as caught:
        run_on(place, lambda: task(lambda: unseen(), name="calls")())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_nested_flow_gives_its_state(place: Any) -> None:
    """With return_state a failed nested flow does not fail the task."""

    @flow
    def fails() -> float:
        return inverse(0)

    @task
    def looks() -> str:
        return fails(return_state=True).name

    assert run_on(place, lambda: looks()) == "Failed"


def test_a_task_with_a_time_limit_waits_for_a_nested_flow(place: Any) -> None:
    """Limited attempts run in a thread of their own; the thread that watches them is given back."""
    limited = sum_of_doubles.with_options(timeout_seconds=30)
    assert run_on(place, lambda: limited.map([2, 3])) == [2, 6]


def test_the_time_limit_of_a_task_ends_the_nested_flow(one_thread: Client) -> None:
    """When an attempt is given up, the run that it has begun is cancelled: no further element of it begins."""
    begun = Shared()

    @task
    def slow(x: int) -> None:
        begun.append(x)
        threading.Event().wait(0.1)

    @task(timeout_seconds=0.4)
    def outer() -> None:
        flow(lambda: slow.with_options(batch_size=1).map(range(100)), name="slow")()

    with pytest.raises(TimedOut):
        run_on(one_thread, lambda: outer())
    run_on(one_thread, lambda: double(1))
    count = len(begun)
    threading.Event().wait(0.3)
    assert 1 <= count <= 8
    assert len(begun) == count


# What tasks submit


def test_submit_and_map_in_a_task(place: Any) -> None:
    """Futures in a task are those of a flow's body: they can be asked, and passed on; tasks called are functions."""

    @task
    def work(n: int) -> tuple[Any, ...]:
        one, many = double.submit(n), double.map(range(n))
        onwards = double.map(many)
        return one.result(), many.result(), onwards.result(), double(5), [future.state.name for future in many]

    expected = (6, [0, 2, 4], [0, 4, 8], 10, ["Completed"] * 3)
    assert run_on(place, lambda: work(3)) == expected


def test_returned_futures_are_replaced_by_their_values(place: Any) -> None:
    """At any depth of what the task returns, also within a state."""

    @task
    def returns() -> Any:
        return {"one": double.submit(1), "many": [double.map([1, 2])]}

    @task
    def returns_state() -> State[Any]:
        return Completed(message="done", data=double.submit(4))

    assert run_on(place, lambda: returns()) == {"one": 2, "many": [[2, 4]]}
    assert run_on(place, lambda: returns_state()) == 8


def test_submitted_work_that_fails_unseen_fails_the_element(place: Any) -> None:
    """The element whose attempt submitted it fails, not the others; looking at the failure is enough."""

    @task
    def careless(x: int) -> int:
        inverse.submit(x)
        return x

    @task
    def careful(x: int) -> str:
        future = inverse.submit(x)
        future.wait()
        return future.state.name

    def body() -> tuple[list[str], Any, str]:
        futures = careless.map([1, 0, 2])
        futures.wait()
        error = futures[1].result(raise_on_failure=False)
        return [future.state.name for future in futures], error, careful(0)

    names, error, seen = run_on(place, body)
    assert names == ["Completed", "Failed", "Completed"]
    assert isinstance(error, FlowFailed)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert seen == "Failed"


def test_a_task_that_raises_cancels_what_it_submitted(one_thread: Client) -> None:
    """The error is the task's own, and elements that have not begun never do."""
    begun = Shared()

    @task(batch_size=1)
    def slow(x: int) -> None:
        begun.append(x)
        threading.Event().wait(0.05)

    @task
    def raises() -> None:
        next(iter(as_completed(slow.map(range(100)))))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_on(one_thread, lambda: raises())
    assert 1 <= len(begun) < 20


def test_each_attempt_has_a_run_of_its_own(place: Any) -> None:
    """What a failed attempt submitted, and nobody looked at, is of no concern to the next one."""

    @task(retries=1)
    def second_time() -> Any:
        attempt = context.get("attempt")
        future = inverse.submit(attempt - 1)
        if attempt == 1:
            raise ConnectionError("not now")
        return future

    assert run_on(place, lambda: second_time()) == 1.0


def test_elements_of_an_async_map_have_runs_of_their_own(place: Any) -> None:
    """Elements that are under way at once do not mix up what they submit."""

    @task
    async def submits(x: int) -> Any:
        future = inverse.submit(x)
        await asyncio.sleep(0.01)
        return future

    def body() -> list[str]:
        futures = submits.map([1, 0, 2])
        futures.wait()
        return [future.state.name for future in futures]

    assert run_on(place, body) == ["Completed", "Failed", "Completed"]


# The graph door


def test_a_block_in_a_task(place: Any) -> None:
    """A flow of handles can be built and run within a task, and not by chance be that of the task's caller."""

    @task
    def builds(n: int) -> Any:
        with Flow("inner") as inner:
            end = double(double(n))
        return inner.run().result[end].result

    with Flow("outer") as outer:
        built = builds.map([1, 2])
        state = task(lambda values: sum(values), name="total")(built)
    assert outer.run(cluster=place).result[state].result == 12
    with Flow("around"):
        assert run_on(place, lambda: builds(3)) == 12


def test_a_block_that_runs_itself(place: Any) -> None:
    """A task may run the very flow of handles that it stands in, with other values for its parameters."""

    @task
    def depth(n: int) -> int:
        return 1 + itself.run(n=n - 1).result[end].result if n else 0

    with Flow("itself") as itself:
        n: Any = Parameter("n")
        end = depth(n)
    assert itself.run(n=4, cluster=place).result[end].result == 4


def test_one_flow_object_run_by_many_elements(one_thread: Client) -> None:
    """A flow with a parameter lets its runs begin one after the other, and holds no thread meanwhile."""
    with Flow("shared") as shared:
        n: Any = Parameter("n")
        end = double(n)

    @task(batch_size=1)
    def runs(x: int) -> Any:
        return shared.run(n=x).result[end].result

    assert run_on(one_thread, lambda: runs.map(range(6))) == [0, 2, 4, 6, 8, 10]


# Isolation


def test_in_a_process_of_its_own_everything_runs_there(place: Any) -> None:
    """An isolated attempt stands alone: what it begins runs inline within its process, and dies with it."""

    @task(isolation="process")
    def alone(n: int) -> tuple[Any, ...]:
        from dataflow.engine.nests import default_cluster  # the module of a test travels by value

        return doubles(n), double.submit(n), default_cluster.get()

    assert run_on(place, lambda: alone(3)) == ([0, 2, 4], 6, "inline")


# Cancelling


def test_cancelling_a_run_ends_the_flows_that_its_tasks_have_called(one_thread: Client) -> None:
    """A nested run ends with the run it stands in: the task that waits for it hears so, and nothing begins anew."""
    begun, heard = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    @task(batch_size=1)
    def slow(x: int) -> int:
        begun.set()
        threading.Event().wait(0.05)
        return x

    @task
    def outer() -> None:
        try:
            flow(lambda: slow.map(range(1000)).result(), name="slow")()
        except BaseException as error:
            errors.append(error)
            heard.set()
            raise

    run = flow(lambda: outer(), name="cancelled", cluster=one_thread).start()
    assert begun.wait(10)
    run.cancel()
    assert run.wait(10).is_cancelled()
    assert heard.wait(10)
    assert isinstance(errors[0], Cancelled)


def test_cancelling_a_run_ends_the_flows_that_its_body_has_called(place: Any) -> None:
    """A flow started in the body of a flow is cancelled with it, and a later one does not begin."""
    begun, cancelling = threading.Event(), threading.Event()
    states: list[str] = []

    @task
    def short() -> None:
        begun.set()
        threading.Event().wait(0.01)

    @flow
    def inner() -> None:
        for _ in range(1000):
            short()

    @flow(cluster=place)
    def outer() -> None:
        states.append(inner.start().wait(10).name)
        cancelling.wait(10)
        with pytest.raises(Cancelled):
            inner()

    run = outer.start()
    assert begun.wait(10)
    run.cancel()
    cancelling.set()
    run.wait(10)
    assert states == ["Cancelled"]
