"""Every block of code in the documentation runs and prints what the page says it prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest

import dataflow
from dataflow.settings import Settings
from dataflow_results.store import SIGNING_KEY_VARIABLE
from tests.house.pages import blocks_of, read_blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES_WITH_CODE = [page for page in (*PAGES, *NOTEBOOKS) if read_blocks(page)]
PATHS = (ROOT, ROOT / "results", ROOT / "integrations")
LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)")


def name_of(page: Path) -> str:
    """A path as people write it."""
    return str(page.relative_to(ROOT))


def run_page(page: Path) -> dict[int, str]:
    """What each block of a page prints in a fresh process; pages that say nothing of a cluster run inline."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "house" / "pages.py"), str(page)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS)), "DATAFLOW_CLUSTER": "inline"},
    )
    assert done.returncode == 0, done.stderr
    return {int(line): text for line, text in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=name_of)
def test_page_prints_what_it_says(page: Path) -> None:
    """Each block of the page prints exactly the text below it, or nothing if there is none."""
    printed = run_page(page)
    checker = OutputChecker()
    wrong = [
        f"{name_of(page)}:{block.line}\nexpected:\n{block.output}\nprinted:\n{printed[block.line]}"
        for block in read_blocks(page)
        if not block.skipped
        and not checker.check_output(block.output, printed[block.line], ELLIPSIS | NORMALIZE_WHITESPACE)
    ]
    assert not wrong, "\n\n".join(wrong)


def test_blocks_are_found_with_their_output() -> None:
    """The finder sees code, the text below it, and the mark that leaves a block out."""
    text = "# Page\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n<!-- not run: slow -->\n```python\nslow()\n```\n"
    found = [(block.line, block.code, block.output, block.skipped) for block in blocks_of(text)]
    assert found == [(4, "print(1)\n", "1\n", False), (13, "slow()\n", "", True)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of this repository names one that exists."""
    targets = [found["target"] for found in LINK.finditer(page.read_text(encoding="utf-8"))]
    drawn = {"_static/layers.svg", "_static/way.svg"}  # made by docs/conf.py
    assert [t for t in targets if t.lstrip("./") not in drawn and not (page.parent / t).exists()] == []


@pytest.mark.parametrize("name", dataflow.__all__)
def test_reference_mentions_every_public_name(name: str) -> None:
    """A name that can be imported from the root is in the reference."""
    assert f"`{name}`" in (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_docs_mention_only_true_settings() -> None:
    """Every environment variable named in the documentation is a setting."""
    known = {SIGNING_KEY_VARIABLE, *(f"DATAFLOW_{name.upper()}" for name in Settings.model_fields)}
    named = {found for page in PAGES for found in re.findall(r"DATAFLOW_[A-Z_]+", page.read_text(encoding="utf-8"))}
    assert named - known == set()
