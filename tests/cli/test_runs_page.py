"""The page about `dataflow runs` shows what its commands print, and shows all of them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path

import pytest
from click.testing import CliRunner

from dataflow import flow, history, task
from dataflow.cli.main import main
from dataflow.cli.runs import runs
from dataflow.flow_runs import FlowRun
from dataflow.history.where import VARIABLE
from dataflow.settings import settings
from dataflow.states import StateType
from dataflow.triggers import manual_only
from tests.cli.consoles import Shown, shown_in
from tests.cli.run_examples import fill

PAGE = Path(__file__).parents[2] / "docs" / "runs-command-line.md"
STEERING = frozenset({"pause", "resume", "approve", "cancel"})


@task(trigger=manual_only)
def publish() -> None:
    """Waits."""


@task(trigger=manual_only)
def archive() -> None:
    """Waits, too."""


@flow(cluster="threads")
def weather() -> None:
    """What the last commands of the page steer."""
    publish.submit()
    archive.submit()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The history of the page, and that of this process; clocks show UTC."""
    url = f"sqlite:///{tmp_path}/history.db"
    monkeypatch.setenv(VARIABLE, url)
    monkeypatch.setenv("TZ", "UTC")
    settings.cache_clear()
    time.tzset()
    yield url
    monkeypatch.undo()
    settings.cache_clear()
    time.tzset()


def started() -> FlowRun[None]:
    """A run that waits for two approvals, once its history says so."""
    run: FlowRun[None] = weather.start()
    deadline = time.monotonic() + 20
    while [[node.count(StateType.PAUSED) for node in one.nodes] for one in history.runs(limit=1)] != [[1, 1]]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return run


def told(shown: Shown, checker: OutputChecker) -> str:
    """What is wrong with a command of the page; nothing if it tells the truth."""
    program, *words = shlex.split(shown.command)
    assert program == "dataflow"
    printed = CliRunner().invoke(main, words, prog_name="dataflow").output
    if checker.check_output(shown.output, printed, ELLIPSIS):
        return ""
    return f"{PAGE.name}:{shown.line} {shown.command}\nexpected:\n{shown.output}\nprinted:\n{printed}"


def test_the_page_tells_the_truth(url: str) -> None:
    """Each command of the page, run one after the other, prints what the page says."""
    fill(url)
    checker, wrong, run = OutputChecker(), [], None
    for shown in shown_in(PAGE.read_text(encoding="utf-8")):
        if run is None and shown.command.split()[2] in STEERING:
            run = started()
        wrong.append(told(shown, checker))
    assert run is not None
    run.wait(timeout=20)
    assert not any(wrong), "\n\n".join(filter(None, wrong))


def test_the_page_shows_every_command() -> None:
    """No command of `dataflow runs` is left out."""
    shown = {command.command.split()[2] for command in shown_in(PAGE.read_text(encoding="utf-8"))}
    assert set(runs.commands) - shown == set()
