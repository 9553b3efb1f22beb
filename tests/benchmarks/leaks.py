"""A thousand runs of a mixed flow in one process: threads, processes, file descriptors and Dask keys before and after.

Run it from the top of the repository: ``python tests/benchmarks/leaks.py [runs]``. It takes some minutes.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from dataflow import Loop, Skip, allow_failure, context, flow, task
from dataflow.engine.isolation import end_isolated
from dataflow.triggers import all_finished

RUNS = 1000
WARM_UP = 20
POOLED = {"descriptors": 8, "worker_descriptors": 8}
"""So many may be more at the end, however many runs there were: connections that Dask opens at need and keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What there is of everything that could be left behind, in this process and on the workers."""

    threads: int
    descriptors: int
    processes: int
    worker_threads: int
    worker_descriptors: int
    worker_processes: int
    keys: int
    """Tasks the scheduler knows."""

    def growth(self, before: Census) -> dict[str, int]:
        """What there is more of than before."""
        grown = {name: getattr(self, name) - getattr(before, name) for name in self.__slots__}
        return {name: number for name, number in grown.items() if number > POOLED.get(name, 0)}


def counts() -> tuple[int, int, int]:
    """Threads, file descriptors and child processes of the process it runs in."""
    gc.collect()
    end_isolated()
    children = sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), children


def take_census(client: Client) -> Census:
    """Count."""
    own, workers = counts(), list(client.run(counts).values())
    keys = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    worker = [sum(column) for column in zip(*workers, strict=True)]
    return Census(
        threads=own[0],
        descriptors=own[1],
        processes=own[2],
        worker_threads=worker[0],
        worker_descriptors=worker[1],
        worker_processes=worker[2],
        keys=keys,
    )


def settled(client: Client, before: Census, patience_seconds: float = 10.0) -> Census:
    """A census when everything that ends by itself has ended."""
    until = time.monotonic() + patience_seconds
    while (found := take_census(client)).growth(before) and time.monotonic() < until:
        time.sleep(0.5)
    return found


@task(retries=2, retry_delay_seconds=0.01)
def flaky(x: int) -> int:
    """Fails once for every third element."""
    if x % 3 == 0 and context.get("attempt") == 1:
        raise ConnectionError(x)
    return x


@task
def even(x: int) -> int:
    """Skips odd numbers."""
    if x % 2:
        raise Skip("odd")
    return x


@task
def doubled(x: int) -> int:
    """Two rounds."""
    if context.get("task_loop_count") == 1:
        raise Loop(2 * x)
    return int(context.get("task_loop_result"))


@task(timeout_seconds=0.02)
def slow_for_four(x: int) -> int:
    """Takes too long for one element."""
    time.sleep(0.1 if x == 4 else 0)
    return x


@task(isolation="process")
def dying_for_two(x: int) -> int:
    """Its process dies for one element."""
    if x == 2:
        os._exit(3)
    return x


@task(trigger=all_finished)
def count(values: list[Any]) -> int:
    """How many there are, exceptions among them."""
    return len(values)


@flow
def inner(n: int) -> int:
    """A flow that a task calls."""
    return sum(even.map(range(n)).result())


@task
def nested(n: int) -> int:
    """A task that runs a flow."""
    return inner(n)


@flow
def mixed(number: int) -> int:
    """A bit of everything; every tenth run is cancelled by an error of its body."""
    values = doubled.map(even.map(flaky.map(range(6))))
    late = slow_for_four.map(values)
    total = count.submit(late)
    if number % 10 == 9:
        raise KeyError(number)
    isolated = dying_for_two.map(range(3)) if number % 20 == 0 else []
    own = nested.submit(4) if number % 5 == 0 else 2
    return count(allow_failure(late)) + total.result() + count(isolated) + count([own])


def run_many(number: int) -> Iterator[str]:
    """Run the flow so many times; gives how each ended."""
    for index in range(number):
        yield mixed(index, return_state=True).name


def main(runs: int = RUNS) -> dict[str, int]:
    """Run, count, and print a row; gives what is left behind."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        list(run_many(WARM_UP))
        before = settled(client, take_census(client), 0.0)
        began = time.perf_counter()
        names = list(run_many(runs))
        seconds = time.perf_counter() - began
        left = settled(client, before).growth(before)
    ended = ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names)))
    print(f"| leaks | {runs} runs in {seconds:.0f} s ({ended}) | left behind: {left or 'nothing'} |")
    return left


if __name__ == "__main__":
    sys.exit(bool(main(*map(int, sys.argv[1:]))))
