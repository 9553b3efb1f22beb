"""Summaries: what became of the nodes of a run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.engine.facts import NodeFacts
from dataflow.states import StateType

__all__ = ["SummaryRow", "node_message", "summary_row"]

WORDS = {
    StateType.FAILED: "failed",
    StateType.TIMED_OUT: "took too long",
    StateType.CRASHED: "crashed",
    StateType.CANCELLED: "were cancelled",
    StateType.UPSTREAM_FAILED: "were not run because an input failed",
    StateType.SKIPPED: "were skipped",
}
"""What the message of a mapped node with failures says of the elements in a state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """What became of one node, in numbers."""

    node: str
    elements: int
    failed: int
    cached: int
    """Elements that were not run, because their result was in the store."""
    skipped: int
    batches: int
    seconds: float
    """From the start of its first batch to the end of its last."""
    task_seconds: float
    """Sum of the durations of its elements."""
    engine_seconds: float
    """Time of its batches that was not spent on its elements, shared among the nodes of a stage."""


def summary_row(facts: NodeFacts) -> SummaryRow:
    """The numbers of one node."""
    reports = {segment.report.batch: (segment.report, segment.step) for segment in facts.arrivals if segment.report}
    starts = [report.started for report, _ in reports.values()]
    ends = [report.started + report.seconds for report, _ in reports.values()]
    task_seconds = sum(report.steps[step].sum_seconds() for report, step in reports.values())
    inside = sum(step.sum_seconds() / len(report.steps) for report, _ in reports.values() for step in report.steps)
    total = sum(report.seconds / len(report.steps) for report, _ in reports.values())
    return SummaryRow(
        node=facts.node.slug,
        elements=facts.length or facts.done,
        failed=facts.unsuccessful,
        cached=facts.counts.get(StateType.CACHED, 0),
        skipped=facts.counts.get(StateType.SKIPPED, 0),
        batches=len(reports),
        seconds=max(ends) - min(starts) if starts else 0.0,
        task_seconds=task_seconds,
        engine_seconds=max(0.0, total - inside),
    )


def node_message(facts: NodeFacts) -> str:
    """What a mapped node with failures says of them; nothing for any other."""
    if facts.node.space is None or not facts.unsuccessful:
        return ""
    parts = [f"{facts.counts[state]:,} {word}" for state, word in WORDS.items() if facts.counts.get(state)]
    return f"of {facts.length:,} elements " + ", ".join(parts)
