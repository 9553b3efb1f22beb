"""Kills the client of a run 100 times at random moments, and looks whether history and store tell the truth.

Prints one line: ``python tests/benchmarks/kill_client.py [kills]``. After each kill the database must open and be
whole, every result that the history tells of must lie in the store, the run must be shown as Crashed, and a resumed
run must give the right value without computing anything again that was kept.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "results")]  # a script is found from its own folder only

ELEMENTS = 1000
LONGEST_SECONDS = 1.8
"""A client lives at most so long once its run has begun."""


@dataclass(slots=True)
class Outcome:
    """What was seen over all kills."""

    kills: int = 0
    unknown: int = 0
    """Runs that were killed before the history knew of them."""
    completed: int = 0
    """Runs that had ended before they were killed."""
    crashed: int = 0
    """Runs that are shown as Crashed."""
    told: int = 0
    """Elements that the history told of."""
    resumed: int = 0
    wrong: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Run, print what was seen; 0 if nothing was wrong."""
    if arguments[:1] == ["--run"]:
        client(*arguments[1:])
        return 0
    outcome, moments = Outcome(), random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(int(arguments[0]) if arguments else 100):
            kill_once(Path(folder), f"calls-{number}", moments.uniform(0.0, LONGEST_SECONDS), outcome)
    print(outcome)
    return int(bool(outcome.wrong))


def client(folder: str, calls_file: str, resume: str = "") -> None:
    """A run whose elements write down that they were computed."""
    from dataflow import flow, task

    calls = os.open(f"{folder}/{calls_file}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @task(persist_result=True, batch_size=20)
    def compute(element: int) -> int:
        time.sleep(0.001)
        os.write(calls, f"{element}\n".encode())
        return 2 * element

    @flow(cluster="inline", result_storage=f"{folder}/results")
    def main() -> int:
        return sum(compute.map(range(ELEMENTS)).result())

    if resume:
        print(main.resume(resume), flush=True)
        return
    run = main.start()
    print(run.id, flush=True)
    run.result()


def kill_once(folder: Path, calls_file: str, alive_seconds: float, outcome: Outcome) -> None:
    """Start a client, kill it after it has run for some time, and look at everything it left."""
    outcome.kills += 1
    environment = {**os.environ, "DATAFLOW_HISTORY": f"sqlite:///{folder}/history.db"}
    command = [sys.executable, __file__, "--run", str(folder), calls_file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        time.sleep(alive_seconds)
        process.send_signal(signal.SIGKILL)
    before = calls_of(folder / calls_file)
    kept = look(folder, run_id, outcome)
    if kept is None:
        return
    done = subprocess.run([*command, run_id], capture_output=True, text=True, env=environment, check=False)
    outcome.resumed += 1
    if done.stdout.strip() != str(ELEMENTS * (ELEMENTS - 1)):
        outcome.wrong.append(f"{run_id}: resumed gave {done.stdout!r} {done.stderr[-500:]}")
    again = calls_of(folder / calls_file) - before
    twice = [element for element in again if element in kept]
    if twice:
        outcome.wrong.append(f"{run_id}: computed again although kept: {twice[:5]}")


def calls_of(path: Path) -> Counter[int]:
    """How often each element was computed."""
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def look(folder: Path, run_id: str, outcome: Outcome) -> set[int] | None:
    """Elements whose results the history tells of; None if there is nothing to resume."""
    from dataflow import history

    file = folder / "history.db"
    if not file.exists():
        outcome.unknown += 1
        return None
    with sqlite3.connect(file) as database:
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
    if whole != "ok":
        outcome.wrong.append(f"{run_id}: the database says {whole}")
    os.environ["DATAFLOW_HISTORY"] = f"sqlite:///{file}"
    known = [run for run in history.runs(limit=1000, url=f"sqlite:///{file}") if run.id == run_id]
    if not known:
        outcome.unknown += 1
        return None
    run = known[0]
    if run.state.is_completed():
        outcome.completed += 1
        return None
    if run.state.is_crashed():
        outcome.crashed += 1
    else:
        outcome.wrong.append(f"{run_id}: shown as {run.state}")
    return agreeing(run, outcome)


def agreeing(run: object, outcome: Outcome) -> set[int] | None:
    """The elements that the history calls completed; each must have its result in the store."""
    told: set[int] = set()
    if not run.nodes:  # type: ignore[attr-defined]
        return told
    for element in run.elements(node="compute", state="Completed"):  # type: ignore[attr-defined]
        told.add(element.index)
        if run.result(f"compute[{element.index}]") != 2 * element.index:  # type: ignore[attr-defined]
            outcome.wrong.append(f"{element} is not in the store")
    outcome.told += len(told)
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
