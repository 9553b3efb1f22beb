"""What all commands share: help that ends with examples, and output for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

__all__ = ["ShownCommand", "ShownGroup", "as_json"]


class _Shown(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, a line for each."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class ShownCommand(_Shown):
    """A command that shows how it is used."""


class ShownGroup(_Shown, click.Group):
    """A group of commands that shows how they are used."""


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
