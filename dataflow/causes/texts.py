"""Causes as text: one paragraph and one traceback for each reason, with the elements it hit and what was not run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dataflow.causes.values import Cause, Range

__all__ = ["causes_text", "commands_text", "elements_text"]

MOST_PARAGRAPHS = 10
"""So many reasons are shown with their tracebacks; the rest is only counted."""
MOST_RANGES = 8
NOT_RUN, CANCELLED = "UpstreamFailed", "Cancelled"
WORDS = {
    "Failed": "failed",
    "TimedOut": "took too long",
    "Crashed": "crashed",
    CANCELLED: "cancelled",
    NOT_RUN: "not run because of a failed input",
}
"""What is said of elements in a state."""
SHOW, STORY = "dataflow runs show", "dataflow runs story"


def elements_text(elements: Sequence[Range], count: int) -> str:
    """Elements as people write them: neighbours as a range, and how many there are where not all are told.

    Example:
        >>> elements_text([(17, 18), (40, 53)], 14)
        '17, 40-52'
        >>> elements_text([(3 * number, 3 * number + 1) for number in range(100)], 312)
        '0, 3, 6, 9, 12, 15, 18, 21, … (312 elements)'
    """
    shown = [str(start) if stop - start == 1 else f"{start}-{stop - 1}" for start, stop in elements[:MOST_RANGES]]
    told = sum(stop - start for start, stop in elements[:MOST_RANGES])
    return ", ".join(shown) if told == count else f"{', '.join([*shown, '…'])} ({count:,} elements)"


def causes_text(causes: Sequence[Cause], *, most: int = MOST_PARAGRAPHS) -> str:
    """A paragraph for each reason; what was not run because of a failure stands in the paragraph of that failure.

    Args:
        causes: of all nodes of a run, or of some.
        most: so many paragraphs are written.

    Example:
        >>> bad = {"type": "ValueError", "message": "bad record", "place": "flow.py:17 in load"}
        >>> failed = Cause(node="load", is_mapped=True, state="Failed", count=2, elements=((3, 5),), **bad)
        >>> not_run = Cause(node="total", is_mapped=False, state="UpstreamFailed", count=1, **bad)
        >>> print(causes_text([failed, not_run]))
        load: 2 failed: ValueError: bad record
          elements 3-4
          not run because of it: total
    """
    roots = _roots(causes)
    known = {cause.root for cause in roots}
    after: dict[tuple[str, str, str], list[Cause]] = {}
    for cause in causes:
        if cause.state == NOT_RUN and cause.root in known:
            after.setdefault(cause.root, []).append(cause)
    paragraphs = [_paragraph(cause, after.pop(cause.root, [])) for cause in roots[:most]]
    cancelled = [cause for cause in causes if cause.state == CANCELLED]
    if len(roots) > most:
        rest = roots[most:]
        paragraphs.append(f"and {len(rest):,} more, of {sum(cause.count for cause in rest):,} elements")
    if cancelled:
        paragraphs.append(f"cancelled: {_nodes_text(cancelled)}")
    return "\n\n".join(paragraphs)


def commands_text(run_id: str, causes: Sequence[Cause]) -> str:
    """Commands that lead on, ready to be copied: the whole run, and the story of the first element that failed.

    Example:
        >>> print(commands_text("5f2a9c0d1e3b", []))
        dataflow runs show 5f2a9c0d1e3b
    """
    lines = [f"{SHOW} {run_id}"]
    for first in _roots(causes)[:1]:
        place = f"{first.node}[{first.elements[0][0]}]" if first.elements else first.node
        lines.append(f"{STORY} {run_id} {shlex.quote(place)}")
    return "\n".join(lines)


def _roots(causes: Sequence[Cause]) -> list[Cause]:
    """What has a paragraph of its own: what failed, and what was not run because of something that is not here."""
    failed = [cause for cause in causes if cause.state not in (NOT_RUN, CANCELLED)]
    known = {cause.root for cause in failed}
    return failed + [cause for cause in causes if cause.state == NOT_RUN and cause.root not in known]


def _paragraph(cause: Cause, after: Sequence[Cause]) -> str:
    kind = ": ".join(filter(None, (cause.type, cause.message.partition("\n")[0])))
    number = f"{cause.count:,} " if cause.is_mapped else ""
    others = " (and others like it)" if cause.is_varied else ""
    head = f"{cause.node}: {number}{WORDS[cause.state]}" + (f": {kind}{others}" if kind else "")
    lines = [head]
    if cause.elements:
        lines.append(f"  elements {elements_text(cause.elements, cause.count)}")
    if after:
        lines.append(f"  not run because of it: {_nodes_text(after)}")
    lines += [f"    {line}" for line in cause.traceback.splitlines()]
    return "\n".join(lines)


def _nodes_text(causes: Sequence[Cause]) -> str:
    counts: dict[str, int] = {}
    for cause in causes:
        counts[cause.node] = counts.get(cause.node, 0) + cause.count
    is_mapped = {cause.node: cause.is_mapped for cause in causes}
    return ", ".join(f"{node} ({count:,})" if is_mapped[node] else node for node, count in counts.items())
