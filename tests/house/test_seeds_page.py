"""The page of seeds shows every example as it is in the folder of seeds, with what it prints or what it waits for."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHEAP = ("say_hello", "states")
"""Examples that take no longer than Python takes to start; the others are run by the tests of seeds."""


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that draws the page."""
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("draw_seeds")


@pytest.fixture
def page() -> str:
    """The page."""
    return (DOCS / "seeds.md").read_text(encoding="utf-8")


def test_page_is_drawn(drawing: ModuleType, page: str) -> None:
    """But for the outputs, every block of the page is what ``python docs/draw_seeds.py`` would write now."""
    outputs = drawing.outputs_on(page)
    assert drawing.filled(page, outputs) == page
    assert list(outputs) == [example.name for example in drawing.EXAMPLES]


def test_every_example_is_on_the_page(drawing: ModuleType) -> None:
    """No file of the folder of seeds is left out."""
    files = {path.stem for path in (ROOT / "tests" / "seeds").glob("*.txt")}
    assert files == {example.name for example in drawing.EXAMPLES}


def test_examples_print_what_the_page_says(drawing: ModuleType, page: str) -> None:
    """Those that are cheap to run print it now."""
    examples = [example for example in drawing.EXAMPLES if example.name in CHEAP]
    with ThreadPoolExecutor(len(CHEAP)) as pool:
        printed = pool.map(lambda example: drawing.run(example, cluster="inline"), examples)
        now = dict(zip((example.name for example in examples), printed, strict=True))
    said = drawing.outputs_on(page)
    assert now == {name: said[name] for name in now}


def test_what_is_waited_for_is_not_there_yet(drawing: ModuleType) -> None:
    """An example that says what it waits for cannot run: once it can, the page has to show what it prints."""
    waiting = {example.name: example.until for example in drawing.EXAMPLES if example.waits}
    assert all(waiting.values())
    assert [name for name, until in waiting.items() if is_there(until)] == []


def is_there(until: str) -> bool:
    """Whether a module has a name: ``"module:Class.name"``."""
    module, _, path = until.partition(":")
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    for name in path.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def test_the_check_sees_what_is_there() -> None:
    """The check above is able to fail."""
    assert is_there("dataflow.flows:Flow.serialize") is False
    assert is_there("dataflow.flows:Flow.visualize") is True


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("at 09:08:07.123 in run 3f2a9b8c7d6e", "at 12:00:00.000 in run 0123456789ab"),
        ("of 123456 things, deadbeefcafe", "of 123456 things, deadbeefcafe"),
        (
            "Traceback (most recent call last):\n  File x\n\n    y\nE: z\n",
            "Traceback (most recent call last):\n  ...\nE: z\n",
        ),
    ],
)
def test_what_differs_each_time_is_replaced(drawing: ModuleType, text: str, masked: str) -> None:
    """Times, ids and the inside of tracebacks, and nothing else."""
    assert drawing.masked(text) == masked
