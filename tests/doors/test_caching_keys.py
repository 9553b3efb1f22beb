"""Keys through the front doors: which calls mean the same result, and which do not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflow import Flow, Parameter, Task, allow_failure, flow, task, unmapped
from dataflow.cache_policies import FLOW_PARAMETERS, INPUTS, RUN_ID
from dataflow_results.errors import KeyingError

ran: list[Any] = []
"""The arguments of calls that were made; everything here runs in this process."""


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


@pytest.fixture
def run(tmp_path: Any) -> Callable[[Callable[[], Any]], list[Any]]:
    """Gives which calls a flow body makes; all bodies of one test share one store."""

    def run_body(body: Callable[[], Any]) -> list[Any]:
        ran.clear()

        @flow(cluster="inline", result_storage=str(tmp_path / "store"))
        def main() -> Any:
            return body()

        main()
        return list(ran)

    return run_body


Run = Callable[[Callable[[], Any]], list[Any]]


@task(cache_policy=INPUTS)
def add(x: Any, y: Any = 1, *, scale: Any = 10) -> Any:
    ran.append((x, y, scale))
    return (x + y) * scale


@task
def one() -> int:
    return 1


@task(cache_policy=INPUTS)
def gather(*rest: Any, **more: Any) -> Any:
    ran.append((rest, more))
    return len(rest) + len(more)


SAME: list[Callable[[], Any]] = [
    lambda: add(1),
    lambda: add(x=1),
    lambda: add(1, 1),
    lambda: add(1, scale=10, y=1),
    lambda: add(y=1, scale=10, x=1),
    lambda: add.submit(1),
    lambda: add.submit(one.submit()),
    lambda: add.map([1]),
    lambda: add.map([1], 1),
    lambda: add.map([1], unmapped(1), scale=10),
    lambda: add.map(unmapped(1), [1]),
    lambda: add.map([1], [1], scale=[10]),
    lambda: add.map(iter([1])),
    lambda: add.map(range(1, 2)),
    lambda: add.with_options(batch_size=1, description="another", tags=["a"]).submit(1),
]


@pytest.mark.parametrize("second", SAME)
@pytest.mark.parametrize("first", [SAME[0], SAME[10]], ids=["call", "map"])
def test_ways_to_write_one_call(run: Run, first: Callable[[], Any], second: Callable[[], Any]) -> None:
    """However the arguments are given, by position, name, default, constant or element: it is one result."""
    assert run(first) == [(1, 1, 10)]
    assert run(second) == []


@pytest.mark.parametrize(
    "other",
    [
        lambda: add(1, 2),
        lambda: add(1, scale=11),
        lambda: add(1.0),
        lambda: add(True),
        lambda: add(np.int64(1)),
        lambda: add.with_options(version="2").submit(1),
        lambda: add.with_options(name="another").submit(1),
        lambda: add.with_options(cache_policy=INPUTS - "scale").submit(1),
    ],
)  # fmt: skip
def test_calls_that_differ(run: Run, other: Callable[[], Any]) -> None:
    """Another value, another type of an equal value, another version, task or policy: another result."""
    assert len(run(lambda: add(1))) == 1
    assert len(run(other)) == 1


def test_upstream_values_count_by_value(run: Run) -> None:
    """It does not matter whether an argument is given by hand, or comes from a task, whole or by element."""

    @task
    def give(x: int) -> int:
        return x

    assert run(lambda: add.map([4, 5])) == [(4, 1, 10), (5, 1, 10)]
    assert run(lambda: add(give.submit(4))) == []
    assert run(lambda: add.map(give.map([5, 4, 6]))) == [(6, 1, 10)]


@pytest.mark.parametrize(
    ("first", "second", "runs"),
    [
        (lambda: gather(1, 2), lambda: gather.map([1], [2]), 0),
        (lambda: gather(1, 2), lambda: gather(2, 1), 1),
        (lambda: gather(1, 2), lambda: gather(1), 1),
        (lambda: gather(1, 2), lambda: gather(1, a=2), 1),
        (lambda: gather(a=1, b=2), lambda: gather(b=2, a=1), 0),
        (lambda: gather(a=1, b=2), lambda: gather(a=2, b=1), 1),
        (lambda: gather(a=1), lambda: gather.map(a=[1]), 0),
        (lambda: gather(), lambda: gather(), 0),
        (lambda: gather((1, 2)), lambda: gather(1, 2), 1),
    ],
)
def test_further_arguments(run: Run, first: Callable[[], Any], second: Callable[[], Any], runs: int) -> None:
    """Values of *rest count in their order, those of **more by their name."""
    assert len(run(first)) == 1
    assert len(run(second)) == runs


def test_an_argument_that_is_left_out(run: Run) -> None:
    """INPUTS - "y": calls that differ in y only have one result; the first one's value is given to all."""
    with_less = add.with_options(cache_policy=INPUTS - "y")
    assert run(lambda: with_less.map([1, 2], [5, 6])) == [(1, 5, 10), (2, 6, 10)]
    assert run(lambda: with_less.map([2, 1, 3], 7)) == [(3, 7, 10)]


def test_an_argument_that_is_left_out_need_not_be_hashable(run: Run) -> None:
    """A lock among the arguments is no trouble if it does not count."""
    locked = task(lambda x, lock: ran.append(x), name="locked", cache_policy=INPUTS - "lock")
    assert run(lambda: locked(1, threading.Lock())) == [1]
    assert run(lambda: locked.map([1, 2], unmapped(threading.Lock()))) == [2]


def test_a_policy_that_names_no_argument_is_refused_at_the_call(run: Run) -> None:
    """A misspelled name would otherwise count for nothing."""
    with pytest.raises(KeyingError, match="names 'debgu', but its arguments are 'x', 'y', 'scale'"):
        run(lambda: add.with_options(cache_policy=INPUTS - "debgu").submit(1))
    assert ran == []


@dataclass
class Handle:
    """Holds something that has no canonical form."""

    lock: Any


def test_an_unknown_type_is_refused_with_its_path(run: Run) -> None:
    """The element with the lock fails and says where the lock is; the other one has its value."""

    def body() -> None:
        elements = add.map([3, {"deep": [0, Handle(threading.Lock())]}])
        elements.wait()
        assert [element.state.name for element in elements] == ["Completed", "Failed"]
        message = elements[1].state.message
        assert message.startswith("UnknownType: argument 'x'['deep'][1].lock: "), message
        assert "instead: " in message
        assert elements[0].result() == 40

    assert run(body) == [(3, 1, 10)]


def test_an_unknown_type_in_a_constant_fails_every_element(run: Run) -> None:
    """A constant counts for all elements, so none has a key; nothing is run."""

    def body() -> None:
        elements = add.map([1, 2], unmapped(threading.Lock()))
        elements.wait()
        assert [element.state.name for element in elements] == ["Failed", "Failed"]
        assert elements[0].state.message.startswith("UnknownType: argument 'y': ")

    assert run(body) == []


def test_failed_inputs(run: Run) -> None:
    """An element behind a failed one is UpstreamFailed; with allow_failure the exception is an argument."""

    @task
    def refuse(x: int) -> int:
        if x == 2:
            raise ValueError("two")
        return x

    @task(cache_policy=INPUTS)
    def look(x: Any) -> str:
        ran.append(x)
        return type(x).__name__

    def behind() -> list[str]:
        elements = look.map(refuse.map([1, 2, 3]))
        elements.wait()
        return [element.state.name for element in elements]

    def allowing() -> list[str]:
        elements = look.map(allow_failure(refuse.map([1, 2, 3])))
        elements.wait()
        return [element.state.name for element in elements]

    seen: list[list[str]] = []
    assert run(lambda: seen.append(behind())) == [1, 3]
    assert run(lambda: seen.append(behind())) == []
    assert seen == [["Completed", "UpstreamFailed", "Completed"], ["Cached", "UpstreamFailed", "Cached"]]
    assert [repr(call) for call in run(lambda: seen.append(allowing()))] == ["ValueError('two')"]
    assert run(lambda: seen.append(allowing())) == []
    assert seen[2:] == [["Cached", "Completed", "Cached"], ["Cached", "Cached", "Cached"]]


def test_flow_parameters(tmp_path: Any) -> None:
    """FLOW_PARAMETERS: equal arguments of the flow, given or by default, find the result; others do not."""

    @task(cache_policy=FLOW_PARAMETERS)
    def work(x: int) -> int:
        ran.append(x)
        return x

    @flow(cluster="inline", result_storage=str(tmp_path))
    def main(day: str, size: int = 3) -> int:
        return work(1)

    for arguments in [("monday",), ("monday", 3), ("monday", 4), ("tuesday",)]:
        main(*arguments)
    main(size=3, day="monday")
    assert len(ran) == 3


def test_flow_parameters_of_the_graph_door(tmp_path: Any) -> None:
    """The same with Parameter values of a run."""

    @task(cache_policy=FLOW_PARAMETERS)
    def work(x: int) -> int:
        ran.append(x)
        return x

    with Flow("graph", result_storage=str(tmp_path)) as graph:
        worked = work(Parameter("day"))
    days = ("monday", "monday", "tuesday")
    names = [graph.run(cluster="inline", day=day).result[worked].state.name for day in days]
    assert names == ["Completed", "Cached", "Completed"]


def test_the_run_counts_if_it_is_asked_for(run: Run) -> None:
    """INPUTS + RUN_ID finds the result within the run, not in the next one."""
    within = add.with_options(cache_policy=INPUTS + RUN_ID)

    def body() -> None:
        within(1)
        within(1)

    assert run(body) == [(1, 1, 10)]
    assert run(body) == [(1, 1, 10)]


def test_large_and_nested_values_count_by_content(run: Run) -> None:
    """A copy of an array, and a dict in another order, are the same argument; one changed cell is not."""
    array = np.arange(100_000.0)
    changed = array.copy()
    changed[77_777] += 1
    assert len(run(lambda: add({"a": 1, "b": 2}.get("a"), array).sum())) == 1
    assert len(run(lambda: add(1, array.copy()))) == 0
    assert len(run(lambda: add(1, changed))) == 1
    assert len(run(lambda: gather({"a": 1, "b": {2, 3}}))) == 1
    assert len(run(lambda: gather({"b": {3, 2}, "a": 1}))) == 0


def test_functions_and_classes_as_arguments(run: Run) -> None:
    """A function given as an argument counts by its source, wherever it stands."""

    def shift(x: int) -> int:
        return x + 1

    first = shift

    def shift(x: int) -> int:  # type: ignore[no-redef]
        # the same again, with a comment
        return x + 1

    second = shift

    def shift(x: int) -> int:  # type: ignore[no-redef]
        return x + 2

    apply = task(lambda function, x: ran.append(x), name="apply", cache_policy=INPUTS)
    assert run(lambda: apply(first, 1)) == [1]
    assert run(lambda: apply(second, 1)) == []
    assert run(lambda: apply(shift, 1)) == [1]


# Tasks as arguments


class Scale(Task[..., Any]):
    def __init__(self, factor: int, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def run(self, x: int) -> int:
        return self.factor * x


def test_a_task_as_an_argument_counts_by_what_it_does(tmp_path: Path) -> None:
    """Equal tasks are one argument; another function, or another value that the user set on one, is another."""

    def one(x: int) -> int:
        return x + 1

    def two(x: int) -> int:
        return x + 2

    given = [task(one), task(one, name="other name"), task(two), Scale(2), Scale(2, tags=["a"]), Scale(3)]

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> list[str]:
        apply = task(lambda work: work(5), name="apply", cache_policy=INPUTS)
        return [f"{state.name} {state.result()}" for state in (apply(work, return_state=True) for work in given)]

    assert main() == ["Completed 6", "Cached 6", "Completed 7", "Completed 10", "Cached 10", "Completed 15"]
