"""Retries as users write them: of tasks, element by element, and of flows, under one run id."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, Parameter, context, flow, task
from dataflow.cache_policies import NO_CACHE
from dataflow.errors import Cancelled
from dataflow.states import Failed, State
from dataflow.tasks import exponential_backoff


@task(retries=2, retry_delay_seconds=[0.01, 0.02])
def moody(x: int) -> int:
    """Fails ``x % 4`` times."""
    if context.get("attempt") <= x % 4:
        raise ConnectionError(f"{x} not now")
    return x


def only_connection_errors(task: Any, task_run: Any, state: State[Any]) -> bool:
    assert (task.name, sorted(task.tags), task_run.name) == ("refused", ["net"], "refused")
    assert state.is_failed()
    assert "not now" in state.message
    assert state.attempt == task_run.run_count
    try:
        state.result()
    except ConnectionError:
        return task_run.run_count < 3
    except Exception:  # noqa: BLE001 - whatever else the task raised
        return False
    return True


def names_and_attempts(states: list[State[Any]]) -> list[tuple[str, int]]:
    return [(state.name, state.attempt) for state in states]


@pytest.mark.parametrize("batch_size", [1, 3, None])
@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_each_element_is_tried_by_itself(cluster: str, batch_size: int | None) -> None:
    """An element that fails is tried up to three times, whatever shares its batch, and the order stays."""

    @flow(cluster=cluster)
    def body() -> Any:
        return moody.with_options(batch_size=batch_size).map(range(8), return_state=True)

    once, twice, thrice, never = [("Completed", 1), ("Completed", 2), ("Completed", 3), ("Failed", 3)]
    states = body()
    assert names_and_attempts(states) == [once, twice, thrice, never] * 2
    assert [state.data for state in states if state.is_completed()] == [0, 1, 2, 4, 5, 6]
    assert repr(states[3].cause) == "ConnectionError('3 not now')"


def test_retries_in_processes(client: Client) -> None:
    """On a real cluster the delayed attempts run on workers, and what uses the values waits for them."""

    @flow(cluster=client)
    def body() -> Any:
        return task(sum)(moody.map([0, 1, 2]))

    assert body() == 3


def test_the_delays_of_the_backoff() -> None:
    """Each retry comes after its own delay; the last delay stands for those that follow."""
    began: list[float] = []

    @task(retries=3, retry_delay_seconds=[0.05, 0.1], retry_jitter_factor=0)
    def note() -> None:
        began.append(time.monotonic())
        raise ValueError

    flow(lambda: note(return_state=True), cluster="inline")(return_state=True)
    gaps = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert [least <= gap < least + 0.2 for gap, least in zip(gaps, [0.05, 0.1, 0.1], strict=True)] == [True] * 3


def test_a_condition_decides() -> None:
    """The condition sees the task, the attempt and the failure; a failure it says no to ends at once."""

    @task(retries=5, retry_condition_fn=only_connection_errors, tags=["net"])
    def refused(kind: type[Exception]) -> None:
        raise kind("not now")

    @flow(cluster="inline")
    def body() -> Any:
        return refused.map([ConnectionError, ValueError], return_state=True)

    assert names_and_attempts(body()) == [("Failed", 3), ("Failed", 1)]


def test_a_condition_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """It counts as no, and the log shows why."""

    def broken(task: Any, task_run: Any, state: Any) -> bool:
        raise KeyError("the condition itself")

    once = moody.with_options(retry_condition_fn=broken)
    assert flow(lambda: [once(1, return_state=True)], cluster="inline")()[0].attempt == 1
    assert "the retry condition of task 'moody' raised, so it is not tried again" in caplog.text


def test_types_of_errors_worth_another_try() -> None:
    """The classic `retry_on`: only those errors, and errors derived from them."""
    only = moody.with_options(retry_on=(OSError, ValueError)), moody.with_options(retry_on=KeyError)
    states = flow(lambda: [one(1, return_state=True) for one in only], cluster="inline")()
    assert [state.attempt for state in states] == [2, 1]


def test_a_call_outside_a_flow_is_not_tried_again() -> None:
    """There the function simply runs."""
    calls: list[int] = []

    @task(retries=3)
    def fail() -> None:
        calls.append(1)
        raise ValueError

    assert fail(return_state=True).is_failed()
    assert len(calls) == 1


# Flows


def failing(times: int, **options: Any) -> tuple[Any, list[str]]:
    """A flow that fails so many times, and the ids of its runs."""
    ids: list[str] = []

    @flow(cluster="inline", **options)
    def body(x: int = 5) -> int:
        run = context.current_run.get()
        assert run is not None
        ids.append(run.id)
        if len(ids) <= times:
            raise ConnectionError(f"attempt {len(ids)}")
        return x

    return body, ids


def test_a_flow_is_tried_again_as_the_same_run() -> None:
    """The body runs until it succeeds or no retries are left, always under one id."""
    body, ids = failing(2, retries=2, retry_delay_seconds=exponential_backoff(0.01))
    state = body(7, return_state=True)
    assert (state.name, state.data, state.attempt) == ("Completed", 7, 3)
    assert len(ids) == 3
    assert set(ids) == {state.run.id}

    body, ids = failing(2, retries=1)
    with pytest.raises(ConnectionError, match="attempt 2"):
        body()
    assert len(ids) == 2


def test_a_returned_failure_is_tried_again() -> None:
    """A Failed state that the body returns counts as failure; one that it raises on purpose to stop does not."""
    returned = [Failed(message="not yet"), 5]
    assert flow(lambda: returned.pop(0), retries=1, cluster="inline")() == 5

    def cancelled() -> None:
        returned.append(0)
        raise Cancelled("stop")

    assert flow(cancelled, retries=3, cluster="inline")(return_state=True).name == "Cancelled"
    assert returned == [0]


def test_kept_results_are_found_by_the_next_attempt(tmp_path: Path) -> None:
    """Tasks whose results are kept are not run again; the others, and called flows as a whole, are."""
    ran: list[str] = []

    @task(persist_result=True)
    def kept(x: int) -> int:
        ran.append(f"kept {x}")
        return x

    @task(cache_policy=NO_CACHE)
    def fresh() -> None:
        ran.append("fresh")

    @flow
    def inner() -> int:
        return kept(2)

    @flow(cluster="inline", retries=1, result_storage=tmp_path, persist_result=False)
    def body() -> int:
        fresh()
        total = sum(kept.map([0, 1]).result()) + inner()
        if ran.count("fresh") == 1:
            raise ConnectionError
        return total

    assert body() == 3
    assert ran == ["fresh", "kept 0", "kept 1", "kept 2", "fresh"]


def test_a_flow_that_waits_can_be_cancelled() -> None:
    """Between two attempts the run says so, and a cancel ends it at once."""
    body, ids = failing(9, retries=9, retry_delay_seconds=60)
    run = body.start()
    deadline = time.monotonic() + 5
    while run.state.name != "AwaitingRetry" and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert run.state.message == "ConnectionError: attempt 1; another attempt in 60 s"
    assert not run.done()
    run.cancel()
    assert run.wait(5).name == "Cancelled"
    assert (len(ids), run.done()) == (1, True)
    run.cancel()  # of what has ended: nothing happens


def test_an_async_flow_is_tried_again() -> None:
    """The same for ``async def`` bodies; the loop is free meanwhile, and cancelling the awaiting task ends the wait."""
    calls: list[int] = []

    @flow(cluster="inline", retries=1, retry_delay_seconds=0.02)
    async def body() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError
        return len(calls)

    assert asyncio.run(body()) == 2

    async def impatient() -> None:
        calls.clear()
        async with asyncio.timeout(0.2):
            await body.with_options(retry_delay_seconds=60)()

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_a_graph_is_tried_again(cluster: str, tmp_path: Path) -> None:
    """In the graph door, too: with the same parameters, under one id; the state is that of the last attempt."""
    notes = tmp_path / "notes"
    notes.write_text("")

    def note(word: str) -> int:
        notes.write_text(f"{notes.read_text()}{word} ")
        return notes.read_text().count(word)

    @task(persist_result=True)
    def kept(x: int) -> int:
        note("kept")
        return x

    @task
    def flaky(x: int) -> int:
        if note("flaky") == 1:
            raise ConnectionError
        return 2 * x

    graph = Flow("graph", retries=2, retry_delay_seconds=0.01, cluster=cluster, result_storage=tmp_path / "results")
    with graph:
        doubled = flaky(kept(Parameter("x", 1)))
    state = graph.run(x=4)
    assert (state.result[doubled].result, state.state.attempt, notes.read_text()) == (8, 2, "kept flaky flaky ")
    assert graph.run(x=5).state.attempt == 1
