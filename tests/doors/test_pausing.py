"""Pausing a run: nothing new is sent, its body waits for people and their input, and it goes on as if nothing was."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dataflow import flow, pause_flow_run, resume_flow_run, task
from dataflow.errors import Cancelled, InputError, PauseTimedOut, UsageError
from dataflow.input import RunInput
from tests.waiting import PATIENCE_SECONDS, until


@pytest.fixture(params=["inline", "threads"])
def cluster(request: pytest.FixtureRequest) -> str:
    """Where the flows run."""
    return str(request.param)


@task(batch_size=5)
def mark(x: int, folder: str) -> int:
    """Leaves a mark for each call, so that calls can be counted from anywhere."""
    Path(folder, f"{x}-{time.time_ns()}").touch()
    threading.Event().wait(0.001)
    return 2 * x


@task
def plus(x: int) -> int:
    """A little work."""
    return x + 1


def calls(folder: Path) -> list[int]:
    """What `mark` was called with, in order of size."""
    return sorted(int(file.name.partition("-")[0]) for file in folder.iterdir())


def check_pause_of_a_map(cluster: Any, folder: Path) -> None:
    """Pause a large map in the middle, see that it stands still, let it go on."""

    @flow(cluster=cluster)
    def doubled(count: int) -> list[int]:
        return mark.map(range(count), str(folder)).result()

    run = doubled.start(400)
    until(lambda: len(calls(folder)) >= 20)
    run.pause()
    assert (run.state.name, run.state.message) == ("Paused", "somebody paused it")
    until(lambda: not run.run._driver.machine.dispatcher.in_flight)
    before = calls(folder)
    threading.Event().wait(0.3)
    assert calls(folder) == before
    assert 20 <= len(before) < 400
    run.resume()
    assert run.result(timeout=PATIENCE_SECONDS) == [2 * x for x in range(400)]
    assert calls(folder) == list(range(400))


def test_nothing_is_sent_while_a_run_is_paused(cluster: str, tmp_path: Path) -> None:
    """A map that is paused stands still; afterwards each element has run once, and the values are in order."""
    check_pause_of_a_map(cluster, tmp_path)


def test_a_pause_reaches_the_workers_of_a_cluster(client: Client, tmp_path: Path) -> None:
    """The same with workers in other processes."""
    check_pause_of_a_map(client, tmp_path)


class Sample(RunInput):
    """What is measured next."""

    name: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Range:
    """Two numbers."""

    low: int
    high: int = 10


@pytest.mark.parametrize(
    ("kind", "given", "taken"),
    [
        (None, None, None),
        (int, "41", 41),
        (int, {"value": 41}, 41),
        (list[str], ["a"], ["a"]),
        (Sample, {"name": "A-17"}, Sample(name="A-17")),
        (Sample.with_initial_data(name="A-18"), None, Sample(name="A-18")),
        (Range, {"low": 3}, Range(low=3)),
    ],
    ids=["nothing", "text of a number", "wrapped", "list", "model", "filled in", "dataclass"],
)
def test_a_body_waits_for_input(cluster: str, kind: Any, given: Any, taken: Any) -> None:
    """The body stands still at its pause, with the work before it done, and gets the input as the type it asked for."""

    @flow(cluster=cluster)
    def asking() -> Any:
        return plus(1), pause_flow_run(wait_for_input=kind, timeout=PATIENCE_SECONDS)

    run = asking.start()
    until(lambda: run.state.is_paused())
    assert run.state.message.startswith("pause-1: waits for ")
    run.resume(given)
    two, answer = run.result(timeout=PATIENCE_SECONDS)
    assert (two, getattr(answer, "model_dump", lambda: answer)()) == (2, getattr(taken, "model_dump", lambda: taken)())
    assert run.state.name == "Completed"


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        (int, "old", "the input 'old' does not fit int: Input should be a valid integer"),
        (Sample, {"weight": 2}, "the input {'weight': 2} does not fit Sample: name: Field required"),
        (None, 3, "the input 3 was not asked for"),
    ],
    ids=["no number", "no name", "not asked for"],
)
def test_input_that_does_not_fit_changes_nothing(kind: Any, given: Any, problem: str) -> None:
    """Who gives it is told what is wrong with it; the run still waits, and takes the next one."""

    @flow(cluster="inline")
    def asking() -> Any:
        return pause_flow_run(wait_for_input=kind, timeout=PATIENCE_SECONDS)

    run = asking.start()
    until(lambda: run.state.is_paused())
    with pytest.raises(InputError) as caught:
        run.resume(given)
    assert problem in str(caught.value)
    assert run.state.is_paused()
    run.resume({int: 3, Sample: {"name": "a"}}.get(kind))
    assert run.result(timeout=PATIENCE_SECONDS) is not None or kind is None


def test_several_pauses_have_keys(cluster: str) -> None:
    """Pauses are numbered by their calls, or called as said; resuming by another key says which there are."""

    @flow(cluster=cluster)
    def asking() -> list[int]:
        first = pause_flow_run(wait_for_input=int, timeout=PATIENCE_SECONDS)
        second = pause_flow_run(wait_for_input=int, timeout=PATIENCE_SECONDS, key="second")
        return [first, second]

    run = asking.start()
    until(lambda: "pause-1" in run.state.message)
    with pytest.raises(UsageError, match=r"it does not wait under the key 'second'\n  instead: its keys are 'pause-1'"):
        run.resume(2, key="second")
    resume_flow_run(run.id, 1)
    until(lambda: "second" in run.state.message)
    resume_flow_run(run, 2, key="second")
    assert run.result(timeout=PATIENCE_SECONDS) == [1, 2]
    with pytest.raises(UsageError, match="it does not wait for anybody"):
        run.resume()


def test_a_pause_ends_when_its_time_is_over(cluster: str) -> None:
    """Nobody resumes: the body gets an error, and the flow has failed."""

    @flow(cluster=cluster)
    def asking() -> None:
        pause_flow_run(timeout=0.05)

    state = asking(return_state=True)
    assert (state.name, type(state.data)) == ("Failed", PauseTimedOut)
    assert "nobody resumed it within 0.05 s" in state.message
    assert "longer timeout=" in state.message


def test_a_retried_flow_does_not_ask_again() -> None:
    """What was answered in the first attempt is known in the second."""
    attempts: list[int] = []

    @flow(cluster="inline", retries=1)
    def moody() -> int:
        answer: int = pause_flow_run(wait_for_input=int, timeout=PATIENCE_SECONDS)
        attempts.append(answer)
        if len(attempts) == 1:
            raise ConnectionError("not now")
        return answer

    run = moody.start()
    until(lambda: run.state.is_paused())
    run.resume(5)
    assert run.result(timeout=PATIENCE_SECONDS) == 5
    assert attempts == [5, 5]


def test_an_async_body_awaits_its_pause() -> None:
    """The loop goes on meanwhile; the input comes out of the await."""
    turns: list[int] = []

    @flow(cluster="inline")
    async def asking() -> int:
        async def others() -> None:
            while True:
                turns.append(1)
                await asyncio.sleep(0.001)

        other = asyncio.create_task(others())
        answer: int = await pause_flow_run(wait_for_input=int, timeout=PATIENCE_SECONDS)
        other.cancel()
        return answer

    run = asking.start()
    until(lambda: run.state.is_paused() and len(turns) > 3)
    run.resume(7)
    assert run.wait(timeout=PATIENCE_SECONDS).data == 7


def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    """`asyncio.wait_for` around a pause: the run goes on, and the next pause works."""

    @flow(cluster="inline")
    async def asking() -> int:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pause_flow_run(), 0.02)
        answer: int = await pause_flow_run(wait_for_input=int, timeout=PATIENCE_SECONDS)
        return answer

    run = asking.start()
    until(lambda: "pause-2" in run.state.message)
    run.resume(7)
    assert run.wait(timeout=PATIENCE_SECONDS).data == 7


def test_a_paused_flow_is_cancelled(cluster: str) -> None:
    """The body gets the error Cancelled at its pause."""
    caught: list[BaseException] = []

    @flow(cluster=cluster)
    def asking() -> None:
        try:
            pause_flow_run(timeout=PATIENCE_SECONDS)
        except BaseException as error:
            caught.append(error)
            raise

    run = asking.start()
    until(lambda: run.state.is_paused())
    run.cancel()
    assert run.wait(timeout=PATIENCE_SECONDS).name == "Cancelled"
    assert [type(error) for error in caught] == [Cancelled]


def test_the_time_limit_of_a_flow_ends_its_pause(cluster: str) -> None:
    """A flow that may take 0.1 s is not kept longer by a pause."""

    @flow(cluster=cluster, timeout_seconds=0.1)
    def asking() -> None:
        pause_flow_run()

    assert asking(return_state=True).name == "TimedOut"


def test_flows_that_were_called_stand_still_too(tmp_path: Path) -> None:
    """A pause of the outer run holds what its inner flows send, also of those that begin later."""

    @flow
    def inner() -> list[int]:
        return mark.map(range(3), str(tmp_path)).result()

    held = threading.Event()

    @flow(cluster="threads")
    def outer() -> list[int]:
        held.wait(PATIENCE_SECONDS)
        return inner()

    run = outer.start()
    run.pause()
    held.set()
    until(lambda: run.run.nested.runs)
    threading.Event().wait(0.1)
    assert calls(tmp_path) == []
    run.resume()
    assert run.result(timeout=PATIENCE_SECONDS) == [0, 2, 4]


def test_only_the_body_of_a_flow_pauses() -> None:
    """Outside of flows and in tasks it is an error that says where to call it."""
    with pytest.raises(UsageError, match=r"pause_flow_run\(\) outside of flows"):
        pause_flow_run()

    @task
    def patient() -> None:
        pause_flow_run()

    @flow(cluster="inline")
    def asking() -> None:
        patient()

    with pytest.raises(UsageError, match=r"pause_flow_run\(\) in a task.*\n  instead: call it in the body of the flow"):
        asking()
