"""The command `dataflow runs`: what it prints, as text and as JSON, and how it ends when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataflow import flow, history, task
from dataflow.cli.main import main
from dataflow.cli.runs import runs
from dataflow.history.where import VARIABLE
from dataflow.states import StateType
from dataflow.triggers import manual_only
from tests.cli.run_examples import CRASHED, FAILED, FIRST, fill
from tests.waiting import until

Run = Callable[..., Result]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The history of the page about the command line."""
    url = f"sqlite:///{tmp_path}/history.db"
    fill(url)
    return url


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clocks show UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def run(url: str, here: None) -> Run:
    """Runs `dataflow runs` with that history, expecting an exit code."""

    def run(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, ["runs", *words, "--history", url])
        assert done.exit_code == code, done.output
        return done

    return run


def given(run: Run, *words: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(run(*words, "--json").stdout)


def test_ls_lists_runs_newest_first(run: Run) -> None:
    """Columns are aligned, numbers to the right; what crashed without a word says so."""
    assert run("ls").stdout.splitlines() == [
        "RUN           FLOW     STATE      STARTED              SECONDS",
        "f3a6c8915b04  weather  Crashed    2025-01-03 00:00:00   40.0 s",
        "d94be07a15c2  weather  Failed     2025-01-02 00:00:00   63.0 s",
        "8c1f0a2b7d3e  weather  Completed  2025-01-01 00:00:00   61.5 s",
    ]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--state", "failed,crashed"], [CRASHED, FAILED]),
        (["--since", "2025-01-02"], [CRASHED, FAILED]),
        (["--limit", "1"], [CRASHED]),
        (["--limit", "0"], [CRASHED, FAILED, FIRST]),
        (["--flow", "other"], []),
        (["--within", CRASHED], []),
        (["--nested"], [CRASHED, FAILED, FIRST]),
    ],
)
def test_ls_chooses(run: Run, words: list[str], ids: list[str]) -> None:
    """States, times, flows and a number of rows choose runs."""
    assert [row["run"] for row in given(run, "ls", *words)] == ids


def test_ls_says_when_there_is_more_and_when_there_is_nothing(run: Run, tmp_path: Path) -> None:
    """No list ends without a word."""
    assert run("ls", "--limit", "2").stdout.endswith("There are more; --limit 0 shows all.\n")
    assert run("ls", "--flow", "other").stdout == "No run matches.\n"
    empty = CliRunner().invoke(main, ["runs", "ls", "--history", str(tmp_path / "none.db")])
    assert (empty.stdout, empty.exit_code) == ("No run is remembered yet.\n", 0)


def test_show_tells_facts_nodes_causes_and_what_to_do(run: Run) -> None:
    """One look says what failed, where, why, and which commands lead on."""
    text = run("show", "d94").stdout
    assert text.startswith(
        f"run         {FAILED}\nflow        weather\nstate       Failed: UpstreamFailed: report: it was not run"
    )
    assert "load    Failed                 4     4       1   61.0 s  15.2 s\n" in text
    assert "load: 1 failed: OSError: no answer from Brocken\n  elements 2\n  not run because of it: report\n" in text
    assert text.endswith(
        f"\nNext:\n  dataflow runs story {FAILED} 'load[2]'\n  dataflow runs logs {FAILED}\n"
        f'  in Python: weather.resume("{FAILED}", ...)\n'
    )


def test_show_of_a_crashed_run_says_how_it_is_resumed(run: Run) -> None:
    """The command is one that can be copied."""
    text = run("show", "last").stdout
    assert "state       Crashed: no sign of life for " in text
    assert text.endswith(f"  dataflow runs resume {CRASHED}\n")


def test_show_gives_everything_as_json(run: Run) -> None:
    """Programs get times in UTC, counts by state, and causes."""
    shown = given(run, "show", FAILED)
    assert (shown["run"], shown["started"], shown["is_resumable"]) == (FAILED, "2025-01-02T00:00:00+00:00", True)
    assert [state["state"] for state in shown["states"]] == ["Running", "Failed"]
    assert shown["nodes"][0]["counts"] == {"Completed": 3, "Failed": 1}
    assert shown["nodes"][0]["causes"][0]["elements"] == [[2, 3]]


def test_logs_are_chosen_by_place_and_level(run: Run) -> None:
    """A line says when, how bad, where and what."""
    assert run("logs", FAILED).stdout.splitlines() == [
        "00:00:00.000 | INFO    | load[0] | reading Zugspitze",
        "00:00:01.000 | WARNING | load[2] | no answer, trying again",
        "00:00:02.000 | INFO    | load[3] | reading Feldberg",
    ]
    assert [line["place"] for line in given(run, "logs", FAILED, "--level", "warning")] == ["load[2]"]
    assert [line["index"] for line in given(run, "logs", FAILED, "load[3]")] == [3]
    assert [line["index"] for line in given(run, "logs", FAILED, "load", "--text", "reading")] == [0, 3]
    assert run("logs", FAILED, "--limit", "1").stdout.endswith("| load[3] | reading Feldberg\n")
    assert run("logs", FAILED, "report").stdout == "No line matches.\n"
    assert run("logs", FIRST).stdout == "Nothing was logged.\n"


def test_logs_of_a_run_that_has_ended_are_followed_to_their_end(run: Run) -> None:
    """Following what is over prints it and ends; with --json one object a line."""
    assert len(run("logs", FAILED, "--follow").stdout.splitlines()) == 3
    lines = run("logs", FAILED, "--follow", "--json", "--level", "warning").stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["no answer, trying again"]


def test_story_tells_state_by_state(run: Run) -> None:
    """A story is text for people and a list for programs."""
    assert "OSError: no answer from Brocken" in run("story", FAILED, "load[2]").stdout
    told = given(run, "story", FAILED, "load")
    assert (told["of"], [step["state"] for step in told["transitions"]]) == ("load", ["Pending", "Running", "Failed"])


def test_compare_says_what_changed(run: Run) -> None:
    """Two runs differ in parameters and in what failed."""
    assert "load 2: Completed → Failed" in run("compare", FIRST, FAILED).stdout
    assert given(run, "compare", FIRST, FAILED)["parameters"] == [{"name": "year", "before": "2023", "after": "2024"}]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show", "zz"], 1, "there is no run 'zz'"),
        (["logs", FAILED, "lod"], 1, "no node is called 'lod'; instead: one of load"),
        (["story", FAILED, "load[9]"], 1, "there is no element 9"),
        (["ls", "--state", "faild"], 2, "'faild' is no state; it is one of Pending, "),
        (["ls", "--since", "yesterday"], 2, "'yesterday' is no time; write "),
        (["logs", FAILED, "--level", "loud"], 2, "'loud' is no level of logs"),
        (["cancel", FAILED], 1, "it does not go on, it is Failed; instead: weather.resume("),
        (["approve", FIRST], 1, "it does not go on, it is Completed; instead: run its flow again"),
        (["resume", FAILED], 1, f'it was called; instead: weather.resume("{FAILED}", ...)'),
        (["resume", CRASHED], 1, "weather.py"),
        (["resume", CRASHED, "--input", "{"], 2, "it is no JSON"),
        (["resume", CRASHED, "--later"], 2, "nobody waits in this run: it is Crashed"),
        (["ls", "--limit", "-1"], 2, "-1 is not in the range"),
        (["show"], 2, "Missing argument 'RUN'"),
    ],
)
def test_errors_are_one_line_and_have_a_code(run: Run, words: list[str], code: int, says: str) -> None:
    """What went wrong is 1, what was not written as it should be is 2; both say what to do instead."""
    done = run(*words, code=code)
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_an_id_that_means_several_runs_is_an_error(run: Run, url: str) -> None:
    """The candidates are named."""
    fill(url)
    assert "3 runs begin so: " in run("show", "", code=1).stderr


def test_a_history_that_is_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is named."""
    monkeypatch.setenv(VARIABLE, "off")
    done = CliRunner().invoke(main, ["runs", "ls"])
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: DATAFLOW_HISTORY=off: no history of runs is kept; instead: name a database, or unset it\n",
    )


def test_prune_removes_only_with_delete(run: Run) -> None:
    """Without --delete it says what would go; kept results are not touched."""
    assert run("prune", "--keep", "2").stdout.splitlines()[1:] == [
        "8c1f0a2b7d3e  weather  Completed  2025-01-01 00:00:00   61.5 s",
        "",
        "1 run would be removed; --delete removes it.",
    ]
    assert [row["run"] for row in given(run, "prune", "--older-than", "30d")["runs"]] == [FIRST, FAILED, CRASHED]
    assert len(given(run, "ls")) == 3
    assert run("prune", "--keep", "2", "--delete").stdout.endswith("\n1 run removed.\n")
    assert [row["run"] for row in given(run, "ls")] == [CRASHED, FAILED]
    assert run("prune", "--keep", "2").stdout == "Nothing to remove.\n"
    assert len(given(run, "prune", "--keep", "0", "--delete")["runs"]) == 2
    assert given(run, "ls") == []


def asked(*words: str) -> str:
    """What a command about runs prints."""
    done = CliRunner().invoke(main, ["runs", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_run_that_goes_on_is_steered(own_history: str) -> None:
    """Pausing, resuming, approving and cancelling work on a run by its id."""

    @task(trigger=manual_only)
    def release(number: int) -> int:
        return number

    @flow(cluster="threads")
    def main() -> int:
        return release(3)

    run = main.start()
    until(lambda: history.runs(limit=1) and history.run().nodes and history.run().nodes[0].count(StateType.PAUSED))
    assert asked("pause", run.id) == f"Run {run.id}: paused.\n"
    assert asked("resume", "last") == f"Run {run.id}: resumed.\n"
    assert json.loads(asked("approve", "last", "release", "--json")) == {
        "run": run.id,
        "asked": "approved",
        "answer": "done",
    }
    assert run.result(timeout=20) == 3
    other = main.start()
    until(lambda: history.run().id == other.id)
    assert asked("cancel", other.id) == f"Run {other.id}: cancelled.\n"
    assert other.wait(timeout=20).is_cancelled()
    assert history.run(other.id).state.name == "Cancelled"


SCRIPT = """
import os
import threading
import time
from dataflow import flow, pause_flow_run, task
from dataflow.database.reader import Reader

@task(persist_result=True)
def load(number):
    return number + 1

def die():
    reader = Reader(os.environ["DATAFLOW_HISTORY"])
    while not any(reader.requests(run.id, open_only=True) for run in reader.runs()):
        time.sleep(0.02)
    os._exit(7)

@flow(cluster="inline")
def broken(start):
    number = load(start)
    if "BROKEN" in os.environ:
        threading.Thread(target=die).start()
    print(number + pause_flow_run(wait_for_input=int, timeout=20))

if __name__ == "__main__":
    broken(4)
"""


def test_a_run_that_died_is_resumed_by_its_id_in_another_process(tmp_path: Path) -> None:
    """A dead process is shown as a crash; the command takes what was kept, gives what was asked for, and ends it."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    environment = {
        **os.environ,
        VARIABLE: f"sqlite:///{tmp_path}/died.db",
        "DATAFLOW_RESULT_STORAGE": str(tmp_path / "kept"),
    }
    died = subprocess.run([sys.executable, script], env={**environment, "BROKEN": "1"}, check=False, cwd=tmp_path)
    assert died.returncode == 7
    url = environment[VARIABLE]
    run = history.run(url=url)
    assert (run.flow, run.state.name) == ("broken", "Crashed")
    command = [sys.executable, "-m", "dataflow", "runs", "resume", run.id, "--input"]
    done = subprocess.run([*command, "37"], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"42\nRun {run.id}: Completed()\n"
    again = history.run(run.id, url=url)
    assert (again.state.name, [one.state.name for one in again.executions]) == ("Completed", ["Crashed", "Completed"])
    assert again.node("load").state.name == "Cached"


@pytest.mark.parametrize("name", sorted(runs.commands))
def test_every_command_shows_how_it_is_used(name: str) -> None:
    """The help of each command ends with examples that begin with the command."""
    text = CliRunner().invoke(main, ["runs", name, "--help"]).output
    examples = text.partition("Examples:\n")[2].splitlines()
    assert [line for line in examples if not line.strip().startswith(f"dataflow runs {name}")] == []
    assert examples


def test_showing_a_run_loads_only_what_it_needs(url: str) -> None:
    """Nothing that makes the command slow is imported: no numpy, no engine, no settings."""
    slow = ("numpy", "pandas", "pydantic", "sqlalchemy", "dask", "distributed", "rich", "dataflow_results.store")
    code = (
        "import sys; from dataflow.cli.main import main\n"
        f"main(['runs', 'show', {FIRST!r}, '--history', {url!r}], standalone_mode=False)\n"
        f"print([name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
