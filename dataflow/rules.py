"""Rules of a task: how often it is tried, how long it may take, where an attempt runs, and on which inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

from dataflow.retries import NO_RETRIES, RetryPolicy
from dataflow.triggers import Trigger, all_successful, manual_only

__all__ = ["PLAIN", "Isolation", "Rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """An attempt runs in a process of its own, so that it can be ended and cannot harm its worker."""

    memory_limit_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is asked before an attempt, and what follows from its end. The same for all elements of a task."""

    retry: RetryPolicy = NO_RETRIES
    timeout_seconds: float | None = None
    """For each attempt."""
    trigger: Trigger = all_successful
    skip_on_upstream_skip: bool = True
    """Whether an element is skipped if something it uses was."""
    isolation: Isolation | None = None
    tags: frozenset[str] = frozenset()
    """Tags of the task; conditions of retries are told of them."""
    limits: tuple[tuple[str, int | None], ...] = ()
    """Names of limits that each running element takes one place of, with the limit where the task itself says it."""

    log_prints: bool | None = None
    """Whether what it prints is a line of its log; None: as the flow says."""

    judges: bool = field(init=False, repr=False, compare=False)
    """Whether the states of inputs are judged by more than 'none has failed, none was skipped'."""
    is_watched: bool = field(init=False, repr=False, compare=False)
    """Whether somebody must look at the clock while it runs."""
    may_be_held: bool = field(init=False, repr=False, compare=False)
    """Whether an element may leave its batch unfinished, to be gone on with later."""

    def __post_init__(self) -> None:
        # Asked for each node and element, so it is found out once.
        judges = self.trigger != all_successful or not self.skip_on_upstream_skip
        object.__setattr__(self, "judges", judges)
        object.__setattr__(self, "is_watched", self.timeout_seconds is not None and self.isolation is None)
        object.__setattr__(self, "may_be_held", self.retry.may_wait or self.trigger == manual_only)


PLAIN = Rules()
