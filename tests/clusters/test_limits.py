"""Limits on a real cluster: shared by runs and clients, waited for without threads, freed by whoever goes away."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from dataflow import concurrency, flow, rate_limit, task
from dataflow.engine.limits.agent import agent_of_client
from dataflow.engine.limits.scheduler import PLUGIN_NAME
from dataflow.errors import Cancelled, NotFinished, UsageError
from dataflow.known_limits import Place
from dataflow.limits import rate_limit_async, set_limit
from tests.waiting import until

Spans = list[tuple[float, float]]
SECONDS = 0.05
"""How long an element holds its place."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes with two threads each; the tests that end a worker get it back from its nanny."""
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", silence_logs=50) as started:
        yield started


@pytest.fixture
def four_threads(cluster: LocalCluster) -> Iterator[Client]:
    """A client of its own; in the end nobody holds or waits for anything."""
    with Client(cluster, set_as_default=False) as client:
        yield client
        until(lambda: nothing_left(client))


@pytest.fixture
def limit() -> Iterator[Callable[[str, int | str], None]]:
    """Sets limits, and takes them away in the end."""
    names = []

    def set_for_now(name: str, said: int | str) -> None:
        names.append(name)
        set_limit(name, said)

    yield set_for_now
    for name in names:
        set_limit(name, None)


def on_scheduler(client: Client, read: Callable[[Any], Any]) -> Any:
    """Something read from the office on the scheduler."""

    def found(dask_scheduler: Any) -> Any:
        plugin = dask_scheduler.plugins.get(PLUGIN_NAME)
        return None if plugin is None else read(plugin.office)

    return client.run_on_scheduler(found)


def nothing_left(client: Client) -> bool:
    return on_scheduler(client, lambda office: office.ledger.is_empty) is not False


def held(client: Client, name: str) -> int:
    return on_scheduler(client, lambda office: office.ledger.held(name)) or 0


def waiting(client: Client, name: str) -> int:
    return on_scheduler(client, lambda office: office.ledger.waiting(name)) or 0


def places(name: str, count: int, limit: int = 1) -> tuple[Place, ...]:
    return (Place(name, count, limit),)


def most_at_once(spans: Spans) -> int:
    """How many spans overlap at most; one may begin when another one ends."""
    changes = sorted([(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans])
    at_once = most = 0
    for _, change in changes:
        at_once += change
        most = max(most, at_once)
    return most


def span_of(seconds: float = SECONDS) -> tuple[float, float]:
    began = time.time()
    time.sleep(seconds)
    return began, time.time()


@task
def use_database(item: int) -> tuple[float, float]:
    with concurrency("database", limit=2):
        return span_of()


@task(concurrency_limit=2)
def limited(item: int) -> tuple[float, float]:
    return span_of()


@task
def unlimited(item: int) -> tuple[float, float]:
    return span_of()


@task(tags=["gpu"])
def train(item: int) -> tuple[float, float]:
    return span_of()


@task(tags=["gpu"])
async def train_async(item: int) -> tuple[float, float]:
    began = time.time()
    await asyncio.sleep(SECONDS)
    return began, time.time()


def mapped(work: Any, count: int, client: Any) -> Spans:
    """The spans of the elements of a map."""

    @flow(cluster=client)
    def spans() -> Any:
        return work.map(range(count))

    return spans()


@pytest.mark.parametrize("work", [use_database, limited], ids=lambda work: work.name)
def test_two_of_four_threads(work: Any, four_threads: Client) -> None:
    """With a limit of 2, in the code or of the task, no more than 2 of 10 elements run at once, and 2 do."""
    assert most_at_once(mapped(work, 10, four_threads)) == 2


@pytest.mark.parametrize("work", [train, train_async], ids=lambda work: work.name)
def test_a_tag_is_limited_for_all_its_tasks(
    work: Any, four_threads: Client, limit: Callable[[str, int | str], None]
) -> None:
    """A limit of 3 for a tag holds for ordinary tasks and for the elements of async tasks in one batch."""
    limit("gpu", 3)
    assert most_at_once(mapped(work, 12, four_threads)) == 3


def test_clients_share_a_limit(cluster: LocalCluster, four_threads: Client) -> None:
    """Two runs of two clients at the same time: together no more than 2 elements at once."""
    with Client(cluster, set_as_default=False) as other:

        @flow(cluster=other)
        def elsewhere() -> Any:
            return limited.map(range(6))

        run = elsewhere.start()
        spans = mapped(limited, 6, four_threads)
        assert most_at_once([*spans, *run.result()]) == 2


def test_a_limit_set_by_one_client_holds_for_the_tags_of_others(cluster: LocalCluster, four_threads: Client) -> None:
    """What another process has set on the scheduler is learnt when a run starts."""
    four_threads.sync(four_threads.scheduler.dataflow_limits_define, limits=[("gpu", 1, None)])
    try:
        assert most_at_once(mapped(train, 4, four_threads)) == 1
    finally:
        four_threads.sync(four_threads.scheduler.dataflow_limits_define, limits=[("gpu", None, None)])


@pytest.mark.parametrize("work", [use_database, limited], ids=lambda work: work.name)
def test_waiting_holds_no_thread(work: Any, four_threads: Client) -> None:
    """Somebody else holds all places: many elements of a run wait, and the run's other work is done meanwhile."""
    name = {"use_database": "database", "limited": "task:limited"}[work.name]

    @flow(cluster=four_threads)
    def both() -> tuple[Spans, Spans]:
        with concurrency(name, occupy=2, limit=2):
            waits = work.map(range(40))
            until(lambda: waiting(four_threads, name) > 0)
            others = unlimited.map(range(20)).result()
        return others, waits.result()

    others, waits = both()
    assert max(end for _, end in others) <= min(start for start, _ in waits)
    assert most_at_once(waits) == 2


def test_a_dead_worker_frees_its_places(four_threads: Client, tmp_path: Path) -> None:
    """The worker that holds the only place is ended: the element that waited on the other one gets it."""

    @task(batch_size=1)
    def hold(item: int) -> int:
        with concurrency("only", limit=1):
            if not (tmp_path / "first").exists():
                (tmp_path / "first").write_text(str(os.getpid()))
                time.sleep(30)
        return item

    @flow(cluster=four_threads)
    def holds() -> Any:
        return hold.map(range(4))

    run = holds.start()
    until(lambda: (tmp_path / "first").exists() and waiting(four_threads, "only") > 0)
    os.kill(int((tmp_path / "first").read_text()), 9)
    assert run.result() == [0, 1, 2, 3]


def test_a_client_that_closes_frees_its_places(cluster: LocalCluster, four_threads: Client) -> None:
    """A flow's body holds a place and its client goes away without giving it back: others get it."""
    other = Client(cluster, set_as_default=False)
    desk = agent_of_client(other)
    desk.request(places("only", 1)).answer.result(10)
    ticket = agent_of_client(four_threads).request(places("only", 1))
    until(lambda: waiting(four_threads, "only") == 1)
    other.close()
    assert ticket.answer.result(10) == 1
    agent_of_client(four_threads).free([ticket.number])


def test_twenty_a_second(four_threads: Client) -> None:
    """Ten calls at 20/s, on all threads: each 0.05 s after the one before, so 0.45 s in all, and not less."""

    @task(batch_size=1)
    def call(item: int) -> float:
        rate_limit("api", limit="20/s")
        return time.time()

    times = sorted(mapped(call, 10, four_threads))
    assert 0.42 < times[-1] - times[0] < 1.5


def test_async_code_waits_for_its_turn(four_threads: Client) -> None:
    """``async with`` and ``await`` in async tasks: two at once, and evenly."""

    @task
    async def both(item: int) -> tuple[float, float]:
        await rate_limit_async("api-2", limit="50/s")
        async with concurrency("pages", limit=2):
            began = time.time()
            await asyncio.sleep(SECONDS)
            return began, time.time()

    assert most_at_once(mapped(both, 8, four_threads)) == 2


def test_a_limit_that_nobody_set_is_an_error(four_threads: Client) -> None:
    """Code that takes places of an unknown name fails, and is told how to define it."""

    @task
    def unknown() -> None:
        with concurrency("nobody-knows-this"):
            pass

    @flow(cluster=four_threads)
    def tries() -> None:
        unknown()

    with pytest.raises(UsageError, match="there is no such limit") as caught:
        tries()
    assert 'set_limit("nobody-knows-this", 3)' in str(caught.value).replace("'", '"')


def greedy_tasks() -> tuple[Any, Any]:
    """A task that takes places of its own tag, and one that calls a flow whose tasks have its tag."""

    @task(tags=["gpu"])
    def trains() -> None:
        with concurrency("gpu"):
            pass

    @flow
    def inner() -> None:
        trains()

    @task(tags=["gpu"])
    def calls() -> None:
        inner()

    return trains, calls


def test_taking_more_of_a_name_that_is_held_is_an_error(
    four_threads: Client, limit: Callable[[str, int | str], None]
) -> None:
    """Code could wait for itself: within a block, in a task with a tag of the name, and in a run that a task begins."""
    limit("gpu", 1)

    trains, calls = greedy_tasks()

    @flow(cluster=four_threads)
    def runs(work: Any) -> None:
        work()

    with concurrency("gpu"), pytest.raises(UsageError, match="could wait for itself"), concurrency("gpu"):
        pass
    with pytest.raises(UsageError, match="could wait for itself"):
        runs(trains)
    with pytest.raises(UsageError, match="needs places of it too"):
        runs(calls)


def test_isolated_attempts_refuse_to_pretend(four_threads: Client) -> None:
    """A process of its own cannot ask the cluster, and says so; limits of its task hold for it."""

    @task(isolation="process")
    def takes() -> None:
        with concurrency("database", limit=2):
            pass

    @task(isolation="process", concurrency_limit=1, batch_size=1)
    def alone(item: int) -> tuple[float, float]:
        began = time.time()
        time.sleep(SECONDS)
        return began, time.time()

    @flow(cluster=four_threads)
    def tries() -> None:
        takes()

    with pytest.raises(UsageError, match="cannot ask the cluster"):
        tries()
    assert most_at_once(mapped(alone, 4, four_threads)) == 1


def test_waiting_can_end(four_threads: Client) -> None:
    """A time limit for waiting is kept, and what gives up waiting holds and wants nothing."""

    @flow(cluster=four_threads)
    def body() -> None:
        with concurrency("only", limit=1):
            late()

    @task
    def late() -> None:
        with concurrency("only", limit=1, timeout_seconds=0.2):
            pass

    with pytest.raises(NotFinished, match=r"within 0\.2 s"):
        body()


def test_a_cancelled_run_does_not_wait_on(four_threads: Client) -> None:
    """Elements that wait for a place that is never free end when their run is cancelled."""
    ticket = agent_of_client(four_threads).request(places("database", 2, 2))
    ticket.answer.result(10)

    @flow(cluster=four_threads)
    def waits() -> Any:
        return use_database.map(range(4))

    run = waits.start()
    until(lambda: waiting(four_threads, "database") > 0)
    run.cancel()
    with pytest.raises(Cancelled):
        run.result()
    until(lambda: waiting(four_threads, "database") == 0)
    agent_of_client(four_threads).free([ticket.number])


def test_two_places_at_once(four_threads: Client) -> None:
    """Elements that occupy 2 of 3 places run one at a time."""

    @task(batch_size=1)
    def large(item: int) -> tuple[float, float]:
        with concurrency("memory", occupy=2, limit=3):
            return span_of()

    assert most_at_once(mapped(large, 5, four_threads)) == 1
