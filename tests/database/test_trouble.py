"""A locked, full, unwritable, damaged, missing or unreachable database costs history and a warning, and never a run."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from dataflow.database import duties
from dataflow.database.pending import Pending
from dataflow.database.reader import Reader
from dataflow.database.retention import Keep
from dataflow.database.writer import Writer
from dataflow.errors import HistoryError
from tests.database import postgresql
from tests.database.examples import (
    Told,
    execution_row,
    log_row,
    node_row,
    request_row,
    run_row,
    segment_row,
)
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end do not wait for trouble to pass."""
    monkeypatch.setattr(duties, "WORTH_WAITING_SECONDS", 0.0)


@contextmanager
def writing(url: str) -> Iterator[Writer]:
    """A writer whose thread ends with the block."""
    writer = Writer(url if "://" in url else f"sqlite:///{url}", Keep())
    yield writer
    writer.close(10.0)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said so that users see it."""
    return [record.getMessage() for record in caplog.records if record.name == "dataflow" and record.levelno >= 30]


def test_a_lock_is_waited_for_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While somebody else writes for a second, rows wait; then they are there, and nothing was said."""
    path = str(tmp_path / "h.db")
    Reader(path).put([run_row("r0")])
    source = Told("r1", [run_row()])
    with writing(path) as writer, closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        writer.follow(source)
        began = time.monotonic()
        assert not writer.finish(source, 0.5)
        assert 0.4 < time.monotonic() - began < 0.9, "finish waits as long as it is told"
        assert [run.id for run in Reader(path).runs()] == ["r0"], "reading goes on"
        somebody.execute("COMMIT")
        until(lambda: len(Reader(path).runs()) == 2)
    assert warnings_in(caplog) == []


def test_a_lock_that_lasts_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning names the file and what it means; when it works again that is said, too, and nothing is missing."""
    monkeypatch.setattr("dataflow.database.sqlite_file.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("dataflow.database.health.PATIENCE_SECONDS", 0.3)
    caplog.set_level(logging.INFO)
    path = str(tmp_path / "h.db")
    Reader(path).put([run_row("r0")])
    source = Told("r1", [run_row()])
    with writing(path) as writer, closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        writer.follow(source)
        until(lambda: warnings_in(caplog))
        source.rows = [node_row()]
        somebody.execute("COMMIT")
        until(lambda: len(caplog.records) == 2)
        assert writer.finish(source, 10.0)
    assert [record.getMessage() for record in caplog.records] == [
        f"history sqlite:///{path}: is not written now (database is locked); runs go on, and it is tried again",
        f"history sqlite:///{path}: works again; no rows were lost",
    ]
    assert (len(Reader(path).runs()), len(Reader(path).nodes("e1"))) == (2, 1)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of half a megabyte; not below pytest's folder, which could not be removed while it is there."""
    folder = Path(tempfile.mkdtemp(prefix="dataflow-small-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # what a failed test left open does not matter
    folder.rmdir()


def test_a_full_disk_is_survived(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that find no space wait until there is some, and all of them are in the database then."""
    path = small_disk / "h.db"
    ballast = small_disk / "ballast"
    Reader(str(path)).put([run_row("r0")])
    ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 800_000))
    rows = [segment_row(n, n + 1, states=b"x" * 100_000) for n in range(12)]
    source = Told("r1", [run_row(), *rows])
    with writing(str(path)) as writer:
        writer.follow(source)
        until(lambda: warnings_in(caplog))
        assert [run.id for run in Reader(str(path)).runs()] == ["r0"], "all of a transaction or nothing"
        ballast.unlink()
        until(lambda: len(Reader(str(path)).runs()) == 2)
        assert writer.finish(source, 10.0)
    assert "is not written now (database or disk is full); runs go on" in warnings_in(caplog)[0]
    assert Reader(str(path)).segments("e1") == rows


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The warning says what the system said; as soon as the folder can be made, history goes on."""
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "h.db"
    source = Told("r1", [run_row()])
    with writing(str(path)) as writer:
        writer.follow(source)
        until(lambda: warnings_in(caplog))
        (tmp_path / "file").unlink()
        until(lambda: len(Reader(str(path)).runs()) == 1)
        assert writer.finish(source, 10.0)
    assert len(warnings_in(caplog)) == 1
    assert "runs go on" in warnings_in(caplog)[0]


@pytest.mark.usefixtures("impatient")
def test_what_may_only_be_read_can_be_read(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Runs on a disk that nobody may write to are read as they are; writing there ends in a warning."""
    path = str(small_disk / "h.db")
    Reader(path).put([run_row()])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert [run.id for run in Reader(path).runs()] == ["r1"]
    source = Told("r2", [run_row("r2")])
    with writing(path) as writer:
        writer.follow(source)
        assert not writer.finish(source, 10.0)
    assert "is not written now (unable to open database file); runs go on" in warnings_in(caplog)[0]
    with pytest.raises(HistoryError, match="cannot be written"):
        Reader(path).put([run_row()])


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"this is no database " * 500, "file is not a database"), (None, "database disk image is malformed")],
    ids=["something else", "damaged"],
)
def test_a_damaged_file_is_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None, problem: str
) -> None:
    """History is off for this process, which is said once, and not a byte of the file is changed."""
    path = tmp_path / "h.db"
    if content is None:
        content = damaged(path)
    path.write_bytes(content)
    source, later = Told("r1", [run_row()]), Told("r2", [run_row("r2")])
    with writing(str(path)) as writer:
        writer.follow(source)
        assert not writer.finish(source, 10.0)
        writer.follow(later)
        assert not writer.finish(later, 10.0)
    assert len(warnings_in(caplog)) == 1
    assert f"cannot be used ({problem}); runs go on, and those of this process are not kept" in warnings_in(caplog)[0]
    assert path.read_bytes() == content
    with pytest.raises(HistoryError, match=f"cannot be read: {problem}"):
        Reader(str(path)).runs()


def damaged(path: Path) -> bytes:
    """A database with nonsense in place of its second half of the first page."""
    Reader(str(path)).put([run_row()])
    content = path.read_bytes()
    path.unlink()
    return content[:100] + b"\xff" * 4_000 + content[4_100:]


def test_a_file_that_is_taken_away_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rows are not written into a file that nobody can find any more."""
    path = tmp_path / "h.db"
    source = Told("r1", [run_row(state=1)])
    with writing(str(path)) as writer:
        writer.follow(source)
        until(lambda: len(Reader(str(path)).runs()) == 1)
        for file in tmp_path.glob("h.db*"):
            file.unlink()
        assert Reader(str(path)).runs() == []
        source.rows = [run_row(state=2)]
        assert writer.finish(source, 10.0)
    assert [run.state for run in Reader(str(path)).runs()] == [2]
    assert "was taken away while runs went on; a new one is begun" in warnings_in(caplog)[0]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense://host/runs", "no database can be reached by this URL: Can't load plugin"),
        ("mysql+aiomysql://host/runs", "install the package aiomysql"),
        ("sqlite://", "can be asked by nobody"),
    ],
)
def test_a_url_that_can_never_work_is_said_once(url: str, problem: str, caplog: pytest.LogCaptureFixture) -> None:
    """The warning says what is wrong with it; runs go on without history."""
    source = Told("r1", [run_row()])
    with writing(url) as writer:
        writer.follow(source)
        assert not writer.finish(source, 10.0)
    assert len(warnings_in(caplog)) == 1
    assert problem in warnings_in(caplog)[0]
    with pytest.raises(HistoryError, match=problem.replace("'", ".")):
        Reader(url).runs()


@pytest.mark.usefixtures("impatient")
def test_a_server_that_does_not_answer_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A server that refuses connections costs a warning without the password."""
    url = "postgresql+psycopg://ada:secret@127.0.0.1:9/runs"
    source = Told("r1", [run_row()])
    with writing(url) as writer:
        writer.follow(source)
        until(lambda: warnings_in(caplog))
        assert not writer.finish(source, 10.0)
    assert "postgresql+psycopg://ada:***@127.0.0.1:9/runs: is not written now" in warnings_in(caplog)[0]
    assert "secret" not in caplog.text
    with pytest.raises(HistoryError, match=r"cannot be read: .*onnection"):
        Reader(url).runs()


@pytest.mark.servers
def test_a_server_that_ends_connections_loses_nothing(server: str) -> None:
    """When the server throws its clients out, as at a restart, the writer connects again."""
    url = postgresql.fresh(server)
    source = Told("r1", [run_row()])
    with writing(url) as writer:
        writer.follow(source)
        until(lambda: len(Reader(url).runs()) == 1)
        with closing(psycopg.connect(server.replace("+psycopg", ""), autocommit=True)) as connection:
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'dataflow'"
            connection.execute(f"SELECT pg_terminate_backend(pid) {others}")
        source.rows = [node_row()]
        assert writer.finish(source, 10.0)
    assert len(Reader(url).nodes("e1")) == 1


def test_a_row_that_no_database_takes_is_left_out(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """All other rows are written, the warning shows the row, and the execution says that one was lost."""
    rows = [node_row(number) for number in range(20)]
    rows[13] = node_row(13, length=2**70)
    source = Told("r1", rows)
    with writing(url) as writer:
        writer.follow(source)
        until(lambda: warnings_in(caplog))
        source.rows = [execution_row()]
        assert writer.finish(source, 10.0)
    assert [node.number for node in Reader(url).nodes("e1")] == [number for number in range(20) if number != 13]
    assert [execution.lost for execution in Reader(url).executions("r1")] == [1]
    assert "no database takes this row, it is left out: NodeRow(execution_id='e1', number=13" in warnings_in(caplog)[0]


def test_texts_that_databases_refuse_are_mended(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """NUL and halves of characters are what users' data may have; the row is kept with a sign in their place."""
    with writing(url) as writer:
        source = Told("r1", [run_row(message="a\x00b \ud800 ü")])
        writer.follow(source)
        assert writer.finish(source, 10.0)
    message = Reader(url).runs()[0].message
    assert message in {"a\x00b \\ud800 ü", "a\ufffdb \\ud800 ü"}
    assert warnings_in(caplog) == []


def test_memory_is_bounded_while_nothing_can_be_written(tmp_path: Path) -> None:
    """When the database comes back, runs and nodes are whole, and the execution says how many rows were dropped."""
    (tmp_path / "file").write_text("in the way")
    path = str(tmp_path / "file" / "h.db")
    with writing(path) as writer:
        writer._duties.pending = Pending(limit_bytes=200_000)
        source = Told("r1", [run_row(), execution_row(), node_row()])
        source.rows += [segment_row(n, n + 1, states=b"x" * 10_000) for n in range(50)]
        source.rows += [log_row(b"line")]
        writer.follow(source)
        assert source.was_collected.wait(10)
        (tmp_path / "file").unlink()
        assert writer.finish(source, 0.0) in {True, False}
        until(lambda: Reader(path).runs())
    kept = len(Reader(path).segments("e1"))
    assert 10 <= kept < 20
    assert [execution.lost for execution in Reader(path).executions("r1")] == [50 - kept]
    assert len(Reader(path).nodes("e1")) == len(Reader(path).logs("e1")) == 1


def test_requests_that_cannot_be_passed_on_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that raises at a request keeps its history."""
    monkeypatch.setattr(duties, "ASK_SECONDS", 0.0)
    path = str(tmp_path / "h.db")
    source = Told("r1", [run_row()])
    source.asked = lambda request: {}[request.kind]  # type: ignore[method-assign]
    Reader(path).put([request_row("q")])
    with writing(path) as writer:
        writer.follow(source)
        until(lambda: warnings_in(caplog))
        source.rows = [node_row()]
        assert writer.finish(source, 10.0)
    assert warnings_in(caplog) == ["run r1: could not be asked to cancel"]
    assert len(Reader(path).nodes("e1")) == 1


WRITES = """
import sys, time
from dataflow.database.writer import writer_of
from tests.database.examples import Told, run_row, segment_row
source, number = Told("r1", [run_row()]), 0
writer_of(sys.argv[1]).follow(source)
while True:
    source.rows = source.rows + [segment_row(n, n + 1, states=b"x" * 5000) for n in range(number, number + 100)]
    number += 100
    with writer_of(sys.argv[1])._condition:
        writer_of(sys.argv[1])._wake()
    time.sleep(0.001)
"""


def test_a_killed_process_leaves_a_sound_database(tmp_path: Path) -> None:
    """Kill -9 in the middle of writing: the file opens, SQLite finds no fault in it, what was committed is there."""
    path = tmp_path / "h.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "results")))}
    process = subprocess.Popen([sys.executable, "-c", WRITES, str(path)], env=environment)
    until(lambda: len(Reader(str(path)).segments("e1")) > 1_000)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [run.id for run in Reader(str(path)).runs()] == ["r1"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    Reader(str(path)).put([run_row("r2")])
    assert len(Reader(str(path)).runs()) == 2
