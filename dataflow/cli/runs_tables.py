"""How runs are printed: tables of runs and nodes, and the report about one run."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterator
from typing import Any, Final

import click

from dataflow.cli.output import Column, print_facts, print_table
from dataflow.history.past_runs import PastRun
from dataflow.history.tables import Table
from dataflow.quantities import shown_here, shown_number, shown_seconds
from dataflow.states import GOOD, StateType

__all__ = ["print_report", "print_rows"]

FOLDING: Final = frozenset({"flow", "node", "message", "cluster"})
"""Columns that may take several lines where the terminal is narrow."""
MOST_COUNTED: Final = 1_000
"""So many runs that were begun in one are counted."""
MOST_NODES: Final = 50
"""So many nodes are shown; of more, those that did not end well go first."""


def print_rows(table: Table[Any]) -> None:
    """Print the columns that people see."""
    fields = [field for field in table.fields if field.shown]
    columns = [Column(field.name, is_number=field.is_number, folds=field.name in FOLDING) for field in fields]
    print_table(columns, [[field.text(row) for field in fields] for row in table])


def print_report(run: PastRun) -> None:
    """Print what became of a run: facts, nodes, causes of failures, and what to do next."""
    print_facts(_facts(run))
    if run.nodes:
        click.echo()
        _print_nodes(run)
    if len(run.executions) > 1:
        click.echo()
        print_rows(run.executions)
    causes = [cause for node in run.nodes for cause in node.causes]
    if causes:
        texts = importlib.import_module("dataflow.causes.texts")  # most runs have nothing to explain
        click.echo(f"\n{texts.causes_text(causes)}")
    click.echo("\nNext:")
    for line in _next_steps(run):
        click.echo(f"  {line}")


def _print_nodes(run: PastRun) -> None:
    nodes = run.nodes
    if len(nodes) <= MOST_NODES:
        print_rows(nodes)
        return
    chosen = sorted(nodes, key=lambda node: node.kind in GOOD)[:MOST_NODES]
    print_rows(type(nodes)(sorted(chosen, key=lambda node: node.number)))
    click.echo(f"{shown_number(len(nodes) - len(chosen))} more; --json shows all.")


def _facts(run: PastRun) -> dict[str, str]:
    message = run.state.message.strip().split("\n", 1)[0]
    last = run.executions[-1] if run.executions else None
    took = "took" if run.state.is_final() else "for"
    return {
        "run": run.id,
        "flow": run.flow if run.name == run.flow else f"{run.flow} ({run.name})",
        "state": f"{run.state.name}: {message}" if message else run.state.name,
        "asks for": "; ".join(run.asks),
        "started": f"{shown_here(run.started)}, {took} {shown_seconds(run.seconds)}",
        "parameters": ", ".join(f"{name}={value}" for name, value in run.parameters.items()),
        "tags": ", ".join(run.tags),
        "begun in": " ".join(filter(None, [f"run {run.parent}" if run.parent else "", run.row.parent_place])),
        "began": _begun(run),
        "cluster": run.cluster,
        "client": " ".join(filter(None, [last.user and f"{last.user} on", last.host])) if last else "",
        "lost": f"{shown_number(last.lost)} rows of its history could not be kept" if last and last.lost else "",
    }


def _begun(run: PastRun) -> str:
    """How many runs it has begun."""
    count = len(run.begun(MOST_COUNTED + 1))
    if not count:
        return ""
    number = f"more than {shown_number(MOST_COUNTED)}" if count > MOST_COUNTED else shown_number(count)
    return f"{number} other run{'' if count == 1 else 's'}: dataflow runs ls --within {run.id}"


def _next_steps(run: PastRun) -> Iterator[str]:
    failed = next((node for node in run.nodes if node.causes and node.failed), None)
    if failed is not None:
        yield f"dataflow runs story {run.id} {shlex.quote(_first_place(failed))}"
    yield f"dataflow runs logs {run.id}{' --follow' if run.goes_on else ''}"
    asks_input = " --input JSON" if run.asks else ""
    if run.goes_on:
        awaits_approval = any(node.count(StateType.PAUSED) for node in run.nodes)
        if awaits_approval:
            yield f"dataflow runs approve {run.id}"
        if run.state.type is StateType.PAUSED and (run.asks or not awaits_approval):
            yield f"dataflow runs resume {run.id}{asks_input}"
        yield f"dataflow runs cancel {run.id}"
    if run.resuming is not None:
        python = run.resuming.python.replace(chr(10), "; ")
        yield f"{run.resuming.command}{asks_input}" if run.resuming.command else f"in Python: {python}"


def _first_place(node: Any) -> str:
    first = next((start for cause in node.causes for start, _ in cause.elements), None)
    return node.slug if first is None else f"{node.slug}[{first}]"
