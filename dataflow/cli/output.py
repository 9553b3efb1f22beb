"""What commands print: tables for people (drawn on a terminal, aligned elsewhere), facts, and JSON for programs."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import click

__all__ = ["Column", "print_facts", "print_json", "print_table"]

TIME_SUFFIX: Final = "_at"
GAP: Final = "  "
LONG: Final = frozenset({"preimage"})
"""Fields that are left out of JSON."""


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    is_number: bool = False
    """Whether it stands at the right."""
    folds: bool = False
    """Whether it may take several lines where the terminal is narrow."""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their titles; columns without any text are left out."""
    rows = [list(row) for row in rows]
    used = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    columns, rows = [columns[number] for number in used], [[row[number] for number in used] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, rows)
    else:
        _align(columns, rows)


def _align(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.title.upper() for column in columns], *rows]
    widths = [max(map(len, texts)) for texts in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        ]
        click.echo(GAP.join(cells).rstrip())


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    # loaded here: most commands end in a pipe or in a script, and rich takes as long to load as all else
    names = ("rich.table", "rich.box", "rich.text", "rich.console")
    tables, boxes, texts, consoles = map(importlib.import_module, names)
    table = tables.Table(box=boxes.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        justify = "right" if column.is_number else "left"
        table.add_column(column.title, justify=justify, overflow="fold", no_wrap=not column.folds)
    for row in rows:
        table.add_row(*map(texts.Text, row))
    consoles.Console().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values below each other; values without text are left out."""
    said = {name: value for name, value in facts.items() if value}
    width = max(map(len, said), default=0)
    for name, value in said.items():
        click.echo(f"{name.ljust(width)}{GAP}{value}")


def print_json(value: Any) -> None:
    """Print values as JSON: times in ISO 8601, digests in hexadecimal."""
    click.echo(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _moment(name, each) for name, each in fields.items() if name not in LONG}
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return str(value) if isinstance(value, str) else value.name.lower()
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _moment(name: str, value: Any) -> Any:
    if name.endswith(TIME_SUFFIX) and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).isoformat()
    return _plain(value)
