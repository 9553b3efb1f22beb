"""``dataflow runs``: what happened is looked at: ls, show. Other commands of the group are in `dataflow.cli.runs_*`."""

from __future__ import annotations

from typing import Any, Final

import click

from dataflow.cli.output import print_json
from dataflow.cli.runs_asking import approve, cancel, pause, resume
from dataflow.cli.runs_care import prune
from dataflow.cli.runs_options import STATE, WHEN, in_history, of_run
from dataflow.cli.runs_tables import print_report, print_rows
from dataflow.cli.runs_telling import compare, logs, story
from dataflow.cli.shown import ShownCommand, ShownGroup, as_json
from dataflow.history.finding import run as past_run
from dataflow.history.finding import runs as past_runs
from dataflow.history.past_runs import PastRun

__all__ = ["runs"]

MANY_ROWS: Final = 20


@click.group(
    cls=ShownGroup,
    examples=[
        "dataflow runs ls --state failed --since 7d",
        "dataflow runs show last",
        "dataflow runs story 0a1b2c3d4e5f 'load[17]'",
        "dataflow runs logs last load --level warning --follow",
        "dataflow runs prune --older-than 30d",
    ],
)
def runs() -> None:
    """Look at runs, past and present, and steer those that go on."""


for command in (logs, story, compare, prune, cancel, pause, resume, approve):
    runs.add_command(command)


@runs.command(
    cls=ShownCommand,
    examples=[
        "dataflow runs ls --flow weather",
        "dataflow runs ls --state failed,crashed --since 2026-01-31",
        "dataflow runs ls --within 0a1b2c3d4e5f",
        "dataflow runs ls --limit 0 --json",
    ],
)
@click.option("--flow", metavar="NAME", help="Runs of this flow.")
@click.option("--state", type=STATE, help="Runs in one of these states: failed,crashed.")
@click.option("--since", type=WHEN, help="Begun at or after: 2026-01-31, or 7d (ago).")
@click.option("--nested", is_flag=True, help="Also runs that were begun in others.")
@click.option("--within", metavar="RUN", help="Runs that were begun in this one.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=MANY_ROWS, show_default=True, help="Rows at most; 0 means all."
)
@as_json
@in_history
def ls(url: str | None, *, limit: int, within: str | None, as_json: bool, **which: Any) -> None:
    """List runs, the newest first."""
    wanted = limit + 1 if limit else None
    found = past_run(within, url=url).begun(wanted) if within else past_runs(wanted, url=url, **which)
    shown = found[:limit] if limit else found
    if as_json:
        print_json(shown.to_dicts())
    elif found:
        print_rows(shown)
        if len(shown) < len(found):
            click.echo("There are more; --limit 0 shows all.")
    else:
        click.echo("No run matches." if within or any(which.values()) else "No run is remembered yet.")


@runs.command(cls=ShownCommand, examples=["dataflow runs show last", "dataflow runs show 0a1b2c --json"])
@of_run
@as_json
@in_history
def show(run: PastRun, *, as_json: bool) -> None:
    """Say what became of a RUN and its nodes, and why.

    RUN is an id, its first digits, or last.
    """
    if as_json:
        print_json(run.to_dict())
    else:
        print_report(run)
