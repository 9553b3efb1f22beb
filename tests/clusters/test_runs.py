"""Runs on a real Dask cluster of processes: what lies on it, what is dropped, and what happens when things break."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, get_worker

from dataflow import as_completed, flow, task, unmapped
from dataflow.errors import Cancelled, WorkLost
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Graph
from dataflow.run_starts import open_run
from dataflow.states import StateType


@task
def double(x: int) -> int:
    return 2 * x


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def wait_for_file(path: str, x: int) -> int:
    """Ends when a file is there; so tests decide when."""
    event = threading.Event()
    while not os.path.exists(path):  # noqa: PTH110 - the smallest call, many times
        event.wait(0.01)
    return x


def keys_of(client: Client) -> set[str]:
    """Keys that are on the scheduler."""
    return set(map(str, client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))))


def keys_stay(client: Client, before: set[str], seconds: float = 10.0) -> bool:
    """Whether new keys stay on the scheduler, which is told of a release a moment later."""
    pause = threading.Event()
    while keys_of(client) - before:
        pause.wait(0.05)
        seconds -= 0.05
        if seconds < 0:
            return True
    return False


def values_stay(client: Client, name: str, seconds: float = 10.0) -> bool:
    """Whether values under keys with this name stay in the memory of workers."""
    pause = threading.Event()
    while any(str(key).startswith(name) for keys in client.has_what().values() for key in keys):
        pause.wait(0.05)
        seconds -= 0.05
        if seconds < 0:
            return True
    return False


def test_nothing_is_left_on_the_cluster(client: Client) -> None:
    """After the end of a flow and of its futures, no key of it is on the scheduler."""

    @flow(cluster=client)
    def main() -> int:
        return total.submit(double.map(double.map(range(1000)))).result()

    before = keys_of(client)
    assert main() == 4 * sum(range(1000))
    assert not keys_stay(client, before)


def test_a_value_is_dropped_when_its_last_consumer_is_done(client: Client) -> None:
    """Columns that nobody holds are dropped while the flow goes on; those of a held future are kept."""

    @flow(cluster=client)
    def main() -> tuple[bool, bool]:
        kept = double.map(range(100))
        sum_of_dropped = total.submit(double.with_options(name="dropped").map(range(100)))
        sum_of_dropped.result()
        total.submit(kept).result()
        return values_stay(client, "double", seconds=0.2), values_stay(client, "dropped")

    assert main() == (True, False)


def test_one_element_comes_without_the_others(client: Client) -> None:
    """Asking for one element of large columns moves about its size, not theirs."""

    @task
    def block(x: int) -> Any:
        return np.full(250_000, x)

    @flow(cluster=client)
    def main() -> tuple[int, int]:
        blocks = block.with_options(batch_size=10).map(range(20))
        blocks.wait()
        sent = sum(client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())
        value = blocks[13].result()
        now = sum(client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())
        return int(value[0]), now - sent

    value, moved_bytes = main()
    assert value == 13
    assert moved_bytes < 5_000_000


def test_asking_with_nothing_to_send_does_not_send_the_next_node_alone() -> None:
    """A node that is announced after an answer waits for others, as the first one did."""
    graph = Graph("waits")
    run = open_run("waits", graph, "inline")
    run.send()
    run.announce(Builder(graph).call(double.spec, double.signature, (1,), {}))
    assert run._due_events() == []
    run.finish()
    run.close()


def test_futures_come_as_they_end(client: Client, tmp_path: Path) -> None:
    """A held-up element comes last from as_completed, whatever its index."""
    gate = tmp_path / "gate"

    @flow(cluster=client)
    def main() -> list[int | None]:
        slow = wait_for_file.submit(str(gate), 7)
        fast = double.map(range(4))
        found = []
        for future in as_completed([slow, *fast]):
            found.append(future.result())
            if len(found) == 4:
                gate.touch()
        return found

    found = main()
    assert sorted(found[:4]) == [0, 2, 4, 6]  # type: ignore[type-var]
    assert found[4] == 7


def test_an_unmapped_array_reaches_each_worker_once(client: Client) -> None:
    """However many batches use it, a large argument is received at most once by a worker."""

    @task
    def address(x: int, table: Any) -> tuple[str, int]:
        return get_worker().address, id(table)

    @flow(cluster=client)
    def main() -> list[tuple[str, int]]:
        return address.with_options(batch_size=1).map(range(40), unmapped(np.ones(500_000))).result()

    assert len(set(main())) <= 2


def test_elements_of_async_tasks_overlap(client: Client) -> None:
    """Of 200 elements that each wait for 0.1 s, many wait at the same time on one worker thread."""

    @task
    async def under_way(x: int, seen: Any) -> int:
        seen = globals().setdefault("now", set())
        seen.add(x)
        await asyncio.sleep(0.1)
        most = len(seen)
        seen.discard(x)
        return most

    @flow(cluster=client)
    def main() -> list[int]:
        return under_way.map(range(200), None).result()

    assert max(main()) >= 20


def test_an_element_that_kills_its_worker_crashes_alone(client: Client) -> None:
    """The other elements of its batch are run again and complete."""

    @task
    def fatal(x: int) -> int:
        if x == 5:
            os._exit(1)
        return x

    @flow(cluster=client)
    def main() -> tuple[list[str], BaseException]:
        elements = fatal.with_options(batch_size=4).map(range(8))
        elements.wait()
        return [element.state.name for element in elements], elements[5].result(raise_on_failure=False)

    names, error = main()
    assert names == ["Completed"] * 5 + ["Crashed"] + ["Completed"] * 2
    assert isinstance(error, WorkLost)
    assert "died" in str(error)


def test_cancel_ends_a_run_that_waits(client: Client, tmp_path: Path) -> None:
    """What has not ended is Cancelled, the flow says so, and the cluster is free for the next flow."""
    gate = tmp_path / "gate"

    @flow(cluster=client)
    def main() -> int:
        return wait_for_file(str(gate), 1)

    run = main.start()
    run.run.wait_for_news(0, timeout=0.2)
    run.cancel()
    gate.touch()
    with pytest.raises(Cancelled):
        run.result(timeout=30)
    assert run.state.type in (StateType.CANCELLED, StateType.FAILED)

    @flow(cluster=client)
    def after() -> int:
        return double(4)

    assert after() == 8


def test_runs_share_a_cluster_without_seeing_each_other(client: Client) -> None:
    """Flows started at once from several threads give each its own answer."""

    @flow(cluster=client)
    def main(start: int) -> int:
        return total.submit(double.map(range(start, start + 100))).result()

    runs = [main.start(start) for start in (0, 1000, 2000)]
    assert [run.result(timeout=60) for run in runs] == [2 * sum(range(s, s + 100)) for s in (0, 1000, 2000)]


def test_the_current_client_is_found(local_cluster: Any) -> None:
    """With a default Dask client, as in a notebook, flows run on its cluster without being told."""

    @task
    def where() -> str:
        return str(get_worker().scheduler.address)

    @flow
    def main() -> str:
        return where()

    with Client(local_cluster):
        assert main() == local_cluster.scheduler_address


@pytest.mark.parametrize("make", [lambda c: c.scheduler.address, lambda c: c], ids=["address", "client"])
def test_a_cluster_is_named_in_several_ways(client: Client, make: Callable[[Client], Any]) -> None:
    """An address and a client mean the same cluster."""

    @flow(cluster=make(client))
    def main() -> list[int]:
        return double.map([1, 2]).result()

    assert main() == [2, 4]


def test_ctrl_c_ends_a_flow_at_once_and_leaves_nothing(client: Client, tmp_path: Path) -> None:
    """SIGINT while a flow waits: KeyboardInterrupt in the script, and no key of it stays on the cluster."""
    gate = tmp_path / "gate"
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, time
        from dataflow import flow, task

        @task
        def slow(x):
            open({str(tmp_path / "began")!r}, "w").close()
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.01)
            return x

        @flow(cluster={client.scheduler.address!r})
        def main():
            slow.map(range(1000)).result()

        main()
        """)
    )
    before = keys_of(client)
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
    pause = threading.Event()
    while not (tmp_path / "began").exists():
        assert process.poll() is None
        pause.wait(0.02)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=20)
    finally:
        gate.touch()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    assert not keys_stay(client, before)


def test_worker_threads_take_what_does_not_pickle() -> None:
    """On the cluster of threads a lock reaches the task as it is, as a constant, an item or a result."""

    @task
    def use(x: int, lock: Any) -> int:
        with lock:
            return x

    @task
    def make() -> Any:
        return threading.Lock()

    @flow(cluster="threads")
    def main() -> list[int]:
        lock = threading.Lock()
        return [
            use(1, lock),
            *use.map([2], unmapped(lock)).result(),
            *use.map([3], [lock]).result(),
            use(4, make.submit()),
        ]

    assert main() == [1, 2, 3, 4]
