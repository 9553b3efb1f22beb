"""Several processes and one store: runs at the same time, and a run that is killed and taken up by another process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0

BEGINNING = """
import os, sys, threading, time
from dataflow import flow, task
from dataflow.cache_policies import INPUTS
from pathlib import Path

HERE = Path(__file__).parent

def note(name):
    '''Counts a call, in one write that no other process can split.'''
    file = os.open(HERE / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{name}\\n".encode())
    os.close(file)

def hold(name):
    '''Says that it is here, and goes on when the test says so.'''
    note(f"holds {name}")
    while not (HERE / "go").exists():
        time.sleep(0.01)
"""


class Scripts:
    """Scripts of one test: started as processes of their own, ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, body: str) -> None:
        """The script that all processes run."""
        (self.folder / "script.py").write_text(BEGINNING + textwrap.dedent(body), encoding="utf-8")

    def start(self, *arguments: str, cluster: str = "inline") -> subprocess.Popen[str]:
        """Another process that runs it, in a group of its own."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "results")]),
            "DATAFLOW_CLUSTER": cluster,
            "DATAFLOW_RESULT_STORAGE": str(self.folder / "store"),
        }
        process = subprocess.Popen(
            [sys.executable, str(self.folder / "script.py"), *arguments],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def calls(self) -> Counter[str]:
        """How often each call was made, over all processes."""
        file = self.folder / "calls"
        return Counter(file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else [])

    def wait_for(self, seen: Callable[[Counter[str]], bool]) -> None:
        """Wait until the calls are such, while all processes live."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = threading.Event()
        while not seen(self.calls()):
            assert time.monotonic() < deadline, f"it did not happen: {self.calls()}"
            ended = [process for process in self.processes if process.poll()]
            assert not ended, ended[0].communicate()[1]
            pause.wait(0.02)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill -9 of a process and of all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        self.processes.remove(process)

    def go(self) -> None:
        """Let everything go on that holds."""
        (self.folder / "go").touch()


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    """Scripts that share a folder and a store."""
    made = Scripts(tmp_path)
    yield made
    for process in list(made.processes):
        made.kill(process)


def answer(process: subprocess.Popen[str]) -> Any:
    """What a process that ended well has printed last."""
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


PLAIN = """
    @task(cache_policy=INPUTS)
    def slow(x):
        hold("slow")
        return x + 1

    @task
    def other(x):
        note("other")
        return x

    @flow
    def main():
        future = slow.submit(1)
        rest = other.map(range(3))
        return [future.result(), *rest.result()]

    from distributed import Client
    with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"):
        print(main())
"""


def test_two_processes_compute_one_key_once(scripts: Scripts) -> None:
    """While one process computes a call, the other waits for its result, and its one worker thread does other work."""
    scripts.write(PLAIN)
    first = scripts.start(cluster="")
    scripts.wait_for(lambda calls: calls["holds slow"] == 1)
    before = scripts.calls()["other"]
    second = scripts.start(cluster="")
    scripts.wait_for(lambda calls: calls["other"] == before + 3)
    scripts.go()
    assert answer(first) == answer(second) == [2, 0, 1, 2]
    assert scripts.calls() == {"holds slow": 1, "other": 6}


def test_the_one_who_waits_takes_over_when_the_other_is_killed(scripts: Scripts) -> None:
    """Kill -9 of the process that computes: the other one does not wait for ever, but computes."""
    scripts.write(PLAIN)
    first = scripts.start(cluster="")
    scripts.wait_for(lambda calls: calls["holds slow"] == 1)
    before = scripts.calls()["other"]
    second = scripts.start(cluster="")
    scripts.wait_for(lambda calls: calls["other"] == before + 3)
    scripts.kill(first)
    scripts.wait_for(lambda calls: calls["holds slow"] == 2)
    scripts.go()
    assert answer(second) == [2, 0, 1, 2]


def test_elements_of_two_maps_are_computed_once_if_asked_for(scripts: Scripts) -> None:
    """With isolation_level="SERIALIZABLE" two processes share the elements of a map; each has all the values."""
    scripts.write("""
        @task(cache_policy=INPUTS.configure(isolation_level="SERIALIZABLE"), batch_size=10)
        def shift(x):
            hold(x)
            return x + 1

        @flow
        def main():
            return shift.map(range(int(sys.argv[1]), int(sys.argv[1]) + 20)).result()

        print(main())
    """)
    first, second = scripts.start("0", cluster="threads"), scripts.start("10", cluster="threads")
    scripts.wait_for(lambda calls: sum(calls.values()) >= 2)
    scripts.go()
    assert answer(first) == list(range(1, 21))
    assert answer(second) == list(range(11, 31))
    assert scripts.calls() == {f"holds {x}": 1 for x in range(30)}


def test_a_killed_run_is_resumed_by_another_process(scripts: Scripts) -> None:
    """Kill -9 of client and cluster in the middle of a map of 40: what was kept does not run again."""
    scripts.write("""
        @task(batch_size=4)
        def step(x):
            note(x)
            if x == 30:
                hold(x)
            return 2 * x

        @flow(persist_result=True)
        def main():
            return sum(step.map(range(40)).result())

        if __name__ == "__main__":
            if len(sys.argv) > 1:
                print(main.resume(sys.argv[1]))
            else:
                run = main.start()
                (HERE / "run").write_text(run.id)
                print(run.result())
    """)
    first = scripts.start(cluster="local")
    packs = (scripts.folder / "store").rglob
    scripts.wait_for(lambda calls: calls["holds 30"] == 1 and len(list(packs("*.pack"))) >= 3)
    kept = len(list(packs("*.pack")))
    scripts.kill(first)
    before = scripts.calls()
    assert before["holds 30"] == 1
    scripts.go()
    second = scripts.start((scripts.folder / "run").read_text(encoding="utf-8"), cluster="inline")
    assert answer(second) == 2 * sum(range(40))
    after = scripts.calls()
    again = {x for x in range(40) if after[str(x)] > 1}
    assert all(after[str(x)] >= 1 for x in range(40))
    assert 30 in again
    assert len(again) <= 4 * 4, "at most the batches that were under way, four on this machine"
    assert len(again) <= 40 - 4 * kept


def test_a_process_that_ended_is_not_taken_for_a_running_one(scripts: Scripts) -> None:
    """A run whose process was killed a moment ago can be resumed at once, without waiting for its heartbeat."""
    scripts.write("""
        @task
        def step(x):
            note(x)
            if x == 2:
                hold(x)
            return x

        @flow(persist_result=True)
        def main():
            return [step(x) for x in range(4)]

        if len(sys.argv) > 1:
            print(main.resume(sys.argv[1]))
        else:
            run = main.start()
            (HERE / "run").write_text(run.id)
            print(run.result())
    """)
    first = scripts.start()
    scripts.wait_for(lambda calls: calls["holds 2"] == 1)
    scripts.kill(first)
    scripts.go()
    assert answer(scripts.start((scripts.folder / "run").read_text(encoding="utf-8"))) == [0, 1, 2, 3]
    assert scripts.calls() == {"0": 1, "1": 1, "2": 2, "holds 2": 2, "3": 1}
