"""Commands that look after a store of results: verify, gc, pin, runs."""

from __future__ import annotations

import time
from typing import Final

import click

from dataflow.cli.options import in_store, which_results
from dataflow.cli.output import Column, print_facts, print_json, print_table
from dataflow.cli.quantities import DURATION, SIZE
from dataflow.cli.shown import ShownCommand, as_json
from dataflow.quantities import shown_bytes, shown_number, shown_time
from dataflow_results.care.catalogue import Query
from dataflow_results.care.collecting import Collected, collect
from dataflow_results.care.garbage_facts import Rules
from dataflow_results.care.pins import Pin, PinKind, add_pin, list_pins, remove_pin
from dataflow_results.care.verify import verify as verify_store
from dataflow_results.liveness.runs import RunPhase, RunRecords
from dataflow_results.store import ResultStore

__all__ = ["gc", "pin", "runs", "verify"]

PROBLEM: Final = 1
"""Exit code if something is wrong."""
USUAL: Final = Rules()


@click.command(
    cls=ShownCommand,
    examples=["dataflow results verify --store s3://lab/results", "dataflow results verify --set-aside"],
)
@click.option("--set-aside", is_flag=True, help="Take what is damaged out of the way, so that it is computed again.")
@as_json
@in_store
def verify(store: ResultStore, *, set_aside: bool, as_json: bool) -> None:
    """Compare everything that is stored with its checksum.

    The exit code is 1 if something is damaged. Nothing is changed but with --set-aside.
    """
    report = verify_store(store, set_aside=set_aside)
    if as_json:
        print_json(report)
    else:
        print_facts(
            {
                "packs": f"{shown_number(report.packs)} with {shown_number(report.results)} results",
                "objects": shown_number(report.objects) if report.objects else "",
                "folders": shown_number(report.folders) if report.folders else "",
                "plain files": shown_number(report.files) if report.files else "",
                "size": shown_bytes(report.size_bytes),
            }
        )
        click.echo()
        for problem in report.problems:
            done = " (set aside)" if problem.set_aside else ""
            click.echo(f"{problem.where}: {problem.error.problem}{done}")
        count = len(report.problems)
        click.echo(f"{count} problem{'s' if count != 1 else ''}." if count else "All is well.")
    if report.problems:
        raise SystemExit(PROBLEM)


@click.command(
    cls=ShownCommand,
    examples=[
        "dataflow results gc",
        "dataflow results gc --older-than 30d --task load",
        "dataflow results gc --max-size 50GB --delete",
    ],
)
@click.option("--older-than", "max_age", type=DURATION, help="Results older than this go: 30d.")
@click.option("--max-size", "max_bytes", type=SIZE, help="The oldest go until the rest takes no more: 50GB.")
@click.option("--delete", is_flag=True, help="Do it. Without, nothing is removed.")
@click.option("--grace", type=DURATION, default=USUAL.grace_seconds, help="Leave younger objects; 1h if not said.")
@click.option(
    "--keep-unfinished",
    type=DURATION,
    default=USUAL.keep_unfinished_seconds,
    help="How long results of a crashed run stay, so that it can be resumed; 14d if not said.",
)
@which_results
@as_json
@in_store
def gc(
    store: ResultStore,
    *,
    query: Query,
    max_age: float | None,
    max_bytes: int | None,
    delete: bool,
    grace: float,
    keep_unfinished: float,
    as_json: bool,
) -> None:
    """Find what nobody needs; remove it with --delete.

    Always goes: what was replaced, what has expired, objects nobody uses, what killed writers left. Age and size count
    for the results that --task, --run and the like name. Never goes: what a pin, a live lease or an unfinished run
    needs, and plain files whose names you chose.
    """
    rules = Rules(
        max_age_seconds=max_age,
        max_bytes=max_bytes,
        only=query,
        grace_seconds=grace,
        keep_unfinished_seconds=keep_unfinished,
    )
    report = collect(store, rules, dry_run=not delete)
    if as_json:
        print_json(report)
    else:
        _print_collected(report)


def _print_collected(report: Collected) -> None:
    rows = [
        (reason.value, shown_number(amount.count), shown_bytes(amount.size_bytes))
        for reason, amount in report.amounts.items()
    ]
    if rows:
        print_table([Column("why"), Column("count", is_number=True), Column("size", is_number=True)], rows)
        click.echo()
    if report.kept.count:
        click.echo(f"Kept for pins, leases and unfinished runs: {shown_number(report.kept.count)} results.")
    for note in report.notes:
        click.echo(f"Note: {note}")
    size = shown_bytes(report.total.size_bytes)
    if not rows:
        click.echo("Nothing to remove.")
    else:
        click.echo(f"{size} would be removed; --delete removes it." if report.dry_run else f"{size} removed.")


@click.command(
    cls=ShownCommand,
    examples=[
        "dataflow results pin",
        'dataflow results pin run tidy-otter-1 --reason "figures of the paper"',
        "dataflow results pin result load-0a1b2c3d/00ff... --remove",
    ],
)
@click.argument("kind", type=click.Choice([kind.value for kind in PinKind]), required=False)
@click.argument("target", required=False)
@click.option("--reason", default="", help="For people.")
@click.option("--remove", is_flag=True, help="Let it be collected again.")
@as_json
@in_store
def pin(store: ResultStore, *, kind: str | None, target: str | None, reason: str, remove: bool, as_json: bool) -> None:
    """Keep results from being collected, or list what is kept.

    KIND is task, run or result; TARGET its name, its id, or a reference. Without them all pins are listed.
    """
    if kind is not None and target is None:
        raise click.UsageError(f"which {kind}?")
    if kind is not None and target is not None:
        wanted = Pin(kind=PinKind(kind), target=target.rpartition("#")[2], reason=reason)
        (remove_pin if remove else add_pin)(store.files, wanted)
    pins = list_pins(store.files)
    if as_json:
        print_json(pins)
    elif pins:
        columns = [Column("kind"), Column("target"), Column("reason")]
        print_table(columns, [(each.kind.value, each.target, each.reason) for each in pins])
    else:
        click.echo("Nothing is pinned.")


@click.command(cls=ShownCommand, examples=["dataflow results runs", "dataflow results runs --all --json"])
@click.option("--all", "every", is_flag=True, help="Also runs that have ended.")
@as_json
@in_store
def runs(store: ResultStore, *, every: bool, as_json: bool) -> None:
    """List runs that are under way or crashed.

    A run that crashed can be resumed, and its results stay until it is too old.
    """
    now = time.time()
    records = RunRecords(store.files, heart=None).all()
    chosen = [record for record in records if every or record.phase(now) is not RunPhase.ENDED]
    if as_json:
        print_json([{"phase": record.phase(now), "run": record} for record in chosen])
    elif chosen:
        columns = [Column(name) for name in ("run", "flow", "phase", "state", "started", "last sign of life")]
        print_table(
            columns,
            [
                (
                    record.run_id,
                    record.flow,
                    record.phase(now).value,
                    record.state,
                    shown_time(record.started_at),
                    shown_time(record.beat_at),
                )
                for record in chosen
            ],
        )
    else:
        click.echo("No run is under way, and none crashed." if not every else "No run left a record.")
