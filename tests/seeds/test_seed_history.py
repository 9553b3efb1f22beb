"""The examples the product was asked for with that tell something: lines of logs, hooks and artifacts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("artifacts", "hooks", "stars")
ARTIFACTS = """
Batch processing progress
[##############################] 100 %

output-data: Link to processed data
Download Output: https://storage.example.com/output.csv

customer-list: Current customer status
id   name       status
001  Acme Corp  Active
002  TechStart  Pending

daily-report: Daily processing report
# Daily Report

## Summary
Processing completed successfully.

## Statistics
| Metric | Value |
|--------|-------|
| Records Processed | 1,000 |
| Success Rate | 99.5% |
| Duration | 45s |
"""


@pytest.fixture(scope="module")
def printed() -> Mapping[str, list[str]]:
    """What each example prints, and the process after it; side by side, because one of them sleeps for 5 seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        drawing = importlib.import_module("draw_seeds")
    examples = {example.name: example for example in drawing.EXAMPLES}
    with ThreadPoolExecutor(len(NAMES)) as pool:
        outputs = pool.map(lambda name: drawing.run(examples[name], cluster="threads"), NAMES)
        return dict(zip(NAMES, outputs, strict=True))


def test_creating_artifacts(printed: Mapping[str, list[str]]) -> None:
    """Seed 004: it prints nothing; another process finds all four artifacts in the history, the newest first."""
    during, afterwards = printed["artifacts"]
    assert during == ""
    assert afterwards.strip() == ARTIFACTS.strip()


def test_state_change_hooks(printed: Mapping[str, list[str]]) -> None:
    """Seed 004: a hook for each call of the task; the flow fails, so its hook for completion is not called."""
    (output,) = printed["hooks"]
    assert output.splitlines() == [
        "Task risky_task completed successfully",
        "Task risky_task failed with message: ValueError: Intentional failure",
        "Traceback (most recent call last):",
        "  ...",
        "ValueError: Intentional failure",
    ]


def test_creating_a_basic_flow(printed: Mapping[str, list[str]]) -> None:
    """Seed 004: with log_prints the print is a line of the log, shown as one."""
    assert printed["stars"] == ["12:00:00.000 | INFO    | get_stars | PrefectHQ/prefect has 21674 stars!\n"]
