"""Artifacts to look at: as text in a terminal, as HTML or markdown in a notebook."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from dataflow.artifacts.kinds import media_type, read
from dataflow.artifacts.tables import Table
from dataflow.database.rows import ArtifactRow
from dataflow.quantities import shown_bytes

__all__ = ["Artifact", "artifacts_of"]

SHOWN_ROWS = 50
"""Of a longer table only the first rows are shown."""

SHOWN_CELL = 60
"""A longer text in a cell is cut where it is shown as text."""

BAR_WIDTH = 30

SAFE_LINK = re.compile(r"(https?|ftp|mailto|s3|gs|abfss?):", re.IGNORECASE)
"""Others, as ``javascript:``, are shown but lead nowhere."""

SAFE_PICTURE = re.compile(r"https?:|data:image/", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Artifact:
    """Something that a run made to be looked at, in its newest version.

    In a notebook it shows itself; ``str(artifact)`` is its text.

    Example:
        >>> from dataflow.artifacts.kinds import table_bytes
        >>> rain = table_bytes([{"city": "Bonn", "rain": 1.5}, {"city": "Ulm", "rain": None}])
        >>> made = {"id": UUID(int=7).hex, "key": "rain", "kind": "table", "data": rain, "created": 0, "updated": 0}
        >>> artifact = Artifact.of(ArtifactRow(run_id="a1", **made))
        >>> print(artifact)
        rain
        city  rain
        Bonn   1.5
        Ulm
        >>> artifact.data[0]
        {'city': 'Bonn', 'rain': 1.5}
    """

    id: UUID
    run_id: str
    """Empty if it was made outside of runs."""
    execution_id: str
    node: int | None
    """Number of the node that made it; None if the flow did."""
    element: int | None
    """Index of the element; None of a plain node."""
    key: str
    """Empty if it is no version of anything."""
    kind: str
    """``"markdown"``, ``"table"``, ``"link"``, ``"image"`` or ``"progress"``."""
    description: str
    created: float
    """Seconds since the epoch."""
    updated: float
    raw: bytes
    """What the history keeps."""
    earlier: tuple[Artifact, ...] = ()
    """Earlier versions of the same key, the newest first."""
    place: str = ""
    """Who made it: ``"load[3]"``; empty for the body of a flow, or if nobody has looked it up."""

    @classmethod
    def of(cls, row: ArtifactRow, earlier: tuple[Artifact, ...] = ()) -> Artifact:
        """The artifact of a row of the database."""
        return cls(
            id=UUID(row.id),
            run_id=row.run_id,
            execution_id=row.execution_id,
            node=row.node,
            element=row.element,
            key=row.key,
            kind=row.kind,
            description=row.description,
            created=row.created,
            updated=row.updated,
            raw=row.data,
            earlier=earlier,
        )

    @property
    def data(self) -> Any:
        """What it was made of.

        A text; of a table a list of dicts (of lists, if its columns have no names); of a link a dict with ``link`` and
        ``link_text``; of a picture its bytes or its address; of a progress the percents.
        """
        found = read(self.kind, self.raw)
        return found.value if isinstance(found, Table) else found

    @property
    def versions(self) -> tuple[Artifact, ...]:
        """This one and the earlier ones, the newest first."""
        return (self, *self.earlier)

    def __repr__(self) -> str:
        return f"<Artifact {self.kind} {self.key or self.id}>"

    def __str__(self) -> str:
        shown = TEXTS[self.kind](read(self.kind, self.raw))
        title = ": ".join(part for part in (self.key, self.description) if part)
        return f"{title}\n{shown}" if title else shown

    def _repr_html_(self) -> str | None:
        """None of a text: notebooks know how to show markdown."""
        if self.kind not in HTML:
            return None
        title = f"<b>{html.escape(self.key)}</b> {html.escape(self.description)}".strip()
        head = f"<div>{title}</div>" if self.key or self.description else ""
        return f"<div>{head}{HTML[self.kind](read(self.kind, self.raw))}</div>"

    def _repr_markdown_(self) -> str:
        shown = MARKDOWN[self.kind](read(self.kind, self.raw))
        title = " ".join(part for part in (self.key and f"**{self.key}**", self.description) if part)
        return f"{title}\n\n{shown}" if title else shown


def artifacts_of(rows: Iterable[ArtifactRow]) -> list[Artifact]:
    """The newest artifact of each key with its earlier versions, and all that have no key; the newest first.

    Args:
        rows: of one run, or of all; in any order.

    Example:
        >>> def row(number, key):
        ...     return ArtifactRow(id=UUID(int=number).hex, run_id="a1", key=key, kind="progress", data=b"50",
        ...                        created=number, updated=number)
        >>> [(one.created, len(one.versions)) for one in artifacts_of([row(1, "work"), row(2, ""), row(3, "work")])]
        [(3, 2), (2, 1)]
    """
    groups: dict[str, list[Artifact]] = {}
    for row in sorted(rows, key=lambda row: (row.created, row.updated, row.id)):
        groups.setdefault(row.key or row.id, []).append(Artifact.of(row))
    newest = [_newest(group) for group in groups.values()]
    return sorted(newest, key=lambda artifact: artifact.created, reverse=True)


def _newest(group: Sequence[Artifact]) -> Artifact:
    """The last of a group, which knows the others."""
    *earlier, last = group
    return replace(last, earlier=tuple(reversed(earlier)))


# Text


def _table_text(table: Table) -> str:
    rows = [[_cell_text(cell) for cell in row] for row in table.rows[:SHOWN_ROWS]]
    lines = rows if table.columns is None else [list(table.columns), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = _numeric(table)
    drawn = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*drawn, *_rest_of(table)])


def _numeric(table: Table) -> list[bool]:
    """Whether a column holds nothing but numbers, so that it stands at the right."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns or ())
    return [
        all(cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool)) for cell in column)
        and any(cell is not None for cell in column)
        for column in columns
    ]


def _cell_text(cell: Any) -> str:
    text = "" if cell is None else " ".join(str(cell).split())
    return text if len(text) <= SHOWN_CELL else f"{text[: SHOWN_CELL - 1]}…"


def _rest_of(table: Table) -> list[str]:
    """A note on rows that are not shown, or not even kept."""
    kept, notes = len(table.rows), []
    if kept > SHOWN_ROWS:
        notes.append(f"… {kept - SHOWN_ROWS:,} more rows")
    if table.is_cut:
        notes.append(f"… only the first {kept:,} of {table.total_rows:,} rows were kept")
    return notes


def _progress_text(percent: float) -> str:
    done = round(percent * BAR_WIDTH / 100)
    return f"[{'#' * done}{'-' * (BAR_WIDTH - done)}] {percent:.4g} %"


def _link_text(link: Mapping[str, str]) -> str:
    return link["link"] if link["link"] == link["link_text"] else f"{link['link_text']}: {link['link']}"


def _image_text(image: str | bytes) -> str:
    return image if isinstance(image, str) else f"({media_type(image)}, {shown_bytes(len(image))})"


# HTML


def _table_html(table: Table) -> str:
    numeric = ["right" if right else "left" for right in _numeric(table)]
    rows = [_row_html("td", map(_cell_html, row), numeric) for row in table.rows[:SHOWN_ROWS]]
    head = "" if table.columns is None else _row_html("th", map(html.escape, table.columns), numeric)
    notes = "".join(f"<div>{note}</div>" for note in _rest_of(table))
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>{notes}"


def _cell_html(cell: Any) -> str:
    return "" if cell is None else html.escape(str(cell)).replace("\n", "<br>")


def _row_html(tag: str, cells: Iterable[str], sides: Sequence[str]) -> str:
    drawn = (f'<{tag} style="text-align: {side}">{cell}</{tag}>' for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(drawn)}</tr>"


def _link_html(link: Mapping[str, str]) -> str:
    target, text = html.escape(link["link"]), html.escape(link["link_text"])
    if not SAFE_LINK.match(link["link"]):
        return html.escape(_link_text(link))
    return f'<a href="{target}" target="_blank" rel="noopener">{text}</a>'


def _image_html(image: str | bytes) -> str:
    source = html.escape(_source(image))
    return f'<img src="{source}" style="max-width: 100%">' if SAFE_PICTURE.match(source) else source


def _source(image: str | bytes) -> str:
    """Where a picture is; of one that is kept, an address that holds it."""
    return image if isinstance(image, str) else f"data:{media_type(image)};base64,{base64.b64encode(image).decode()}"


def _progress_html(percent: float) -> str:
    return f'<progress value="{percent:.4g}" max="100"></progress> {percent:.4g} %'


# Markdown


def _table_markdown(table: Table) -> str:
    width = len(table.rows[0]) if table.rows else len(table.columns or ())
    names = table.columns if table.columns is not None else [""] * width
    rule = ["--:" if right else "---" for right in _numeric(table)]
    rows = [[_cell_markdown(cell) for cell in row] for row in table.rows[:SHOWN_ROWS]]
    lines = [f"| {' | '.join(line)} |" for line in (list(map(_cell_markdown, names)), rule, *rows)]
    return "\n".join([*lines, *(f"\n{note}" for note in _rest_of(table))])


def _cell_markdown(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return re.sub(r"([|\\`*_<\[])", r"\\\1", text).replace("\n", " ")


def _link_markdown(link: Mapping[str, str]) -> str:
    if not SAFE_LINK.match(link["link"]):
        return _cell_markdown(_link_text(link))
    return f"[{_cell_markdown(link['link_text'])}](<{link['link'].replace('>', '%3E')}>)"


def _image_markdown(image: str | bytes) -> str:
    source = _source(image)
    return f"![](<{source.replace('>', '%3E')}>)" if SAFE_PICTURE.match(source) else _cell_markdown(source)


Shapes = Mapping[str, Callable[[Any], str]]

TEXTS: Shapes = {
    "markdown": str,
    "table": _table_text,
    "link": _link_text,
    "image": _image_text,
    "progress": _progress_text,
}

HTML: Shapes = {"table": _table_html, "link": _link_html, "image": _image_html, "progress": _progress_html}

MARKDOWN: Shapes = {
    "markdown": str,
    "table": _table_markdown,
    "link": _link_markdown,
    "image": _image_markdown,
    "progress": _progress_text,
}
