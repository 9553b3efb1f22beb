"""The page about the command line shows what the commands print, and shows all of them."""

from __future__ import annotations

import shlex
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path

from click.testing import CliRunner

from dataflow.cli.main import main
from dataflow.cli.results import results
from dataflow_results.store import ResultStore
from tests.cli.consoles import shown_in
from tests.cli.examples import fill

PAGE = Path(__file__).parents[2] / "docs" / "results-command-line.md"
SHOWN_URL = "s3://lab/results"


def test_the_page_tells_the_truth(tmp_path: Path) -> None:
    """Each command of the page, run one after the other in the store it is about, prints what the page says."""
    store = ResultStore(tmp_path / "results")
    fill(store)
    checker = OutputChecker()
    wrong = []
    for shown in shown_in(PAGE.read_text(encoding="utf-8")):
        program, *words = shlex.split(shown.command)
        assert program == "dataflow"
        if "--help" not in words:
            words = [*words, "--store", store.url]
        printed = CliRunner().invoke(main, words, prog_name="dataflow").output.replace(store.url, SHOWN_URL)
        if not checker.check_output(shown.output, printed, ELLIPSIS):
            wrong.append(f"{PAGE.name}:{shown.line} {shown.command}\nexpected:\n{shown.output}\nprinted:\n{printed}")
    assert not wrong, "\n\n".join(wrong)


def test_the_page_shows_every_command() -> None:
    """No command of `dataflow results` is left out."""
    shown = {command.command.split()[2] for command in shown_in(PAGE.read_text(encoding="utf-8"))}
    assert set(results.commands) - shown == set()


def test_commands_and_outputs_are_told_apart() -> None:
    """The finder gives each command with its output and line."""
    found = list(shown_in("# Page\n\n```console\n$ one\n1\n$ two\n```\n"))
    assert [(each.line, each.command, each.output) for each in found] == [(4, "one", "1\n"), (6, "two", "")]
