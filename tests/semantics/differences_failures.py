"""Small flows about failures and triggers, with what Prefect gives for them."""

from __future__ import annotations

from typing import Any

from dataflow import allow_failure, flatten, mapped, task, unmapped
from dataflow.triggers import (
    all_failed,
    all_finished,
    always_run,
    any_failed,
    any_successful,
    some_failed,
    some_successful,
)
from tests.semantics.differences_maps import add, double, keep, refuse, total
from tests.semantics.differential import REFUSED, Case

__all__ = ["FAILURES", "TRIGGERS"]


@task
def leave(x: int = 0) -> int:
    """Ends the process, or would."""
    raise SystemExit(x)


def with_trigger(trigger: Any) -> Any:
    """The task keep with a trigger."""
    return keep.with_options(trigger=trigger, name="after")


FAILURES = [
    Case(
        what="one of three elements fails",
        build=lambda: {"refuse": refuse.map([1, 2, 3])},
        source="classic 1.5",
        classic="refuse: Completed [1, Failed(ValueError), 3]; flow: Failed",
        ours="refuse: Failed [1, Failed(ValueError), 3]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="a map over it",
        build=lambda: {"double": double.map(refuse.map([1, 2, 3]))},
        source="classic 1.5, modern 1.5",
        classic="double: Completed [2, UpstreamFailed, 6]; flow: Failed",
        modern="double: [2, Pending, 6]",
        ours="double: UpstreamFailed [2, UpstreamFailed, 6]; flow: Failed",
        why="failed inputs",
    ),
    Case(
        what="the sum of it",
        build=lambda: {"total": total(refuse.map([1, 2, 3]))},
        source="classic 1.5, modern 1.5",
        classic="total: UpstreamFailed; flow: Failed",
        modern="total: Pending",
        ours="total: UpstreamFailed; flow: Failed",
        why="failed inputs",
    ),
    Case(
        what="a reduce of it with `all_finished`",
        build=lambda: {"after": with_trigger(all_finished)(refuse.map([1, 2, 3]))},
        source="classic 1.5",
        classic="after: Completed [1, ValueError, 3]; flow: Completed",
        ours="after: Completed [1, ValueError, 3]; flow: Completed",
    ),
    Case(
        what="`keep(allow_failure(...))` of it",
        build=lambda: {"keep": keep(allow_failure(refuse.map([1, 2, 3])))},
        source="modern 1.5",
        modern="keep: Completed [1, ValueError, 3]; flow: Completed",
        ours="keep: Completed [1, ValueError, 3]; flow: Completed",
    ),
    Case(
        what="`allow_failure` of a task that ended with SystemExit",
        build=lambda: {"leave": (left := leave()), "keep": keep(allow_failure(left))},
        source="modern 1.4",
        modern="leave: Crashed(SystemExit); keep: Pending",
        ours="leave: Crashed(SystemExit); keep: Completed SystemExit; flow: Completed",
        why="gathered failures",
    ),
    Case(
        what="an `unmapped` argument failed",
        build=lambda: {"add": add.map([1, 2], unmapped(refuse(2)))},
        source="classic 1.5",
        classic="add: Completed [UpstreamFailed, UpstreamFailed]; flow: Failed",
        ours="add: UpstreamFailed [UpstreamFailed, UpstreamFailed]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="`flatten` of a map in which one element failed",
        build=lambda: {
            "double": double.map(flatten(keep.map([[1], [2, 3]], upstream_tasks=[mapped(refuse.map([1, 2]))])))
        },
        source="classic 1.5",
        classic="double: Completed [2, UpstreamFailed]; flow: Failed",
        ours="double: UpstreamFailed [2, UpstreamFailed]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="a task in `upstream_tasks` (`wait_for`) failed",
        build=lambda: {"keep": keep(1, upstream_tasks=[refuse(2)])},
        source="classic 1.6, modern 1.3",
        classic="keep: UpstreamFailed; flow: Failed",
        modern="keep: Pending",
        ours="keep: UpstreamFailed; flow: Failed",
        why="failed inputs",
    ),
    Case(
        what="the same with `allow_failure`",
        build=lambda: {"keep": keep(1, wait_for=[allow_failure(refuse(2))])},
        source="modern 1.3",
        modern="keep: Completed 1; flow: Completed",
        ours="keep: Completed 1; flow: Completed",
    ),
    Case(
        what="a call without a required argument",
        build=lambda: {"add": add(*[1])},
        source="classic 1.1, modern 1.1",
        classic=REFUSED,
        modern=REFUSED,
        ours=REFUSED,
    ),
]

TRIGGERS = [
    Case(
        what="`any_failed` after a failure",
        build=lambda: {"after": with_trigger(any_failed)(refuse(2))},
        source="classic 1.6",
        classic="after: Completed ValueError; flow: Completed",
        ours="after: Completed ValueError; flow: Completed",
    ),
    Case(
        what="`any_failed` where nothing failed",
        build=lambda: {"after": with_trigger(any_failed)(refuse(1))},
        source="classic 1.6",
        classic="after: UpstreamFailed; flow: Failed",
        ours="after: UpstreamFailed; flow: Failed",
    ),
    Case(
        what="`all_failed` over a map, of which one element failed",
        build=lambda: {"after": with_trigger(all_failed)(refuse.map([1, 2]))},
        source="classic 1.6",
        classic="after: UpstreamFailed; flow: Failed",
        ours="after: UpstreamFailed; flow: Failed",
    ),
    Case(
        what="`all_failed` and nothing upstream",
        build=lambda: {"after": with_trigger(all_failed)()},
        source="classic 1.6",
        classic="after: Completed None; flow: Completed",
        ours="after: Completed None; flow: Completed",
    ),
    Case(
        what="`any_successful` over a map, of which one element failed",
        build=lambda: {"after": with_trigger(any_successful)(refuse.map([1, 2]))},
        source="classic 1.6",
        classic="after: Completed [1, ValueError]; flow: Completed",
        ours="after: Completed [1, ValueError]; flow: Completed",
    ),
    Case(
        what="`some_failed(at_least=0.5)` over a map, of which one of two failed",
        build=lambda: {"after": with_trigger(some_failed(at_least=0.5))(refuse.map([1, 2]))},
        source="classic 1.5, classic 1.6",
        classic="after: Completed [1, ValueError]; flow: Completed",
        ours="after: Completed [1, ValueError]; flow: Completed",
    ),
    Case(
        what="`some_successful(at_least=2)` over the same",
        build=lambda: {"after": with_trigger(some_successful(at_least=2))(refuse.map([1, 2]))},
        source="classic 1.6",
        classic="after: UpstreamFailed; flow: Failed",
        ours="after: UpstreamFailed; flow: Failed",
    ),
    Case(
        what="`always_run` after what was not run itself",
        build=lambda: {"after": with_trigger(always_run)(keep(refuse(2)))},
        source="classic 1.6",
        classic="after: Completed UpstreamFailed; flow: Completed",
        ours="after: Completed UpstreamFailed; flow: Completed",
    ),
    Case(
        what="`any_failed`, mapped: element by element",
        build=lambda: {"after": with_trigger(any_failed).map(refuse.map([1, 2]))},
        source="classic 1.5, classic 1.6",
        classic="after: Completed [UpstreamFailed, ValueError]; flow: Failed",
        ours="after: UpstreamFailed [UpstreamFailed, ValueError]; flow: Failed",
        why="failed elements",
    ),
    Case(
        what="`all_finished`, mapped over a task that failed",
        build=lambda: {"after": with_trigger(all_finished).map(refuse(2))},
        source="classic 1.5",
        classic="after: Failed; flow: Failed",
        ours="after: Completed [ValueError]; flow: Completed",
        why="triggers",
    ),
]
