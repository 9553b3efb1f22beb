"""``dataflow results``: look at what is stored: ls, show, why, du. Care of it is in `dataflow.cli.results_care`."""

from __future__ import annotations

import pprint
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import click

from dataflow.cli.options import in_safe_store, in_store, which_results
from dataflow.cli.output import Column, print_facts, print_json, print_table
from dataflow.cli.quantities import SIZE
from dataflow.cli.results_care import gc, pin, runs, verify
from dataflow.cli.results_tables import (
    SHORT_KEY,
    facts_of,
    made_of,
    print_batches,
    print_elements,
    print_groups,
    title_of,
)
from dataflow.cli.shown import ShownCommand, ShownGroup, as_json
from dataflow.quantities import shown_bytes, shown_number
from dataflow_results.care.catalogue import GROUPS, Query, elements_of, grouped, list_batches
from dataflow_results.care.finding import find_elements, preimage_of
from dataflow_results.care.misses import summed_up, why_computed
from dataflow_results.care.usage import areas_of
from dataflow_results.errors import ResultMissing
from dataflow_results.records import ResultReference
from dataflow_results.store import ResultStore

__all__ = ["results"]

MANY_ROWS: Final = 50


@click.group(
    cls=ShownGroup,
    examples=[
        "dataflow results ls --store s3://lab/results --since 7d",
        "dataflow results show 0a1b2c3d4e5f --value",
        "dataflow results why load --element 17",
        "dataflow results verify",
        "dataflow results gc --older-than 30d",
    ],
)
def results() -> None:
    """Look at kept results, explain, check and clean them."""


for command in (verify, gc, pin, runs):
    results.add_command(command)


@results.command(
    cls=ShownCommand,
    examples=[
        "dataflow results ls --task load --since 2026-01-31",
        "dataflow results ls --by task --json",
        "dataflow results ls --run tidy-otter-1 --elements",
    ],
)
@click.option("--by", default="task,flow,run_id,node", metavar="NAMES", help=f"Put together by: {', '.join(GROUPS)}.")
@click.option("--batches", is_flag=True, help="A row for each batch.")
@click.option("--elements", is_flag=True, help="A row for each single result, with its key.")
@click.option("--limit", default=MANY_ROWS, show_default=True, help="Rows at most; 0 means all.")
@click.option("--min-size", "min_bytes", type=SIZE, default=0, help="Batches (or elements) of at least this: 20MB.")
@which_results
@as_json
@in_store
def ls(
    store: ResultStore,
    *,
    query: Query,
    by: str,
    batches: bool,
    elements: bool,
    limit: int,
    min_bytes: int,
    as_json: bool,
) -> None:
    """List what is stored, the newest first."""
    query = replace(query, min_bytes=min_bytes)
    rows, print_rows = _listed(store, query, by=by, batches=batches, elements=elements)
    shown = rows[:limit] if limit else rows
    if as_json:
        print_json(shown)
    elif not rows:
        click.echo(f"Nothing is stored in {store.url}" + (" that matches." if query != Query() else "."))
    else:
        print_rows(shown)
        if len(shown) < len(rows):
            click.echo(f"{shown_number(len(rows) - len(shown))} more; --limit 0 shows all.")


def _listed(
    store: ResultStore, query: Query, *, by: str, batches: bool, elements: bool
) -> tuple[Sequence[Any], Callable[[Sequence[Any]], None]]:
    """Rows, and what prints them."""
    if elements:
        return elements_of(store, query), print_elements
    if batches:
        return list_batches(store, query), print_batches
    names = _names(by)
    return grouped(list_batches(store, query), names), partial(print_groups, names)


def _names(by: str) -> list[str]:
    names = [name.strip() for name in by.split(",") if name.strip()]
    names = ["run_id" if name == "run" else name for name in names]
    if unknown := sorted(set(names) - set(GROUPS)):
        raise click.BadParameter(f"{', '.join(unknown)}: results are put together by {', '.join(GROUPS)}")
    return names


@results.command(
    cls=ShownCommand, examples=["dataflow results show 0a1b2c3d4e5f", "dataflow results show answer --value"]
)
@click.argument("result")
@click.option("--value", "with_value", is_flag=True, help="Load and print the value; with pickle this runs code.")
@as_json
@in_safe_store
def show(store: ResultStore, *, result: str, with_value: bool, as_json: bool) -> None:
    """Say where one RESULT comes from.

    Also how it is stored, and what its key was made of.

    RESULT is a reference, collection/key, the first digits of a key (4 or more), or the name a value was put under.
    """
    found = find_elements(store, result)
    if not found:
        fix = "`dataflow results ls --elements` lists keys and names"
        raise ResultMissing(f"nothing is stored under {result!r}", where=store.url, fix=fix)
    if len({one.key for one in found}) > 1:
        keys = ", ".join(sorted({one.key.hex()[:SHORT_KEY] for one in found})[:5])
        raise click.UsageError(f"{result!r} is the beginning of several keys: {keys}")
    element = found[0]
    preimage = preimage_of(store, element)
    reference = ResultReference(url=store.url, collection=element.collection, key=element.key)
    if as_json:
        print_json({"reference": str(reference), "result": element, "key": preimage})
    else:
        print_facts({"reference": str(reference), **facts_of(element)})
        if preimage is not None:
            click.echo("\nThe key was made of:")
            print_facts({f"  {name}": value for name, value in made_of(preimage).items()})
    if with_value:
        value = store.load(reference)
        click.echo(f"\n{pprint.pformat(value)}")


@results.command(
    cls=ShownCommand,
    examples=["dataflow results why load", "dataflow results why load --element 17 --run tidy-otter-1"],
)
@click.argument("task")
@click.option("--element", type=int, help="Index of the element.")
@click.option("--key", default="", metavar="DIGITS", help="First digits of the result's key.")
@click.option("--run", "run_id", default="", metavar="ID", help="As it was in this run.")
@as_json
@in_store
def why(store: ResultStore, *, task: str, element: int | None, key: str, run_id: str, as_json: bool) -> None:
    """Say why results of TASK were computed again.

    Takes what the last run stored of it, or the newest result of one element or key, and says by how little it differs
    from what was stored before.
    """
    computed = why_computed(store, Query(task=task, run_id=run_id), element=element, key=key)
    if as_json:
        print_json(computed)
        return
    for text, count in summed_up(computed):
        click.echo(f"{text}" if len(computed) == 1 else f"{count} of {len(computed)}: {text}")


@results.command(
    cls=ShownCommand, examples=["dataflow results du --by task,run", "dataflow results du --since 7d --json"]
)
@click.option("--by", default="task", metavar="NAMES", show_default=True, help=f"Put together by: {', '.join(GROUPS)}.")
@which_results
@as_json
@in_store
def du(store: ResultStore, *, query: Query, by: str, as_json: bool) -> None:
    """Say how much room results take.

    Values that several results share count for each of them in the table of
    results, and once in the table of files.
    """
    names = _names(by)
    groups = sorted(grouped(list_batches(store, query), names), key=lambda group: group.size_bytes, reverse=True)
    areas = areas_of(store)
    if as_json:
        print_json({"results": groups, "files": areas})
        return
    columns = [
        *(Column(title_of(name)) for name in names),
        Column("results", is_number=True),
        Column("size", is_number=True),
    ]
    if groups:
        sizes = [(*g.names, shown_number(g.results), shown_bytes(g.size_bytes)) for g in groups]
        print_table(columns, sizes)
        click.echo()
    total = sum(area.size_bytes for area in areas)
    rows = [(area.name, shown_number(area.files), shown_bytes(area.size_bytes)) for area in areas]
    rows.append(("all", shown_number(sum(area.files for area in areas)), shown_bytes(total)))
    print_table([Column("kind of file"), Column("files", is_number=True), Column("size", is_number=True)], rows)
