"""The command that looks after the history itself: prune."""

from __future__ import annotations

import importlib
import time
from typing import Final

import click

from dataflow.cli.output import print_json
from dataflow.cli.quantities import DURATION
from dataflow.cli.runs_options import in_history
from dataflow.cli.runs_tables import print_rows
from dataflow.cli.shown import ShownCommand, as_json
from dataflow.database.reader import Reader
from dataflow.history.past_runs import PastRun, Runs
from dataflow.history.where import history_url
from dataflow.quantities import shown_number

__all__ = ["prune"]

DAY_SECONDS: Final = 86_400.0
MANY_ROWS: Final = 20
NO_DAYS: Final = 1e-9
"""What lets all runs go that have ended: 0 means in the settings that none goes."""


@click.command(
    cls=ShownCommand,
    examples=[
        "dataflow runs prune",
        "dataflow runs prune --older-than 30d",
        "dataflow runs prune --keep 100 --delete",
    ],
)
@click.option("--older-than", "max_age", type=DURATION, help="Runs that began longer ago go: 30d.")
@click.option("--keep", "keep_runs", type=click.IntRange(min=0), help="All but so many of the newest go.")
@click.option("--delete", is_flag=True, help="Do it. Without, nothing is removed.")
@as_json
@in_history
def prune(url: str | None, *, max_age: float | None, keep_runs: int | None, delete: bool, as_json: bool) -> None:
    """Find runs that are old; forget them with --delete.

    Without --older-than and --keep, as the settings history_keep_days and history_keep_runs say. Never goes: a run that
    goes on, is paused or suspended. Kept results stay; `dataflow results gc` looks after them.
    """
    reader = Reader(history_url(url))
    keep_days = None if max_age is None else max_age / DAY_SECONDS
    if max_age is None and keep_runs is None:
        settings = importlib.import_module("dataflow.settings").settings()  # slow to load, and mostly not needed
        keep_days, keep_runs = settings.history_keep_days, settings.history_keep_runs
    elif max_age == 0 or keep_runs == 0:
        keep_days, keep_runs = NO_DAYS, None
    going = Runs(
        [PastRun(reader, row) for row in reader.outdated(keep_days=keep_days, keep_runs=keep_runs, now=time.time())]
    )
    found = going.to_dicts()  # read before they go, and said after that
    if delete:
        reader.delete_runs([run.id for run in going])
    if as_json:
        print_json({"deleted": delete, "runs": found})
    elif not going:
        click.echo("Nothing to remove.")
    else:
        _print_going(going, delete=delete)


def _print_going(going: Runs, *, delete: bool) -> None:
    print_rows(going[:MANY_ROWS])
    count = f"{shown_number(len(going))} run{'' if len(going) == 1 else 's'}"
    them = "it" if len(going) == 1 else "them"
    click.echo(f"\n{count} removed." if delete else f"\n{count} would be removed; --delete removes {them}.")
