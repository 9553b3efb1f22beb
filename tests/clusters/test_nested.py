"""Flows and tasks inside of tasks, in worker processes: one thread is enough, and nothing is left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from dataflow import Flow, flow, task
from dataflow.errors import FlowFailed
from dataflow.parameters import Parameter
from tests.doors.nested_flows import depth_by_flow, double, sum_of_doubles

SETTLE_SECONDS = 5.0


@pytest.fixture(scope="module")
def one_thread() -> Iterator[Client]:
    """One worker process with one thread: whoever waits in it must give it to others."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def names_of_threads() -> list[str]:
    """Threads of ours in a process."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dataflow")]


def reports_heard() -> list[int]:
    """Of each client that a process has, how many topics of reports it listens to."""
    import gc

    clients = [found for found in gc.get_objects() if isinstance(found, Client) and found.status == "running"]
    return [sum(topic.startswith("dataflow-") for topic in client._event_handlers) for client in clients]


def batches_of_process() -> list[Any]:
    """Batches that run in a process."""
    from dataflow.engine.nests import batches

    return list(batches)


def on_worker(client: Client, function: Any) -> Any:
    """What a function gives in the one worker process."""
    (given,) = client.run(function).values()
    return given


def settled(look: Any) -> Any:
    """What is seen once nothing more is there, or after a while."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (seen := look()) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return seen


def test_recursion_on_one_thread(one_thread: Client) -> None:
    """A flow whose task calls the flow again ends, seven runs deep, in a process with one worker thread."""
    assert depth_by_flow.with_options(cluster=one_thread)(6) == 6


def test_states_of_elements_that_run_flows(one_thread: Client) -> None:
    """Each element waits for a run of its own; the states of the outer map are right, with the chain of the error."""

    @task
    def inverse(x: int) -> float:
        return 1 / x

    @task
    def unseen(x: int) -> int:
        inverse.submit(x)
        return x

    @task
    def outer(x: int) -> Any:
        return flow(lambda: unseen(x), name="inner")()

    @flow(cluster=one_thread)
    def outermost() -> list[Any]:
        futures = outer.map([1, 0, 2])
        futures.wait()
        return [future.state for future in futures]

    states = outermost()
    assert [state.name for state in states] == ["Completed", "Failed", "Completed"]
    error = states[1].result(raise_on_failure=False)
    assert isinstance(error, FlowFailed)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_nothing_is_left_of_many_nested_runs(one_thread: Client) -> None:
    """After forty runs on a worker it has one client with one subscription, and no key, thread or run more."""

    @flow(cluster=one_thread)
    def outermost() -> list[int]:
        return sum_of_doubles.map([3] * 40).result()

    assert outermost() == [6] * 40
    keys = settled(lambda: one_thread.run_on_scheduler(lambda dask_scheduler: list(map(str, dask_scheduler.tasks))))
    threads = settled(lambda: on_worker(one_thread, names_of_threads))
    nests = settled(lambda: on_worker(one_thread, batches_of_process))
    assert (keys, threads, nests) == ([], [], [])
    assert on_worker(one_thread, reports_heard) == [1]


def test_the_cluster_that_is_said_travels(one_thread: Client) -> None:
    """A flow that says its client, or simply "local", means the cluster it is called on when a task calls it."""

    @flow(cluster=one_thread)
    def by_client(n: int) -> int:
        return double(n)

    @flow(cluster="local")
    def by_name(n: int) -> int:
        return double(n)

    @task
    def outer(n: int) -> tuple[int, int, int]:
        return by_client(n), by_name(n), os.getpid()

    @flow(cluster=one_thread)
    def outermost() -> tuple[int, int, int]:
        return outer(3)

    pid = on_worker(one_thread, os.getpid)
    assert outermost() == (6, 6, pid)


def test_a_flow_of_handles_travels(one_thread: Client) -> None:
    """A flow that was built here is run by tasks there, with values for its parameters."""
    with Flow("built here") as built:
        n: Any = Parameter("n")
        end = double(double(n))

    @task
    def runs(x: int) -> Any:
        return built.run(n=x).result[end].result

    @flow(cluster=one_thread)
    def outermost() -> list[int]:
        return runs.map([1, 2, 3]).result()

    assert outermost() == [4, 8, 12]


def test_cancelling_ends_runs_on_the_workers(one_thread: Client, tmp_path: Path) -> None:
    """The nested run of a nested run ends too, and the worker's thread is free for what comes next."""

    @task(batch_size=1)
    def slow(x: int) -> None:
        (tmp_path / str(x)).touch()
        threading.Event().wait(0.05)

    @task
    def inner() -> None:
        slow.map(range(500))

    @task
    def outer() -> Any:
        return flow(lambda: inner(), name="inner")()

    run = flow(lambda: outer(), name="outermost", cluster=one_thread).start()
    deadline = time.monotonic() + 20
    while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    run.cancel()
    assert run.wait(10).is_cancelled()
    assert sum_of_doubles_on(one_thread, 3) == 6
    assert settled(lambda: on_worker(one_thread, batches_of_process)) == []
    begun = len(list(tmp_path.iterdir()))
    threading.Event().wait(0.2)
    assert 1 <= begun < 200
    assert len(list(tmp_path.iterdir())) == begun


def sum_of_doubles_on(client: Client, n: int) -> Any:
    """The value of the task as a flow there."""
    return flow(lambda: sum_of_doubles(n), name="after", cluster=client)()
