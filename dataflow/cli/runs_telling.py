"""Commands that tell more of a run: logs, story, compare."""

from __future__ import annotations

import importlib
import json

import click

from dataflow.cli.output import print_json
from dataflow.cli.runs_options import in_history, of_run
from dataflow.cli.shown import ShownCommand, as_json
from dataflow.errors import HistoryError
from dataflow.history.finding import run as past_run
from dataflow.history.following import follow_logs
from dataflow.history.logs import LogLine, Logs, level_of
from dataflow.history.past_runs import PastRun
from dataflow.history.tables import utc
from dataflow.quantities import shown_number

__all__ = ["compare", "logs", "story"]


@click.command(
    cls=ShownCommand,
    examples=[
        "dataflow runs logs last",
        "dataflow runs logs 0a1b2c 'load[17]'",
        "dataflow runs logs last load --level warning --follow",
    ],
)
@of_run
@click.argument("place", required=False)
@click.option("--level", metavar="NAME", help="At least this level: warning. What was printed has none.")
@click.option("--text", metavar="TEXT", help="Only lines in which this stands.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="The last so many lines; 0 means all.")
@click.option("--follow", is_flag=True, help="Go on until the run has ended. With --json one object a line.")
@as_json
@in_history
def logs(
    run: PastRun, *, place: str | None, level: str | None, text: str | None, limit: int, follow: bool, as_json: bool
) -> None:
    """Print what a RUN has logged and printed.

    PLACE is one node or element of it: load, load[17]; flow is the body of the flow.
    """
    node, index = (None, None) if place is None else _parsed(place)
    try:
        level_of(level)
    except HistoryError as error:
        raise click.BadParameter(f"{error.problem}; it is {error.fix}", param_hint="--level") from None
    if follow:
        for line in follow_logs(run, node, index=index, level=level, text=text):
            click.echo(json.dumps(_dict_of(line)) if as_json else str(line))
        return
    found = run.logs(node, index=index, level=level, text=text)
    shown = found[-limit:] if limit else found
    if as_json:
        print_json(list(map(_dict_of, shown)))
        return
    if len(shown) < len(found):
        click.echo(f"{shown_number(len(found) - len(shown))} earlier lines are left out.", err=True)
    for line in shown:
        click.echo(str(line))
    if not found:
        click.echo("Nothing was logged." if place is None and level is None and text is None else "No line matches.")


def _parsed(place: str) -> tuple[str, int | None]:
    places = importlib.import_module("dataflow.places")  # it loads graphs, which other commands do not need
    found: tuple[str, int | None] = places.parse_place(place)
    return found


def _dict_of(line: LogLine) -> dict[str, object]:
    return {**Logs([line]).to_dicts()[0], "node": line.node, "index": line.index}


@click.command(
    cls=ShownCommand, examples=["dataflow runs story last load", "dataflow runs story 0a1b2c 'load[17]' --json"]
)
@of_run
@click.argument("place")
@as_json
@in_history
def story(run: PastRun, *, place: str, as_json: bool) -> None:
    """Tell what happened to a node or an element, state by state.

    PLACE is a node or an element: load, load[17]. Each state is told with its reason.
    """
    told = run.story(place)
    if not as_json:
        click.echo(str(told))
        return
    steps = [
        {"state": step.name, "reason": step.reason, "time": utc(step.time), "attempt": step.attempt} for step in told
    ]
    print_json({"of": told.of, "transitions": steps})


@click.command(
    cls=ShownCommand, examples=["dataflow runs compare 0a1b2c last", "dataflow runs compare 0a1b2c 3d4e5f --json"]
)
@click.argument("which", metavar="BEFORE")
@click.argument("after", metavar="AFTER")
@as_json
@in_history
def compare(run: PastRun, *, after: str, as_json: bool) -> None:
    """Say how the run AFTER differs from the run BEFORE.

    Parameters, nodes, counts, durations, which elements failed in only one of them, and why.
    """
    found = run.compare(past_run(after, url=click.get_current_context().params["url"]))
    if as_json:
        print_json(found.to_dict())
    else:
        click.echo(str(found))
