"""The page of states says what the code says: its tables and its picture are drawn from the transition table."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from dataflow.states import NAMES
from dataflow.transitions import TRANSITIONS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that draws the page."""
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("draw_states")


def test_page_is_drawn_from_the_table(drawing: ModuleType) -> None:
    """Every drawn block of the page is what ``python docs/draw_states.py`` would write now."""
    page = (DOCS / "states.md").read_text(encoding="utf-8")
    assert page.count("<!-- drawn: ") == len(drawing.blocks())
    assert drawing.filled(page) == page


def test_picture_is_drawn_from_the_table(drawing: ModuleType) -> None:
    """So is the picture."""
    assert drawing.draw() == (DOCS / "states.svg").read_text(encoding="utf-8")


def test_picture_shows_every_transition(drawing: ModuleType) -> None:
    """Each transition of an element has its arrow, from its state or from the frame that its state stands in."""
    shown = {(arrow.source, arrow.target) for arrow in drawing.arrows()}
    frame_of = {member: frame for frame, (members, _) in drawing.FRAMES.items() for member in members}
    hidden = [
        (source, target)
        for source, target in (
            (NAMES[one.source], NAMES[one.target]) for one in TRANSITIONS if one.subject == "element"
        )
        if not {(source, target), (frame_of.get(source), target), ("Running", target)} & shown
    ]
    assert hidden == []
    assert set(re.findall(r"<title>(.+) to (.+)</title>", drawing.draw())) == shown


def test_every_state_has_its_meaning(drawing: ModuleType) -> None:
    """The table of states has a row for each, with the text that stands at it in the code."""
    assert set(drawing.meanings()) == set(NAMES.values())
    assert all(f"| `{name}` | {meaning} |" in drawing.all_states() for name, meaning in drawing.meanings().items())
