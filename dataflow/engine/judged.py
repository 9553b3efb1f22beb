"""Judging the inputs of an element: whether its step runs, and what the function gets of inputs that failed."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dataflow.engine.failures import Failure, exception_of, pack_error, unpack_error
from dataflow.errors import UpstreamFailed
from dataflow.graph.containers import fill
from dataflow.rules import Rules
from dataflow.signals import NOTHING, Skip
from dataflow.states import StateType
from dataflow.triggers import Counts, Trigger, Verdict, not_all_skipped

__all__ = ["Judged", "blocked", "counts_of", "judge", "opened", "pack_skip", "passed_on", "skipped_value"]

SKIPPED = int(StateType.SKIPPED)
UPSTREAM_FAILED = int(StateType.UPSTREAM_FAILED)
PAUSED = int(StateType.PAUSED)


class Judged(NamedTuple):
    """What stands in the frame for several inputs, or none: a gathered map, a container, a literal row."""

    value: Any
    counts: Counts = Counts()
    error: bytes = b""
    """Of the first that failed."""
    skips: bool = False
    """Whether an input was skipped; of a gathered map: all of its elements."""
    skeleton: Any = None
    """Of a container, whose inputs are the value then."""


def gathered(values: Sequence[Any], *, allow_failure: bool) -> Judged:
    """Outcomes of elements as one input: a list with exceptions in the places of failures, without what was skipped."""
    kept = [value for value in values if not _is_skip(value)]
    failures = [] if allow_failure else [value for value in kept if type(value) is Failure]
    counts = Counts(len(kept) - len(failures), len(failures), len(values) - len(kept))
    opened_values = [exception_of(value) if type(value) is Failure else value for value in kept]
    return Judged(opened_values, counts, failures[0].error if failures else b"", bool(values) and not kept)


def filled(skeleton: Any, values: Sequence[Any], used: Sequence[Any]) -> Judged:
    """A container with its values, some of which stand for inputs."""
    error = _first_error(used)
    return Judged(values, _sum(counts_of(value) for value in used), error, any(map(_skips, used)), Skeleton(skeleton))


class Skeleton(NamedTuple):
    """A container with slots."""

    value: Any


def _is_skip(value: Any) -> bool:
    return type(value) is Failure and value.state == SKIPPED


def _skips(value: Any) -> bool:
    return value.skips if type(value) is Judged else _is_skip(value)


def pack_skip(skip: Skip) -> bytes:
    """A signal to skip as bytes, without the traceback that nobody asks for, so that a filter costs little."""
    return _packed_message(skip.message) if skip.result is None else pack_error(Skip(skip.message, skip.result))


@functools.lru_cache(maxsize=1024)
def _packed_message(message: str) -> bytes:
    return pickle.dumps(Skip(message))


@functools.lru_cache(maxsize=1024)
def passed_on(packed: bytes) -> bytes:
    """The signal of a skipped input as that of what uses it: with its message, without what stood for its value."""
    skip = unpack_error(packed) if packed else None
    return pack_skip(Skip(skip.message)) if isinstance(skip, Skip) else packed


def blocked(guards: Sequence[int], frame: Sequence[Any]) -> Failure | None:
    """What becomes of a step whose inputs must not have failed: skipped, upstream failed, or None: it runs."""
    failures = [frame[guard] for guard in guards if type(frame[guard]) is Failure]
    if not failures:
        return None
    skipped = next((failure for failure in failures if failure.state == SKIPPED), None)
    return Failure(SKIPPED, passed_on(skipped.error)) if skipped else Failure(UPSTREAM_FAILED, failures[0].error)


def judge(rules: Rules, guards: Sequence[int], frame: Sequence[Any]) -> Failure | None:
    """As `blocked`, by the trigger of a task; a failure in the state PAUSED waits for an approval."""
    inputs = [frame[guard] for guard in guards]
    if rules.skip_on_upstream_skip:
        skip = next((skip for skip in map(_as_skip, inputs) if skip is not None), None)
        if skip is not None:
            return skip
    counts = _sum(counts_of(value) for value in inputs)
    verdict = rules.trigger(counts)
    if verdict is Verdict.RUN:
        return None
    if verdict is Verdict.PAUSE:
        return Failure(PAUSED, b"")
    if verdict is Verdict.SKIP:
        return Failure(SKIPPED, pack_skip(Skip("everything it uses was skipped")))
    return Failure(UPSTREAM_FAILED, _first_error(inputs) or pack_error(_not_passed(rules.trigger, counts)))


def _as_skip(value: Any) -> Failure | None:
    if type(value) is Failure:
        return Failure(SKIPPED, passed_on(value.error)) if value.state == SKIPPED else None
    if type(value) is Judged and value.skips:
        return Failure(SKIPPED, pack_skip(Skip("all elements of an input were skipped")))
    return None


def counts_of(value: Any) -> Counts:
    """How many things an input stands for, and how they ended."""
    if type(value) is Judged:
        return value.counts
    if type(value) is not Failure:
        return Counts(successful=1)
    return Counts(skipped=1) if value.state == SKIPPED else Counts(failed=1)


def _sum(counts: Iterator[Counts]) -> Counts:
    columns = tuple(zip(*counts, strict=True))
    return Counts(*map(sum, columns)) if columns else Counts()


def _first_error(inputs: Sequence[Any]) -> bytes:
    errors = (
        value.error
        for value in inputs
        if (type(value) is Failure and value.state != SKIPPED) or (type(value) is Judged and value.counts.failed)
    )
    return next(errors, b"")


def _not_passed(trigger: Trigger, counts: Counts) -> UpstreamFailed:
    told = f"{counts.successful} successful, {counts.failed} failed, {counts.skipped} skipped"
    return UpstreamFailed(
        f"it was not run, because its trigger {trigger} did not pass: {told}", fix="see the states of what it uses"
    )


def opened(value: Any, trigger: Trigger) -> Any:
    """What a function gets of an input that was judged: its value, or the exception in its place."""
    if type(value) is Judged:
        if value.skeleton is None:
            return value.value
        return fill(value.skeleton.value, [opened(inner, trigger) for inner in value.value])
    if type(value) is not Failure:
        return value
    if value.state != SKIPPED:
        return exception_of(value)
    return NOTHING if trigger == not_all_skipped else skipped_value(value.error)


def skipped_value(error: bytes) -> Any:
    """What stands in the place of a skipped value: what its `Skip` said, mostly None."""
    return getattr(unpack_error(error), "result", None) if error else None
