"""B1 and B3: many elements in one map, against dask.bag, Dask futures and Client.map."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import dask.bag
from distributed import Client

from dataflow import flow, task
from tests.benchmarks.harness import Contest, Row, compete, quiet_client, seconds, two_processes

DEFAULT_PARTITIONS = 100
"""What dask.bag takes when nothing is said."""
MILLION = 1_000_000
FUTURES = 2_000
PARTITIONS = (2, 8, 100)


def same(x: int) -> int:
    """The no-op of all benchmarks."""
    return x


def add_up(numbers: Any) -> int:
    """The end of all pipelines."""
    return sum(numbers)


first = task(same, name="first")
second = task(same, name="second")
one_by_one = task(same, name="one_by_one", batch_size=1)
total = task(add_up, name="total")


@flow
def pipeline(count: int) -> int:
    """Two mapped no-ops and a sum."""
    return total(second.map(first.map(range(count))))


@flow
def singles(count: int) -> list[int]:
    """One mapped no-op, a Dask task for each element."""
    return one_by_one.map(range(count)).result()


def ours(client: Client, count: int) -> None:
    """The pipeline on a cluster, its answer checked."""
    result = pipeline.with_options(cluster=client)(count)
    assert result == count * (count - 1) // 2, result


def bag(client: Client, count: int, partitions: int) -> None:
    """The same with dask.bag, which keeps no states."""
    with quiet_client(client):
        result = dask.bag.range(count, npartitions=partitions).map(same).map(same).sum().compute()
    assert result == count * (count - 1) // 2, result


def futures(client: Client, count: int) -> None:
    """The same with a Dask future for each element and step."""
    result = client.submit(sum, client.map(same, client.map(same, range(count), pure=False), pure=False)).result()
    assert result == count * (count - 1) // 2, result


def seconds_by_partitions(client: Client) -> dict[int, float]:
    """How long dask.bag takes with different numbers of partitions, the better of two tries each."""
    return {
        partitions: min(seconds(lambda: bag(client, MILLION, partitions)) for _ in range(2))  # noqa: B023 - run at once
        for partitions in PARTITIONS
    }


def b1(repeat: int | None) -> list[Row]:
    """B1: a million elements with states, against dask.bag and Dask futures without."""
    client = two_processes()
    tried = seconds_by_partitions(client)
    partitions = min(tried, key=tried.__getitem__)
    against_bag = Contest(
        name="B1a",
        what="1,000,000 elements, two mapped no-ops, sum; reference dask.bag with its default of 100 partitions",
        ours=functools.partial(seconds, lambda: ours(client, MILLION)),
        reference=functools.partial(seconds, lambda: bag(client, MILLION, DEFAULT_PARTITIONS)),
        bound="<= 1.0",
        repeat=7,
    )
    against_tuned_bag = Contest(
        name="B1c",
        what="the same; reference dask.bag with the best number of partitions for this machine, found by trying",
        ours=functools.partial(seconds, lambda: ours(client, MILLION)),
        reference=functools.partial(seconds, lambda: bag(client, MILLION, partitions)),
        bound="<= 1.0",
        repeat=7,
        note="dask.bag by partitions: " + ", ".join(f"{count}: {took:.2f} s" for count, took in tried.items()),
    )
    against_futures = Contest(
        name="B1b",
        what="the same per element; reference 2,000 Dask futures",
        ours=_per_element_us(lambda: ours(client, MILLION), MILLION),
        reference=_per_element_us(lambda: futures(client, FUTURES), FUTURES),
        bound=">= 300",
        unit="us",
        repeat=1,
    )
    return [compete(contest, repeat) for contest in (against_bag, against_tuned_bag, against_futures)]


def b3(repeat: int | None) -> list[Row]:
    """B3: batches of one element, against Client.map and gather."""
    client = two_processes()
    run = singles.with_options(cluster=client)

    def mine() -> None:
        assert run(FUTURES) == list(range(FUTURES))

    def theirs() -> None:
        assert client.gather(client.map(same, range(FUTURES), pure=False)) == list(range(FUTURES))

    contest = Contest(
        name="B3",
        what="2,000 elements at batch size 1; reference Client.map + gather",
        ours=functools.partial(seconds, mine),
        reference=functools.partial(seconds, theirs),
        bound="<= 1.25",
    )
    return [compete(contest, repeat)]


def _per_element_us(work: Callable[[], None], count: int) -> Callable[[], float]:
    return lambda: seconds(work) / count * 1e6
