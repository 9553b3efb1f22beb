"""Old runs are forgotten by age and number; what goes on or waits for somebody is kept, with its family."""

from __future__ import annotations

from typing import Any

import pytest

from dataflow.database.retention import DAY_SECONDS, Keep, RunFacts, outdated
from dataflow.states import StateType

NOW = 1_000 * DAY_SECONDS
ALL = Keep(days=None, runs=None)


def run(run_id: str, days_ago: float, state: StateType = StateType.COMPLETED, **more: Any) -> RunFacts:
    """A run."""
    return RunFacts(id=run_id, state=state.value, started=NOW - days_ago * DAY_SECONDS, **more)


def test_age_decides() -> None:
    """Runs that ended before the days that are kept go, oldest first; one that took long is as old as its end."""
    runs = [run("new", 1), run("old", 91), run("older", 300), run("took long", 400, ended=NOW - 80 * DAY_SECONDS)]
    assert outdated(runs, Keep(days=90, runs=None), NOW) == ["older", "old"]


def test_number_decides() -> None:
    """Of more runs than are kept the oldest go."""
    runs = [run(f"r{days}", days) for days in range(5)]
    assert outdated(runs, Keep(days=None, runs=3), NOW) == ["r4", "r3"]


@pytest.mark.parametrize("keep", [ALL, Keep(days=0, runs=0)])
def test_without_limits_nothing_goes(keep: Keep) -> None:
    """None and 0 mean no limit."""
    assert outdated([run("old", 10_000)], keep, NOW) == []


def test_by_default_both_decide() -> None:
    """Ninety days and a thousand runs are kept."""
    runs = [run(f"r{number}", number / 100) for number in range(1_001)]
    assert outdated([*runs, run("old", 91)], Keep(), NOW) == ["old", "r1000"]


@pytest.mark.parametrize("state", [StateType.PAUSED, StateType.SUSPENDED])
def test_what_waits_for_somebody_is_kept(state: StateType) -> None:
    """A suspended run is taken up again after however long a time."""
    assert outdated([run("waits", 500, state)], Keep(days=1), NOW) == []


def test_what_goes_on_is_kept_and_what_is_dead_is_not() -> None:
    """A running run is kept as long as its process gives signs of life."""
    runs = [
        run("alive", 500, StateType.RUNNING, heartbeat=NOW - 60),
        run("dead", 500, StateType.RUNNING, heartbeat=NOW - 2 * DAY_SECONDS),
    ]
    assert outdated(runs, Keep(days=1), NOW) == ["dead"]


def test_families_go_and_stay_together() -> None:
    """Runs within runs are not counted; they go with the outermost one, or keep it while one of them goes on."""
    runs = [
        run("new", 0),
        *(run(f"inner{number}", 1, parent="outer") for number in range(3)),
        run("outer", 1),
        run("innermost", 2, parent="inner0"),
        run("kept by its child", 3),
        run("child", 3, StateType.SUSPENDED, parent="kept by its child"),
    ]
    assert outdated(runs, Keep(days=None, runs=2), NOW) == []
    assert outdated(runs, Keep(days=None, runs=1), NOW) == ["innermost", "inner0", "inner1", "inner2", "outer"]


def test_parents_that_are_gone_or_turn_in_circles_do_no_harm() -> None:
    """A run whose parent was deleted is a root; a damaged circle of parents ends."""
    runs = [run("orphan", 100, parent="gone"), run("a", 100, parent="b"), run("b", 100, parent="a")]
    assert "orphan" in outdated(runs, Keep(days=90), NOW)
