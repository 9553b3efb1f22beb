"""Draws the pictures of the documentation as SVG: the layers of the package, and the way of one element."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from textwrap import wrap

WIDTH = 760
INK, PALE, LINE = "#1f4e79", "#eaf2fb", "#7fa7d1"
LAYER_NAMES = {
    "engine": "engine — runs batches: the machine, the worker side, the clusters",
    "compiler": "compiler — programs, batches, Dask tasks",
    "graph": "graph — nodes, mapping, stages; no Dask",
}
WAY = (
    ("call", "arguments are bound, nodes in containers are found"),
    ("node", "one call of a task in a flow; mapped: one element per index"),
    ("stage", "nodes of one index space that run together"),
    ("batch", "a slice of the index space; one Dask task"),
    ("worker", "walks each element through the stage, depth first"),
    ("report", "states, attempts and times, in columns"),
    ("machine", "folds reports, sends what became ready, releases values"),
    ("future", "your state, your value"),
)


def picture(body: Iterable[str], height: int) -> str:
    """An SVG of the common width, with its shapes in it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    arrow = (
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>'
    )
    return "\n".join([head, arrow, *body, "</svg>\n"])


def box(x: int, y: int, width: int, height: int) -> str:
    """A rounded box."""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{PALE}" stroke="{LINE}"/>'


def text(x: int, y: int, words: str, size: int, weight: str = "normal") -> str:
    """A line of text, centred at x."""
    style = f'text-anchor="middle" font-size="{size}" font-weight="{weight}" fill="{INK}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(words)}</text>'


def arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    """An arrow from one point to another."""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{LINE}" stroke-width="2" marker-end="url(#a)"/>'


def draw_layers(layers: Sequence[str]) -> str:
    """One box per layer of the contract, top to bottom; arrows say which way imports may go."""
    shapes: list[str] = []
    y = 10
    for position, layer in enumerate(layers):
        modules = [name.strip(" ()\n") for name in layer.split(":")]
        title = LAYER_NAMES.get(layer) or (
            "words — what everything shares" if position else "front doors — what users call"
        )
        lines = wrap(" ".join(modules), 80) if len(modules) > 1 else []
        height = 36 + 20 * len(lines)
        shapes += [box(30, y, WIDTH - 60, height), text(WIDTH // 2, y + 23, title, 15, "bold")]
        shapes += [text(WIDTH // 2, y + 44 + 20 * k, line, 13) for k, line in enumerate(lines)]
        y += height + 26
        if position < len(layers) - 1:
            shapes.append(arrow(WIDTH // 2, y - 26, WIDTH // 2, y - 2))
    return picture(shapes, y - 16)


def draw_way() -> str:
    """The stations of one element in two rows."""
    shapes: list[str] = []
    width, height, gap = 165, 112, 25
    for position, (name, story) in enumerate(WAY):
        row, column = divmod(position, 4)
        x, y = 12 + column * (width + gap), 10 + row * (height + 44)
        shapes += [box(x, y, width, height), text(x + width // 2, y + 25, name, 16, "bold")]
        shapes += [text(x + width // 2, y + 47 + 17 * k, line, 12) for k, line in enumerate(wrap(story, 22))]
        if column < 3:
            shapes.append(arrow(x + width + 1, y + height // 2, x + width + gap - 1, y + height // 2))
        elif row == 0:
            low = y + height + 22
            shapes.append(
                f'<path d="M{x + width // 2} {y + height} V{low} H{12 + width // 2}" fill="none" stroke="{LINE}"/>'
            )
            shapes.append(arrow(12 + width // 2, low, 12 + width // 2, low + 21))
    return picture(shapes, 2 * height + 64)
