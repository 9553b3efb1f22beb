"""Options that commands about results share: which store, which results."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from dataflow.cli.quantities import MOMENT
from dataflow.settings import settings
from dataflow_results.care.catalogue import Query
from dataflow_results.store import ResultStore

__all__ = ["in_safe_store", "in_store", "which_results"]


def in_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--store``, and the store as its first argument.

    Where a command takes a result, the URL of a whole reference says which store.
    """

    @click.option("--store", "url", metavar="URL", help="Path or URL of the store; else the setting result_storage.")
    @functools.wraps(command)
    def with_store(*, url: str | None, safe: bool = False, **options: Any) -> Any:
        place = url or _store_of(options.get("result")) or settings().result_storage
        return command(ResultStore(place, safe=safe), **options)

    return with_store


def _store_of(result: str | None) -> str:
    """The URL in a reference; empty if it is something else."""
    return (result or "").rpartition("#")[0]


def in_safe_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """As `in_store`, with the option ``--safe`` for commands that load values."""
    return click.option("--safe", is_flag=True, help="Refuse to load formats that could run code.")(in_store(command))


def which_results(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command options that say which results are meant, and a query made of them."""

    @click.option("--task", default="", metavar="NAME", help="Results of this task.")
    @click.option("--flow", default="", metavar="NAME", help="Results of this flow.")
    @click.option("--node", default="", metavar="SLUG", help="Results of this node.")
    @click.option("--run", "run_id", default="", metavar="ID", help="Results of this run.")
    @click.option("--since", type=MOMENT, default=float("-inf"), help="Stored at or after: 2026-01-31, or 7d (ago).")
    @click.option("--until", type=MOMENT, default=float("inf"), help="Stored before.")
    @functools.wraps(command)
    def with_query(*args: Any, **options: Any) -> Any:
        names = ("task", "flow", "node", "run_id", "since", "until")
        return command(*args, query=Query(**{name: options.pop(name) for name in names}), **options)

    return with_query
