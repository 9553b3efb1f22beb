"""``async def`` flows and tasks, and both doors inside a running event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dataflow.errors import ParameterError
from dataflow.flows import Flow, flow
from dataflow.futures import Future
from dataflow.tasks import task


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
async def fetch(name: str) -> str:
    await asyncio.sleep(0)
    return name.upper()


def test_async_flow() -> None:
    """An async flow is awaited; in it calls of async tasks are awaited and other tasks give their values."""

    @flow(cluster="inline")
    async def body(x: int) -> Any:
        return add(x), await fetch("a"), await fetch.submit("b"), fetch.map(["c", "d"]).result()

    assert asyncio.run(body("1")) == (2, "A", "B", ["C", "D"])  # type: ignore[arg-type]


def test_async_flow_that_returns_futures() -> None:
    """Returned futures are replaced by their values, as in any flow."""

    @flow(cluster="inline")
    async def body() -> list[Future[str]]:
        return [fetch.submit("a")]

    assert asyncio.run(body()) == ["A"]


def test_calls_gathered() -> None:
    """Calls of async tasks can be awaited together."""

    @flow(cluster="inline")
    async def body() -> list[str]:
        return list(await asyncio.gather(*(fetch(name) for name in "abc")))

    assert asyncio.run(body()) == ["A", "B", "C"]


def test_async_task_in_a_sync_body() -> None:
    """In a plain body the call of an async task gives its value."""

    @flow(cluster="inline")
    def body() -> Any:
        return fetch("a"), fetch.map(["b"]).result()

    assert body() == ("A", ["B"])


def test_async_task_outside_a_flow() -> None:
    """Without a flow an async task is its function, and a state of it is awaited too."""

    async def both() -> Any:
        state: Any = await fetch("b", return_state=True)
        return await fetch("a"), state.result()

    assert asyncio.run(both()) == ("A", "B")


def test_plain_flows_in_a_running_loop() -> None:
    """Both doors work in a notebook's cell, where an event loop is running in this very thread."""

    @flow(cluster="inline")
    def body() -> Any:
        return add(1), fetch("a")

    async def cell() -> Any:
        with Flow("cell") as graph:
            plus, name = add(1), fetch("b")
        state = graph.run(cluster="inline")
        return body(), state.result[plus].result, state.result[name].result

    assert asyncio.run(cell()) == ((2, "A"), 2, "B")


def test_errors_of_async_flows() -> None:
    """Wrong arguments and exceptions are raised at the await; a state can be asked for."""

    @flow(cluster="inline")
    async def body(x: int) -> Any:
        raise KeyError(x)

    with pytest.raises(ParameterError):
        asyncio.run(body("x"))  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        asyncio.run(body(1))
    assert asyncio.run(body(1, return_state=True)).name == "Failed"


def test_the_loop_is_free_while_work_is_awaited() -> None:
    """Another coroutine of the loop goes on while an async flow waits for its end."""
    seen: list[str] = []

    @flow(cluster="threads")
    async def body() -> str:
        return await fetch("a")

    async def beat() -> None:
        while "done" not in seen:
            seen.append("beat")
            await asyncio.sleep(0.001)

    async def together() -> str:
        beating = asyncio.create_task(beat())
        value = await body()
        seen.append("done")
        await beating
        return value

    assert asyncio.run(together()) == "A"
    assert seen.count("beat") > 1


def test_cancelled_coroutine_cancels_the_run() -> None:
    """When the coroutine of a flow is cancelled, that reaches the caller and nothing hangs."""

    @flow(cluster="inline")
    async def body() -> None:
        await asyncio.sleep(60)

    async def cancelled() -> None:
        running = asyncio.create_task(body())
        await asyncio.sleep(0.05)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_start_of_an_async_flow() -> None:
    """Start gives a run at once, with a loop of its own in the thread."""

    @flow(cluster="inline")
    async def body() -> str:
        return await fetch("a")

    assert body.start().result() == "A"
