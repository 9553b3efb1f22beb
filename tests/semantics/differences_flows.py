"""Small flows about how flows end and about control flow, with what Prefect gives for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataflow import case, flow, ifelse, merge, resource_manager, switch, task
from dataflow.context import current_flow
from dataflow.states import Completed, Failed
from tests.semantics.differences_maps import double, keep, refuse
from tests.semantics.differences_states import skip_odd
from tests.semantics.differential import Case

__all__ = ["CONTROL", "ENDS"]


RAN: list[int] = []
"""What has run."""


@task
def triple(x: Any) -> Any:
    """Three times its argument."""
    return 3 * x


@task
def give_completed() -> Any:
    """Returns a state with a value."""
    return Completed(data=7)


@resource_manager
class Counter:
    """A resource whose setup fails if it is asked to."""

    def __init__(self, start: int) -> None:
        self.start = start

    def setup(self) -> int:
        """Give the start, unless it is negative."""
        if self.start < 0:
            raise ValueError(self.start)
        return self.start

    def cleanup(self, resource: int) -> None:
        """Nothing is left."""


def raises() -> None:
    """A body that raises."""
    raise ValueError


def unseen() -> int:
    """Submitted work fails, and nobody looks."""
    refuse.submit(2)
    return 1


def caught() -> int:
    """Submitted work fails, and somebody takes the exception."""
    return 1 if isinstance(refuse.submit(2).result(raise_on_failure=False), ValueError) else 0


@task
def note(x: int) -> None:
    """Writes down that it ran."""
    RAN.append(x)


@flow
def submits() -> None:
    """Waits for nothing that it submits."""
    for number in range(5):
        note.submit(number)


def many() -> int:
    """How much of what was submitted has run when the flow has ended."""
    RAN.clear()
    submits()
    return len(RAN)


def within(build: Callable[[Any], Any], resource: int) -> dict[str, Any]:
    """A resource and something in its block."""
    with Counter(resource) as counter:  # type: ignore[attr-defined]
        inside = build(counter)
    cleanup = next(node for node in current_flow.get().tasks if "cleanup" in node.slug)  # type: ignore[union-attr]
    return {"inside": inside, "cleanup": cleanup}


def guarded(value: Any) -> dict[str, Any]:
    """A node in the block of a case."""
    with case(keep("a"), value):
        inside = keep(1)
    return {"keep": inside}


def switched() -> dict[str, Any]:
    """Two branches of a switch; what one of them uses is built before."""
    before = double(1)
    branches = {"a": keep(1), "b": triple(before)}
    switch(keep("a"), branches)
    return {"double": before, **dict(zip(("keep", "triple"), branches.values(), strict=True))}


def chosen(condition: Any) -> dict[str, Any]:
    """The two branches of an ifelse, merged."""
    first, second = double(1), triple(1)
    ifelse(condition, first, second)
    return {"merge": merge(first, second)}


def chosen_in_map() -> dict[str, Any]:
    """The same, element by element."""
    condition = keep.map([True, False])
    first, second = double.map([1, 1]), triple.map([1, 1])
    ifelse(condition, first, second, mapped=True)
    return {"double": first, "merge": merge(first, second, mapped=True)}


def referring() -> dict[str, Any]:
    """A flow with a failed end that is judged by another task."""
    good = keep(1)
    current_flow.get().set_reference_tasks([good])  # type: ignore[union-attr]
    return {"keep": good, "refuse": refuse(good + 1)}


ENDS = [
    Case(
        what="the body raises",
        build=raises,
        is_body=True,
        source="modern 1.11",
        modern="Failed, raises ValueError",
        ours="Failed, raises ValueError",
    ),
    Case(
        what="submitted work fails, nobody looks, the body returns 1",
        build=unseen,
        is_body=True,
        source="modern 1.11",
        modern="Completed, gives 1",
        ours="Failed, raises FlowFailed",
        why="final state",
    ),
    Case(
        what="the exception is taken with `raise_on_failure=False`",
        build=caught,
        is_body=True,
        source="modern 1.6, modern 1.11",
        modern="Completed, gives 1",
        ours="Completed, gives 1",
    ),
    Case(
        what="the body returns a future",
        build=lambda: double.submit(2),
        is_body=True,
        source="modern 1.11",
        modern="Completed, gives a State",
        ours="Completed, gives 4",
        why="final state",
    ),
    Case(
        what="it returns a list of futures, of which one failed",
        build=lambda: [refuse.submit(1), refuse.submit(2)],
        is_body=True,
        source="modern 1.11",
        modern="Failed, gives a list of States",
        ours="Failed, raises ValueError",
        why="final state",
    ),
    Case(
        what="it returns a dict with a failed future",
        build=lambda: {"a": refuse.submit(2)},
        is_body=True,
        source="modern 1.11",
        modern="Completed, gives the dict",
        ours="Failed, raises ValueError",
        why="final state",
    ),
    Case(
        what='it returns `Failed("no")`',
        build=lambda: Failed("no"),
        is_body=True,
        source="modern 1.11",
        modern="Failed, raises FlowFailed",
        ours="Failed, raises FlowFailed",
    ),
    Case(
        what="it returns `Completed(data=7)`",
        build=lambda: Completed(data=7),
        is_body=True,
        source="modern 1.11",
        modern="Completed, gives 7",
        ours="Completed, gives 7",
    ),
    Case(
        what="a task returns `Completed(data=7)`",
        build=lambda: {"keep": keep(give_completed())},
        source="modern 1.11",
        modern="keep: Completed 7; flow: Completed",
        ours="keep: Completed 7; flow: Completed",
    ),
    Case(
        what="the result of a task whose input failed",
        build=lambda: keep.submit(refuse.submit(2)).result(),
        is_body=True,
        source="modern 1.4",
        modern="Failed, raises UnfinishedRun",
        ours="Failed, raises UpstreamFailed",
        why="failed inputs",
    ),
    Case(
        what="5 tasks are submitted and not waited for, with one thread: how many ran",
        build=many,
        is_body=True,
        source="modern 1.3",
        modern="Completed, gives 4",
        ours="Completed, gives 5",
        why="all ends",
    ),
    Case(
        what="a failed end, but a reference task that completed",
        build=referring,
        source="classic 1.2",
        classic="keep: Completed 1; refuse: Failed(ValueError); flow: Completed",
        ours="keep: Completed 1; refuse: Failed(ValueError); flow: Completed",
    ),
]

CONTROL = [
    Case(
        what="a `case` that holds",
        build=lambda: guarded("a"),
        source="classic 1.12",
        classic="keep: Completed 1; flow: Completed",
        ours="keep: Completed 1; flow: Completed",
    ),
    Case(
        what="one that does not",
        build=lambda: guarded("b"),
        source="classic 1.12",
        classic="keep: Skipped; flow: Completed",
        ours="keep: Skipped; flow: Completed",
    ),
    Case(
        what="a `switch`: what the other branch uses runs all the same",
        build=switched,
        source="classic 1.12",
        classic="double: Completed 2; keep: Completed 1; triple: Skipped; flow: Completed",
        ours="double: Completed 2; keep: Completed 1; triple: Skipped; flow: Completed",
    ),
    Case(
        what="an `ifelse` and a `merge`",
        build=lambda: chosen(keep(0)),
        source="classic 1.12",
        classic="merge: Completed 3; flow: Completed",
        ours="merge: Completed 3; flow: Completed",
    ),
    Case(
        what="the same in a map",
        build=chosen_in_map,
        source="classic 1.12",
        classic="double: Completed [2, Skipped]; merge: Completed [2, 3]; flow: Completed",
        ours="double: Completed [2, Skipped]; merge: Completed [2, 3]; flow: Completed",
    ),
    Case(
        what="its condition fails",
        build=lambda: chosen(refuse(2)),
        source="classic 1.12",
        classic="merge: UpstreamFailed; flow: Failed",
        ours="merge: UpstreamFailed; flow: Failed",
    ),
    Case(
        what="a `merge` of branches that were all skipped",
        build=lambda: {"merge": merge(skip_odd(1), skip_odd(3))},
        source="classic 1.12",
        classic="merge: Skipped; flow: Completed",
        ours="merge: Skipped; flow: Completed",
    ),
    Case(
        what="a `merge` whose first branch gives None",
        build=lambda: {"merge": merge(keep(None), keep(5))},
        source="classic 1.12",
        classic="merge: Completed 5; flow: Completed",
        ours="merge: Completed None; flow: Completed",
        why="None",
    ),
    Case(
        what="a failure in the block of a `resource_manager`",
        build=lambda: within(refuse, 2),
        source="classic 1.12",
        classic="inside: Failed(ValueError); cleanup: Completed None; flow: Failed",
        ours="inside: Failed(ValueError); cleanup: Completed None; flow: Failed",
    ),
    Case(
        what="a setup that fails",
        build=lambda: within(keep, -1),
        source="classic 1.12",
        classic="inside: UpstreamFailed; cleanup: UpstreamFailed; flow: Failed",
        ours="inside: UpstreamFailed; cleanup: UpstreamFailed; flow: Failed",
    ),
]
