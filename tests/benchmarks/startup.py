"""B10 and B11: cold processes, importing and running one task, against the bare libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.harness import Contest, Row, compete, seconds

ROOT = Path(__file__).parents[2]
IMPORTS = "import dataflow, sys; assert not {'distributed', 'bokeh'} & set(sys.modules), 'imports too much'"
BARE_IMPORTS = "import pydantic, dask.base"
ONE_TASK = """
from dataflow import flow, task

@task
def double(x):
    return 2 * x

@flow
def main():
    return double(21)

if __name__ == "__main__":
    assert main() == 42
"""
BARE_CLUSTER = """
from distributed import Client, LocalCluster

def double(x):
    return 2 * x

if __name__ == "__main__":
    with LocalCluster() as cluster, Client(cluster) as client:
        assert client.submit(double, 21).result() == 42
"""


def b10(repeat: int | None) -> list[Row]:
    """B10: import dataflow, against importing pydantic and dask.base."""
    contest = Contest(
        name="B10",
        what="import dataflow, cold process; reference import pydantic, dask.base",
        ours=lambda: _run("-c", IMPORTS),
        reference=lambda: _run("-c", BARE_IMPORTS),
        bound="<= 1.5",
        repeat=9,
        note="loads neither distributed nor bokeh",
    )
    return [compete(contest, repeat)]


def b11(repeat: int | None) -> list[Row]:
    """B11: a flow of one task in a cold process, against a bare LocalCluster."""
    contest = Contest(
        name="B11",
        what="one-task flow, cold process, default cluster; reference bare LocalCluster and one submit",
        ours=lambda: _run_script(ONE_TASK),
        reference=lambda: _run_script(BARE_CLUSTER),
        bound="<= 1.3",
        repeat=5,
    )
    return [compete(contest, repeat)]


def _run_script(text: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.py")
        path.write_text(text)
        return _run(str(path))


def _run(*arguments: str) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return seconds(lambda: subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=120))
