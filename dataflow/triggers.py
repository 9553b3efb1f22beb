"""Triggers: whether an element runs, decided by the states of what it uses. Pure; they see counts, not elements.

============================  ==========================================================================
trigger                       runs when
============================  ==========================================================================
``all_successful`` (default)  nothing it uses has failed
``all_failed``                all of it has failed
``all_finished``,
``always_run``                in any case
``any_successful``            at least one has not failed, or there is nothing
``any_failed``                at least one has failed, or there is nothing
``some_successful(...)``      at least, and at most, so many have not failed
``some_failed(...)``          at least, and at most, so many have failed
``not_all_skipped``           nothing has failed, and not all were skipped
``manual_only``               somebody has approved it
============================  ==========================================================================

A gathered map counts with each of its elements. Skipped counts as not failed. What did not pass ends UpstreamFailed, or
Skipped where ``not_all_skipped`` says so. Tasks with another trigger than ``all_successful`` get the exception of a
failed input in the place of its value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from dataflow.errors import TaskDefinitionError

__all__ = [
    "Counts",
    "Trigger",
    "Verdict",
    "all_failed",
    "all_finished",
    "all_successful",
    "always_run",
    "any_failed",
    "any_successful",
    "manual_only",
    "not_all_skipped",
    "some_failed",
    "some_successful",
]


class Counts(NamedTuple):
    """How many of the things an element uses ended how; elements of gathered maps count one by one."""

    successful: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.successful + self.failed + self.skipped

    @property
    def not_failed(self) -> int:
        """Those that succeeded or were skipped."""
        return self.successful + self.skipped


class Verdict(Enum):
    """What a trigger says of an element."""

    RUN = "run"
    FAIL = "upstream failed"
    SKIP = "skip"
    PAUSE = "wait for an approval"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A named rule from counts to a verdict; triggers of one name and bounds are equal, and pickle by name.

    Example:
        >>> any_failed(Counts(successful=2, failed=1)), any_failed(Counts(successful=3))
        (<Verdict.RUN: 'run'>, <Verdict.FAIL: 'upstream failed'>)
    """

    name: str
    at_least: float | None = None
    at_most: float | None = None

    def __call__(self, counts: Counts) -> Verdict:
        """The verdict for these counts."""
        return _RULES[self.name](counts, self)

    def __repr__(self) -> str:
        bounds = [f"{name}={bound}" for name in ("at_least", "at_most") if (bound := getattr(self, name)) is not None]
        return f"{self.name}({', '.join(bounds)})" if bounds else self.name


def _passes(holds: bool) -> Verdict:
    return Verdict.RUN if holds else Verdict.FAIL


def _within(number: int, total: int, trigger: Trigger) -> bool:
    """Whether a number is within the bounds; a bound below 1 is a share of the total."""
    least, most = (
        bound * total if bound is not None and 0 < bound < 1 else bound for bound in (trigger.at_least, trigger.at_most)
    )
    return (least is None or number >= least) and (most is None or number <= most)


def _not_all_skipped(counts: Counts, trigger: Trigger) -> Verdict:
    if counts.failed:
        return Verdict.FAIL
    return Verdict.SKIP if counts.skipped == counts.total else Verdict.RUN


_RULES: dict[str, Callable[[Counts, Trigger], Verdict]] = {
    "all_successful": lambda counts, _: _passes(not counts.failed),
    "all_failed": lambda counts, _: _passes(not counts.not_failed),
    "all_finished": lambda counts, _: Verdict.RUN,
    "any_successful": lambda counts, _: _passes(counts.not_failed > 0 or not counts.total),
    "any_failed": lambda counts, _: _passes(counts.failed > 0 or not counts.total),
    "some_successful": lambda counts, trigger: _passes(_within(counts.not_failed, counts.total, trigger)),
    "some_failed": lambda counts, trigger: _passes(_within(counts.failed, counts.total, trigger)),
    "not_all_skipped": _not_all_skipped,
    "manual_only": lambda counts, _: Verdict.PAUSE,
}

all_successful = Trigger("all_successful")
all_failed = Trigger("all_failed")
all_finished = always_run = Trigger("all_finished")
any_successful = Trigger("any_successful")
any_failed = Trigger("any_failed")
not_all_skipped = Trigger("not_all_skipped")
manual_only = Trigger("manual_only")


def some_failed(at_least: float | None = None, at_most: float | None = None) -> Trigger:
    """Runs if so many of its inputs failed; a bound below 1 is a share of them, any other a number.

    Raises:
        TaskDefinitionError: a bound is negative.

    Example:
        >>> some_failed(at_least=0.5)(Counts(successful=1, failed=1))
        <Verdict.RUN: 'run'>
    """
    return _bounded("some_failed", at_least, at_most)


def some_successful(at_least: float | None = None, at_most: float | None = None) -> Trigger:
    """Runs if so many of its inputs did not fail; bounds as those of `some_failed`."""
    return _bounded("some_successful", at_least, at_most)


def _is_bound(bound: object) -> bool:
    return bound is None or (isinstance(bound, int | float) and not isinstance(bound, bool) and bound >= 0)


def _bounded(name: str, at_least: float | None, at_most: float | None) -> Trigger:
    for bound in (at_least, at_most):
        if not _is_bound(bound):
            fix = "a number such as 3, or a share such as 0.5"
            raise TaskDefinitionError(f"the bound is {bound!r}", where=f"{name}(...)", fix=fix)
    return Trigger(name, at_least, at_most)
