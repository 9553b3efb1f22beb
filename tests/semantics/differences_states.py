"""Small flows about skips, retries, time limits and loops, with what Prefect gives for them."""

from __future__ import annotations

import time
from typing import Any

from dataflow import FilterTask, Loop, Skip, context, task
from dataflow.states import Failed
from dataflow.triggers import all_finished
from tests.semantics.differences_maps import keep, refuse, total
from tests.semantics.differential import REFUSED, Case

__all__ = ["RETRIES", "SKIPS"]

LIMIT_SECONDS = 0.2


@task
def skip_odd(x: int) -> int:
    """Skips odd numbers."""
    if x % 2:
        raise Skip("odd", result=-x)
    return x


@task
def moody(x: int = 3) -> int:
    """Refuses until its attempt is as high as its argument."""
    if context.get("task_run_count") < x:
        raise ConnectionError(x)
    return x


@task
def grow(x: int) -> int:
    """Doubles round by round, until it is above twenty."""
    x = context.get("task_loop_result", x)
    if x <= 20:
        raise Loop(2 * x)
    return x


@task(retries=1, retry_delay_seconds=0)
def stumble(x: int) -> int:
    """A loop whose second round fails the first time; the first round is not run again."""
    count = context.get("task_loop_count", 1)
    if count == 2 and context.get("task_run_count") == 1:
        raise ConnectionError(x)
    if count < 3:
        raise Loop(context.get("task_loop_result", x) + 1)
    return int(context.get("task_loop_result"))


@task(timeout_seconds=LIMIT_SECONDS)
def doze(x: float) -> float:
    """Sleeps so long."""
    time.sleep(x)
    return x


@task(retries=1, retry_delay_seconds=0, timeout_seconds=LIMIT_SECONDS)
def doze_once(x: float) -> float:
    """Sleeps so long, but only the first time."""
    time.sleep(x if context.get("task_run_count") == 1 else 0)
    return x


@task(retries=2)
def give_failed() -> Any:
    """Returns a failure."""
    return Failed("no")


@task(retries=2)
def leave() -> None:
    """Ends the process, or would."""
    raise SystemExit


def retried(**options: Any) -> Any:
    """The task moody with options."""
    return moody.with_options(retry_delay_seconds=0, **options)


def is_temporary(run: Any, attempt: Any, state: Any) -> bool:
    """A retry condition that never holds."""
    return False


def in_time() -> str:
    """Whether a time limit fires while the attempt sleeps."""
    began = time.perf_counter()
    doze(5 * LIMIT_SECONDS, return_state=True)
    return "in time" if time.perf_counter() - began < 4 * LIMIT_SECONDS else "late"


SKIPS = [
    Case(
        what="a skipped task, and one that uses it",
        build=lambda: {"skip_odd": (skipped := skip_odd(1)), "keep": keep(skipped)},
        source="classic 1.6, classic 1.8",
        classic="skip_odd: Skipped; keep: Skipped; flow: Completed",
        ours="skip_odd: Skipped; keep: Skipped; flow: Completed",
    ),
    Case(
        what="a skipped element, and a map over it",
        build=lambda: {"keep": keep.map(skip_odd.map([2, 3, 4]))},
        source="classic 1.5",
        classic="keep: Completed [2, Skipped, 4]; flow: Completed",
        ours="keep: Completed [2, Skipped, 4]; flow: Completed",
    ),
    Case(
        what="the sum of a map with a skipped element",
        build=lambda: {"total": total(skip_odd.map([2, 3, 4]))},
        source="classic 1.5",
        classic="total: Skipped; flow: Completed",
        ours="total: Completed 6; flow: Completed",
        why="gathered skips",
    ),
    Case(
        what="the same with `all_finished`",
        build=lambda: {"total": total.with_options(trigger=all_finished)(skip_odd.map([2, 3, 4]))},
        source="classic 1.5",
        classic="total: Skipped; flow: Completed",
        ours="total: Completed 6; flow: Completed",
        why="gathered skips",
    ),
    Case(
        what="a list of it, `skip_on_upstream_skip=False`",
        build=lambda: {"keep": keep.with_options(skip_on_upstream_skip=False)(skip_odd.map([2, 3, 4]))},
        source="classic 1.5",
        classic="keep: Completed [2, SKIP, 4]; flow: Completed",
        ours="keep: Completed [2, 4]; flow: Completed",
        why="gathered skips",
    ),
    Case(
        what="the sum of a map whose elements were all skipped",
        build=lambda: {"total": total(skip_odd.map([1, 3]))},
        source="classic 1.5",
        classic="total: Skipped; flow: Completed",
        ours="total: Skipped; flow: Completed",
    ),
    Case(
        what='`Skip("odd", result=-1)`, used with `skip_on_upstream_skip=False`',
        build=lambda: {"keep": keep.with_options(skip_on_upstream_skip=False)(skip_odd(1))},
        source="classic 1.8",
        classic="keep: Completed -1; flow: Completed",
        ours="keep: Completed -1; flow: Completed",
    ),
    Case(
        what="a map over a task that was skipped, and the sum of it",
        build=lambda: {"total": total(keep.map(skip_odd(1)))},
        source="classic 1.5",
        classic="total: Skipped; flow: Completed",
        ours="total: Skipped; flow: Completed",
    ),
    Case(
        what="an input skipped, another failed, `trigger=all_finished`",
        build=lambda: {"keep": keep.with_options(trigger=all_finished)([skip_odd(1), refuse(2)])},
        source="classic 1.6",
        classic="keep: Skipped; flow: Completed",
        ours="keep: Skipped; flow: Completed",
    ),
    Case(
        what="`FilterTask` over a map with a failure",
        build=lambda: {"filter": FilterTask()(refuse.map([1, 2, 3]))},
        source="classic 1.5",
        classic="filter: Completed [1, 3]; flow: Completed",
        ours="filter: Completed [1, 3]; flow: Completed",
    ),
    Case(
        what="`FilterTask` over a map with a None",
        build=lambda: {"filter": FilterTask()(keep.map([1, None]))},
        source="classic 1.5",
        classic="filter: Completed [1]; flow: Completed",
        ours="filter: Completed [1]; flow: Completed",
    ),
]

RETRIES = [
    Case(
        what="fails twice, with 2 retries",
        build=lambda: {"moody": retried(retries=2)(3)},
        source="classic 1.9, modern 1.7",
        classic="moody: Completed 3 at attempt 3; flow: Completed",
        modern="moody: Completed 3 at attempt 3; flow: Completed",
        ours="moody: Completed 3 at attempt 3; flow: Completed",
    ),
    Case(
        what="fails twice, with 1 retry",
        build=lambda: {"moody": retried(retries=1)(3)},
        source="classic 1.9, modern 1.7",
        classic="moody: Failed(ConnectionError) at attempt 2; flow: Failed",
        modern="moody: Failed(ConnectionError) at attempt 2; flow: Failed",
        ours="moody: Failed(ConnectionError) at attempt 2; flow: Failed",
    ),
    Case(
        what="2 retries in a map, and a map over it",
        build=lambda: {"moody": (tried := retried(retries=2).map([1, 3])), "keep": keep.map(tried)},
        source="classic 1.5",
        classic="moody: Completed [1, 3 at attempt 3]; keep: Completed [1, 3]; flow: Completed",
        ours="moody: Completed [1, 3 at attempt 3]; keep: Completed [1, 3]; flow: Completed",
    ),
    Case(
        what="`retries=1` without a delay",
        build=lambda: {"moody": moody.with_options(retries=1)(2)},
        source="classic 1.1, modern 1.7",
        classic=REFUSED,
        modern="moody: Completed 2 at attempt 2; flow: Completed",
        ours="moody: Completed 2 at attempt 2; flow: Completed",
        why="retries",
    ),
    Case(
        what="a retry condition that says no",
        build=lambda: {"moody": retried(retries=2, retry_condition_fn=is_temporary)(3)},
        source="modern 1.7",
        modern="moody: Failed(ConnectionError); flow: Failed",
        ours="moody: Failed(ConnectionError); flow: Failed",
    ),
    Case(
        what="`retry_on` another kind of error",
        build=lambda: {"moody": retried(retries=2, retry_on=ValueError)(3)},
        source="classic 1.9",
        classic="moody: Failed(ConnectionError); flow: Failed",
        ours="moody: Failed(ConnectionError); flow: Failed",
    ),
    Case(
        what="retries of a task whose input failed",
        build=lambda: {"moody": retried(retries=2)(refuse(2))},
        source="classic 1.9, modern 1.7",
        classic="moody: UpstreamFailed; flow: Failed",
        modern="moody: Pending",
        ours="moody: UpstreamFailed; flow: Failed",
        why="failed inputs",
    ),
    Case(
        what="a returned `Failed(...)`, with 2 retries",
        build=lambda: {"give_failed": give_failed()},
        source="modern 1.7",
        modern="give_failed: Failed(FlowFailed) at attempt 3; flow: Failed",
        ours="give_failed: Failed(FlowFailed) at attempt 3; flow: Failed",
    ),
    Case(
        what="SystemExit, with 2 retries",
        build=lambda: {"leave": leave()},
        source="modern 1.7",
        modern="leave: Crashed(SystemExit)",
        ours="leave: Crashed(SystemExit); flow: Crashed",
    ),
    Case(
        what="a time limit",
        build=lambda: {"doze": doze(2 * LIMIT_SECONDS)},
        source="classic 1.9, modern 1.8",
        classic="doze: TimedOut; flow: Failed",
        modern="doze: TimedOut; flow: Failed",
        ours="doze: TimedOut; flow: Failed",
    ),
    Case(
        what="a time limit, with 1 retry that is in time",
        build=lambda: {"doze_once": doze_once(2 * LIMIT_SECONDS)},
        source="classic 1.9, modern 1.7",
        classic="doze_once: Completed 0.4 at attempt 2; flow: Completed",
        modern="doze_once: Completed 0.4 at attempt 2; flow: Completed",
        ours="doze_once: Completed 0.4 at attempt 2; flow: Completed",
    ),
    Case(
        what="a time limit of 0.2 s around a `time.sleep` of 1 s, on Dask",
        build=in_time,
        is_body=True,
        source="modern 1.8",
        modern="Completed, gives 'late'",
        ours="Completed, gives 'in time'",
        why="on time",
    ),
    Case(
        what="a loop",
        build=lambda: {"grow": grow(5)},
        source="classic 1.9",
        classic="grow: Completed 40; flow: Completed",
        ours="grow: Completed 40; flow: Completed",
    ),
    Case(
        what="loops in a map, and a map over it",
        build=lambda: {"keep": keep.map(grow.map([1, 5, 30]))},
        source="classic 1.5, classic 1.9",
        classic="keep: Completed [32, 40, 30]; flow: Completed",
        ours="keep: Completed [32, 40, 30]; flow: Completed",
    ),
    Case(
        what="a loop that fails once in its second round of three, with 1 retry",
        build=lambda: {"stumble": stumble(1)},
        source="classic 1.9",
        classic="stumble: Completed 3; flow: Completed",
        ours="stumble: Completed 3; flow: Completed",
    ),
]
