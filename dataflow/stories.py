"""Stories: what happened to an element or a map, state by state, each with its reason; values and their text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dataflow.states import NAMES, StateType

__all__ = ["Story", "Transition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """That something came into a state, and why."""

    state: StateType
    reason: str = ""
    time: float | None = None
    """Seconds since the epoch; None where nobody wrote it down."""
    attempt: int = 0
    """Number of the attempt it belongs to; 0 before the first one."""

    @property
    def name(self) -> str:
        """What the state is called: ``"AwaitingRetry"``."""
        return NAMES[self.state]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Story:
    """What happened to an element (or to a plain node), or to a map as a whole. Iterates over its transitions.

    Example:
        >>> from dataflow import flow, task
        >>> @task(retries=1)
        ... def load(path):
        ...     raise OSError(f"no {path}")
        >>> @flow(cluster="inline")
        ... def main():
        ...     return load.map(["a", "b"])
        >>> state = main(return_state=True)
        >>> [(step.name, step.attempt) for step in state.run.story("load[1]")]
        [('Pending', 0), ('Running', 1), ('Retrying', 2), ('Failed', 2)]
    """

    of: str
    """What it is about: ``"load[17]"``."""
    transitions: tuple[Transition, ...]
    counts: tuple[tuple[StateType, int], ...] = ()
    """Of a map: how many of its elements are in which state."""
    failures: tuple[tuple[str, str], ...] = ()
    """Of a map: its first failures, each with its reason."""

    def __iter__(self) -> Iterator[Transition]:
        return iter(self.transitions)

    def __len__(self) -> int:
        return len(self.transitions)

    def __getitem__(self, position: int) -> Transition:
        return self.transitions[position]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [(_clock(step.time), step.name, step.reason) for step in self.transitions]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines = [f"  {when:>{widths[0]}}  {name:<{widths[1]}}  {reason}".rstrip() for when, name, reason in rows]
        return "\n".join([self.of, *lines, *self._of_elements()])

    def _of_elements(self) -> list[str]:
        if not self.counts:
            return []
        numbers = ", ".join(f"{number:,} {NAMES[kind]}" for kind, number in self.counts)
        return [f"  elements: {numbers}", *(f"    {label}  {reason}" for label, reason in self.failures)]


def _clock(time: float | None) -> str:
    """Time of the day, here, to the millisecond."""
    return "" if time is None else datetime.fromtimestamp(time).astimezone().strftime("%H:%M:%S.%f")[:-3]
