"""What tests of the engine share: a rehearsed machine whose invariants are checked after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.rehearsal import Rehearsal


@pytest.fixture
def run() -> Iterator[Rehearsal]:
    """A machine for two worker threads; what must always hold is checked at the end."""
    rehearsal = Rehearsal(threads=2)
    yield rehearsal
    rehearsal.check()
