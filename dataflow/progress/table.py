"""The table of progress, drawn with rich: a header, a line for each node, and what does not fit in one line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from dataflow.progress.lines import WORDS, Line, Picture, shown_done, shown_eta, shown_rate, shown_share

__all__ = ["drawn", "fitted"]

LEAST_LINES = 3
"""So many are shown however low the terminal is."""
NARROW_BAR, WIDE_BAR = 10, 24
WIDE_COLUMNS = 100
"""A terminal that has so many shows wide bars."""
MOST_NAME_COLUMNS, LEAST_NAME_COLUMNS = 36, 12
"""A name is cut to make room for the numbers, but not to less than this."""

COUNT_STYLES = {"failed": "red", "cancelled": "red", "waiting": "yellow"}
"""Of what few elements are; of anything else it is blue."""
AT_THE_RIGHT = frozenset({2, 3, 5})
"""Columns of numbers."""
STYLES = {"Completed": "green", "Cached": "green", "": "bold"}
"""Of the header, by the state of the run; others are red."""


def fitted(lines: Sequence[Line], most: int) -> tuple[list[Line], str]:
    """The lines that are shown where there is room for so many, and a sentence about the others.

    What runs comes first then, what has ended is left out, and the order of the flow is kept.

    Example:
        >>> lines = [Line(name="load", done=9, total=9, is_begun=True), Line(name="clean", total=9), Line(name="sum")]
        >>> shown, rest = fitted(lines, 2)
        >>> [line.name for line in shown], rest
        (['clean'], '1 ended (9 elements), 1 not begun')
    """
    if len(lines) <= most:
        return list(lines), ""
    open_lines = [line for line in lines if not line.is_ended]
    by_interest = sorted(open_lines or lines, key=lambda line: (not line.is_running, not line.failed))
    names = {id(line) for line in by_interest[: max(1, most - 1)]}
    left = [line for line in lines if id(line) not in names]
    return [line for line in lines if id(line) in names], _summed(left)


def _summed(lines: Sequence[Line]) -> str:
    ended = [line for line in lines if line.is_ended]
    running = sum(line.is_running for line in lines)
    failed = sum(line.failed for line in ended)
    elements = f"{sum(line.done for line in ended):,} elements" + (f", {failed:,} failed" if failed else "")
    told = {
        f"{len(ended)} ended ({elements})": len(ended),
        f"{running} running": running,
        f"{len(lines) - len(ended) - running} not begun": len(lines) - len(ended) - running,
    }
    return ", ".join(text for text, count in told.items() if count)


def drawn(picture: Picture, *, width: int, height: int) -> RenderableType:
    """A picture as rich shows it.

    Args:
        picture: the run at a moment.
        width: columns of the terminal.
        height: lines there is room for.
    """
    shown, rest = fitted(picture.lines, max(LEAST_LINES, height - 1))
    parts: list[RenderableType] = [_header(picture), *_rows(shown, width)]
    if rest:
        parts.append(Text(f"  and {rest}", style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _header(picture: Picture) -> Text:
    told = [picture.flow, picture.run_id]
    if picture.attempt > 1:
        told.append(f"attempt {picture.attempt}")
    told.append(shown_eta(int(picture.seconds)) if picture.seconds >= 60 else f"{picture.seconds:.1f} s")
    if picture.state:
        told.append(picture.state)
    else:
        told += [_counted(picture.threads, "thread"), _counted(picture.batches, "batch", "batches")]
    style = STYLES.get(picture.state, "red")
    return Text("  ".join(told), style=style, no_wrap=True, overflow="ellipsis")


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _rows(lines: Sequence[Line], width: int) -> list[Text]:
    # Put together here and not by a table of rich, which takes ten times as long.
    if not lines:
        return []
    rows = [_cells(line, WIDE_BAR if width >= WIDE_COLUMNS else NARROW_BAR) for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [column for column, most in enumerate(widths) if most]
    beside = sum(widths[column] + 2 for column in shown if column)
    widths[0] = min(widths[0], max(LEAST_NAME_COLUMNS, min(MOST_NAME_COLUMNS, width - beside)))
    for row in rows:
        row[0].truncate(widths[0], overflow="ellipsis")
    texts = [Text("  ").join(_aligned(row[column], widths[column], column) for column in shown) for row in rows]
    for line, text in zip(lines, texts, strict=True):
        text.no_wrap, text.overflow = True, "ellipsis"
        text.rstrip()
        if not line.is_begun and not line.is_ended:
            text.stylize("dim")
    return texts


def _aligned(cell: Text, width: int, column: int) -> Text:
    padding = Text(" " * (width - len(cell)))
    return padding + cell if column in AT_THE_RIGHT else cell + padding


def _cells(line: Line, bar_width: int) -> list[Text]:
    eta = shown_eta(line.eta_seconds)
    plain = [shown_done(line), shown_share(line), shown_rate(line.rate), f"ETA {eta}" if eta else ""]
    done, share, rate, rest = map(Text, plain)
    return [Text(line.label), _bar(line, bar_width), done, share, _counts(line), rate, rest]


def _counts(line: Line) -> Text:
    told = [
        Text(f"{count:,} {word}", style=COUNT_STYLES.get(word, "cyan"))
        for word in WORDS
        if (count := getattr(line, word))
    ]
    return Text(", ").join(told)


def _bar(line: Line, width: int) -> Text:
    """How much has ended, to half a column; it can be read without colours, too."""
    halves = 2 * width * line.done // line.total if line.total else 2 * width if line.is_ended else 0
    whole, half = divmod(min(halves, 2 * width), 2)
    style = "red" if line.failed else "green" if line.is_ended else "blue"
    return Text("━" * whole + "╸" * half, style=style) + Text("─" * (width - whole - half), style="dim")
