"""Runs the code blocks of one page of documentation (or notebook) in order and tells what each printed."""

from __future__ import annotations

import contextlib
import io
import json
import linecache
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n)?^```python\n(?P<code>.*?)^```\n(?:\s*^```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of Python in a page, and the text the page says it prints."""

    line: int
    code: str
    output: str
    skipped: bool


def blocks_of(text: str) -> list[Block]:
    """All blocks of Python in a page; ``<!-- not run: reason -->`` in the line above leaves one out."""
    return [
        Block(
            line=text.count("\n", 0, found.start("code")) + 1,
            code=found["code"],
            output=found["output"] or "",
            skipped=found["skip"] is not None,
        )
        for found in BLOCK.finditer(text)
    ]


def cells_of(text: str) -> list[Block]:
    """All cells of code in a notebook, with the text it shows below each; the line is the cell's position."""
    cells = json.loads(text)["cells"]
    return [
        Block(line=position, code="".join(cell["source"]), output=shown_by(cell), skipped=False)
        for position, cell in enumerate(cells, start=1)
        if cell["cell_type"] == "code"
    ]


def shown_by(cell: dict[str, Any]) -> str:
    """The printed text that is stored with a cell."""
    return "".join("".join(output.get("text", ())) for output in cell["outputs"])


def read_blocks(page: Path) -> list[Block]:
    """The blocks of a page of documentation or of a notebook."""
    find = cells_of if page.suffix == ".ipynb" else blocks_of
    return find(page.read_text(encoding="utf-8"))


def run_block(block: Block, name: str, namespace: dict[str, Any]) -> str:
    """What a block prints; an exception counts as its last printed line, as in a traceback."""
    source = "\n" * (block.line - 1) + block.code  # so that messages name the line of the page
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(source, name, "exec"), namespace)
        except Exception as error:  # noqa: BLE001 - boundary: what the page's code raises is part of what it shows
            print(f"{type(error).__name__}: {error}")
    return printed.getvalue()


def main(page: Path) -> None:
    """Run a page in this process's ``__main__`` and print the outputs as JSON, line number to text."""
    namespace = vars(sys.modules["__main__"])
    blocks = [block for block in read_blocks(page) if not block.skipped]
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    linecache.cache[page.name] = (sum(map(len, lines)), None, lines, page.name)  # the source of functions can be read
    outputs = {block.line: run_block(block, page.name, namespace) for block in blocks}
    print(json.dumps(outputs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
