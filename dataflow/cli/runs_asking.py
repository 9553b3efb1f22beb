"""Commands that steer a run, whichever process it is in: cancel, pause, resume, approve."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any, Final

import click

from dataflow.cli.output import print_json
from dataflow.cli.quantities import DURATION
from dataflow.cli.runs_options import in_history, of_run
from dataflow.cli.shown import ShownCommand, as_json
from dataflow.errors import HistoryError
from dataflow.history.past_runs import PastRun
from dataflow.history.where import VARIABLE
from dataflow.states import StateType

__all__ = ["approve", "cancel", "pause", "resume"]

WAIT_SECONDS: Final = 10.0

HOW_LONG: Final = "How long to wait for the answer; 10s if not said."
within = click.option("--wait", "wait_seconds", type=DURATION, default=WAIT_SECONDS, help=HOW_LONG)
with_input = click.option("--input", "given", metavar="JSON", help="What the run asked for, as JSON.")


def _ask(run: PastRun, kind: str, key: str | None, given: str | None, wait_seconds: float, **how: Any) -> str:
    if not run.goes_on and run.state.type is not StateType.SUSPENDED:
        raise HistoryError(f"it does not go on, it is {run.state.name}", where=f"run {run.id}", fix=_instead(run))
    _choose_history(click.get_current_context().params["url"])
    ask_run = importlib.import_module("dataflow.asking").ask_run  # looking at runs takes less time than loading this
    body = {} if given is None else {"input": _parsed(given)}
    answer: str = ask_run(run.id, kind, key or "", body, wait_seconds, **how)
    return answer


def _instead(run: PastRun) -> str:
    if run.resuming is None:
        return "run its flow again"
    return f"{run.resuming.python} takes what it has kept".replace("\n", "; ")


def _choose_history(url: str | None) -> None:
    """Make the history that was named that of this process: what is taken up here is written down there."""
    if url is not None:
        os.environ[VARIABLE] = url
        importlib.import_module("dataflow.settings").settings.cache_clear()


def _parsed(given: str) -> Any:
    try:
        return json.loads(given)
    except ValueError as error:
        raise click.BadParameter(f"it is no JSON: {error}; texts stand in quotes", param_hint="--input") from None


def _print_answer(run: PastRun, done: str, answer: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"run": run.id, "asked": done, "answer": answer})
    else:
        click.echo(f"Run {run.id}: {done}." if answer == "done" else f"Run {run.id}: {answer}")


@click.command(cls=ShownCommand, examples=["dataflow runs cancel last", "dataflow runs cancel 0a1b2c load"])
@of_run
@click.argument("node", required=False)
@within
@as_json
@in_history
def cancel(run: PastRun, *, node: str | None, wait_seconds: float, as_json: bool) -> None:
    """Cancel a RUN, or one NODE of it and what rests on that."""
    _print_answer(run, "cancelled", _ask(run, "cancel", node, None, wait_seconds), as_json=as_json)


@click.command(cls=ShownCommand, examples=["dataflow runs pause last"])
@of_run
@within
@as_json
@in_history
def pause(run: PastRun, *, wait_seconds: float, as_json: bool) -> None:
    """Pause a RUN.

    What runs ends, nothing new begins until it is resumed.
    """
    _print_answer(run, "paused", _ask(run, "pause", None, None, wait_seconds), as_json=as_json)


@click.command(
    cls=ShownCommand,
    examples=[
        "dataflow runs resume last",
        """dataflow runs resume 0a1b2c --input '{"rows": 100}'""",
        "dataflow runs resume 0a1b2c --input true --later",
    ],
)
@of_run
@with_input
@click.option("--key", help="Which of several pauses is meant.")
@click.option("--later", is_flag=True, help="Only keep the input; the run is taken up by somebody else.")
@within
@as_json
@in_history
def resume(
    run: PastRun, *, given: str | None, key: str | None, later: bool, wait_seconds: float, as_json: bool
) -> None:
    """Resume a RUN that was paused or ended early.

    A paused run goes on where it is. One that was suspended, crashed, failed or was cancelled is taken up here, by the
    file and the arguments it was run with, and this command ends with it: what was kept is not run again.
    """
    if run.resuming is None or run.state.type is StateType.SUSPENDED:
        answer = _ask(run, "resume", key, given, wait_seconds, runs_here=not later)
    else:
        answer = _taken_up(run, key, given, later=later)
    _print_answer(run, "resumed", answer, as_json=as_json)


def _taken_up(run: PastRun, key: str | None, given: str | None, *, later: bool) -> str:
    """Run again what ended before its time; its input is for the pause that it had come to."""
    if key is not None or later:
        hint = "--later" if later else "--key"
        raise click.BadParameter(f"nobody waits in this run: it is {run.state.name}", param_hint=hint)
    run_input = None if given is None else _parsed(given)
    _choose_history(click.get_current_context().params["url"])
    return str(run.resume(run_input))


@click.command(
    cls=ShownCommand,
    examples=["dataflow runs approve last release", """dataflow runs approve 0a1b2c release --input '"yes"'"""],
)
@of_run
@click.argument("node", required=False)
@with_input
@within
@as_json
@in_history
def approve(run: PastRun, *, node: str | None, given: str | None, wait_seconds: float, as_json: bool) -> None:
    """Approve a NODE of a RUN that waits for it.

    Without NODE all go on that wait for an approval.
    """
    _print_answer(run, "approved", _ask(run, "approve", node, given, wait_seconds), as_json=as_json)
