"""The command `dataflow results`: what it prints, as text and as JSON, and how it ends when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataflow.cli.main import main
from dataflow.cli.results import results
from dataflow.settings import settings
from dataflow_results.store import ResultStore
from tests.cli.examples import fill

ROOT = Path(__file__).parents[2]
Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """The store of the page about the command line."""
    store = ResultStore(tmp_path / "results")
    fill(store)
    return store


@pytest.fixture
def run(store: ResultStore) -> Run:
    """Runs `dataflow results` in that store, expecting an exit code."""

    def run(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, ["results", *words, "--store", store.url])
        assert done.exit_code == code, done.output
        return done

    return run


def given(run: Run, *words: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(run(*words, "--json").stdout)


def test_ls_lists_groups(run: Run) -> None:
    """Columns are aligned, numbers to the right, the newest first."""
    assert run("ls").stdout.splitlines() == [
        "TASK    FLOW     RUN           NODE  RESULTS    SIZE  STORED (UTC)",
        "fit     weather  calm-heron-2  fit         1  2.0 MB  2025-01-02 00:01",
        "load    weather  calm-heron-2  load        3   102 B  2025-01-02 00:00",
        "values                                     1    27 B  2025-01-01 00:01",
        "load    weather  tidy-otter-1  load        3   102 B  2025-01-01 00:00",
    ]


def test_ls_chooses_groups_and_limits(run: Run) -> None:
    """Results are chosen by what is said, put together as asked, and what is not shown is counted."""
    assert given(run, "ls", "--by", "task", "--task", "load")[0]["results"] == 6
    assert [row["names"] for row in given(run, "ls", "--by", "run", "--since", "2025-01-02")] == [["calm-heron-2"]]
    assert [row["names"][0] for row in given(run, "ls", "--min-size", "1MB")] == ["fit"]
    assert run("ls", "--limit", "1").stdout.splitlines()[-1] == "3 more; --limit 0 shows all."
    assert run("ls", "--task", "nobody").stdout.endswith("that matches.\n")


def test_ls_looks_into_batches(run: Run) -> None:
    """Batches and single results can be listed, and the key of one leads to it."""
    batches = given(run, "ls", "--batches", "--task", "load")
    assert [(row["run_id"], row["first_index"], row["last_index"]) for row in batches] == [
        ("calm-heron-2", 0, 2),
        ("tidy-otter-1", 0, 2),
    ]
    elements = given(run, "ls", "--elements", "--run", "tidy-otter-1")
    assert [row["index"] for row in elements] == [0, 1, 2]
    shown = given(run, "show", elements[1]["key"][:12])
    assert shown["key"]["arguments"].keys() == {"month", "station"}
    assert shown["result"]["provenance"]["created_at"] == "2025-01-01T00:00:00+00:00"


def test_show_prints_where_a_result_comes_from(run: Run) -> None:
    """A value that somebody put is found by its name; its value is printed when asked for."""
    text = run("show", "stations").stdout
    assert "written by" in text
    assert "Zugspitze" not in text
    assert run("show", "stations", "--value").stdout.endswith("\n['Zugspitze']\n")


def test_a_reference_says_which_store(run: Run) -> None:
    """A whole reference needs no --store."""
    reference = given(run, "show", "stations")["reference"]
    done = CliRunner().invoke(main, ["results", "show", reference, "--value"])
    assert (done.exit_code, done.stdout.endswith("['Zugspitze']\n")) == (0, True)


def test_safe_mode_refuses_to_load_pickles(run: Run) -> None:
    """The facts are printed, the value is not."""
    done = run("show", "stations", "--value", "--safe", code=1)
    assert "Zugspitze" not in done.stdout
    assert done.stderr.count("\n") == 1
    assert "reading it can run code" in done.stderr


def test_why_says_the_smallest_difference(run: Run) -> None:
    """The changed helper is named, for all elements together and for one."""
    reason = "No result of `load` for this: the source of `steps.read_csv` changed."
    assert run("why", "load").stdout.startswith(f"3 of 3: {reason}")
    assert run("why", "load", "--element", "1").stdout.startswith(reason)
    assert given(run, "why", "load", "--element", "1")[0]["why"]["changes"][0]["name"] == "steps.read_csv"


def test_verify_ends_with_1_if_something_is_wrong(run: Run, store: ResultStore, tmp_path: Path) -> None:
    """A damaged pack is named; setting it aside makes the next look succeed."""
    assert run("verify").stdout.endswith("All is well.\n")
    pack = min(tmp_path.glob("results/tasks/load-*/packs/*"))
    pack.write_bytes(pack.read_bytes()[:-1])
    done = run("verify", code=1)
    assert f"{pack.parent.parent.name}/{pack.stem}: the file has" in done.stdout
    assert done.stdout.endswith("1 problem.\n")
    assert given_problem(run) == pack.stem
    run("verify", "--set-aside", code=1)
    run("verify")


def given_problem(run: Run) -> str:
    """The pack that JSON names."""
    where = json.loads(run("verify", "--json", code=1).stdout)["problems"][0]["where"]
    return str(where).rpartition("/")[2]


def test_gc_removes_only_when_told(run: Run, store: ResultStore) -> None:
    """Without --delete nothing changes; with it what was said goes, but for what is pinned."""
    before = [entry.name for entry in store.files.list()]
    assert run("gc", "--older-than", "1d").stdout.endswith("--delete removes it.\n")
    assert [entry.name for entry in store.files.list()] == before
    run("pin", "run", "tidy-otter-1", "--reason", "paper")
    done = run("gc", "--older-than", "1d", "--task", "load", "--delete").stdout
    assert "Kept for pins, leases and unfinished runs: 3 results." in done
    assert done.endswith("removed.\n")
    assert [(row["names"][0], row["results"]) for row in given(run, "ls", "--by", "task")] == [
        ("fit", 1),
        ("values", 1),
        ("load", 3),
    ]
    assert run("gc").stdout == "Nothing to remove.\n"


def test_pins_are_listed_and_removed(run: Run) -> None:
    """A pin may be written as the end of a reference or as a whole one."""
    assert run("pin").stdout == "Nothing is pinned.\n"
    key = given(run, "show", "stations")["reference"]
    assert given(run, "pin", "result", key)[0]["target"] == key.rpartition("#")[2]
    assert run("pin", "result", key, "--remove").stdout == "Nothing is pinned.\n"


def test_runs_are_listed(run: Run) -> None:
    """Unfinished runs, or all of them."""
    assert [row["run"]["run_id"] for row in given(run, "runs")] == ["calm-heron-2"]
    assert [row["phase"] for row in given(run, "runs", "--all")] == ["ended", "crashed"]


def test_du_adds_up(run: Run) -> None:
    """Every kind of file has its size, and the sum is there."""
    sizes = given(run, "du")
    assert (sizes["results"][0]["names"], sizes["results"][0]["size_bytes"]) == (["fit"], 2_000_000)
    assert run("du").stdout.splitlines()[-1].startswith("all ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("ls", "--by", "colour"), "results are put together by flow, task"),
        (("gc", "--older-than", "soon"), "write 90s, 15m, 12h, 30d or 2w"),
        (("gc", "--max-size", "much"), "write 500, 20MB, 1.5GB or 2GiB"),
        (("ls", "--since", "yesterday"), "write 2026-01-31"),
        (("show",), "Missing argument 'RESULT'"),
        (("pin", "run"), "which run?"),
        (("nonsense",), "No such command"),
    ],
)
def test_misuse_ends_with_2_and_one_line(store: ResultStore, words: tuple[str, ...], text: str) -> None:
    """What cannot be understood is said in one line that leads to the help."""
    done = CliRunner().invoke(main, ["results", *words])
    assert done.exit_code == 2
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert "--help`" in done.stderr


def test_trouble_ends_with_one_line(run: Run) -> None:
    """A wrong URL is misuse; something that is not there is a problem; neither shows a traceback."""
    done = CliRunner().invoke(main, ["results", "ls", "--store", "nosuch://bucket"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "no filesystem is known for 'nosuch'" in done.stderr
    missing = run("show", "nothing-like-that", code=1)
    assert missing.stderr.startswith("Error: ")
    assert "`dataflow results ls --elements` lists keys and names" in missing.stderr


def test_the_setting_says_which_store(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --store the setting decides; a setting that does not fit is misuse."""
    monkeypatch.setenv("DATAFLOW_RESULT_STORAGE", store.url)
    settings.cache_clear()
    assert "calm-heron-2" in CliRunner().invoke(main, ["results", "ls"]).stdout
    monkeypatch.setenv("DATAFLOW_BATCH_SECONDS", "fast")
    settings.cache_clear()
    done = CliRunner().invoke(main, ["results", "ls"])
    monkeypatch.undo()
    settings.cache_clear()
    assert (done.exit_code, "batch_seconds" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", sorted(results.commands))
def test_every_command_has_help_with_examples(name: str) -> None:
    """The help of each command ends with examples that can be copied."""
    text = CliRunner().invoke(main, ["results", name, "--help"]).stdout
    assert "Examples:\n  dataflow results " + name in text


def test_a_terminal_gets_a_drawn_table(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Where people look, columns are drawn."""
    from dataflow.cli.output import Column, print_table

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table([Column("task"), Column("size", is_number=True)], [["load", "1 B"]])
    assert "─" in capsys.readouterr().out


def test_python_m_dataflow_is_the_command(store: ResultStore) -> None:
    """It works as a module, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dataflow", "results", "ls", "--by", "task", "--store", store.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "results")))},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split() == ["fit", "1", "2.0", "MB", "2025-01-02", "00:01"]
