"""Lines of logs on stderr as they come."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dataflow import flow, get_run_logger, task
from dataflow.engine.notices import LOG, PlacedNotice
from dataflow.log_display import LogDisplay, line_of
from dataflow.run_facts import RunFacts

FACTS = RunFacts(id="5d2c1f0a9b3e", flow="etl")


@task
def load(number: int) -> None:
    print("printed", number)
    get_run_logger().warning("logged %d", number)


def printing() -> None:
    get_run_logger().info("begun")
    load.map(range(2)).wait()


def shown(text: str) -> list[str]:
    """Lines without their times."""
    return [re.sub(r"^\d\d:\d\d:\d\d\.\d\d\d", "TIME", line) for line in text.splitlines()]


def test_lines_are_shown_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """With show_logs each line stands on stderr with its time, level and place, and is not printed a second time."""
    flow(printing, name="etl", cluster="inline", show_logs=True)()
    printed, lines = capsys.readouterr()
    assert printed == ""
    assert shown(lines) == [
        "TIME | INFO    | etl | begun",
        "TIME | print   | load[0] | printed 0",
        "TIME | WARNING | load[0] | logged 0",
        "TIME | print   | load[1] | printed 1",
        "TIME | WARNING | load[1] | logged 1",
    ]


def test_nothing_is_shown_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise prints are prints, and log lines go to the handlers that users set up."""
    flow(printing, name="etl", cluster="inline")()
    printed, lines = capsys.readouterr()
    assert (printed, lines) == ("printed 0\nprinted 1\n", "")


def notice(number: int, name: str = "print", node: Any = None) -> PlacedNotice:
    """A line."""
    return PlacedNotice(LOG, node, None, 1, 0.0, (20, name, f"line {number}"))


def test_no_more_is_shown_than_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Of more than 200 lines in a second the others are counted, and where they are is said a second later."""
    now = 100.0
    display = LogDisplay(lambda: FACTS, shows=True, clock=lambda: now)
    display.hear([notice(number) for number in range(1434)])
    now = 101.5
    display.hear([notice(2000)])
    display.hear([notice(number) for number in range(3000, 3201)])
    display.close()
    lines = shown(capsys.readouterr().err)
    assert lines[199:203] == [
        "TIME | INFO    | etl | line 199",
        "... 1,234 more lines: dataflow runs logs 5d2c1f0a9b3e",
        "TIME | INFO    | etl | line 2000",
        "TIME | INFO    | etl | line 3000",
    ]
    assert lines[-1] == "... 2 more lines: dataflow runs logs 5d2c1f0a9b3e"


def test_a_terminal_gets_colours() -> None:
    """The level is coloured, and what is not the message is dim."""
    line = PlacedNotice(LOG, SimpleNamespace(slug="load"), 17, 2, 0.0, (40, "root", "no rows"))  # type: ignore[arg-type]
    assert line_of(line, "etl")[13:] == "| ERROR   | load[17] (attempt 2) | no rows"
    assert line_of(line, "etl", in_colour=True).endswith(
        "\x1b[31mERROR  \x1b[0m \x1b[2m| load[17] (attempt 2) |\x1b[0m no rows"
    )


def test_a_closed_stream_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody reads stderr any more, or there is none, lines are not shown, and the run goes on."""
    with open("/dev/null", "w") as closed:  # noqa: PTH123 - any stream
        pass
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        LogDisplay(lambda: FACTS, shows=True).hear([notice(1)])
