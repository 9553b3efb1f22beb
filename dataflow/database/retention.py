"""Which runs are old enough to be forgotten: decided by age and number, and never those that are still wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dataflow.states import FINAL, StateType

__all__ = ["Keep", "RunFacts", "outdated"]

DAY_SECONDS: Final = 86_400.0
SILENCE_SECONDS: Final = 3_600.0
"""After so long without a word a run that says it is running is taken for dead. Whoever shows runs is less patient."""
WAITING: Final = frozenset({StateType.PAUSED, StateType.SUSPENDED})
"""Somebody will take these up again, however late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How much is kept; None: all of it."""

    days: float | None = 90.0
    runs: int | None = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the decision needs of a run; times in seconds since the epoch."""

    id: str
    state: int
    started: float
    ended: float | None = None
    parent: str = ""
    heartbeat: float = 0.0
    """When a process of it last said that it goes on."""


def outdated(runs: Sequence[RunFacts], keep: Keep, now: float) -> list[str]:
    """The ids of runs to forget, oldest first.

    Runs that were begun in other runs go with these and do not count, so that a flow with many flows in it does not
    drive out all others. A run that goes on or waits for somebody keeps its whole family.

    Example:
        >>> day = 86_400.0
        >>> runs = [RunFacts(id=name, state=2, started=n * day) for n, name in enumerate(("old", "new", "newer"))]
        >>> outdated(runs, Keep(days=None, runs=2), now=4 * day), outdated(runs, Keep(days=2.5), now=4 * day)
        (['old'], ['old', 'new'])
    """
    roots = _roots({run.id: run for run in runs})
    wanted = {roots[run.id] for run in runs if _is_wanted(run, now)}
    newest_first = sorted((run for run in runs if roots[run.id] == run.id), key=lambda run: -run.started)
    oldest_kept = float("-inf") if not keep.days else now - keep.days * DAY_SECONDS
    going = {
        run.id
        for position, run in enumerate(newest_first)
        if run.id not in wanted and ((run.ended or run.started) < oldest_kept or (keep.runs and position >= keep.runs))
    }
    return [run.id for run in sorted(runs, key=lambda run: run.started) if roots[run.id] in going]


def _is_wanted(run: RunFacts, now: float) -> bool:
    """Whether it goes on, or somebody will take it up again."""
    if run.state in WAITING:
        return True
    return run.state not in FINAL and now - max(run.heartbeat, run.started) < SILENCE_SECONDS


def _roots(runs: Mapping[str, RunFacts]) -> dict[str, str]:
    """For each run the outermost run it was begun in."""
    found: dict[str, str] = {}
    for run_id in runs:
        for member in (path := list(_ancestry(run_id, runs))):
            found[member] = path[-1]
    return found


def _ancestry(run_id: str, runs: Mapping[str, RunFacts]) -> Iterable[str]:
    """A run, the run it was begun in, and so on; a run that names itself as an ancestor ends it."""
    seen: set[str] = set()
    while run_id in runs and run_id not in seen:
        seen.add(run_id)
        yield run_id
        run_id = runs[run_id].parent
