"""Options that commands about runs share: which history, which run, which states."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

import click

from dataflow.errors import UsageError
from dataflow.history.filters import moment_of, states_of
from dataflow.history.finding import run as past_run

__all__ = ["STATE", "WHEN", "in_history", "of_run"]


class StateNames(click.ParamType[list[str]]):
    """Names of states, separated by commas: ``failed,crashed``."""

    name = "states"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The names."""
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
        try:
            states_of(names)
        except UsageError as error:
            self.fail(f"{error.problem}; it is {error.fix}", param, ctx)
        return names


class When(click.ParamType[float]):
    """A date, a date with time (of here if nothing else is said), or a length of time ago."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since the epoch."""
        try:
            return moment_of(value) or 0.0
        except UsageError as error:
            self.fail(f"{error.problem}; write {error.fix}", param, ctx)


STATE: Final = StateNames()
WHEN: Final = When()


def in_history(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--history`` as its first argument: the URL, or the run of it if it takes one."""
    takes_run = "run" in inspect.signature(command).parameters

    @click.option("--history", "url", metavar="URL", help="Database or SQLite file of the history; else the setting.")
    @functools.wraps(command)
    def with_history(*, url: str | None, **options: Any) -> Any:
        if not takes_run:
            return command(url, **options)
        return command(past_run(options.pop("which"), url=url), **options)

    return with_history


of_run = click.argument("which", metavar="RUN")
"""Which run a command is about; `in_history` finds it."""
