"""Past runs: found by id, flow, state and time; their states as seen from here; nodes, logs, tables."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dataflow import flow, history, task
from dataflow.artifacts import create_markdown_artifact
from dataflow.causes.grouping import Causes
from dataflow.database.rows import RequestRow, Row, StateRow
from dataflow.errors import HistoryError, UsageError
from dataflow.history.following import follow_logs
from dataflow.history.where import DEFAULT_URL, VARIABLE, history_url
from dataflow.logs import get_run_logger
from dataflow.settings import Settings
from dataflow.states import StateType
from tests.history.pasts import BEGAN, FOREIGN, RUN, batch, dead_process, lines, node, run_rows, segment, write

RUNNING = StateType.RUNNING


@pytest.fixture
def several(tmp_path: Path) -> str:
    """Runs of two flows, one of them crashed without a word, one begun in another."""
    return write(
        tmp_path,
        run_rows("aa11", started=BEGAN),
        run_rows("aa22", StateType.FAILED, started=BEGAN + 10, flow="report"),
        run_rows("bb33", RUNNING, started=BEGAN + 20),
        run_rows("cc44", RUNNING, {"process": dead_process(), "heartbeat": BEGAN + 35}, started=BEGAN + 30),
        run_rows("dd55", started=BEGAN + 40, parent="bb33"),
    )


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        ({}, ["cc44", "bb33", "aa22", "aa11"]),
        ({"nested": True}, ["dd55", "cc44", "bb33", "aa22", "aa11"]),
        ({"limit": 2}, ["cc44", "bb33"]),
        ({"limit": None}, ["cc44", "bb33", "aa22", "aa11"]),
        ({"flow": "report"}, ["aa22"]),
        ({"state": "running"}, ["bb33"]),
        ({"state": "crashed"}, ["cc44"]),
        ({"state": ["failed", StateType.COMPLETED], "nested": True, "limit": 2}, ["dd55", "aa22"]),
        ({"state": ["running", "crashed"], "limit": 1}, ["cc44"]),
        ({"since": BEGAN + 30}, ["cc44"]),
        ({"since": datetime.fromtimestamp(BEGAN + 40, UTC), "nested": True}, ["dd55"]),
        ({"since": "2023-11-14T22:13:40+00:00"}, ["cc44", "bb33"]),
        ({"since": timedelta(days=1)}, []),
        ({"since": "2w"}, []),
    ],
)
def test_runs_are_chosen_by_what_is_given(several: str, which: dict[str, Any], ids: list[str]) -> None:
    """Flow, state and time choose runs, newest first; what crashed without a word is Crashed and not Running."""
    assert [run.id for run in history.runs(url=several, **which)] == ids


def test_a_run_is_found_by_its_id_the_beginning_of_it_or_as_the_last(several: str) -> None:
    """The last run is the newest that was not begun in another one."""
    assert [history.run(given, url=several).id for given in ("aa22", "b", "last")] == ["aa22", "bb33", "cc44"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [("zz", "there is no run 'zz'"), ("aa", "2 runs begin so: aa22, aa11")],
)
def test_an_id_that_means_no_run_or_several_is_an_error(several: str, given: str, problem: str) -> None:
    """The error says what there is."""
    with pytest.raises(HistoryError, match=problem):
        history.run(given, url=several)


def test_a_history_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """Before the first run there are no runs, and asking makes no file."""
    url = str(tmp_path / "none.db")
    assert list(history.runs(url=url)) == []
    with pytest.raises(HistoryError, match="there is no run yet"):
        history.run(url=url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("off", ["off", ""])
def test_a_history_that_is_off_says_so(monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    """Asking is an error that names the setting."""
    monkeypatch.setenv(VARIABLE, off)
    with pytest.raises(HistoryError, match="no history of runs is kept"):
        history.runs()


def test_the_default_is_that_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read by hand agrees with the settings."""
    monkeypatch.delenv(VARIABLE)
    assert history_url() == DEFAULT_URL == Settings().history


def test_nonsense_is_no_time() -> None:
    """A misspelt moment is an error."""
    with pytest.raises(UsageError, match="'yesterday' is no time"):
        history.runs(since="yesterday")


def test_a_run_knows_what_was_begun_in_it(several: str) -> None:
    """Runs within a run are those of flows that its flow called, and of what its elements submitted."""
    assert [run.id for run in history.run("bb33", url=several).begun()] == ["dd55"]


# States


@pytest.mark.parametrize(
    ("execution", "kind", "message"),
    [
        ({}, StateType.RUNNING, ""),
        ({"heartbeat": BEGAN}, StateType.RUNNING, ""),  # its process is here and lives: only its history is slow
        ({"process": FOREIGN}, StateType.RUNNING, ""),
        ({"process": FOREIGN, "heartbeat": BEGAN}, StateType.CRASHED, "no sign of life for"),
        ({"process": FOREIGN, "heartbeat": BEGAN, "ended": BEGAN}, StateType.RUNNING, ""),  # the next attempt comes
        ({"process": dead_process()}, StateType.CRASHED, "its process ended without a word"),
    ],
)
def test_a_run_whose_process_died_has_crashed(
    tmp_path: Path, execution: dict[str, Any], kind: StateType, message: str
) -> None:
    """The process decides on its own machine, its sign of life on others."""
    run = history.run(url=write(tmp_path, run_rows(RUN, RUNNING, execution)))
    assert (run.state.type, run.state.message.startswith(message)) == (kind, True)


@pytest.mark.parametrize("kind", [StateType.COMPLETED, StateType.SUSPENDED, StateType.FAILED])
def test_what_needs_no_process_cannot_crash(tmp_path: Path, kind: StateType) -> None:
    """A run that has ended or was put down is what it says, although its process is gone."""
    run = history.run(url=write(tmp_path, run_rows(RUN, kind, {"process": dead_process()})))
    assert run.state.type is kind


def test_a_crash_is_seen_everywhere(tmp_path: Path) -> None:
    """Of a run that crashed, the end, the states, the execution and the nodes that were running say so."""
    dead = {"process": dead_process(), "heartbeat": BEGAN + 35}
    began = StateRow(run_id=RUN, time=BEGAN, state=RUNNING.value)
    rows: list[Row] = [node(), node(1, slug="clean", state=1, done=2), node(2, slug="total", state=0, done=0)]
    run = history.run(url=write(tmp_path, run_rows(RUN, RUNNING, dead), began, rows))
    assert (run.ended, run.seconds, run.goes_on) == (BEGAN + 35, 35, False)
    assert [(moment, state.name) for moment, state in run.states] == [(BEGAN, "Running"), (BEGAN + 35, "Crashed")]
    assert [one.state.name for one in run.executions] == ["Crashed"]
    assert [one.state.name for one in run.nodes] == ["Completed", "Crashed", "Pending"]


@pytest.mark.parametrize(
    ("of_run", "kept", "python"),
    [
        ({"state": StateType.COMPLETED}, "load-1", None),
        ({"state": StateType.FAILED}, "", None),
        ({"state": StateType.FAILED}, "load-1", f'weather.resume("{RUN}")'),
        ({"state": StateType.SUSPENDED}, "", f'weather.resume("{RUN}")'),
        (
            {"state": StateType.FAILED, "entrypoint": "/jobs/wet.py:rain", "parameters": '{"day": "3"}'},
            "load-1",
            f'from wet import rain\nrain.resume("{RUN}", ...)',
        ),
        (
            {"state": StateType.FAILED, "entrypoint": "jobs.wet:rain"},
            "load-1",
            f'from jobs.wet import rain\nrain.resume("{RUN}")',
        ),
    ],
)
def test_a_run_says_how_it_is_resumed(tmp_path: Path, of_run: dict[str, Any], kept: str, python: str | None) -> None:
    """What ended early and kept results, and what was suspended, can be resumed; the text can be copied."""
    run = history.run(url=write(tmp_path, run_rows(RUN, **of_run), node(collection=kept)))
    assert (run.resuming and run.resuming.python) == python
    assert run.is_resumable is (python is not None)


# What is in it


def test_nodes_tell_numbers_and_causes(tmp_path: Path) -> None:
    """A node has its counts, its failures with their causes, and its elements."""
    counts = json.dumps({"2": 3, "3": 1, "5": 1, "7": 1})
    cause = Causes()
    rows: list[Row] = [node(counts=counts, state=3, causes=cause.to_json(), seconds=2.0), segment(0, "CCFS"), batch()]
    load = history.run(url=write(tmp_path, run_rows(), rows)).node("load")
    assert (load.failed, load.count(StateType.CACHED), load.mean_seconds, load.causes) == (2, 1, 0.5, [])
    assert load.elements(state="failed").index.tolist() == [2]
    assert repr(load) == "<load: Failed, 6 of 6>"


def test_a_node_that_does_not_exist_is_an_error_with_its_neighbours(tmp_path: Path) -> None:
    """The error names what is similar."""
    run = history.run(url=write(tmp_path, run_rows(), node()))
    for ask in (run.node, run.elements, run.logs):
        with pytest.raises(HistoryError, match=f"run {RUN}: no node is called 'laod'\n  instead: one of load"):
            ask("laod")


def test_a_run_shows_itself_as_text_html_and_tables(tmp_path: Path) -> None:
    """Columns without anything in them are left out for people, and kept for programs."""
    run = history.run(url=write(tmp_path, run_rows(), node(counts='{"2": 5, "7": 1}', started=BEGAN, ended=BEGAN + 3)))
    head, titles, row = repr(run).splitlines()
    assert head.startswith(f"run {RUN} of 'weather': Completed, ")
    assert titles == "NODE  STATE      ELEMENTS  DONE  CACHED  SECONDS    EACH"
    assert row == "load  Completed         6     6       1    3.0 s  600 ms"
    assert '<td style="text-align:right">600 ms</td>' in run._repr_html_()
    assert run.to_pandas().loc[0, ["node", "failed", "each"]].tolist() == ["load", 0, 0.6]
    assert [str(moment) for moment in run.to_arrow().column("ended").to_pylist()] == ["2023-11-14 22:13:23+00:00"]
    assert json.loads(json.dumps(run.to_dict()))["nodes"][0]["counts"] == {"Completed": 5, "Cached": 1}
    assert run.to_dict()["started"] == "2023-11-14T22:13:20+00:00"


def test_tables_are_lists(several: str) -> None:
    """Runs are counted, sliced and iterated over as lists are, and as tables."""
    runs = history.runs(url=several, nested=True)
    assert (len(runs), runs[0].id, [run.id for run in runs[-2:]]) == (5, "dd55", ["aa22", "aa11"])
    assert runs.to_pandas()["state"].tolist() == ["Completed", "Crashed", "Running", "Failed", "Completed"]
    assert runs.to_arrow().column("parent").to_pylist() == ["bb33", None, None, None, None]
    assert repr(runs[:0]) == "<no runs>"


# Logs


def test_logs_are_chosen_by_node_element_level_and_text(tmp_path: Path) -> None:
    """Lines of several nodes and of the body of the flow stand in the order of their times."""
    rows: list[Row] = [
        lines((0, 20, "zero"), (3, 30, "three"), (3, 0, "printed")),
        lines((None, 40, "of the flow"), number=None, at=BEGAN + 0.5),
        lines((0, 20, "plain"), number=1, at=BEGAN + 1.5),
        node(),
        node(1, slug="total", is_mapped=False),
    ]
    run = history.run(url=write(tmp_path, run_rows(), rows))
    assert [(line.place, line.message) for line in run.logs()] == [
        ("load[0]", "zero"),
        ("", "of the flow"),
        ("load[3]", "three"),
        ("total", "plain"),
        ("load[3]", "printed"),
    ]
    assert [line.message for line in run.logs("load", index=3)] == ["three", "printed"]
    assert [line.message for line in run.logs(level="warning")] == ["of the flow", "three"]
    assert [line.message for line in run.logs(text="in")] == ["plain", "printed"]
    assert [line.message for line in run.node("load").logs(level=logging.WARNING)] == ["three"]
    assert str(run.logs()[2]).endswith(" | WARNING | load[3] | three")
    with pytest.raises(HistoryError, match="'loud' is no level of logs"):
        run.logs(level="loud")


def test_logs_are_chosen_by_place(tmp_path: Path) -> None:
    """An element is named as it is shown, and so is the body of the flow; later attempts are told."""
    rows: list[Row] = [lines((0, 20, "zero"), (3, 30, "three")), lines((None, 40, "body"), number=None), node()]
    run = history.run(url=write(tmp_path, run_rows(), rows))
    assert [line.message for line in run.logs("load[3]")] == ["three"]
    assert [line.message for line in run.logs("flow")] == ["body"]
    again = run.logs("load[3]")[0]._replace(attempt=2)
    assert str(again).partition(" | ")[2] == "WARNING | load[3] (attempt 2) | three"


def test_a_run_that_waits_says_for_what(tmp_path: Path) -> None:
    """The fields of its input are named, with their types and defaults."""
    fields = {"ok": {"type": "boolean"}, "rows": {"type": "integer", "default": 3}}
    body = json.dumps({"type": "Ask", "schema": {"properties": fields}, "description": ""})
    asked = RequestRow(id="a", run_id=RUN, kind="input", key="pause-1", body=body, asked=BEGAN)
    run = history.run(url=write(tmp_path, run_rows(RUN, StateType.PAUSED), asked))
    assert run.asks == ["pause-1: Ask (ok: boolean, rows: integer = 3)"]


def test_logs_are_followed_until_the_run_has_ended(tmp_path: Path) -> None:
    """Each line comes once, those of the last moment and of nodes that came later, too."""
    url = write(tmp_path, run_rows(RUN, RUNNING))
    steps: list[Callable[[], object]] = [
        lambda: write(tmp_path, node(), lines((0, 20, "one"), (1, 20, "two"))),
        lambda: None,
        lambda: write(tmp_path, lines((2, 20, "three")), run_rows(RUN)),
    ]
    found = follow_logs(history.run(url=url), "load", pause=lambda: (steps.pop(0)(), None)[1])
    assert ([line.message for line in found], steps) == (["one", "two", "three"], [])


# Real runs


def test_a_real_run_is_told_as_it_was() -> None:
    """States, counts, parameters and logs of a run are found by its id."""

    @task(retries=1, persist_result=False)
    def load(number: int) -> int:
        get_run_logger().warning("at %s", number)
        if number == 2:
            raise ValueError("two")
        return number

    @flow(cluster="inline", name="weather-report")
    def main(day: str, count: int = 4) -> None:
        load.map(range(count)).wait()

    live = main("monday", return_state=True).run
    run = history.run(live.id)
    assert (run.flow, run.cluster) == ("weather-report", "inline")
    assert run.parameters == {"day": "'monday'", "count": "4"}
    assert [(one.slug, one.state.name, one.done, one.failed) for one in run.nodes] == [("load", "Failed", 4, 1)]
    assert run.node("load").causes[0].message == "two"
    assert [(line.place, line.attempt, line.message) for line in run.logs(text="2")] == [
        ("load[2]", 1, "at 2"),
        ("load[2]", 2, "at 2"),
    ]
    assert str(run.story("load[2]")) == str(live.story("load[2]"))


def test_retries_of_a_flow_are_executions_of_one_run() -> None:
    """Each attempt has its own nodes; the run shows those of the last, and the logs of all."""
    attempts: list[int] = []

    @task
    def load() -> int:
        get_run_logger().info("attempt %s", len(attempts))
        return 1

    @flow(cluster="inline", retries=1)
    def main() -> None:
        attempts.append(1)
        load()
        if len(attempts) == 1:
            raise ValueError("once")

    run = history.run(main(return_state=True).run.id)
    assert [one.state.name for one in run.executions] == ["Failed", "Completed"]
    assert [line.message for line in run.logs()] == ["attempt 1", "attempt 2"]
    assert run.state.name == "Completed"


def test_artifacts_know_who_made_them() -> None:
    """A run gives its artifacts with their elements; a key is found across runs in its newest version."""

    @task
    def draw(number: int) -> None:
        create_markdown_artifact(f"# {number}", key=f"picture-{number}")

    @flow(cluster="inline")
    def main(title: str) -> None:
        create_markdown_artifact(title, key="title-of-all")
        draw.map([1, 2]).wait()

    first, second = (history.run(main(title, return_state=True).run.id) for title in ("one", "two"))
    made = {(one.key, one.place, one.data) for one in first.artifacts()}
    assert made == {("title-of-all", "", "one"), ("picture-1", "draw[0]", "# 1"), ("picture-2", "draw[1]", "# 2")}
    (newest,) = history.artifacts("title-of-all")
    assert (newest.data, newest.run_id, [one.data for one in newest.earlier]) == ("two", second.id, ["one"])


def test_importing_the_history_is_cheap() -> None:
    """Looking at runs loads none of what makes starting slow."""
    slow = ("numpy", "pandas", "pyarrow", "pydantic", "sqlalchemy", "dask", "distributed", "rich", "dataflow.engine")
    code = f"import sys, dataflow.history; print([name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
