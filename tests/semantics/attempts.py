"""The written definition of what a flow means, for one element: whether it runs, its attempts, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Literal

from dataflow.context import Attempt, attempted, inside_task
from dataflow.errors import FlowFailed, ProcessDied, TimedOut, UpstreamFailed
from dataflow.graph.nodes import TaskSpec
from dataflow.rules import Rules
from dataflow.signals import NOTHING, Loop, Skip
from dataflow.states import State, StateType
from dataflow.triggers import Counts, Verdict, not_all_skipped
from tests.semantics.virtual_time import Died, Overslept, limited

__all__ = ["Given", "Outcome", "StateName", "given_outcomes", "run", "upstream_failed"]

StateName = Literal["Completed", "Skipped", "Failed", "Crashed", "TimedOut", "UpstreamFailed", "Cancelled"]
RETRIED = ("Failed", "TimedOut")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an element or a node: its value if completed, else the exception at the root of it."""

    state: StateName = "Completed"
    value: Any = None
    """Of a skipped element: what it was skipped with."""
    elements: tuple[Outcome, ...] | None = None
    """Of a mapped node: what became of each element. None for a plain node and for an element."""
    causes: tuple[BaseException, ...] = ()
    """If it was not run: the roots of all inputs that failed. Which of them is named is left open."""
    as_whole: bool = False
    """A mapped node that ended before its index space was known; one element stands for all of them."""
    attempts: int = 0
    """How often it was tried, in the last round of its loop."""

    @property
    def completed(self) -> bool:
        return self.state == "Completed"

    @property
    def skipped(self) -> bool:
        return self.state == "Skipped"

    @property
    def failed(self) -> bool:
        return not (self.completed or self.skipped)

    @property
    def roots(self) -> tuple[BaseException, ...]:
        return (self.causes or (self.value,)) if self.failed else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an element gets for one argument, and the outcomes of what that is made of."""

    value: Any
    used: tuple[Outcome, ...] = ()
    """A gathered map stands here with each of its elements, a literal with nothing."""
    skips: bool = False
    """Whether something it stands for was skipped: an input, or all elements of a gathered one."""


def given_outcomes(outcomes: Sequence[Outcome], rules: Rules, *, gathered: bool) -> Given:
    """Outcomes as an argument: failures as exceptions; if gathered, a list in which skipped ones are left out."""
    if gathered:
        values: Any = [_stand_in(outcome, rules) for outcome in outcomes if not outcome.skipped]
    else:
        (values,) = (_stand_in(outcome, rules) for outcome in outcomes)
    skips = bool(outcomes) and all(outcome.skipped for outcome in outcomes)
    return Given(value=values, used=tuple(outcomes), skips=skips)


def _stand_in(outcome: Outcome, rules: Rules) -> Any:
    """What a function gets in the place of an outcome."""
    if outcome.skipped:
        return NOTHING if rules.trigger == not_all_skipped else outcome.value
    if outcome.state != "UpstreamFailed":
        return outcome.value
    error = UpstreamFailed("not run because an input failed")
    error.__cause__ = outcome.value
    return error


def upstream_failed(causes: Iterable[BaseException]) -> Outcome:
    """Not run, because of failures."""
    found = tuple(causes)
    return Outcome(state="UpstreamFailed", value=found[0], causes=found)


def run(task: TaskSpec, given: Sequence[Given], call: Callable[[], Any]) -> Outcome:
    """What becomes of an element that is given this: skipped, upstream failed, or what its attempts lead to."""
    rules = task.rules
    if rules.skip_on_upstream_skip and any(each.skips for each in given):
        return Outcome(state="Skipped")
    used = [outcome for each in given for outcome in each.used]
    skipped, failed = sum(one.skipped for one in used), sum(one.failed for one in used)
    verdict = rules.trigger(Counts(len(used) - skipped - failed, failed, skipped))
    if verdict is Verdict.SKIP:
        return Outcome(state="Skipped")
    if verdict is Verdict.FAIL:
        return upstream_failed([root for one in used for root in one.roots] or [UpstreamFailed("did not pass")])
    return _tried(task, call)


def _tried(task: TaskSpec, call: Callable[[], Any]) -> Outcome:
    """Attempt after attempt, round after round; delays take no time."""
    now = Attempt()
    while True:
        ended = _attempt(task, call, now)
        if isinstance(ended, Loop):
            now = Attempt(round=now.round + 1, looped=ended.result)
        elif _is_tried_again(task, now.attempt, ended):
            now = replace(now, attempt=now.attempt + 1)
        else:
            return replace(ended, attempts=now.attempt)


def _is_tried_again(task: TaskSpec, attempt: int, ended: Outcome) -> bool:
    retry = task.rules.retry
    is_failure = ended.state in RETRIED or isinstance(ended.value, ProcessDied)
    if not is_failure or retry.delay_seconds(attempt, 0.0) is None:
        return False
    state: State[Any] = State(type=StateType.FAILED, message=str(ended.value), data=ended.value)
    told = SimpleNamespace(name=task.name, tags=task.rules.tags, run_count=attempt)
    return retry.condition is None or retry.condition(told, told, state)


def _attempt(task: TaskSpec, call: Callable[[], Any], now: Attempt) -> Outcome | Loop:
    """One call of the function, and what came of it."""
    try:
        with ExitStack() as around:
            around.enter_context(limited(task.rules.timeout_seconds))
            around.enter_context(attempted(now))
            around.callback(inside_task.reset, inside_task.set([]))
            value = asyncio.run(call()) if task.is_async else call()
    except Loop as loop:
        return loop
    except Skip as skip:
        return Outcome(state="Skipped", value=skip.result)
    except Overslept:
        return Outcome(state="TimedOut", value=TimedOut("it took too long"))
    except Died:
        return Outcome(state="Crashed", value=ProcessDied("its process has ended"))
    except BaseException as error:  # noqa: BLE001 - boundary: the function is the user's
        return Outcome(state="Failed" if isinstance(error, Exception) else "Crashed", value=error)
    return _meaning(value) if isinstance(value, State) else Outcome(value=value)


FAILED_STATES: dict[StateType, StateName] = {
    StateType.FAILED: "Failed",
    StateType.TIMED_OUT: "TimedOut",
    StateType.CRASHED: "Crashed",
    StateType.CANCELLED: "Cancelled",
}


def _meaning(state: State[Any]) -> Outcome | Loop:
    """What it means that a function has returned a state."""
    if state.is_completed():
        return Outcome(value=state.data)
    if state.is_skipped():
        return Outcome(state="Skipped", value=state.data)
    if state.is_looped():
        return Loop(state.data)
    if state.type in FAILED_STATES:
        return Outcome(state=FAILED_STATES[state.type], value=state.result(raise_on_failure=False))
    return Outcome(state="Failed", value=FlowFailed("the state is no end"))
