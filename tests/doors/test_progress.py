"""How far a run is, as a table, plain lines or JSON lines: what is shown, when, and that it ends with the run."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client
from rich.console import Console

from dataflow import Flow, flow, task
from dataflow.errors import TaskDefinitionError
from dataflow.progress import display
from dataflow.progress.lines import Line, Picture, json_lines, plain_line
from dataflow.progress.plain import PlainPainter
from dataflow.progress.table import drawn, fitted
from dataflow.progress.watching import Watch
from dataflow.settings import settings


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a test are shown from their beginning, and often."""
    monkeypatch.setattr(display, "START_SECONDS", 0.02)
    monkeypatch.setattr(PlainPainter, "every_seconds", 0.05)


@task
def slow(x: int) -> int:
    """Takes a moment; every tenth fails."""
    time.sleep(0.002)
    if x % 10 == 7:
        raise LookupError(f"no record {x}")
    return x


@task
def add(xs: Any) -> Any:
    """Of all."""
    return sum(xs)


def picture_of(*lines: Line, **changes: Any) -> Picture:
    """A run of these nodes."""
    whole: dict[str, Any] = {"flow": "nightly", "run_id": "5f2a9c0d1e3b", "seconds": 12.34, "threads": 8, "batches": 16}
    return Picture(lines=lines, **{**whole, **changes})


def display_threads() -> list[str]:
    """The threads that show progress now."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dataflow-progress")]


def screen_of(picture: Picture, *, width: int = 100, height: int = 20) -> list[str]:
    """The lines that a terminal shows."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="standard", record=True)
    console.print(drawn(picture, width=width, height=height))
    return [line.rstrip() for line in console.export_text().splitlines()]


LOAD = Line(name="load", done=40_000, total=100_000, failed=3, rate=8_900.0, is_begun=True)
CLEAN = Line(name="clean", done=100, total=None, waiting=2, is_begun=True)
TOTAL = Line(name="total", total=1)
READ = Line(name="read", nodes=120, done=120, total=120, cached=100, rate=3.25, is_begun=True)


def test_table_has_a_line_for_each_node() -> None:
    """Header, bars, ended and all elements, what is special of some of them, rate and remaining time."""
    assert screen_of(picture_of(LOAD, CLEAN, TOTAL, READ)) == [
        "nightly  5f2a9c0d1e3b  12.3 s  8 threads  16 batches",
        "load              ━━━━━━━━━╸──────────────  40,000/100,000   40 %  3 failed    8,900/s  ETA 7 s",
        "clean             ────────────────────────           100/?         2 waiting",
        "total             ────────────────────────             0/1    0 %",
        "read (120 calls)  ━━━━━━━━━━━━━━━━━━━━━━━━         120/120  100 %  100 cached    3.2/s",
    ]


def test_table_of_a_narrow_terminal_has_short_bars() -> None:
    """Where there is little room, no line is longer than the terminal is wide."""
    lines = screen_of(picture_of(LOAD, TOTAL), width=72)
    assert lines[1] == "load   ━━━━──────  40,000/100,000  40 %  3 failed  8,900/s  ETA 7 s"
    assert max(map(len, lines)) <= 72


def test_long_names_make_room_for_the_numbers() -> None:
    """In a narrow terminal a long name is cut, and not the numbers beside it."""
    lines = screen_of(picture_of(LOAD, Line(name="a_name_that_is_rather_long", total=10)), width=76)
    assert lines[1:] == [
        "load            ━━━━──────  40,000/100,000  40 %  3 failed  8,900/s  ETA 7 s",
        "a_name_that_i…  ──────────            0/10   0 %",
    ]


def test_header_tells_attempt_and_end() -> None:
    """A later attempt has its number; when the run has ended its state stands there instead of the load."""
    assert screen_of(picture_of(attempt=2))[0] == "nightly  5f2a9c0d1e3b  attempt 2  12.3 s  8 threads  16 batches"
    assert screen_of(picture_of(state="Failed", seconds=200.0))[0] == "nightly  5f2a9c0d1e3b  3 min 20 s  Failed"


def test_what_runs_is_shown_where_not_all_fits() -> None:
    """In a low terminal what has ended is summed up in one line, and what runs stands before what has not begun."""
    ended = [Line(name=f"ended-{n}", done=10, total=10, failed=1, is_begun=True) for n in range(30)]
    later = [Line(name=f"later-{n}", total=10) for n in range(30)]
    running = [Line(name=f"running-{n}", done=1, total=10, is_begun=True) for n in range(2)]
    shown, rest = fitted([*ended, *later, *running], 5)
    assert [line.name for line in shown] == ["later-0", "later-1", "running-0", "running-1"]
    assert rest == "30 ended (300 elements, 30 failed), 28 not begun"
    assert len(screen_of(picture_of(*ended, *later, *running), height=6)) == 6


def test_all_is_shown_where_it_fits() -> None:
    """With enough room nothing is left out, and the order is that of the flow."""
    assert fitted([READ, TOTAL, LOAD], 3) == ([READ, TOTAL, LOAD], "")


def test_plain_line_tells_the_same() -> None:
    """A line for a log, with the time of the day."""
    assert plain_line(LOAD, 0.0)[8:] == " load 40,000/100,000 40 % 3 failed 8,900/s ETA 7 s"
    assert plain_line(CLEAN, 0.0)[8:] == " clean 100/? 2 waiting"


def test_plain_lines_come_with_every_tenth_and_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """A node gets a line when it begins, another tenth has ended, 10 s have passed with news, or it has ended."""
    painter = PlainPainter()
    for now, done in ((0, 0), (1, 5), (2, 8), (3, 15), (4, 16), (13, 17), (26, 17), (27, 100)):
        line = Line(name="load", done=done, total=100, is_begun=done > 0)
        painter.draw(picture_of(line), float(now))
    assert [text.split()[2] for text in capsys.readouterr().err.splitlines()] == [
        "5/100",
        "15/100",
        "17/100",
        "100/100",
    ]


def test_json_lines_hold_all_numbers() -> None:
    """An object per node, on a line of its own."""
    (line,) = json_lines(picture_of(LOAD), 1_700_000_000.0).splitlines()
    assert json.loads(line) == {
        "time": 1_700_000_000.0, "flow": "nightly", "run": "5f2a9c0d1e3b", "attempt": 1, "state": "", "node": "load",
        "nodes": 1, "done": 40_000, "total": 100_000, "failed": 3, "cancelled": 0, "cached": 0, "skipped": 0,
        "waiting": 0, "rate": 8_900.0, "eta_seconds": 6.742,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "on_terminal", "elsewhere"),
    [
        ("auto", "table", "off"),
        ("on", "table", "plain"),
        (True, "table", "plain"),
        ("plain", "plain", "plain"),
        ("json", "json", "json"),
        ("off", "off", "off"),
        (False, "off", "off"),
        (None, "table", "off"),
    ],
)
def test_modes(wanted: str | bool | None, on_terminal: str, elsewhere: str) -> None:
    """What a flow, or the setting, says is shown on a terminal and elsewhere."""
    assert display.mode_of(wanted, is_terminal=True) == on_terminal
    assert display.mode_of(wanted, is_terminal=False) == elsewhere


@pytest.fixture
def setting_json(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The setting says JSON lines."""
    monkeypatch.setenv("DATAFLOW_PROGRESS", "json")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("setting_json")
def test_setting_holds_where_the_flow_says_nothing() -> None:
    """The environment decides for flows without the option."""
    assert display.mode_of(None, is_terminal=False) == "json"
    assert display.mode_of("off", is_terminal=False) == "off"


def test_option_is_checked() -> None:
    """A word that means nothing is refused where the flow is made."""
    with pytest.raises(TaskDefinitionError, match='progress= takes "auto", "on"'):
        flow(progress="loud")(lambda: 1)


def test_plain_progress_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines while it runs, how it ended, each reason with one traceback, and the commands that lead on."""

    @flow(cluster="inline", progress="plain")
    def work() -> Any:
        return add(slow.map(range(100)), return_state=True)

    state: Any = work(return_state=True)
    lines = [line[9:] if line[2:3] == ":" else line for line in capsys.readouterr().err.splitlines()]
    assert any(line.startswith("slow ") and "/100 " in line for line in lines)
    start = lines.index(next(line for line in lines if line.startswith(f"work {state.run.id} ")))
    assert any(line.startswith("slow 100/100 100 % 10 failed") for line in lines[:start])
    assert lines[start].startswith(f"work {state.run.id} UpstreamFailed after ")
    assert lines[start + 1 : start + 5] == [
        "",
        "slow: 10 failed: LookupError: no record 7 (and others like it)",
        "  elements 7, 17, 27, 37, 47, 57, 67, 77, … (10 elements)",
        "  not run because of it: add",
    ]
    assert lines[-2:] == [f"dataflow runs show {state.run.id}", f"dataflow runs story {state.run.id} 'slow[7]'"]


def test_json_progress_of_a_short_run_on_a_cluster(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """However short a run is, its end is told, and that of the graph door too."""
    with Flow("sums", progress="json") as sums:
        add(slow.map(range(5)))
    sums.run(cluster=client)
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    ended = {entry["node"]: entry for entry in found if entry["state"] == "Completed"}
    assert {name: (entry["done"], entry["total"]) for name, entry in ended.items()} == {"slow": (5, 5), "add": (1, 1)}


def test_attempts_of_a_flow_share_a_display(capsys: pytest.CaptureFixture[str]) -> None:
    """A flow that is tried again is shown as one run, with the number of the attempt."""
    tries = []

    @flow(cluster="inline", progress="json", retries=1)
    def moody() -> int:
        tries.append(slow(1))
        if len(tries) == 1:
            raise ConnectionError("not now")
        return len(tries)

    assert moody() == 2
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["attempt"], last["state"], last["done"]) == (2, "Completed", 1)


def test_async_flows_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The display ends with a flow on an event loop, too."""

    @flow(cluster="inline", progress="json")
    async def work() -> int:
        return slow(1)

    assert asyncio.run(work()) == 1
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["state"] == "Completed"


def test_interrupted_runs_end_their_display(capsys: pytest.CaptureFixture[str]) -> None:
    """After Ctrl-C the thread has ended, and the last line says what happened."""

    @flow(cluster="inline", progress="json")
    def work() -> None:
        slow(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert display_threads() == []
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["state"] == "Interrupted"


def test_flows_in_flows_have_no_display_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the outermost flow is shown, however the inner one is set."""

    @flow(progress="json")
    def inner() -> int:
        return slow(1)

    @flow(cluster="inline", progress="json")
    def outer() -> int:
        return inner()

    outer()
    assert {json.loads(line)["flow"] for line in capsys.readouterr().err.splitlines()} <= {"outer"}


def test_flows_that_a_flow_waits_for_are_shown_with_it() -> None:
    """While a body waits for another flow, the nodes of that one stand below its own."""
    seen: list[str] = []
    is_watched = threading.Event()

    @task
    def step(x: int) -> int:
        return x

    @flow
    def inner() -> int:
        value = step(1)
        assert is_watched.wait(10)
        seen.extend(line.name for line in watch.look(1.0, began=0.0).lines)
        return value

    @flow(cluster="inline")
    def outer() -> int:
        return step(2) + inner()

    run = outer.start()
    watch = Watch(run.run)
    is_watched.set()
    assert run.result() == 3
    assert seen == ["step", "inner/step"]
    assert [line.name for line in watch.look(2.0, began=0.0).lines] == ["step"]


def test_many_calls_of_one_task_are_one_line() -> None:
    """A loop of submits does not fill the screen."""

    @flow(cluster="inline")
    def loop() -> int:
        return sum(future.result() for future in [slow.submit(x) for x in range(5)])

    state = loop(return_state=True)
    (line,) = Watch(state.run).look(time.time(), began=0.0).lines
    assert (line.label, line.done, line.total) == ("slow (5 calls)", 5, 5)


def test_nothing_is_shown_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """By default logs, pipes and notebooks stay as they are, and there is no thread."""

    @flow(cluster="inline")
    def work() -> list[str]:
        slow.map(range(20), return_state=True)
        return display_threads()

    assert work() == []
    assert capsys.readouterr().err == ""


def test_elements_that_wait_are_counted_where_they_wait() -> None:
    """Of two tasks that run together, only the one that is tried again has waiting elements."""

    @task(retries=1, retry_delay_seconds=30)
    def moody(x: int) -> int:
        raise ConnectionError("not now")

    @task
    def load(x: int) -> int:
        return x

    @flow(cluster="threads")
    def work() -> None:
        moody.map(load.map(range(4)))

    run = work.start()
    watch = Watch(run.run)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        waiting = {line.name: line.waiting for line in watch.look(time.time(), began=0.0).lines}
        if waiting.get("moody") == 4:
            break
        time.sleep(0.02)
    run.cancel()
    run.wait()
    assert waiting == {"load": 0, "moody": 4}
