"""From options to rules: what the options of a task or flow say about retries, limits and triggers, as values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow.errors import TaskDefinitionError
from dataflow.known_limits import note_tags
from dataflow.option_checks import DELAYS, bytes_of, seconds_of
from dataflow.options import FlowOptions, TaskOptions
from dataflow.retries import NO_RETRIES, RetryPolicy
from dataflow.rules import Isolation, Rules
from dataflow.triggers import Counts, Trigger, Verdict, all_successful

__all__ = ["CustomTrigger", "RaisedOneOf", "flow_retries", "rules_of"]

logger = logging.getLogger("dataflow")


@dataclass(frozen=True, slots=True)
class RaisedOneOf:
    """The retry condition that some exception types stand for.

    Example:
        >>> from dataflow.states import Failed
        >>> RaisedOneOf((OSError,))(None, None, Failed(data=ConnectionError("not now")))
        True
    """

    types: tuple[type[BaseException], ...]

    def __call__(self, task: Any, task_run: Any, state: Any) -> bool:
        """Whether the failure is one of them."""
        return isinstance(state.result(raise_on_failure=False), self.types)


@dataclass(frozen=True, slots=True, repr=False)
class CustomTrigger(Trigger):
    """A trigger that a user's function decides.

    Example:
        >>> most = CustomTrigger("most", function=lambda counts: counts.failed < counts.total / 2)
        >>> most(Counts(successful=2, failed=1))
        <Verdict.RUN: 'run'>
    """

    function: Callable[[Counts], Any] = bool

    def __call__(self, counts: Counts) -> Verdict:
        """The verdict for these counts; a function that raises lets nothing run."""
        try:
            passed = bool(self.function(counts))
        except Exception:  # logged, because an element that is not run has no exception of its own
            logger.exception("the trigger %s raised, so what it decides about is not run", self.name)
            return Verdict.FAIL
        return Verdict.RUN if passed else Verdict.FAIL


def rules_of(options: TaskOptions, name: str) -> Rules:
    """The rules of a task.

    Args:
        options: of the task.
        name: of the task.

    Raises:
        TaskDefinitionError: options that do not go together, or a function that gives no delays.

    Example:
        >>> rules_of(TaskOptions(retries=2, retry_delay_seconds=(1, 10)), "load").retry.delays_seconds
        (1.0, 10.0)
    """
    where = f"task {name!r}"
    return Rules(
        retry=_retries(options, where, jitter=options.retry_jitter_factor, condition=options.retry_condition_fn),
        timeout_seconds=seconds_of(options.timeout_seconds),
        trigger=_trigger(options.trigger),
        skip_on_upstream_skip=options.skip_on_upstream_skip,
        isolation=_isolation(options, where),
        tags=options.tags,
        limits=_limits(options, name),
        log_prints=options.log_prints,
    )


def flow_retries(options: FlowOptions, name: str) -> RetryPolicy:
    """How often a flow is tried again.

    Raises:
        TaskDefinitionError: a function that gives no delays.
    """
    return _retries(options, f"flow {name!r}")


def _retries(
    options: TaskOptions | FlowOptions, where: str, *, jitter: float | None = None, condition: Any = None
) -> RetryPolicy:
    retries = options.retries or 0
    delays = _delays(options.retry_delay_seconds, retries, where)
    if not retries:
        return NO_RETRIES
    return RetryPolicy(
        retries=retries, delays_seconds=delays, jitter_factor=float(jitter or 0.0), condition=_condition(condition)
    )


def _delays(said: Any, retries: int, where: str) -> tuple[float, ...]:
    given = _called(said, retries, where) if callable(said) else said
    each = given if isinstance(given, Sequence) else () if given is None else (given,)
    return tuple(seconds_of(delay) or 0.0 for delay in each)


def _called(said: Callable[[int], Any], retries: int, where: str) -> Any:
    fix = "a function of the number of retries that gives a list of seconds"
    try:
        given = said(retries)
    except Exception as error:  # boundary: the user's function, which the error is chained to
        problem = f"retry_delay_seconds raised {type(error).__name__} for {retries} retries"
        raise TaskDefinitionError(problem, where=where, fix=fix) from error
    if callable(given) or not DELAYS[0](given):
        raise TaskDefinitionError(f"retry_delay_seconds gave {given!r} for {retries} retries", where=where, fix=fix)
    return given


def _condition(said: Any) -> Callable[[Any, Any, Any], bool] | None:
    if isinstance(said, type):
        return RaisedOneOf((said,))
    return RaisedOneOf(tuple(said)) if isinstance(said, list | tuple) else said


def _trigger(said: Any) -> Trigger:
    if said is None:
        return all_successful
    return said if isinstance(said, Trigger) else CustomTrigger(getattr(said, "__name__", repr(said)), function=said)


def _isolation(options: TaskOptions, where: str) -> Isolation | None:
    if options.isolation is None and options.memory_limit is not None:
        problem = "memory_limit holds for processes, and this task has none of its own"
        raise TaskDefinitionError(problem, where=where, fix='isolation="process" beside it')
    return None if options.isolation is None else Isolation(memory_limit_bytes=bytes_of(options.memory_limit))


def _limits(options: TaskOptions, name: str) -> tuple[tuple[str, int | None], ...]:
    if options.tags:
        note_tags()
    own = [] if options.concurrency_limit is None else [(f"task:{name}", options.concurrency_limit)]
    return (*own, *((f"tag:{tag}", None) for tag in sorted(options.tags)))
