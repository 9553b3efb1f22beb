"""Finding past runs: the newest ones, those of a flow or state, or one by its id."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Final

from dataflow.database.reader import Reader
from dataflow.errors import HistoryError, UsageError
from dataflow.history.filters import Moment, States, moment_of, states_of
from dataflow.history.past_runs import PastRun, Runs
from dataflow.history.where import VARIABLE, history_url
from dataflow.states import FINAL, StateType

if TYPE_CHECKING:
    from dataflow.artifacts.views import Artifact
    from dataflow.database.rows import RunRow

__all__ = ["artifacts", "run", "runs"]

LAST: Final = "last"
OPEN: Final = frozenset(StateType) - FINAL
"""States of runs that may have crashed without saying so."""


def runs(
    limit: int | None = 20,
    flow: str | None = None,
    state: States | None = None,
    since: Moment | None = None,
    *,
    nested: bool = False,
    url: str | None = None,
) -> Runs:
    """Runs that the history remembers, the newest first.

    Args:
        limit: so many at most; None: all.
        flow: name of their flow.
        state: a state or several, by type or name. A run whose process ended without a word is Crashed.
        since: begun at or after: seconds since the epoch, a `datetime`, ``"2026-01-31"``, or ``"7d"`` (ago).
        nested: also runs that were begun in others; `PastRun.begun` gives those of one run.
        url: of the database, or the path of a SQLite file; if not given, the setting ``history``.

    Raises:
        HistoryError: there is no history, or its database cannot be read.
        UsageError: there is no such state, or no such time.

    Example:
        >>> from dataflow import flow, history
        >>> @flow(cluster="inline")
        ... def main(day):
        ...     return day
        >>> main(3)
        3
        >>> [(run.flow, run.state.name, run.parameters) for run in history.runs(limit=1)]
        [('main', 'Completed', {'day': '3'})]
    """
    reader, kinds, begun = Reader(history_url(url)), states_of(state), moment_of(since)
    of_all = partial(reader.runs, flow=flow, since=begun, parent=None if nested else "")
    if kinds is None:
        return Runs([PastRun(reader, row) for row in of_all(limit=limit)])
    # Which runs have crashed without a word is known only when they have been looked at.
    looked_at = kinds | (OPEN if StateType.CRASHED in kinds else frozenset())
    rows = of_all(limit=None if looked_at & OPEN else limit, states=sorted(looked_at))
    return Runs([one for one in (PastRun(reader, row) for row in rows) if one.state.type in kinds][:limit])


def run(id_or_prefix: str = LAST, *, url: str | None = None) -> PastRun:
    """A run by its id, by the first digits of it, or the last one that was begun by itself.

    Args:
        id_or_prefix: the id, its first digits, or ``"last"``.
        url: of the database, or the path of a SQLite file; if not given, the setting ``history``.

    Raises:
        HistoryError: there is no such run, or several whose ids begin so, or the database cannot be read.
        UsageError: it is no id.

    Example:
        >>> from dataflow import flow, history
        >>> @flow(cluster="inline")
        ... def main():
        ...     return 3
        >>> state = main(return_state=True)
        >>> history.run(state.run.id).state.name
        'Completed'
    """
    if not isinstance(id_or_prefix, str):
        raise UsageError(f"{id_or_prefix!r} is no id of a run", fix='an id, its first digits, or "last"')
    reader = Reader(history_url(url))
    row = _last(reader) if id_or_prefix == LAST else reader.run(id_or_prefix)
    if row is None:
        raise _no_run(id_or_prefix, reader)
    return PastRun(reader, row)


def _no_run(asked: str, reader: Reader) -> HistoryError:
    what, fix = f"there is no run {asked!r}", "see `dataflow runs ls`"
    if asked == LAST:
        what, fix = "there is no run yet", f"run a flow, or name another database by {VARIABLE}"
    return HistoryError(what, where=f"history {reader.where}", fix=fix)


def _last(reader: Reader) -> RunRow | None:
    """The newest run that was not begun in another one."""
    newest = reader.runs(limit=1, parent="")
    return reader.run(newest[0].id) if newest else None


def artifacts(key: str | None = None, limit: int | None = 100, *, url: str | None = None) -> list[Artifact]:
    """Artifacts of all runs, and those that were made outside of runs: of each key the newest version, newest first.

    Args:
        key: only this one; it knows its earlier versions.
        limit: so many at most; None: all.
        url: of the database, or the path of a SQLite file; if not given, the setting ``history``.

    Raises:
        HistoryError: there is no history, or its database cannot be read.

    Example:
        >>> from dataflow import history
        >>> from dataflow.artifacts import create_markdown_artifact
        >>> made = create_markdown_artifact("# 42 rows", key="answer")
        >>> [(one.key, one.data) for one in history.artifacts("answer")]
        [('answer', '# 42 rows')]
    """
    reader = Reader(history_url(url))
    made = importlib.import_module("dataflow.history.made")  # loaded when asked for: most look at runs only
    found: list[Artifact] = made.artifacts_made(reader, reader.artifacts(key=key, newest_only=key is None), limit)
    return found
