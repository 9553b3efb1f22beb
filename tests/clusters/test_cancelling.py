"""Cancelling on a real cluster: what has not begun ends at once, what runs as soon as it can; states are honest."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dataflow import allow_failure, flow, task
from dataflow.errors import Cancelled
from dataflow.flow_runs import FlowRun
from tests.conftest import keys_left, pause

PATIENCE_SECONDS = 20.0


def wait_for(holds: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not become so in time"
        pause(0.02)


@task
def nap(x: int, seconds: float) -> int:
    """Takes a while, in a blocking call."""
    time.sleep(seconds)
    return x


@task
def add_one(x: int) -> int:
    """Takes no time."""
    return x + 1


@task(timeout_seconds=60)
def limited(x: int, began: str) -> int:
    """Would block for long, under a time limit."""
    Path(began).touch()
    time.sleep(30)
    return x


@task(isolation="process")
def isolated(x: int, began: str) -> int:
    """Would block for long, in a process of its own, whose number it writes down."""
    Path(began).write_text(str(os.getpid()))
    time.sleep(30)
    return x


@task
async def waiting(x: int, began: str) -> int:
    """Would wait for long, on an event loop."""
    Path(began).touch()  # noqa: ASYNC240 - takes a moment
    await asyncio.sleep(30)
    return x


def states_of(run: FlowRun[Any], slug: str) -> Counter[str]:
    """How many elements of a node are in which state."""
    node = next(node for node in run.nodes if node.slug == slug)
    return Counter(run.run.state(node, index).name for index in range(run.run.length(node)))


def test_a_batch_stops_between_two_elements(client: Client) -> None:
    """What had ended has its value, the element that ran ends well, the others are cancelled; nothing stays behind."""

    @flow(cluster=client)
    def napping() -> Any:
        return add_one.map(nap.map(range(200), 0.05))

    run = napping.start()
    wait_for(lambda: run.run.summary() and run.progress()[0][1] >= 4)
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 1.5, "one element, and the way to the workers and back"
    assert run.wait(PATIENCE_SECONDS).name == "Cancelled"
    states = states_of(run, "nap")
    assert states == states_of(run, "add_one")
    assert set(states) == {"Completed", "Cancelled"}
    assert states["Completed"] < 100
    with pytest.raises(Cancelled):
        run.result()
    assert keys_left(client) == []


@pytest.mark.parametrize("slow", [limited, isolated, waiting], ids=["with a time limit", "isolated", "async"])
def test_attempts_that_can_be_ended_end_at_once(client: Client, slow: Any, tmp_path: Path) -> None:
    """An attempt of half a minute is over in a moment, its state is Cancelled, and its process, if any, is gone."""
    began = tmp_path / "began"

    @flow(cluster=client)
    def stuck() -> Any:
        return slow.submit(1, str(began))

    run = stuck.start()
    wait_for(began.exists)
    start = time.monotonic()
    run.cancel()
    assert run.wait(PATIENCE_SECONDS).name == "Cancelled"
    assert time.monotonic() - start < 1.8, "less than the grace"
    (node,) = run.nodes
    assert run.run.state(node).message.startswith("Cancelled: ")
    assert "still running" not in run.run.state(node).message
    if text := began.read_text():
        wait_for(lambda: not Path(f"/proc/{text}").exists())


def test_what_cannot_be_ended_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blocking call outlives the grace: the run ends, and the state says that the element was still running."""

    @flow(cluster=client)
    def stuck() -> Any:
        return nap.submit(1, 4.0)

    run = stuck.start()
    wait_for(lambda: run.run.nodes)
    pause(0.3)
    start = time.monotonic()
    run.run.cancel(grace_seconds=0.2)
    assert run.wait(PATIENCE_SECONDS).name == "Cancelled"
    assert time.monotonic() - start < 3.0
    assert "still running" in run.run.state(run.nodes[0]).message


def test_one_node_is_cancelled_and_the_others_go_on(client: Client) -> None:
    """Of two tasks that share batches the second is cancelled: the first and a third end well, its user does not."""

    @flow(cluster=client)
    def napping() -> Any:
        naps = nap.map(range(400), 0.01)
        more = add_one.map(naps)
        last = add_one.submit(more[399])
        other = add_one.map(range(5))
        return len(naps.result()), allow_failure(more), allow_failure(last), other.result()

    run = napping.start()
    wait_for(lambda: len(run.nodes) == 4 and run.progress()[0][1] >= 2)
    run.cancel("add_one")
    run.wait(PATIENCE_SECONDS)
    assert states_of(run, "nap") == {"Completed": 400}
    assert states_of(run, "add_one-3") == {"Completed": 5}
    cancelled = states_of(run, "add_one")
    assert set(cancelled) == {"Completed", "Cancelled"}
    assert cancelled["Cancelled"] > 2
    assert run.run.state(run.nodes[2]).name == "UpstreamFailed"
    assert [str(step.state.name) for step in run.story("add_one[399]")][-1] == "CANCELLED"


SCRIPT = """
import time
from dataflow import flow, task

@task
def nap(x):
    time.sleep(0.05)
    return x

@flow(cluster={"kind": "local", "n_workers": 1, "threads_per_worker": 1})
def napping():
    naps = nap.map(range(10_000))
    naps[3].result()
    print("begun", flush=True)
    return naps.result()

try:
    napping()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_the_run_and_the_program(tmp_path: Path) -> None:
    """One Ctrl-C reaches the caller as KeyboardInterrupt after the run was cancelled; no process of it is left."""
    script = tmp_path / "napping.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "begun"
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        assert process.stdout.readline().strip() == "interrupted"
        assert time.monotonic() - start < 4.0
        assert process.stdout.read() == "", "nothing is printed but what the program says"
        assert process.wait(PATIENCE_SECONDS) == 0
        wait_for(lambda: not alive_in_session(process.pid))


def alive_in_session(session: int) -> list[str]:
    """Processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(stat.parent.name)
    return found
