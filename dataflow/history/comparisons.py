"""Comparisons of two runs: values, and their text, table and page."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow.causes.texts import elements_text
from dataflow.causes.values import Cause, Range
from dataflow.history.tables import aligned, html_table, optional_package, utc
from dataflow.quantities import shown_here, shown_number, shown_seconds

__all__ = ["Change", "Comparison", "NodeChange", "NodeNumbers", "RunNumbers", "StateChange"]

MOST_NODES = 30
"""So many nodes stand in a text; those in which something changed come first."""
MOST_LINES = 40
"""So many lines tell of changed states and of causes."""
MOST_NAMES = 8
ARROW = " → "
NOT_RUN = "UpstreamFailed"
"""What was not run has the cause of something else, which is told there."""
FAILURES = ("Failed", "TimedOut", "Crashed", "UpstreamFailed", "Cancelled")
TITLES = ("NODE", "STATE", "ELEMENTS", "FAILED", "SECONDS", "MEDIAN", "PER SECOND")
ARE_NUMBERS = (False, False, True, True, True, True, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that is different."""

    name: str
    before: str | None
    """None if it was not there."""
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name}: {self.after} (new)"
        return f"{self.name}: {self.before}" + (" (gone)" if self.after is None else f"{ARROW}{self.after}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNumbers:
    """A run as a whole."""

    id: str
    flow: str
    name: str
    state: str
    message: str
    started: float
    """Seconds since the epoch."""
    seconds: float | None
    """None if it has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNumbers:
    """One node of one run."""

    state: str
    length: int | None
    """Number of elements; None if it was never known."""
    done: int
    counts: Mapping[str, int]
    """Number of elements by the name of their state."""
    seconds: float
    """Sum of the durations of its elements."""
    median_seconds: float | None
    """Of the elements that ran; None if none did."""
    per_second: float | None
    """So many elements ran in a second, from its first batch to its last."""

    @property
    def failed(self) -> int:
        """How many of its elements have no value."""
        return sum(self.counts.get(name, 0) for name in FAILURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """Elements that ended in another state than before."""

    before: str
    after: str
    count: int
    elements: tuple[Range, ...]
    """Which, as runs from start to stop; the first of them at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """A node that both runs have."""

    node: str
    is_mapped: bool
    before: NodeNumbers
    after: NodeNumbers
    states: tuple[StateChange, ...]
    """Elements of both that ended in different states."""
    gone: tuple[Cause, ...]
    """Why elements failed before, and do not any more."""
    new: tuple[Cause, ...]
    """Why elements fail now, and did not before."""

    @property
    def is_changed(self) -> bool:
        """Whether more than its speed is different."""
        lengths_differ = self.before.length != self.after.length
        return bool(self.states or self.gone or self.new or lengths_differ or self.before.state != self.after.state)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison:
    """What is different between two runs: ``a``, the earlier one, and ``b``."""

    a: RunNumbers
    b: RunNumbers
    parameters: tuple[Change, ...]
    surroundings: tuple[Change, ...]
    """Cluster, host, versions and the like."""
    removed: tuple[str, ...]
    """Nodes that only the earlier run has."""
    added: tuple[str, ...]
    """Nodes that only the later run has."""
    nodes: tuple[NodeChange, ...]
    """Nodes that both have, in the order of the earlier run."""

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [TITLES, *map(_cells, self._shown())] if self.nodes else []
        table = aligned(rows, ARE_NUMBERS) if rows else []
        parts = [self._head(), [*table, *self._more()], _limited(self._details())]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        head = "<br>".join(map(html.escape, self._head()))
        rows = [_cells(one) for one in self._shown()]
        table = html_table([title.lower() for title in TITLES], rows, ARE_NUMBERS, " ".join(self._more()))
        details = "".join(f"<li>{html.escape(line)}</li>" for line in _limited(self._details()))
        return f"<p>{head}</p>{table if rows else ''}" + (f"<ul>{details}</ul>" if details else "")

    def to_dict(self) -> dict[str, Any]:
        """As programs read it: plain values only, times in ISO 8601, UTC."""
        found = dataclasses.asdict(self)
        for side in ("a", "b"):
            found[side]["started"] = utc(found[side]["started"])
        return found

    def to_pandas(self) -> Any:
        """A pandas `DataFrame`: a row for each node, what is known of it in both runs beside each other.

        Raises:
            UsageError: pandas is not installed.
        """
        pandas = optional_package("pandas")
        return pandas.DataFrame([dict(_columns(one)) for one in self.nodes])

    # Text

    def _head(self) -> list[str]:
        lines = aligned([_run_cells("a", self.a), _run_cells("b", self.b)], [False, False, False, False, True, False])
        flow = [] if self.a.flow == self.b.flow else [Change(name="flow", before=self.a.flow, after=self.b.flow)]
        changes = [("parameters", self.parameters), ("surroundings", self.surroundings)]
        lines += map(str, flow)
        lines += [f"{title}: {'; '.join(map(str, many))}" for title, many in changes if many]
        nodes = [("only in a", self.removed), ("only in b", self.added)]
        return lines + [f"{title}: {_names(many)}" for title, many in nodes if many]

    def _shown(self) -> Sequence[NodeChange]:
        """The nodes that a text shows, in their order; where there are too many, those in which something changed."""
        if len(self.nodes) <= MOST_NODES:
            return self.nodes
        changed = [one for one in self.nodes if one.is_changed]
        return changed[:MOST_NODES] or self.nodes[:MOST_NODES]

    def _more(self) -> list[str]:
        hidden = len(self.nodes) - len(self._shown())
        return [f"{hidden:,} more nodes"] if hidden else []

    def _details(self) -> Iterator[str]:
        for one in self.nodes:
            for change in one.states:
                which = f" {elements_text(change.elements, change.count)}" if one.is_mapped else ""
                yield f"{one.node}{which}: {change.before}{ARROW}{change.after}"
            yield from (f"new: {_cause_text(cause)}" for cause in one.new if cause.state != NOT_RUN)
            yield from (f"gone: {_cause_text(cause)}" for cause in one.gone if cause.state != NOT_RUN)


def _run_cells(letter: str, run: RunNumbers) -> list[str]:
    seconds = "" if run.seconds is None else shown_seconds(run.seconds)
    return [letter, run.id, run.name, run.state, seconds, shown_here(run.started)]


def _cells(one: NodeChange) -> list[str]:
    """What stands in the line of a node: both values where they differ."""
    before, after = one.before, one.after
    pairs = [
        (before.state, after.state),
        (_count(before.length), _count(after.length)),
        (_count(before.failed), _count(after.failed)),
        (shown_seconds(before.seconds), shown_seconds(after.seconds)),
        (_seconds(before.median_seconds), _seconds(after.median_seconds)),
        (_rate(before.per_second), _rate(after.per_second)),
    ]
    return [one.node, *(old if old == new else f"{old}{ARROW}{new}" for old, new in pairs)]


def _count(number: int | None) -> str:
    return "?" if number is None else shown_number(number)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else shown_seconds(seconds)


def _rate(per_second: float | None) -> str:
    return "-" if per_second is None else f"{per_second:,.3g}" if per_second < 1000 else f"{per_second:,.0f}"


def _names(slugs: Sequence[str]) -> str:
    more = f", … ({len(slugs):,} nodes)" if len(slugs) > MOST_NAMES else ""
    return ", ".join(slugs[:MOST_NAMES]) + more


def _cause_text(cause: Cause) -> str:
    which = f" {elements_text(cause.elements, cause.count)}" if cause.is_mapped else ""
    said = f"{cause.type}: {cause.message}" if cause.type else cause.message
    return f"{cause.node}{which}: {cause.state}: {said}".rstrip(": ")


def _limited(lines: Iterator[str]) -> list[str]:
    found = list(lines)
    more = [f"… {len(found) - MOST_LINES:,} more lines"] if len(found) > MOST_LINES else []
    return found[:MOST_LINES] + more


def _columns(one: NodeChange) -> Iterator[tuple[str, Any]]:
    yield "node", one.node
    for name in ("state", "length", "done", "failed", "seconds", "median_seconds", "per_second"):
        yield f"{name}_a", getattr(one.before, name)
        yield f"{name}_b", getattr(one.after, name)
    yield "changed", sum(change.count for change in one.states)
