"""The writer pulls rows from any number of sources into one database, passes requests on, and ends by itself."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataflow.database import duties
from dataflow.database.reader import Reader
from dataflow.database.retention import Keep
from dataflow.database.writer import THREAD_NAME, Writer, writer_of
from tests.database.examples import (
    Raising,
    Told,
    batch_row,
    execution_row,
    log_row,
    node_row,
    request_row,
    run_row,
    segment_row,
)
from tests.waiting import until

ROOT = Path(__file__).parents[2]
DAY = 86_400.0


def told(run_id: str, execution_id: str) -> list:
    """What a small run has to tell."""
    return [
        run_row(run_id),
        execution_row(execution_id, run_id),
        node_row(0, execution_id),
        segment_row(0, 10, execution_id),
        batch_row(1, execution_id),
        log_row(b"line", execution_id),
    ]


def test_all_that_a_source_tells_is_kept(url: str) -> None:
    """When finish gives True, every row is in the database as it was told."""
    rows = told("r1", "e1")
    writer, source = writer_of(url), Told("r1", rows)
    writer.follow(source)
    assert writer.finish(source, 10.0)
    reader = Reader(url)
    found = [*reader.runs(), *reader.executions("r1"), *reader.nodes("e1"), *reader.segments("e1")]
    assert [*found, *reader.batches("e1"), *(row for _, row in reader.logs("e1"))] == rows


def test_later_rows_replace_earlier_ones(url: str) -> None:
    """The run that was running has ended, and there is one row of it."""
    writer, source = writer_of(url), Told("r1", [run_row(state=1)])
    writer.follow(source)
    until(lambda: [run.state for run in Reader(url).runs()] == [1])
    source.rows = [run_row(state=2, ended=101.0)]
    assert writer.finish(source, 10.0)
    assert [(run.state, run.ended) for run in Reader(url).runs()] == [(2, 101.0)]


def test_requests_are_passed_on_once_and_answers_are_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process asks of a run reaches its source, and the answer that the source tells replaces it."""
    monkeypatch.setattr(duties, "ASK_SECONDS", 0.0)
    writer, source, other = writer_of(url), Told("r1", [run_row()]), Told("r2", [run_row("r2")])
    writer.follow(source)
    writer.follow(other)
    Reader(url).put([request_row("q1", asked=1.0), request_row("q0", answered=1.0), request_row("q2", "r3")])
    assert source.was_asked.wait(10)
    rounds = source.collected
    until(lambda: source.collected >= rounds + 3)
    source.rows = [request_row("q1", answered=2.0, answer="true")]
    until(lambda: not Reader(url).requests("r1", open_only=True))
    assert writer.finish(source, 10.0)
    assert writer.finish(other, 10.0)
    assert [request.id for request in source.requests] == ["q1"]
    assert other.requests == []
    assert [(row.id, row.answered, row.answer) for row in Reader(url).requests("r1")] == [
        ("q0", 1.0, ""),
        ("q1", 2.0, "true"),
    ]


def test_many_threads_write_at_once_and_nothing_is_missing(url: str) -> None:
    """Twenty threads with ten runs each, all through one thread that writes: every row is there."""

    def run(number: int) -> bool:
        ids = [f"{number}-{run}" for run in range(10)]
        sources = [Told(run_id, told(run_id, f"e{run_id}")) for run_id in ids]
        for source in sources:
            writer_of(url).follow(source)
        return all(writer_of(url).finish(source, 30.0) for source in sources)

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(run, range(20)))
    reader = Reader(url)
    found = {run.id for run in reader.runs()}
    assert found == {f"{number}-{run}" for number in range(20) for run in range(10)}
    assert all(len(reader.segments(f"e{run_id}")) == len(reader.logs(f"e{run_id}")) == 1 for run_id in found)


def test_the_thread_ends_by_itself_and_begins_again(tmp_path: Path) -> None:
    """There is one thread while something is followed, none a moment later, and one again for the next run."""
    writer = writer_of(f"{tmp_path}/history.db")
    for run_id in ("r1", "r2"):
        source = Told(run_id, [run_row(run_id)])
        writer.follow(source)
        thread = writer._thread
        assert thread is not None
        assert (thread.name, thread.daemon) == (THREAD_NAME, True)
        assert writer.finish(source, 10.0)
        thread.join(3.0)
        assert not thread.is_alive()
    assert len(Reader(f"{tmp_path}/history.db").runs()) == 2
    assert not (tmp_path / "history.db-wal").exists(), "the last connection was not closed"


def test_one_writer_for_one_database(tmp_path: Path) -> None:
    """Different spellings of a URL give the same writer."""
    assert writer_of(f"{tmp_path}/history.db") is writer_of(f"sqlite:///{tmp_path}/history.db")
    assert writer_of(f"{tmp_path}/history.db") is not writer_of(f"{tmp_path}/other.db")


def test_a_source_that_raises_costs_only_its_own_history(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the run; others are kept."""
    writer, raising, other = writer_of(f"{tmp_path}/h.db"), Raising("r1"), Told("r2", [run_row("r2")])
    writer.follow(raising)
    writer.follow(other)
    assert not writer.finish(raising, 10.0)
    assert writer.finish(other, 10.0)
    assert [record.getMessage() for record in caplog.records] == ["run r1: its history ends here; the run goes on"]
    assert [run.id for run in Reader(f"{tmp_path}/h.db").runs()] == ["r2"]


def test_who_is_finished_is_let_go(tmp_path: Path) -> None:
    """Nothing of the writer keeps a run in memory when finish has returned."""
    writer, source = writer_of(f"{tmp_path}/h.db"), Told("r1", [run_row()])
    writer.follow(source)
    assert writer.finish(source, 10.0)
    gone = weakref.ref(source)
    del source
    assert gone() is None


def test_what_is_not_followed_is_not_finished(tmp_path: Path) -> None:
    """Finishing twice, or what never was followed, gives False at once."""
    assert not writer_of(f"{tmp_path}/h.db").finish(Told(), 10.0)
    assert not (tmp_path / "h.db").exists()


def test_follow_takes_no_time(tmp_path: Path) -> None:
    """Nothing is opened by the thread of the run: a thousand sources are followed within a moment."""
    writer = writer_of(f"{tmp_path}/h.db")
    sources = [Told(f"r{number}", [run_row(f"r{number}")]) for number in range(1_000)]
    began = time.perf_counter()
    for source in sources:
        writer.follow(source)
    assert time.perf_counter() - began < 1.0
    assert all(writer.finish(source, 10.0) for source in sources)
    assert len(Reader(f"{tmp_path}/h.db").runs()) == 1_000


def test_old_runs_are_forgotten_while_others_run(url: str) -> None:
    """The writer takes away what is older than is kept, with all that belongs to it, and leaves what goes on."""
    now = time.time()
    reader = Reader(url)
    for number in range(5):
        begun = now - (number * 10 + 1) * DAY
        reader.put([*told(f"r{number}", f"e{number}"), run_row(f"r{number}", started=begun)])
    reader.put([run_row("suspended", started=now - 900 * DAY, state=14)])
    writer, source = Writer(url, Keep(days=15.0, runs=None)), Told("new", [run_row("new", started=now)])
    writer.follow(source)
    until(lambda: [run.id for run in reader.runs()] == ["new", "r0", "r1", "suspended"])
    assert writer.finish(source, 10.0)
    assert (reader.segments("e2"), reader.logs("e2"), reader.nodes("e2"), reader.executions("r2")) == ([], [], [], [])
    assert len(reader.segments("e1")) == 1


def test_forgotten_runs_give_their_space_back(tmp_path: Path) -> None:
    """The file becomes smaller when most of what is in it was deleted."""
    path = tmp_path / "h.db"
    reader = Reader(str(path))
    reader.put([*told("r1", "e1"), *(segment_row(n, n + 1, states=b"x" * 100_000) for n in range(50))])
    before = path.stat().st_size
    assert before > 5_000_000
    assert path.stat().st_mode & 0o777 == 0o600
    reader.delete_runs(["r1"])
    assert path.stat().st_size < before / 10


def in_a_process(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """What another interpreter says."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "results")))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


AT_EXIT = """
import sys
from dataflow.database.writer import writer_of
from tests.database.examples import Told, run_row
writer_of(sys.argv[1]).follow(Told("r1", [run_row()]))
"""


def test_what_is_left_at_the_end_of_the_process_is_written(tmp_path: Path) -> None:
    """A run that nobody finished is in the database though the process ended at once."""
    done = in_a_process(AT_EXIT, str(tmp_path / "h.db"))
    assert (done.stdout, done.stderr) == ("", "")
    assert [run.id for run in Reader(str(tmp_path / "h.db")).runs()] == ["r1"]


FORKED = """
import os, sys, warnings
from dataflow.database.writer import writer_of
from tests.database.examples import Told, run_row
url = sys.argv[1]
writer, source = writer_of(url), Told("parent", [run_row("parent")])
writer.follow(source)
source.was_collected.wait(10)
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    its = Told("child", [run_row("child")])
    writer.follow(its)
    os._exit(0 if writer.finish(its, 10.0) and not writer.finish(source, 0.1) else 1)
print(os.waitpid(child, 0)[1])
source.rows = [run_row("parent", state=3)]
print(writer.finish(source, 10.0))
"""


def test_a_forked_process_has_a_writer_of_its_own(url: str) -> None:
    """Parent and child write into one database, each its own runs."""
    done = in_a_process(FORKED, url)
    assert (done.stdout, done.stderr) == ("0\nTrue\n", "")
    assert sorted((run.id, run.state) for run in Reader(url).runs()) == [("child", 2), ("parent", 3)]


LOADED = """
import sys
from dataflow.database import duties
from dataflow.database.reader import Reader
from dataflow.database.writer import writer_of
from tests.database.examples import Told, run_row
source = Told("r1", [run_row()])
writer_of(sys.argv[1]).follow(source)
writer_of(sys.argv[1]).finish(source, 10.0)
print(len(Reader(sys.argv[1]).runs()))
print([name for name in ("sqlalchemy", "alembic", "distributed", "numpy") if name in sys.modules])
"""


def test_a_sqlite_file_is_made_written_and_read_without_sqlalchemy(tmp_path: Path) -> None:
    """Its import takes longer than a small flow and than most questions."""
    done = in_a_process(LOADED, str(tmp_path / "h.db"))
    assert (done.stdout, done.stderr) == ("1\n[]\n", "")


def test_nothing_is_logged_when_all_is_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The history is silent."""
    caplog.set_level(logging.DEBUG)
    writer, source = writer_of(f"{tmp_path}/h.db"), Told("r1", [run_row()])
    writer.follow(source)
    assert writer.finish(source, 10.0)
    assert caplog.records == []
