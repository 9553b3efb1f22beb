"""Time limits: of the attempts of tasks, and of flows, around whatever they are doing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, flow, task
from dataflow.deadlines import Deadline, Late, limited
from dataflow.errors import TimedOut
from dataflow.flows import FlowFunction
from dataflow.states import State

LIMIT = 0.15
LATEST = 1.2
"""Seconds after which a limit has not fired on time, on a busy machine."""


@task(timeout_seconds=LIMIT, retries=1)
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task
def long_nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task(timeout_seconds=LIMIT)
async def async_nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def on_time(act: Callable[[], Any]) -> Any:
    began = time.monotonic()
    result = act()
    assert time.monotonic() - began < LATEST
    return result


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_an_attempt_that_takes_too_long(cluster: str) -> None:
    """It ends TimedOut on time, around a blocking call too, and is tried again; its neighbours are not harmed."""

    @flow(cluster=cluster)
    def body() -> Any:
        return nap.map([0, 1.5, 0.01], return_state=True)

    states = on_time(body)
    assert [(state.name, state.attempt) for state in states] == [("Completed", 1), ("TimedOut", 2), ("Completed", 1)]
    assert states[1].is_failed()
    assert str(states[1].cause).startswith("task 'nap': it took longer than 0.15 s")
    with pytest.raises(TimeoutError):
        states[1].result()


def test_an_attempt_in_a_process(client: Client) -> None:
    """The same on a real cluster, whose workers go on."""

    @flow(cluster=client)
    def body() -> Any:
        states = nap.with_options(retries=0).map([1.5, 0], return_state=True)
        return [state.name for state in states], states[0].seconds, nap(0)

    names, seconds, after = body()
    assert (names, after) == (["TimedOut", "Completed"], 0)
    assert LIMIT <= seconds < LATEST


def test_an_async_attempt() -> None:
    """Of a coroutine the limit fires where it awaits."""

    @flow(cluster="inline")
    def body() -> Any:
        return async_nap.map([0, 1.5], return_state=True)

    assert [state.name for state in on_time(body)] == ["Completed", "TimedOut"]


# Flows


def sleeping() -> None:
    time.sleep(1.5)


def spinning() -> None:
    while True:
        pass


def deaf() -> None:
    """Does not let itself be ended by ``except Exception``."""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def waiting() -> Any:
    return long_nap(1.5)


async def awaiting() -> None:
    await asyncio.sleep(1.5)


async def awaiting_a_task() -> Any:
    return await async_nap.with_options(timeout_seconds=None)(1.5)


def limited_flow(body: Any, cluster: str = "inline") -> FlowFunction[..., Any]:
    return flow(body, timeout_seconds=LIMIT, cluster=cluster)


def check_timed_out(state: State[Any], name: str) -> None:
    assert (state.name, state.message, state.attempt) == ("TimedOut", "it took longer than 0.15 s", 1)
    assert isinstance(state.data, TimedOut)
    assert str(state.data).startswith(f"flow {name!r}: it took longer than 0.15 s")
    assert not isinstance(state.data.__context__, Late)


@pytest.mark.parametrize("body", [sleeping, spinning, deaf, waiting])
def test_a_body_in_the_main_thread(body: Any) -> None:
    """Whatever it does, also within a blocking call, it is ended on time."""
    check_timed_out(on_time(lambda: limited_flow(body)(return_state=True)), body.__name__)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("body", [sleeping, spinning, deaf])
@pytest.mark.parametrize("way", ["start", "call"])
def test_a_body_in_another_thread(body: Any, way: str) -> None:
    """Python code is ended; who waits for code that blocks is told on time, though that goes on."""
    short = limited_flow(body)
    if way == "start":
        run = short.start()
        check_timed_out(on_time(run.wait), body.__name__)
        assert run.done()
        return
    states: list[State[Any]] = []
    thread = threading.Thread(target=lambda: states.append(short(return_state=True)))
    thread.start()
    on_time(thread.join)
    check_timed_out(states[0], body.__name__)


@pytest.mark.parametrize(("body", "cluster"), [(awaiting, "inline"), (awaiting_a_task, "threads")])
def test_an_async_body(body: Any, cluster: str) -> None:
    """The limit of an async flow fires where it awaits."""
    check_timed_out(
        on_time(lambda: asyncio.run(limited_flow(body, cluster)(return_state=True))), body.__name__.replace("_", "-")
    )


def test_work_on_the_cluster_is_cancelled(client: Client) -> None:
    """What was submitted is dropped, and nothing is left behind (the fixture looks)."""
    run = flow(lambda: long_nap.map([0.5] * 20).result(), timeout_seconds=LIMIT, cluster=client).start()
    state = on_time(run.wait)
    assert state.is_timed_out()
    with pytest.raises(TimedOut):
        run.result()


def test_a_late_end_that_the_body_hides() -> None:
    """A body that catches everything and returns has still timed out."""

    def stubborn() -> str:
        try:
            time.sleep(1.5)
        except BaseException:  # noqa: BLE001 - what very careless code does
            return "nothing happened"
        return ""

    assert limited_flow(stubborn)(return_state=True).name == "TimedOut"


def test_a_timed_out_flow_is_tried_again() -> None:
    """As any failed one; each attempt has the whole time."""
    naps = [1.5, 0.0]
    assert flow(lambda: time.sleep(naps.pop(0)), timeout_seconds=LIMIT, retries=1, cluster="inline")() is None


def test_flows_in_flows_have_limits_of_their_own() -> None:
    """The inner limit is an error for the outer flow; the outer limit ends the inner flow with it."""
    inner = limited_flow(sleeping)

    @flow(cluster="inline", timeout_seconds=30)
    def patient() -> str:
        return str(inner(return_state=True).name)

    assert on_time(patient) == "TimedOut"
    outer = limited_flow(lambda: patient.with_options(name="p").fn() and flow(sleeping, timeout_seconds=60)())
    assert on_time(lambda: outer(return_state=True)).name == "TimedOut"


def test_two_limits_that_end_together() -> None:
    """Each is told by its own `Late`, so that the end of the outer one is not taken for that of the inner one."""
    outer, inner = Deadline(0.05), Deadline(0.05)
    with pytest.raises(Late) as raised, limited(outer, cancel=int):
        with pytest.raises(Late) as inside, limited(inner, cancel=int):
            time.sleep(1.5)
        if inside.value.deadline is outer:
            raise inside.value
        time.sleep(1.5)
    assert (raised.value.deadline, outer.is_over, inner.is_over) == (outer, True, True)
    assert (outer.has_ended(raised.value), inner.has_ended(raised.value)) == (True, False)


def test_alarms_of_others_go_off() -> None:
    """An alarm that user code had set goes off in between, and the limit holds nevertheless."""
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        deadline = Deadline(LIMIT)
        with pytest.raises(Late), limited(deadline, cancel=int):
            time.sleep(1.5)
        assert (rung, deadline.is_over) == ([1], True)
        signal.setitimer(signal.ITIMER_REAL, 60)
        with limited(Deadline(LIMIT), cancel=int):
            pass
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_a_graph_that_takes_too_long(cluster: str) -> None:
    """The graph door: TimedOut, with the values of what had ended."""
    with Flow("graph", timeout_seconds=0.4, cluster=cluster) as graph:
        short, long = long_nap(0), long_nap(1.5)
    state = on_time(graph.run)
    assert (state.name, state.is_failed(), state.state.message) == ("TimedOut", True, "it took longer than 0.4 s")
    assert (state.result[short].result, state.result[long].is_cancelled()) == (0, True)
