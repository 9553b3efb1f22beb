"""The examples the product was asked for with, unchanged but for their import line, run as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PROCESSED = [1, 2, 4, 5, 7, 8, 10]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], str]:
    """Gives what ``python example.py`` prints on the default cluster; fails if it fails or takes over 100 seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    environment.pop("DATAFLOW_CLUSTER", None)

    def run_as_script(name: str) -> str:
        script = tmp_path / f"{name}.py"
        script.write_text((FOLDER / f"{name}.txt").read_text(encoding="utf-8"), encoding="utf-8")
        command = [sys.executable, script.name]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=100, check=False
        )
        assert done.returncode == 0, f"{name} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    return run_as_script


def test_hello_world_of_the_graph_door(run: Callable[[str], str]) -> None:
    """Seed 000 has no __main__ guard: it runs once, prints once, and starts no cluster of clusters."""
    assert run("say_hello") == "Hello, World!\n"


def test_the_demo_of_the_flow_door(run: Callable[[str], str]) -> None:
    """Seed 001: prints of tasks in their order, then the value of the flow, which is None."""
    assert run("demo") == "Hello, world!\nHello, Prefect!\nNone\n"


def test_running_tasks_concurrently_with_submit(run: Callable[[str], str]) -> None:
    """Seed 004: wait gives sets, so the results come in any order."""
    output = run("submit")
    assert output.startswith("Processed 10 items: [")
    assert sorted(int(number) for number in re.findall(r"\d+", output)[1:]) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]


def test_mapping_tasks_over_iterables(run: Callable[[str], str]) -> None:
    """Seed 004: the numbers that its comments promise."""
    assert run("mapping") == "Sums: [11, 12, 13, 14, 15]\nProducts: [5, 10, 15, 20, 25]\n"


def test_handling_failures_in_concurrent_work(run: Callable[[str], str]) -> None:
    """Seed 004: three of ten records fail, seven are returned."""
    counts, failed, final = run("failures").splitlines()
    assert counts == "✓ Processed: 7 records"
    assert failed == "✗ Failed: 3 records"
    assert sorted(int(number) for number in re.findall(r"'id': (\d+)", final)) == PROCESSED
