"""Reads the console blocks of a page: commands behind a ``$``, and what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = re.compile(r"^```console\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A command of a page, and what the page says it prints."""

    line: int
    command: str
    output: str


def shown_in(text: str) -> Iterator[Shown]:
    """All commands of a page."""
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start("text")) + 1
        lines = block["text"].splitlines(keepends=True)
        starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
            output = "".join(lines[start + 1 : stop])
            yield Shown(line=first + start, command=lines[start][2:].strip(), output=output)
