"""What the history costs: time of a run with and without it, its size, and how long it takes to look at a run."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from dataflow.settings import settings
from tests.benchmarks.elements import MILLION, ours
from tests.benchmarks.harness import Contest, Row, compete, seconds, two_processes

__all__ = ["h1", "h2"]

VARIABLE = "DATAFLOW_HISTORY"
MEGABYTE = 1e6


@contextmanager
def history_at(url: str) -> Iterator[None]:
    """Runs inside keep their history there."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = url
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})
        settings.cache_clear()


def with_history(client: Client, url: str) -> float:
    """How long B1's million elements take, with their history kept there."""
    with history_at(url):
        return seconds(lambda: ours(client, MILLION))


def h1(repeat: int | None) -> list[Row]:
    """H1: the million elements of B1 with history, against the same without."""
    client = two_processes()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/history.db"
        with_history(client, url)  # makes the database
        contest = Contest(
            name="H1",
            what="B1's million elements with their history kept; reference the same with the history off",
            ours=functools.partial(with_history, client, url),
            reference=functools.partial(with_history, client, "off"),
            bound="<= 1.03",
            repeat=15,
        )
        return [compete(contest, repeat)]


def h2(repeat: int | None) -> list[Row]:
    """H2 and H3: the size of the database of such a run, and how long ``dataflow runs show`` takes."""
    client = two_processes()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/history.db"
        with_history(client, url)
        megabytes = sum(path.stat().st_size for path in Path(folder).iterdir()) / MEGABYTE
        show = Contest(
            name="H2",
            what="`dataflow runs show last` of a run of a million elements, the start of Python included",
            ours=functools.partial(seconds, functools.partial(show_last, url)),
            reference=lambda: 0.3,
            bound="<= 1.0",
            repeat=9,
        )
        row = compete(show, repeat)
    return [
        row,
        Row(
            name="H3",
            what="size of the database of that run in MB; reference: what it may have",
            unit="MB",
            ours=megabytes,
            reference=40.0,
            ratio=megabytes / 40.0,
            bound="<= 1.0",
        ),
    ]


def show_last(url: str) -> None:
    """Look at the newest run, as its user does."""
    command = [sys.executable, "-m", "dataflow", "runs", "show", "last", "--history", url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "1,000,000" in shown, shown
