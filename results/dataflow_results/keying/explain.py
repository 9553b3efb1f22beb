"""Why a result was not found: the smallest difference between a wanted key and the nearest record. Reads no store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from dataflow_results.errors import KeyingError, ReadingError, ResultsError
from dataflow_results.keying.cells import CellColumn, Outline, readable
from dataflow_results.keying.preimages import BatchPreimage, Preimage
from dataflow_results.records import Provenance

__all__ = ["Candidate", "Change", "Explanation", "Reason", "differences", "explain"]

NAMED_CHANGES = 3
"""More are counted, not named."""


class Reason(StrEnum):
    """Why an element was computed again, or was not."""

    STORED = "stored"
    CHANGED = "changed"
    NEW_ELEMENT = "new element"
    NOTHING_STORED = "nothing stored"
    EXPIRED = "expired"
    REFRESHED = "refreshed"
    NOT_CACHED = "not cached"
    NO_KEY = "no key"
    UNREACHABLE = "unreachable"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between what is wanted and what is stored."""

    kind: str
    """argument, source, version, policy, flow parameter, run, node, or index."""
    name: str
    """Of the argument, parameter or function; the path inside it included."""
    before: str = ""
    """Short text of what the record has; empty if not kept or not there."""
    now: str = ""
    argument: str = ""
    """The argument it is about, without the path inside it; empty for other kinds."""

    def __str__(self) -> str:
        values = f" ({self.before or '?'} before, {self.now or '?'} now)" if self.before or self.now else ""
        return SENTENCES[self.kind].format(name=self.name) + values


SENTENCES = {
    "argument": "argument `{name}` differs",
    "new argument": "argument `{name}` is new",
    "dropped argument": "argument `{name}` is not given any more",
    "source": "the source of `{name}` changed",
    "new source": "`{name}` is newly used by it",
    "dropped source": "`{name}` is not used by it any more",
    "version": "the task's version differs",
    "policy": "the cache policy differs",
    "flow parameter": "flow parameter `{name}` differs",
    "new flow parameter": "flow parameter `{name}` is new",
    "dropped flow parameter": "flow parameter `{name}` is not there any more",
    "run": "the policy counts the run, and this is another run",
    "node": "the policy counts the node, and this is another node",
    "index": "the policy counts the element's index, and this is another index",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A batch of the same task that is stored."""

    provenance: Provenance
    preimage: BatchPreimage
    rows: Sequence[int] | None = None
    """The rows of the pre-image that are still there; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an element is not answered from the store; ``str`` says it in a sentence or two."""

    reason: Reason
    task: str
    changes: tuple[Change, ...] = ()
    """What differs from the nearest record, the most telling first."""
    nearest: Provenance | None = None
    row: int | None = None
    """Row of the nearest record in its pre-image."""
    detail: str = ""
    """What went wrong, if something did."""

    def __str__(self) -> str:
        text = TEXTS[self.reason].format(task=self.task, detail=self.detail, changes=_listed(self.changes))
        return f"{text} {_described(self.nearest)}" if self.nearest else text


TEXTS = {
    Reason.STORED: "A result of `{task}` with exactly this key is stored.",
    Reason.CHANGED: "No result of `{task}` for this: {changes}.",
    Reason.NEW_ELEMENT: "No result of `{task}` for this element, which is new: {changes}. All else is as it was.",
    Reason.NOTHING_STORED: "No result of `{task}` is stored.",
    Reason.EXPIRED: "The result of `{task}` expired on {detail}.",
    Reason.REFRESHED: "A result of `{task}` is stored, but refresh_cache asked to compute it again.",
    Reason.NOT_CACHED: "Results of `{task}` are not cached: its policy is NO_CACHE.",
    Reason.NO_KEY: "No key can be made for this call of `{task}`: {detail}",
    Reason.UNREACHABLE: "The store could not be asked for results of `{task}`: {detail}",
    Reason.UNUSABLE: "What is stored of `{task}` cannot be used: {detail}",
}


def explain(
    wanted: Preimage | KeyingError,
    candidates: Iterable[Candidate],
    *,
    now_seconds: float,
    task: str = "",
    refreshed: bool = False,
    problem: ResultsError | None = None,
) -> Explanation:
    """Why the wanted element is not answered from the store.

    Args:
        wanted: pre-image of the element, or the error that says why it has no key.
        candidates: what is stored of the same task.
        now_seconds: the time, in seconds since the epoch.
        task: its name, where ``wanted`` is an error.
        refreshed: whether computing again was asked for.
        problem: what went wrong with the store or the record, if something did.

    Example:
        >>> why = explain(KeyingError("is a lock", where="x"), [], now_seconds=0, task="load")
        >>> print(why)
        No key can be made for this call of `load`: x: is a lock
    """
    if isinstance(wanted, KeyingError):
        return Explanation(reason=Reason.NO_KEY, task=task, detail=str(wanted))
    if wanted.policy == "NO_CACHE":
        return Explanation(reason=Reason.NOT_CACHED, task=wanted.task)
    if problem is not None:
        reason = Reason.UNUSABLE if isinstance(problem, ReadingError) else Reason.UNREACHABLE
        return Explanation(reason=reason, task=wanted.task, detail=str(problem))
    nearest = _nearest(wanted, candidates, now_seconds)
    if nearest is None:
        return Explanation(reason=Reason.NOTHING_STORED, task=wanted.task)
    return _compared(wanted, *nearest, now_seconds, refreshed)


def _compared(wanted: Preimage, candidate: Candidate, row: int, now_seconds: float, refreshed: bool) -> Explanation:
    stored = candidate.preimage.row(row)
    changes = tuple(differences(wanted, stored))
    expires_at = candidate.provenance.expires_at
    if not changes:
        expired = Reason.EXPIRED if _expired(candidate.provenance, now_seconds) else Reason.STORED
        reason = Reason.REFRESHED if refreshed else expired
    else:
        new = candidate.preimage.count > 1 and all(change.argument in stored.varying for change in changes)
        reason = Reason.NEW_ELEMENT if new else Reason.CHANGED
    return Explanation(
        reason=reason,
        task=wanted.task,
        changes=changes,
        nearest=candidate.provenance,
        row=row,
        detail=_time(expires_at) if expires_at is not None else "",
    )


def differences(wanted: Preimage, stored: Preimage) -> Iterator[Change]:
    """What differs between two pre-images of one task, the most telling first.

    Where the policies differ, only what both count is compared besides.
    """
    same_policy = wanted.policy == stored.policy
    if not same_policy:
        yield Change(kind="policy", name="", before=stored.policy, now=wanted.policy)
    if wanted.version != stored.version:
        yield Change(kind="version", name="", before=_said(stored.version), now=_said(wanted.version))
    yield from _source_changes(wanted, stored)
    for name in _compared_names(wanted.arguments, stored.arguments, same_policy):
        yield from _value_changes("argument", name, _sides(name, name, wanted, stored))
    for name in _compared_names(wanted.parameters, stored.parameters, same_policy):
        yield from _value_changes("flow parameter", name, _sides(name, f"parameters.{name}", wanted, stored))
    for kind in ("run", "node", "index"):
        before, now = getattr(stored, kind), getattr(wanted, kind)
        if before != now and (same_policy or (before and now)):
            yield Change(kind=kind, name="", before=str(before), now=str(now))


def _compared_names(wanted: Mapping[str, bytes], stored: Mapping[str, bytes], same_policy: bool) -> list[str]:
    return sorted(wanted.keys() | stored.keys() if same_policy else wanted.keys() & stored.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One argument or parameter of one pre-image."""

    cell: bytes | None
    leaves: Outline


def _sides(name: str, outline_name: str, wanted: Preimage, stored: Preimage) -> tuple[_Side, _Side]:
    """What is stored and what is wanted of an argument or, under another name of its outline, of a parameter."""
    is_parameter = name != outline_name

    def side(of: Preimage) -> _Side:
        cells = of.parameters if is_parameter else of.arguments
        return _Side(cell=cells.get(name), leaves=of.outlines.get(outline_name, {}))

    return side(stored), side(wanted)


def _value_changes(kind: str, name: str, sides: tuple[_Side, _Side]) -> Iterator[Change]:
    stored, wanted = sides
    if stored.cell == wanted.cell:
        return
    argument = name if kind == "argument" else ""
    if stored.cell is None or wanted.cell is None:
        word = "new" if stored.cell is None else "dropped"
        yield Change(kind=f"{word} {kind}", name=name, argument=argument)
        return
    known = dict.fromkeys((*wanted.leaves, *stored.leaves))
    paths = [path for path in known if wanted.leaves.get(path) != stored.leaves.get(path)]
    if not stored.leaves or not wanted.leaves or not paths:
        before, now = readable(stored.cell), readable(wanted.cell)
        yield Change(kind=kind, name=name, before=before, now=now, argument=argument)
        return
    for path in paths:
        before, now = stored.leaves.get(path, "nothing"), wanted.leaves.get(path, "nothing")
        place = f"{name} (after its first leaves)" if path == "..." else path
        yield Change(kind=kind, name=place, before=before, now=now, argument=argument)


def _source_changes(wanted: Preimage, stored: Preimage) -> Iterator[Change]:
    if wanted.source == stored.source or not wanted.source or not stored.source:
        return
    found = [
        Change(kind=_part_kind(part, wanted, stored), name=part)
        for part in sorted(wanted.source_parts.keys() | stored.source_parts.keys())
        if wanted.source_parts.get(part) != stored.source_parts.get(part)
    ]
    yield from found or [Change(kind="source", name=wanted.module_qualname)]


def _part_kind(part: str, wanted: Preimage, stored: Preimage) -> str:
    if part not in stored.source_parts:
        return "new source"
    return "source" if part in wanted.source_parts else "dropped source"


def _nearest(wanted: Preimage, candidates: Iterable[Candidate], now_seconds: float) -> tuple[Candidate, int] | None:
    """The stored row with the fewest differing arguments, then the fewest other differences, then the newest."""
    ranked = (
        (*rank, _expired(candidate.provenance, now_seconds), -candidate.provenance.created_at, number, candidate, row)
        for number, candidate in enumerate(candidates)
        for rank, row in _best_row(wanted, candidate)
    )
    best = min(ranked, default=None)
    return None if best is None else (best[-2], best[-1])


def _best_row(wanted: Preimage, candidate: Candidate) -> Iterator[tuple[tuple[int, int], int]]:
    """The nearest row of a batch, with its counts of differing arguments and of other differences."""
    batch = candidate.preimage
    rows = np.arange(batch.count) if candidate.rows is None else np.asarray(candidate.rows, dtype=np.int64)
    if not len(rows):
        return
    differing = np.zeros(batch.count, dtype=np.int64)
    for name, column in batch.columns.items():
        differing += _differs(column, wanted.arguments.get(name))
    fixed = (wanted.arguments.keys() | batch.common.arguments.keys()) - batch.columns.keys()
    arguments = sum(wanted.arguments.get(name) != batch.common.arguments.get(name) for name in fixed)
    elsewhere = np.asarray(batch.indices, dtype=np.int64) != wanted.index if len(batch.indices) else 0
    row = int(rows[(2 * differing + elsewhere)[rows].argmin()])
    others = sum(change.argument == "" for change in differences(wanted, batch.row(row)))
    yield (arguments + int(differing[row]), others), row


def _differs(column: CellColumn, wanted: bytes | None) -> npt.NDArray[np.bool_]:
    ends = column.ends.tolist()
    joined = column.joined
    spans = zip([0, *ends[:-1]], ends, strict=True)
    return np.fromiter((joined[start:end] != wanted for start, end in spans), np.bool_, len(ends))


def _expired(provenance: Provenance, now_seconds: float) -> bool:
    return provenance.expires_at is not None and provenance.expires_at <= now_seconds


def _listed(changes: Sequence[Change]) -> str:
    named = "; ".join(map(str, changes[:NAMED_CHANGES]))
    left = len(changes) - NAMED_CHANGES
    return f"{named}; and {left} more" if left > 0 else named


def _described(provenance: Provenance) -> str:
    run = f" by run {provenance.run_id}" if provenance.run_id else ""
    return f"The nearest record was written{run} on {_time(provenance.created_at)}."


def _said(text: str | None) -> str:
    return "none" if text is None else repr(text)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
