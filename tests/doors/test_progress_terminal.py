"""Progress on a real terminal: what the screen shows while a flow runs and after, read by a terminal emulator."""

from __future__ import annotations

import bdb
import fcntl
import io
import logging
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte
import pytest
from rich.console import Console

from dataflow.engine.capture import HeardStream
from dataflow.progress.redirecting import redirected
from dataflow.progress.screen import in_debugger
from tests.processes import printed_by

COLUMNS, LINES = 100, 60
PATIENCE_SECONDS = 60.0
PROGRAM = """
import sys, time
from dataflow import flow, task
from dataflow.progress import display
display.START_SECONDS = 0.05

@task
def load(x):
    time.sleep(0.01)
    if x == 17:
        raise LookupError("record 17 has no name")
    return x

@task(batch_size=10)
def clean(x):
    return x

@flow(cluster="inline")
def nightly():
    found = clean.map(load.map(range(int(sys.argv[1]))))
    found[5].result()
    print("said by the flow")
    print("warned by the flow", file=sys.stderr)
    found.wait()

state = nightly(return_state=True)
print("ended", state.name)
"""


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, program: Path, *arguments: str, stdout: Any = None) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, str(program), *arguments],
            stdin=slave,
            stdout=stdout or slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "DATAFLOW_PROGRESS": "auto", "DATAFLOW_HISTORY": "off"},
        )
        os.close(slave)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen now."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def hides_cursor(self) -> bool:
        """Whether the cursor cannot be seen now."""
        return bool(self.screen.cursor.hidden)

    def wait_for(self, shown: Callable[[list[str]], bool]) -> list[str]:
        """Go on until the screen shows something; gives what it shows then."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not shown(self.lines):
            assert self._read(), "\n".join(["the program ended with", *self.lines])
            assert time.monotonic() < deadline, "\n".join(self.lines)
        return self.lines

    def wait_for_end(self) -> list[str]:
        """Go on until the program has ended; gives what the screen shows then."""
        while self._read():
            pass
        self.process.wait(PATIENCE_SECONDS)
        return self.lines

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # so Linux says that nobody has the other end open
            return False
        self._stream.feed(data)
        return bool(data)

    def close(self) -> None:
        """End the program, if it still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(folder: Path, *arguments: str, stdout: Any = None) -> Iterator[Terminal]:
    """The program in a terminal."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    opened = Terminal(program, *arguments, stdout=stdout)
    try:
        yield opened
    finally:
        opened.close()


def test_table_while_it_runs_and_after(tmp_path: Path) -> None:
    """A table below what is printed; at the end once more, then the reasons, the elements they hit and the commands."""
    with terminal(tmp_path, "150") as opened:
        said = ["said by the flow", "warned by the flow"]
        running = opened.wait_for(lambda lines: lines[:2] == said and "ETA" in lines[-1])
        assert running[2].startswith("nightly  ")
        assert [line.split()[0] for line in running[3:]] == ["load", "clean"]
        assert all("─" in line and "/150" in line for line in running[3:])
        assert opened.hides_cursor()
        ended = opened.wait_for_end()
        assert not opened.hides_cursor()
    run_id = ended[2].split()[1]
    assert ended[2].endswith("Completed")  # the flow has looked at the node itself
    assert "150/150  100 %  1 failed" in ended[3]
    assert ended[5:8] == [
        "load: 1 failed: LookupError: record 17 has no name",
        "  elements 17",
        "  not run because of it: clean (1)",
    ]
    assert ended[8].strip() == "Traceback (most recent call last):"
    assert ended[-3:] == [f"dataflow runs show {run_id}", f"dataflow runs story {run_id} 'load[17]'", "ended Completed"]


def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    """After Ctrl-C the cursor is back, the last table says so, and what goes to a file never came to the screen."""
    with (tmp_path / "out.txt").open("w") as file, terminal(tmp_path, "8000", stdout=file) as opened:
        opened.wait_for(lambda lines: lines[:1] == ["warned by the flow"] and "ETA" in lines[-1])
        opened.process.send_signal(signal.SIGINT)
        ended = opened.wait_for_end()
    assert not opened.hides_cursor()
    assert any(line.startswith("nightly  ") and line.endswith("Interrupted") for line in ended), "\n".join(ended)
    assert ended[-1] == "KeyboardInterrupt"
    assert "said by the flow" not in "\n".join(ended)
    assert (tmp_path / "out.txt").read_text() == "said by the flow\n"


class Tty(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_who_listens_to_prints_goes_on_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams and handlers lead to the console while a table stands, below what listens, and not afterwards."""
    real, shown = Tty(), io.StringIO()
    heard, logger = HeardStream(real), logging.getLogger("dataflow.tests")
    handler = logging.StreamHandler(real)
    monkeypatch.setattr(sys, "stdout", heard)
    monkeypatch.setattr(sys, "stderr", real)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        undo = redirected(Console(file=shown, width=80))
        print("printed")
        print("warned", file=sys.stderr)
        logger.warning("logged")
        assert sys.stdout is heard
        undo()
    finally:
        logger.removeHandler(handler)
    print("after")
    assert (shown.getvalue(), real.getvalue()) == ("printed\nwarned\nlogged\n", "after\n")
    assert (sys.stdout, heard.stream, sys.stderr, handler.stream) == (heard, real, real, real)


def seen_by_a_debugger() -> tuple[bool, bool]:
    """Whether a debugger is seen while it stands in a function, and afterwards."""
    seen: list[bool] = []

    class Debugger(bdb.Bdb):
        def user_line(self, frame: Any) -> None:
            seen.append(in_debugger())

    Debugger().runcall(lambda: None)
    return seen[0], in_debugger()


def test_nothing_moves_while_a_debugger_asks() -> None:
    """A debugger that stands in the code is seen, from any thread."""
    statement = "from tests.doors.test_progress_terminal import seen_by_a_debugger as seen; print(*seen())"
    assert printed_by("-c", statement) == "True False"
