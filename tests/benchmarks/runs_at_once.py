"""Starts 100 runs at once, in processes of their own, on one SQLite file, and looks whether anything is missing.

Prints one line: ``python tests/benchmarks/runs_at_once.py [runs]``. Each run maps 1,000 elements through two tasks, of
which some fail, are tried again, or print; whatever a process logs as a warning counts as trouble.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "results")]  # a script is found from its own folder only

ELEMENTS = 1_000
FAILING, PRINTING = 100, 50
"""Every so many-th element fails, or prints."""


@dataclass(slots=True)
class Outcome:
    """What was seen of all runs."""

    runs: int
    seconds: float = 0.0
    found: int = 0
    """Runs that the history knows, each in its final state."""
    elements: int = 0
    lines: int = 0
    trouble: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Run, print what was seen; 0 if nothing was missing."""
    if arguments[:1] == ["--run"]:
        run_one(float(arguments[1]))
        return 0
    outcome = Outcome(runs=int(arguments[0]) if arguments else 100)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/history.db"
        began = time.monotonic()
        start_all(outcome, url, Path(folder))
        outcome.seconds = round(time.monotonic() - began, 1)
        look(outcome, url)
    print(outcome)
    return int(bool(outcome.trouble))


def run_one(begin: float) -> None:
    """One run, begun when all others are."""
    from dataflow import flow, task

    @task(retries=1)
    def first(element: int) -> int:
        if element % FAILING == 0:
            raise ValueError(f"no {element}")
        return element

    @task(batch_size=50)
    def second(element: int) -> int:
        if element % PRINTING == 1:
            print("seen", element)
        return element

    @flow(cluster="inline")
    def main() -> None:
        second.map(first.map(range(ELEMENTS))).wait()

    time.sleep(max(0.0, begin - time.time()))
    main(return_state=True)


def start_all(outcome: Outcome, url: str, folder: Path) -> None:
    """Run them all; processes that wait for each other begin at the same moment."""
    command = [sys.executable, __file__, "--run", str(time.time() + outcome.runs * 0.6)]
    environment = {**os.environ, "DATAFLOW_HISTORY": url}
    files = [(folder / f"output-{number}").open("w+") for number in range(outcome.runs)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, env=environment) for file in files]
    for process, file in zip(processes, files, strict=True):
        status = process.wait()
        file.seek(0)
        said = file.read()
        file.close()
        if status or said:
            outcome.trouble.append(f"{status}: {said[-500:]}")


def look(outcome: Outcome, url: str) -> None:
    """Whether the history has everything of every run."""
    from dataflow import history

    for run in history.runs(limit=outcome.runs + 1, url=url):
        outcome.found += run.state.is_final()
        counts = {node.slug: (node.done, dict(node.counts)) for node in run.nodes}
        elements = len(run.elements())
        lines = len(run.logs())
        outcome.elements += elements
        outcome.lines += lines
        if elements != 2 * ELEMENTS or lines != ELEMENTS // PRINTING:
            outcome.trouble.append(f"{run.id}: {elements} elements, {lines} lines, {counts}")
    if outcome.found != outcome.runs:
        outcome.trouble.append(f"{outcome.found} of {outcome.runs} runs were found")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
