"""Functions that generated flows are made of: total on any value, so that they fail only where they are meant to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dataflow import context, triggers
from dataflow.graph.nodes import TaskSpec
from dataflow.retries import RetryPolicy
from dataflow.rules import PLAIN, Isolation, Rules
from dataflow.signals import NOTHING, Loop, Skip
from dataflow.states import Cancelled, Completed, Crashed, Failed, Looping, Pending, Skipped, TimedOut
from tests.semantics.virtual_time import die, sleep, sleep_later

__all__ = ["FUNCTIONS", "PLAIN_NAMES", "RULED_NAMES", "UNTIMED_NAMES", "number", "specs"]

MODULUS = 1009
LIMIT_SECONDS = 0.3
"""Long enough for a busy machine not to hit it by chance."""
TOO_LONG_SECONDS = 0.6


class Refused(Exception):
    """The failure that generated flows are full of."""


def number(value: Any) -> int:
    """Fold any value into one small number that depends on its structure, its order and its exceptions."""
    if isinstance(value, BaseException):
        return 17 + len(type(value).__name__)
    if value is NOTHING:
        return 11
    if isinstance(value, dict):
        return number([*value.keys(), *value.values()])
    if isinstance(value, (list, tuple)):
        return sum(position * number(item) for position, item in enumerate(value, start=1)) % MODULUS
    return len(value) if isinstance(value, str) else int(value or 0)


def combine(x: Any, y: Any = 0) -> int:
    return (3 * number(x) + 5 * number(y) + 1) % MODULUS


def keep(x: Any, y: Any = None) -> Any:
    return [x, y] if y is not None else x


def refuse_some(x: Any, y: Any = 1) -> int:
    folded = number(x) + number(y)
    if folded % 3 == 0:
        raise Refused(f"{folded} is a multiple of three")
    return folded


def refuse_all(x: Any, y: Any = 0) -> int:
    raise Refused(f"refused {number(x) + number(y)}")


def some(x: Any, y: Any = 0) -> list[int]:
    return [number(x) + position for position in range((number(x) + number(y)) % 3)]


def nested(x: Any, y: Any = 0) -> list[list[int]]:
    return [some(x, y), some(y, x)]


def label(x: Any, y: Any = 0) -> str:
    return f"{number(x)}-{number(y)}"


def pair(x: Any, y: Any = 0) -> dict[str, Any]:
    return {"x": x, "y": y}


async def combine_later(x: Any, y: Any = 0) -> int:
    return refuse_some(x, y) + 1


def flaky(x: Any, y: Any = 1) -> Any:
    """Refuses as often as its arguments say, then gives the number of the attempt with its answer."""
    refusals, attempt = (number(x) + number(y)) % 3, context.get("attempt")
    if attempt <= refusals:
        raise Refused(f"attempt {attempt} of {refusals + 1}")
    return 10 * number(x) + attempt


async def flaky_later(x: Any, y: Any = 1) -> Any:
    return flaky(x, y)


def dawdle(x: Any, y: Any = 0) -> Any:
    """Takes too long where it is given a three, at first."""
    if number(x) == 3 and context.get("attempt") <= number(y) + 1:
        sleep(TOO_LONG_SECONDS)
    return number(x) + context.get("attempt")


async def dawdle_later(x: Any, y: Any = 0) -> Any:
    if number(x) == 3 and context.get("attempt") <= number(y) + 1:
        await sleep_later(TOO_LONG_SECONDS)
    return number(x) + context.get("attempt")


def skip_some(x: Any, y: Any = 1) -> int:
    folded = number(x) + number(y)
    if folded % 3 == 0:
        raise Skip(f"{folded} is a multiple of three", result=folded if folded % 2 else None)
    return folded


def skip_all(x: Any, y: Any = 0) -> int:
    raise Skip("all are skipped", result=number(x))


def loop(x: Any, y: Any = 0) -> Any:
    """Adds up its rounds, each times its attempts; in every second round it refuses as often as it is told."""
    count, total = context.get("task_loop_count"), context.get("task_loop_result", number(y))
    if count % 2 == 0 and context.get("attempt") <= number(y) % 3:
        raise Refused(f"round {count}")
    if count <= number(x) % 4:
        raise Loop(total + count * context.get("attempt"))
    return total


def state_of(x: Any, y: Any = 0) -> Any:
    """Gives its answer as a state."""
    folded = number(x)
    if folded % 10 == 6 and context.get("task_loop_count") == 1:
        return Looping(data=number(y))
    kinds = (Completed, Completed, Failed, TimedOut, Crashed, Cancelled, Completed, Skipped, Pending, Failed)
    data = Refused(f"state {folded}") if folded % 10 == 9 else context.get("task_loop_result", folded)
    return kinds[folded % 10](message=f"state {folded}", data=data)


def crash_some(x: Any, y: Any = 1) -> int:
    folded = number(x) + number(y)
    if folded % 3 == 0:
        raise SystemExit(folded)
    return folded


def perish(x: Any, y: Any = 0) -> Any:
    """Ends its process where it is given a four or a nine, at first."""
    if number(x) % 5 == 4 and context.get("attempt") <= number(y) + 1:
        die()
    return number(x) + context.get("attempt")


def only_first(task: Any, task_run: Any, state: Any) -> bool:
    """A retry condition: after the first attempt, of failures."""
    assert task.name
    assert state.is_failed()
    return bool(task_run.run_count == 1)


PLAIN_FUNCTIONS = (combine, keep, refuse_some, refuse_all, some, nested, label, pair, combine_later)
AT_ONCE = RetryPolicy(retries=1)
AFTER_A_WHILE = RetryPolicy(retries=2, delays_seconds=(0.01, 0.0, 0.02))
ALONE = Rules(isolation=Isolation())
IN_TIME = Rules(timeout_seconds=LIMIT_SECONDS)
BY_TRIGGER = {
    str(trigger): Rules(trigger=trigger)
    for trigger in (
        triggers.all_failed,
        triggers.all_finished,
        triggers.any_failed,
        triggers.any_successful,
        triggers.not_all_skipped,
        triggers.some_failed(at_least=2),
        triggers.some_failed(at_most=0.5),
        triggers.some_successful(at_least=1, at_most=2),
        triggers.always_run,
    )
}
TOLERANT = {
    f"{name}, tolerant": Rules(trigger=trigger, skip_on_upstream_skip=False)
    for name, trigger in (
        ("all_successful", triggers.all_successful),
        ("all_finished", triggers.all_finished),
        ("any_successful", triggers.any_successful),
        ("some_failed", triggers.some_failed(at_least=0.3)),
        ("not_all_skipped", triggers.not_all_skipped),
    )
}
RULED: dict[str, tuple[Callable[..., Any], Rules]] = {
    "skip_some": (skip_some, PLAIN),
    "skip_all": (skip_all, PLAIN),
    "state_of": (state_of, PLAIN),
    "state_of@again": (state_of, Rules(retry=AT_ONCE)),
    "crash_some": (crash_some, Rules(retry=AT_ONCE)),
    "loop": (loop, Rules(retry=AT_ONCE)),
    "loop@later": (loop, Rules(retry=AFTER_A_WHILE)),
    "flaky": (flaky, Rules(retry=AT_ONCE)),
    "flaky@later": (flaky, Rules(retry=AFTER_A_WHILE)),
    "flaky@picky": (flaky, Rules(retry=RetryPolicy(retries=2, condition=only_first))),
    "flaky@any_failed": (flaky, Rules(retry=AFTER_A_WHILE, trigger=triggers.any_failed)),
    "flaky@timed": (flaky, Rules(retry=AFTER_A_WHILE, timeout_seconds=100.0)),
    "flaky_later": (flaky_later, Rules(retry=AFTER_A_WHILE)),
    "dawdle": (dawdle, IN_TIME),
    "dawdle@again": (dawdle, Rules(retry=AT_ONCE, timeout_seconds=LIMIT_SECONDS)),
    "dawdle_later": (dawdle_later, Rules(retry=AFTER_A_WHILE, timeout_seconds=LIMIT_SECONDS)),
    "perish": (perish, ALONE),
    "perish@again": (perish, Rules(retry=AFTER_A_WHILE, isolation=Isolation())),
    "dawdle@alone": (dawdle, Rules(retry=AT_ONCE, timeout_seconds=LIMIT_SECONDS, isolation=Isolation())),
    "loop@alone": (loop, Rules(retry=AFTER_A_WHILE, isolation=Isolation())),
    "state_of@alone": (state_of, ALONE),
    "skip_some@alone": (skip_some, ALONE),
    "crash_some@alone": (crash_some, ALONE),
    "keep@alone, any_failed": (keep, Rules(trigger=triggers.any_failed, isolation=Isolation())),
    **{f"keep@{name}": (keep, rules) for name, rules in (BY_TRIGGER | TOLERANT).items()},
    **{f"combine_later@{name}": (combine_later, rules) for name, rules in list(TOLERANT.items())[:2]},
}
"""Functions with rules: by name, since a task of a function is another one with other rules."""

PLAIN_NAMES = [function.__name__ for function in PLAIN_FUNCTIONS]
RULED_NAMES = tuple(RULED)
UNTIMED_NAMES = tuple(
    name for name, (_, rules) in RULED.items() if rules.timeout_seconds is None and rules.isolation is None
)
"""Those that ask neither a clock nor another process."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{function.__name__: function for function in PLAIN_FUNCTIONS},
    **{name: function for name, (function, _) in RULED.items()},
}


def specs(batch_size: int | None, more: Callable[[str], Mapping[str, Any]] = lambda name: {}) -> dict[str, TaskSpec]:
    """Every function as a task with this batch size; ``more`` gives further options by name."""
    return {
        name: TaskSpec(
            **{
                "name": name,
                "function": function,
                "parameters": tuple(inspect.signature(function).parameters),
                "is_async": inspect.iscoroutinefunction(function),
                "batch_size": batch_size,
                "rules": RULED[name][1] if name in RULED else PLAIN,
                **more(name),
            }
        )
        for name, function in FUNCTIONS.items()
    }
