"""The caching example the product was asked for with: across processes, and after its functions were edited."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
COMPUTING = "Computing 1 + 2..."
FETCHING = "Fetching https://api.example.com..."
Edit = Callable[[str], str]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[str]]:
    """Gives the lines that a new process prints for the example, edited, where all share one new home."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "HOME": str(tmp_path / "home")}
    for name in ("DATAFLOW_CLUSTER", "DATAFLOW_RESULT_STORAGE", "DATAFLOW_PERSIST_RESULTS"):
        environment.pop(name, None)

    def run_as_script(*edits: tuple[str, str], **more_environment: str) -> list[str]:
        text = (FOLDER / "caching.txt").read_text(encoding="utf-8")
        for before, after in edits:
            assert before in text
            text = text.replace(before, after)
        script = tmp_path / "caching.py"
        script.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, script.name], cwd=tmp_path, env={**environment, **more_environment},
            capture_output=True, encoding="utf-8", timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run_as_script


def test_the_example_on_the_default_cluster(run: Callable[..., list[str]], tmp_path: Path) -> None:
    """Seed 004: each is computed once; another process computes nothing; the results lie in ~/.dataflow/results."""
    assert run() == [COMPUTING, FETCHING]
    assert run() == []
    assert (tmp_path / "home" / ".dataflow" / "results" / "format.json").exists()


def test_after_edits(run: Callable[..., list[str]]) -> None:
    """A changed body counts where the policy says TASK_SOURCE, and only there; a comment or a moved line does not."""
    inline = {"DATAFLOW_CLUSTER": "inline"}
    body = ("    return x + y", "    return y + x")
    assert run(**inline) == [COMPUTING, FETCHING]
    assert run(("    return x + y", "    # the sum\n\n    return x + y"), **inline) == []
    assert run(body, **inline) == [COMPUTING]
    assert run(body, **inline) == []
    assert run(('"data": "sample"', '"data": "other"'), **inline) == []
    assert run(**inline) == [], "the first body again: its result is still there"


def test_a_changed_helper_counts(run: Callable[..., list[str]]) -> None:
    """TASK_SOURCE looks at the functions of the script that the task calls, too."""
    inline = {"DATAFLOW_CLUSTER": "inline"}
    call = ("    return x + y", "    return helper(x, y)")

    def helper(text: str) -> tuple[str, str]:
        return ("# Ignore specific", f"def helper(x, y):\n    return {text}\n\n# Ignore specific")

    assert run(call, helper("x + y"), **inline) == [COMPUTING, FETCHING]
    assert run(call, helper("x + y  # as before"), **inline) == []
    assert run(call, helper("y + x"), **inline) == [COMPUTING]


def test_what_expired_is_computed_again(run: Callable[..., list[str]]) -> None:
    """With an expiration of a microsecond nothing is ever found again, not even by the second call of the flow."""
    soon = ("timedelta(hours=1)", "timedelta(microseconds=1)")
    assert run(soon, DATAFLOW_CLUSTER="inline") == [COMPUTING, COMPUTING, FETCHING]
    assert run(soon, DATAFLOW_CLUSTER="inline") == [COMPUTING, COMPUTING]


def test_another_place_is_another_cache(run: Callable[..., list[str]], tmp_path: Path) -> None:
    """DATAFLOW_RESULT_STORAGE moves all results; what the policy leaves out does not count there either."""
    there = {"DATAFLOW_CLUSTER": "inline", "DATAFLOW_RESULT_STORAGE": str(tmp_path / "there")}
    assert run(DATAFLOW_CLUSTER="inline") == [COMPUTING, FETCHING]
    assert run(**there) == [COMPUTING, FETCHING]
    assert run(("debug=False)\n    data2", 'debug="no")\n    data2'), **there) == []
    assert (tmp_path / "there" / "format.json").exists()
