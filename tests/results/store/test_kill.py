"""A writer that is killed leaves whole packs or none."""

from __future__ import annotations

from tests.benchmarks.kill_writer import kill_many
from tests.results.servers import Place


def test_kill_a_writer(local: Place) -> None:
    """Ten writers are killed at random moments: no reader sees a wrong or partial value, and every pack is whole."""
    outcome = kill_many(local.url, 10, seed=1)
    assert (outcome.wrong, outcome.partial) == (0, 0)
    assert outcome.batches >= 10
