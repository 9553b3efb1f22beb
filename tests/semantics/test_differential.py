"""Small flows do what the table of differences says, and it says the same as the page of documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.semantics.differences_failures import FAILURES, TRIGGERS
from tests.semantics.differences_flows import CONTROL, ENDS
from tests.semantics.differences_maps import MAPPING
from tests.semantics.differences_states import RETRIES, SKIPS
from tests.semantics.differential import DECISIONS, Case, outcome, page

TOPICS = {
    "Mapping": MAPPING,
    "Failures": FAILURES,
    "Triggers": TRIGGERS,
    "Skips": SKIPS,
    "Retries, time limits and loops": RETRIES,
    "How flows end": ENDS,
    "Control flow": CONTROL,
}
CASES = [case for cases in TOPICS.values() for case in cases]
PAGE = Path(__file__).parents[2] / "docs" / "guides" / "differences.md"


@pytest.mark.parametrize("cluster", ["inline", "threads"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_ours_is_what_the_table_says(case: Case, cluster: str) -> None:
    """In the calling thread and on Dask."""
    assert outcome(case, cluster) == case.ours


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_every_difference_is_decided(case: Case) -> None:
    """A row differs from one of the others exactly if it names a decision; and it says what it knows them by."""
    assert case.differs == bool(case.why)
    assert not case.why or case.why in DECISIONS
    known = {part.split()[0] for part in case.source.split(", ")}
    assert known == {name for name in ("classic", "modern") if getattr(case, name) is not None}


def test_the_table_is_large_enough() -> None:
    """At least sixty flows, each of them another one."""
    assert len(CASES) >= 60
    assert len({case.what for case in CASES}) == len(CASES)


def test_the_page_is_the_table() -> None:
    """The page is made of the rows: write it with ``python -m tests.semantics.test_differential``."""
    assert PAGE.read_text(encoding="utf-8") == page(TOPICS)


if __name__ == "__main__":
    PAGE.write_text(page(TOPICS), encoding="utf-8")
