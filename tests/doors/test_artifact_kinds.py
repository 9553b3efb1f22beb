"""What artifacts keep of texts, tables, links and pictures, and how it is shown; without running anything."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dataflow.artifacts.kinds import (
    IMAGE_BYTES,
    checked_key,
    image_bytes,
    link_bytes,
    markdown_bytes,
    progress_bytes,
    read,
    table_bytes,
)
from dataflow.artifacts.rows import ArtifactRows
from dataflow.artifacts.views import Artifact, artifacts_of
from dataflow.database.rows import ArtifactRow
from dataflow.errors import UsageError

ROWS = [{"city": "Bonn", "rain": 1.5}, {"city": "Ulm", "rain": None}]
COLUMNS = {"city": ["Bonn", "Ulm"], "rain": [1.5, math.nan]}
PNG = b"\x89PNG\r\n\x1a\n rest"


def artifact(kind: str, data: bytes, **fields: Any) -> Artifact:
    """One with these bytes."""
    known = {"id": UUID(int=7).hex, "run_id": "a1", "created": 1.0, "updated": 1.0, **fields}
    return Artifact.of(ArtifactRow(kind=kind, data=data, **known))


@pytest.mark.parametrize(
    "table",
    [
        ROWS,
        COLUMNS,
        {"city": np.array(["Bonn", "Ulm"]), "rain": np.array([1.5, math.nan])},
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS).set_index("city"),
        pl.DataFrame(COLUMNS),
        pa.table(COLUMNS),
        pa.RecordBatch.from_pydict(COLUMNS),
    ],
    ids=["rows", "columns", "arrays", "pandas", "pandas with an index", "polars", "arrow", "arrow batch"],
)
def test_tables_of_all_kinds_are_one(table: Any) -> None:
    """Whatever holds the table, the same is kept, with null where there is no number."""
    assert artifact("table", table_bytes(table)).data == ROWS


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        ([[1, 2], [3]], [[1, 2], [3, None]]),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        ([{"a": 1}, {"b": np.float32(0.5)}], [{"a": 1, "b": None}, {"a": None, "b": 0.5}]),
        ([{"day": date(2026, 1, 2), "set": {1}, "none": pd.NaT}], [{"day": "2026-01-02", "set": [1], "none": None}]),
        (pd.Series([1, 2], name="n"), [{"n": 1}, {"n": 2}]),
        (pl.Series("n", [1, 2]), [{"n": 1}, {"n": 2}]),
        (pd.DataFrame({"n": [1, 2, 3]}).query("n > 1"), [{"n": 2}, {"n": 3}]),
        ([], []),
        ({}, []),
    ],
)
def test_what_is_kept_of_a_table(table: Any, kept: list[Any]) -> None:
    """Short rows are filled up, cells become types of JSON, an index that only counts is left out."""
    assert artifact("table", table_bytes(table)).data == kept


def test_large_tables_are_cut_with_a_note() -> None:
    """The first 10,000 rows are kept, and fewer if they are long; the artifact says so."""
    many = artifact("table", table_bytes({"n": range(20_000)}))
    assert [row["n"] for row in many.data] == list(range(10_000))
    assert str(many).splitlines()[-2:] == ["… 9,950 more rows", "… only the first 10,000 of 20,000 rows were kept"]
    long = table_bytes(pd.DataFrame({"text": ["x" * 20_000] * 200}))
    assert len(long) < 1_000_100
    assert str(artifact("table", long)).endswith("rows were kept")
    assert len(artifact("table", long).data[0]["text"]) == 10_000


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (5, "int 5 is no table"),
        ([1, 2], "row 0 of the table is int 1"),
        ([{"a": 1}, [1]], r"row 1 of the table is list \[1\]"),
        ({"a": 1}, "column 'a' of the table is 1, no list"),
        ({"a": [1], "b": [1, 2]}, "different lengths: {'a': 1, 'b': 2}"),
    ],
)
def test_what_is_no_table_is_said(table: Any, problem: str) -> None:
    """The error names the row or the column, and what a table is."""
    with pytest.raises(UsageError, match=problem):
        table_bytes(table)


@pytest.mark.parametrize("key", ["Report", "a_b", "a b", "", "ä", 5])
def test_keys_are_lowercase_letters_digits_and_dashes(key: Any) -> None:
    """Others are refused."""
    with pytest.raises(UsageError, match="no key of an artifact"):
        checked_key(key, "here")


def test_the_error_of_a_key_proposes_one() -> None:
    """It can be copied from the message."""
    with pytest.raises(UsageError, match="write key='daily-report'"):
        checked_key("Daily Report!", "here")


@pytest.mark.parametrize(("given", "kept"), [(0, 0.0), (12.5, 12.5), (150, 100.0), (-1, 0.0), (np.float32(50), 50.0)])
def test_progress_stays_between_0_and_100(given: float, kept: float) -> None:
    """What is outside is taken for the nearer end."""
    assert read("progress", progress_bytes(given, "here")) == kept


@pytest.mark.parametrize("given", ["50", None, math.nan, True])
def test_progress_is_a_number(given: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(UsageError, match="is no number"):
        progress_bytes(given, "here")


class Figure:
    """Draws itself as the figures of matplotlib do."""

    def savefig(self, file: Any, **options: str) -> None:
        assert options == {"format": "png"}
        file.write(PNG)


class Shown:
    """Shows itself in notebooks."""

    def _repr_svg_(self) -> str:
        return "<svg/>"


def test_pictures_come_as_address_path_bytes_or_figure(tmp_path: Path) -> None:
    """The bytes are kept of all but those that lie elsewhere."""
    file = tmp_path / "picture.png"
    file.write_bytes(PNG)
    assert read("image", image_bytes("https://example.com/a.png", None)) == "https://example.com/a.png"
    assert read("image", image_bytes(None, "https://example.com/a.png")) == "https://example.com/a.png"
    assert [read("image", image_bytes(None, one)) for one in (PNG, file, str(file), Figure())] == [PNG] * 4
    assert read("image", image_bytes(None, Shown())) == b"<svg/>"


@pytest.mark.parametrize(
    ("url", "image", "problem"),
    [
        (None, None, "either somewhere or given"),
        ("https://example.com", PNG, "either somewhere or given"),
        (None, b"{}", "is no picture"),
        (None, 5, "is no picture"),
        (None, PNG + bytes(IMAGE_BYTES), "has 10,000,013 bytes"),
    ],
)
def test_what_is_no_picture_is_said(url: Any, image: Any, problem: str) -> None:
    """Nothing else is kept as a picture, and none that is too large."""
    with pytest.raises(UsageError, match=problem):
        image_bytes(url, image)


def test_long_texts_are_cut_with_a_note() -> None:
    """A million characters are kept."""
    kept = read("markdown", markdown_bytes("x" * 1_000_007))
    assert kept.endswith("x\n\n… 7 more characters were not kept.")


TEXT = """rain: of May
city  rain
Bonn   1.5
Ulm"""
HTML = (
    "<div><div><b>rain</b> of May</div><table>"
    '<thead><tr><th style="text-align: left">city</th><th style="text-align: right">rain</th></tr></thead>'
    '<tbody><tr><td style="text-align: left">Bonn</td><td style="text-align: right">1.5</td></tr>'
    '<tr><td style="text-align: left">Ulm</td><td style="text-align: right"></td></tr></tbody></table></div>'
)
MARKDOWN = """**rain** of May

| city | rain |
| --- | --: |
| Bonn | 1.5 |
| Ulm |  |"""


def test_a_table_as_text_html_and_markdown() -> None:
    """Numbers stand at the right; nothing stands where there is nothing."""
    shown = artifact("table", table_bytes(ROWS), key="rain", description="of May")
    assert str(shown) == TEXT
    assert shown._repr_html_() == HTML
    assert shown._repr_markdown_() == MARKDOWN
    assert repr(shown) == "<Artifact table rain>"


@pytest.mark.parametrize(
    ("kind", "data", "text", "html"),
    [
        ("markdown", markdown_bytes("# Title"), "# Title", None),
        ("link", link_bytes("https://a.b/?x=1&y", "out"), "out: https://a.b/?x=1&y", 'href="https://a.b/?x=1&amp;y"'),
        ("link", link_bytes("s3://a/b", None), "s3://a/b", ">s3://a/b</a>"),
        ("progress", progress_bytes(50, ""), "[###############---------------] 50 %", 'value="50" max="100"'),
        ("image", image_bytes("https://a.b/c.png", None), "https://a.b/c.png", '<img src="https://a.b/c.png"'),
        ("image", image_bytes(None, PNG), "(image/png, 13 B)", '<img src="data:image/png;base64,iVBORw0KGgog'),
    ],
)
def test_other_kinds_as_text_and_html(kind: str, data: bytes, text: str, html: str | None) -> None:
    """A text has no HTML, so that notebooks render its markdown."""
    shown = artifact(kind, data)
    assert str(shown) == text
    found = shown._repr_html_()
    assert found is None if html is None else html in (found or "")
    assert shown._repr_markdown_()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("table", table_bytes([{"<script>": "<script>"}])),
        ("link", link_bytes("javascript:alert()", "<script>")),
        ("link", link_bytes('https://a"><script>', "<script>")),
        ("image", image_bytes('https://a"><script>', None)),
        ("image", image_bytes("javascript:alert()", None)),
    ],
)
def test_what_is_shown_cannot_do_anything(kind: str, data: bytes) -> None:
    """Texts are escaped, and addresses that are code lead nowhere."""
    html = artifact(kind, data, key="k", description="<script>")._repr_html_() or ""
    assert "<script>" not in html
    assert 'href="javascript' not in html
    assert 'src="javascript' not in html


def test_versions_of_a_key() -> None:
    """The newest of a key stands for all, and knows the earlier ones; those without a key stand for themselves."""

    def row(number: int, key: str) -> ArtifactRow:
        made: Any = {"kind": "progress", "data": b"1", "created": number, "updated": number}
        return ArtifactRow(id=UUID(int=number).hex, run_id="a1", key=key, **made)

    found = artifacts_of([row(3, "b"), row(1, "b"), row(4, ""), row(2, "a"), row(5, "")])
    assert [[one.created for one in each.versions] for each in found] == [[5], [4], [3, 1], [2]]


def test_an_update_from_elsewhere_keeps_what_it_does_not_know() -> None:
    """Key, description and place of a bar of progress stay those of its maker; what comes late changes nothing."""
    rows = ArtifactRows("a1", "e1")
    made = {"id": "7", "key": "work", "kind": "progress", "data": b"0", "description": "it", "created": 1.0}
    first = rows.row({**made, "updated": 1.0}, node=2)
    second = rows.row({"id": "7", "kind": "progress", "data": b"50", "updated": 3.0}, node=4, element=17)
    late = rows.row({"id": "7", "kind": "progress", "data": b"20", "updated": 2.0}, node=4, element=3)
    assert (first.node, first.execution_id, first.data) == (2, "e1", b"0")
    assert (second.node, second.element, second.key, second.description, second.data) == (2, None, "work", "it", b"50")
    assert late == second
