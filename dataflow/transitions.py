"""Transitions: which state may follow which, for elements, maps and runs, as one table with the reason of each.

Everything that tells of states is checked against this table, and the page of the documentation is drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dataflow.states import NAMES, StateType

__all__ = [
    "SUBJECTS",
    "TRANSITIONS",
    "Allowed",
    "Subject",
    "allowed",
    "graphviz",
    "grouped",
    "mermaid",
    "successors",
    "table",
]

Subject = Literal["element", "map", "run"]
"""What has a state: an element (also the one element of a plain node), a mapped node as a whole, or a run."""

SUBJECTS: tuple[Subject, ...] = ("element", "map", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A state may follow another."""

    subject: Subject
    source: StateType
    target: StateType
    why: str
    """What makes it so."""


_AT_WORK = "Running Retrying Looping"
_WAITING = "Pending AwaitingRetry Paused"
_BY_NAME = {name: kind for kind, name in NAMES.items()}

_ROWS: tuple[tuple[Subject, str, str, str], ...] = (
    # An element begins …
    ("element", "Pending", "Running", "what it uses has ended, and a worker thread is free"),
    ("element", "Pending", "Paused", "its trigger is manual_only, and nobody has approved it yet"),
    ("element", "Paused", "Running", "somebody approved it"),
    ("element", "Running", "Pending", "its worker died, and another one takes it"),
    # … or never runs
    ("element", "Pending AwaitingRetry Paused", "Cached", "its value was found in the store"),
    ("element", "Pending", "Skipped", "something it uses was skipped, or its trigger says so"),
    ("element", "Pending Paused", "UpstreamFailed", "something it uses has failed, and its trigger asks for success"),
    ("element", _WAITING, "Cancelled", "the run was cancelled before it began"),
    ("element", _WAITING, "Failed", "it could not be sent: an argument that cannot travel, or lengths that differ"),
    ("element", _WAITING, "Crashed", "its worker died, and it is to blame or has been tried elsewhere"),
    # … is tried again
    ("element", _AT_WORK, "AwaitingRetry", "the attempt failed or took too long, and a retry follows after a delay"),
    ("element", _AT_WORK, "Retrying", "the attempt failed or took too long, and a retry follows at once"),
    ("element", "AwaitingRetry", "Retrying", "the delay is over, and a worker thread is free"),
    ("element", _AT_WORK, "Looping", "it raised Loop, or returned the state Looping: one more round"),
    # … and ends
    ("element", _AT_WORK, "Completed", "its function gave a value, and the value was kept where it should be"),
    ("element", _AT_WORK, "Skipped", "it raised Skip, or returned the state Skipped"),
    ("element", _AT_WORK, "Failed", "its function raised, or returned the state Failed, and no retry is left"),
    ("element", _AT_WORK, "TimedOut", "the attempt took longer than its limit, and no retry is left"),
    ("element", _AT_WORK, "Crashed", "its process died, or its code raised SystemExit or KeyboardInterrupt"),
    ("element", _AT_WORK, "Cancelled", "it was cancelled while it ran, or returned the state Cancelled"),
    ("element", _AT_WORK, "Cancelling", "somebody cancelled it, and it has not ended yet"),
    ("element", "Cancelling", "Cancelled", "it has ended, and its value is dropped"),
    ("element", "Completed", "RolledBack", "the transaction it belonged to was taken back"),
    # A map as a whole
    ("map", "Pending", "Running", "its first element has ended"),
    ("map", "Pending Running", "Completed", "every element has ended well, or there are none"),
    ("map", "Pending Running", "Cached", "the values of all elements were found in the store"),
    ("map", "Pending Running", "Skipped", "all elements were skipped"),
    ("map", "Pending Running", "Failed", "every element has ended, and at least one failed, timed out or crashed"),
    ("map", "Pending Running", "UpstreamFailed", "the elements that did not end well were not run: an input failed"),
    ("map", "Pending Running", "Cancelled", "the elements that did not end well were cancelled"),
    # A run
    ("run", "Scheduled", "Pending", "its time has come"),
    ("run", "Scheduled Pending AwaitingRetry", "Cancelled", "it was cancelled before it began"),
    ("run", "Pending", "Running", "its body is called, or its first nodes are sent"),
    ("run", "Pending", "Crashed", "the cluster could not be had"),
    ("run", "Running Retrying", "Completed", "its value, or its reference tasks, are good, and no failure was silent"),
    ("run", "Running Retrying", "Skipped", "the body returned the state Skipped"),
    ("run", "Running Retrying", "Failed", "the body raised, what it returned failed, or a failure was silent"),
    ("run", "Running Retrying", "TimedOut", "it took longer than the flow's timeout_seconds"),
    ("run", "Running Retrying", "Crashed", "its process ended, or its code raised SystemExit"),
    ("run", "Running Retrying", "AwaitingRetry", "it failed, and the flow's next try follows after a delay"),
    ("run", "Running Retrying", "Retrying", "it failed, and the flow's next try follows at once"),
    ("run", "AwaitingRetry", "Retrying", "the delay is over"),
    ("run", "Running Retrying", "Paused", "it waits for an approval"),
    ("run", "Paused", "Running", "somebody approved it"),
    ("run", "Paused", "Failed", "nobody approved it in time"),
    ("run", "Running Retrying Paused", "Suspended", "it was put down, to be taken up again later"),
    ("run", "Suspended", "Running", "it was taken up again"),
    ("run", "Running Retrying Paused", "Cancelling", "somebody cancelled it; what runs is being ended"),
    ("run", "Cancelling Running Retrying Paused Suspended", "Cancelled", "it was cancelled, and nothing of it runs"),
    ("run", "Failed TimedOut Crashed Cancelled", "Running", "it was resumed: what it kept is taken, the rest is run"),
)  # fmt: skip


def grouped(subject: Subject) -> list[tuple[tuple[StateType, ...], StateType, str]]:
    """The transitions of one subject; sources that come into the same state for the same reason stand together."""
    return [
        (tuple(_BY_NAME[source] for source in sources.split()), _BY_NAME[target], why)
        for of, sources, target, why in _ROWS
        if of == subject
    ]


def _expanded() -> Iterator[Allowed]:
    for subject in SUBJECTS:
        for sources, target, why in grouped(subject):
            for source in sources:
                yield Allowed(subject=subject, source=source, target=target, why=why)


TRANSITIONS: tuple[Allowed, ...] = tuple(_expanded())
"""Every transition there is."""

_BY_PAIR = {(one.subject, one.source, one.target): one for one in TRANSITIONS}


def allowed(source: StateType, target: StateType, subject: Subject = "element") -> Allowed | None:
    """The transition from one state to another, with its reason; None if there is no such transition.

    Example:
        >>> from dataflow.states import StateType
        >>> allowed(StateType.AWAITING_RETRY, StateType.RETRYING).why
        'the delay is over, and a worker thread is free'
        >>> allowed(StateType.FAILED, StateType.COMPLETED) is None
        True
    """
    return _BY_PAIR.get((subject, source, target))


def successors(source: StateType, subject: Subject = "element") -> frozenset[StateType]:
    """The states that may follow one.

    Example:
        >>> from dataflow.states import StateType
        >>> sorted(kind.name for kind in successors(StateType.AWAITING_RETRY, "run"))
        ['CANCELLED', 'RETRYING']
    """
    return frozenset(one.target for one in TRANSITIONS if (one.subject, one.source) == (subject, source))


def table(subject: Subject) -> str:
    """The transitions of one subject as a table in Markdown; sources with the same reason share a row."""
    lines = [
        f"| {', '.join(NAMES[source] for source in sources)} | {NAMES[target]} | {why} |"
        for sources, target, why in grouped(subject)
    ]
    return "\n".join(["| from | to | when |", "|---|---|---|", *lines])


def mermaid(subject: Subject = "element") -> str:
    """The transitions of one subject as a state diagram in the language of Mermaid."""
    arrows = [f"    {NAMES[source]} --> {NAMES[target]}" for source, target in _pairs(subject)]
    starts = [f"    [*] --> {NAMES[kind]}" for kind in _firsts(subject)]
    return "\n".join(["stateDiagram-v2", *starts, *arrows])


def graphviz(subject: Subject = "element") -> str:
    """The same in the language of Graphviz, with the reasons as tooltips."""
    lines = [
        f'  {NAMES[one.source]} -> {NAMES[one.target]} [tooltip="{one.why}"];'
        for one in TRANSITIONS
        if one.subject == subject
    ]
    return "\n".join(["digraph states {", "  rankdir=LR;", "  node [shape=box, style=rounded];", *lines, "}"])


def _pairs(subject: Subject) -> list[tuple[StateType, StateType]]:
    return [(one.source, one.target) for one in TRANSITIONS if one.subject == subject]


def _firsts(subject: Subject) -> list[StateType]:
    """The states that something begins in."""
    sources = {source for source, _ in _pairs(subject)}
    return [kind for kind in (StateType.SCHEDULED, StateType.PENDING) if kind in sources]
