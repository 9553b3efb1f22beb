"""What surrounds running code can be asked for: `dataflow.context`, `dataflow.runtime`, and the facts of runs."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, Parameter, context, flow, task
from dataflow.run_facts import Parameters, RunFacts
from dataflow.runtime import flow_run, task_run


@task(tags=["io"])
def told(number: int, extra: str = "default", *rest: int) -> dict[str, Any]:
    names = ("run_id", "flow", "parameters", "task", "slug", "index", "map_index", "attempt", "task_tags")
    return {name: context.get(name, "nothing") for name in names} | {"arguments": dict(context.get("arguments"))}


@flow
def asking(count: int, where: str = "here") -> tuple[str | None, list[dict[str, Any]], list[dict[str, Any]]]:
    mapped = told.map(range(count), "given")
    plain = [told.submit(number, "x", 3, 4) for number in (8, 9)]
    return context.get("run_id"), mapped.result(), [future.result() for future in plain]


def check(cluster: Any) -> None:
    """What the tasks of a flow are told."""
    run_id, mapped, plain = asking.with_options(cluster=cluster)(3)
    of_all = {"run_id": run_id, "flow": "asking", "parameters": {"count": 3, "where": "here"}, "task": "told",
              "attempt": 1, "task_tags": ["io"]}  # fmt: skip
    assert mapped == [
        {**of_all, "slug": "told", "index": number, "map_index": number,
         "arguments": {"number": number, "extra": "given", "rest": ()}}
        for number in range(3)
    ]  # fmt: skip
    assert plain == [
        {**of_all, "slug": slug, "index": "nothing", "map_index": "nothing",
         "arguments": {"number": number, "extra": "x", "rest": (3, 4)}}
        for slug, number in (("told-2", 8), ("told-3", 9))
    ]  # fmt: skip


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_tasks_know_where_they_are(cluster: str) -> None:
    """Mapped elements and plain ones of one batch know their run, their place and their arguments."""
    check(cluster)


def test_tasks_on_workers_know_where_they_are(client: Client) -> None:
    """In other processes it is the same."""
    check(client)


@task
async def told_async(number: int) -> tuple[Any, ...]:
    return context.get("index"), dict(task_run.parameters), flow_run.name


@task(timeout_seconds=30)
def told_watched(number: int) -> tuple[Any, ...]:
    return context.get("index"), dict(task_run.parameters), flow_run.name


@task(isolation="process")
def told_isolated(number: int) -> tuple[Any, ...]:
    return context.get("index"), dict(task_run.parameters), flow_run.name


def test_however_they_run(tmp_path: Path) -> None:
    """Async, watched, isolated and kept elements know the same as others."""
    kept = told_watched.with_options(name="kept", timeout_seconds=None, persist_result=True)

    @flow(cluster="inline", flow_run_name="run {run}", result_storage=str(tmp_path))
    def each(run: int) -> list[Any]:
        return [way.map([5, 6]).result() for way in (told_async, told_watched, told_isolated, kept)]

    assert each(7) == [[(0, {"number": 5}, "run 7"), (1, {"number": 6}, "run 7")]] * 4


@task(retries=1, retry_delay_seconds=0.01, batch_size=6)
def moody(number: int) -> Any:
    if number % 3 == 1 and context.get("attempt") == 1:
        raise ConnectionError
    return context.get("index"), task_run.run_count


def test_elements_that_are_tried_again_together_know_their_indices() -> None:
    """A later batch holds elements that did not stand beside each other; each knows its own index and attempt."""

    @flow(cluster="inline")
    def again() -> Any:
        return moody.map(range(6))

    assert again() == [(0, 1), (1, 2), (2, 1), (3, 1), (4, 2), (5, 1)]


def test_names_of_prefect() -> None:
    """``runtime.flow_run`` and ``runtime.task_run`` tell what Prefect's do; flows in flows know their parent."""

    @task
    def inside(x: int) -> Any:
        return task_run.id, task_run.name, task_run.task_name, task_run.index, task_run.tags, flow_run.flow_name

    @flow(name="the inner one")
    def inner(y: int) -> Any:
        return flow_run.id, flow_run.parent_flow_run_id, flow_run.parameters, inside(1)

    @flow(cluster="inline", name="outer", flow_run_name="monday")
    def outer() -> Any:
        return flow_run.id, flow_run.name, flow_run.run_count, flow_run.tags, task_run.id, inner(4)

    outer_id, name, count, tags, nothing, (inner_id, parent, parameters, found) = outer()
    assert (name, count, tags, nothing, parent, parameters) == ("monday", 1, [], None, outer_id, {"y": 4})
    assert found == (f"{inner_id}/inside", "inside", "inside", None, [], "the inner one")
    assert context.get("scheduled_start_time") is None


def test_attempts_at_a_flow_are_counted() -> None:
    """``run_count`` of a flow, in its body and in its tasks, is the number of its attempt."""
    seen: list[tuple[int, int]] = []

    @task
    def count() -> int:
        return flow_run.run_count

    @flow(cluster="inline", retries=1)
    def twice() -> None:
        seen.append((flow_run.run_count, count()))
        if len(seen) == 1:
            raise ValueError

    twice()
    assert seen == [(1, 1), (2, 2)]


def test_classic_names() -> None:
    """In the graph door the names of classic Prefect's context are there, the logger among them."""

    @task
    def classic(x: int) -> Any:
        context.get("logger").info("hello")
        full_name, today = context.get("task_full_name"), context.get("today")
        return (
            full_name,
            context.get("flow_name"),
            context.get("parameters"),
            context.get("date").strftime("%Y-%m-%d") == today,
        )

    with Flow("weekly") as weekly:
        handle = classic.map([Parameter("day", default=3)])
    state = weekly.run(cluster="inline", day=5)
    assert state.result[handle].result == [("classic[0]", "weekly", {"day": 5}, True)]


def test_outside_of_runs_there_is_nothing() -> None:
    """Elsewhere names give the default, and `dataflow.runtime` None or what is empty."""
    assert [context.get(name) for name in ("run_id", "task", "attempt", "logger", "no such name")] == [None] * 5
    assert (flow_run.id, flow_run.parameters, flow_run.tags, flow_run.run_count) == (None, {}, [], 0)
    assert (task_run.name, task_run.parameters, task_run.tags, task_run.run_count) == (None, {}, [], 0)


def test_facts_travel_small() -> None:
    """Parameters that do not pickle, or are large, stay behind; the others are unpickled when they are asked for."""
    facts = RunFacts(id="r", flow="f", parameters=Parameters({"a": 1, "lock": threading.Lock(), "big": bytes(10**6)}))
    assert set(facts.parameters.values) == {"a", "lock", "big"}
    data = pickle.dumps(facts)
    assert len(data) < 1000
    assert pickle.loads(data).parameters.values == {"a": 1}
