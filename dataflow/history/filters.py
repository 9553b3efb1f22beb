"""What is asked for, as people say it: states by name, moments as dates or lengths of time ago."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from dataflow.errors import UsageError
from dataflow.quantities import length_of_time
from dataflow.states import NAMES, StateType

__all__ = ["Moment", "States", "moment_of", "states_of"]

States = StateType | str | Iterable[StateType | str]
"""One state or several, by type or name."""
Moment = float | str | datetime | timedelta
"""Seconds since the epoch, a date, or how long ago."""

BY_NAME = {name.lower(): kind for kind, name in NAMES.items()}


def states_of(states: States | None) -> frozenset[StateType] | None:
    """The states that are asked for; None if that is all.

    Raises:
        UsageError: there is no such state.

    Example:
        >>> sorted(states_of(["failed", "TIMED_OUT"]))
        [<StateType.FAILED: 3>, <StateType.TIMED_OUT: 9>]
    """
    if states is None:
        return None
    return frozenset(map(_state, [states] if isinstance(states, str | StateType) else states))


def _state(state: StateType | str) -> StateType:
    if isinstance(state, StateType):
        return state
    found = BY_NAME.get(state.lower().replace("_", "").replace("-", ""))
    if found is None:
        raise UsageError(f"{state!r} is no state", fix=f"one of {', '.join(NAMES.values())}")
    return found


def moment_of(moment: Moment | None) -> float | None:
    """Seconds since the epoch. Dates without a time zone are of here.

    Args:
        moment: seconds since the epoch, a `datetime`, ``"2026-01-31T12:00"``, or how long ago: a `timedelta`, ``"7d"``.

    Raises:
        UsageError: it is none of these.

    Example:
        >>> moment_of("1970-01-01T00:01:00+00:00")
        60.0
    """
    if moment is None or isinstance(moment, int | float):
        return moment
    if isinstance(moment, timedelta):
        return time.time() - moment.total_seconds()
    if isinstance(moment, datetime):
        return moment.timestamp()
    return _parsed(moment)


def _parsed(text: str) -> float:
    ago = length_of_time(text)
    if ago is not None:
        return time.time() - ago
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        raise UsageError(f"{text!r} is no time", fix='"2026-01-31", "2026-01-31T12:00" or "7d" (ago)') from None
