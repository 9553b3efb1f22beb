"""Resuming: a run that ended badly goes on under its id, and runs only what it has not kept."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from dataflow import Flow, Parameter, flow, task
from dataflow.errors import UpstreamFailed, UsageError
from dataflow_results.errors import StoreUrlError

ran: list[Any] = []
"""The calls that were made; everything here runs in this process."""
broken = threading.Event()
"""Whether `shift` refuses 4; an event, because its content is no part of a key."""


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()
    broken.set()


@task
def double(x: int) -> int:
    ran.append(("double", x))
    return 2 * x


@task
def shift(x: int) -> int:
    ran.append(("shift", x))
    if x == 4 and broken.is_set():
        raise ValueError("four")
    return x + 1


@task
def total(numbers: list[int]) -> int:
    ran.append("total")
    return sum(numbers)


def calls() -> list[Any]:
    """The calls since the last time."""
    made = list(ran)
    ran.clear()
    return made


def chain(store: Path, **options: Any) -> Any:
    """A flow of two maps and a sum that keeps everything."""

    @flow(cluster="inline", persist_result=True, result_storage=store, **options)
    def main(count: int) -> int:
        return total.submit(shift.map(double.map(range(count)))).result()

    return main


def failed_run(main: Any, *arguments: Any) -> str:
    """The id of a run that failed."""
    run = main.start(*arguments)
    run.wait()
    assert run.state.is_failed()
    return str(run.id)


def test_only_what_is_missing_runs(tmp_path: Path) -> None:
    """One of 5 elements failed: the resumed run runs that one and the sum, the next one nothing."""
    main = chain(tmp_path)
    run_id = failed_run(main, 5)
    assert len(calls()) == 10
    broken.clear()
    assert main.resume(run_id, 5) == 25
    assert calls() == [("shift", 4), "total"]
    assert main.resume(run_id, 5) == 25
    assert calls() == []


def test_a_resumed_run_may_fail_again(tmp_path: Path) -> None:
    """As long as the cause is there, the same element fails, and only it is tried."""
    main = chain(tmp_path)
    run_id = failed_run(main, 5)
    calls()
    with pytest.raises(UpstreamFailed) as caught:
        main.resume(run_id, 5)
    assert str(caught.value.__cause__) == "four"
    assert calls() == [("shift", 4)]


def test_the_graph_door_resumes(tmp_path: Path) -> None:
    """flow.run(resume=...) and flow.resume(...) are the same, and the run keeps its id."""
    with Flow("graph", persist_result=True, result_storage=tmp_path, cluster="inline") as graph:
        summed = total(shift.map(double.map(Parameter("numbers"))))
    first = graph.run(numbers=[3, 2])
    assert first.is_failed()
    assert len(calls()) == 4
    broken.clear()
    second = graph.run(numbers=[3, 2], resume=first.run.id)
    assert second.result[summed].result == 12
    assert second.run.id == first.run.id
    assert calls() == [("shift", 4), "total"]
    third = graph.resume(first.run.id, {"numbers": [3, 2]})
    assert third.result[summed].state.name == "Cached"
    assert calls() == []


def test_a_loop_of_calls_resumes(tmp_path: Path) -> None:
    """Plain calls are told apart by their order in the body."""

    @flow(cluster="inline", persist_result=True, result_storage=tmp_path)
    def main() -> list[int]:
        return [shift(double(x)) for x in range(4)]

    run_id = failed_run(main)
    assert calls() == [(name, value) for x in range(3) for name, value in (("double", x), ("shift", 2 * x))]
    broken.clear()
    assert main.resume(run_id) == [1, 3, 5, 7]
    assert calls() == [("shift", 4), ("double", 3), ("shift", 6)]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    """Results without a cache belong to their run: the same flow run again runs everything."""
    main = chain(tmp_path)
    failed_run(main, 5)
    calls()
    broken.clear()
    assert main(5) == 25
    assert len(calls()) == 11


@pytest.mark.parametrize(
    ("change", "count", "problem"),
    [
        (lambda main, run_id: (main, "nosuchrun"), 5, "run nosuchrun: it has kept no results in "),
        (lambda main, run_id: (main, run_id), 6, "it had other parameters\n  instead: give the same"),
        (lambda main, run_id: (main.with_options(name="other"), run_id), 5, "it is a run of the flow 'main'"),
    ],
    ids=["no such run", "other parameters", "other flow"],
)
def test_what_is_not_that_run_is_refused(tmp_path: Path, change: Any, count: int, problem: str) -> None:
    """A wrong id, other parameters, another flow: an error that says so, and nothing runs."""
    main = chain(tmp_path)
    run_id = failed_run(main, 5)
    calls()
    other, name = change(main, run_id)
    with pytest.raises(UsageError) as caught:
        other.resume(name, count)
    assert problem in str(caught.value)
    assert calls() == []


def test_the_place_must_be_that_of_the_run(tmp_path: Path) -> None:
    """In another store there is no such run; an id that is a path is refused as such."""
    main = chain(tmp_path / "here")
    run_id = failed_run(main, 5)
    with pytest.raises(UsageError, match=r"it has kept no results in .*/there\n  instead: the id and the result_"):
        main.with_options(result_storage=tmp_path / "there").resume(run_id, 5)
    with pytest.raises(StoreUrlError, match="this is no id for a run"):
        main.resume("../runs/x", 5)


def test_a_run_that_goes_on_is_not_resumed(tmp_path: Path) -> None:
    """Two processes must not both be the same run."""
    gate = str(tmp_path / "gate")

    @task
    def hold(path: str) -> int:
        pause = threading.Event()
        while not os.path.exists(path):  # noqa: PTH110 - the smallest call, many times
            pause.wait(0.01)
        return 1

    @flow(cluster="threads", persist_result=True, result_storage=tmp_path / "store")
    def main() -> int:
        double(1)
        return hold(gate)

    run = main.start()
    assert run.run.wait_for_news(0, timeout=20)
    with pytest.raises(UsageError, match="it is still going on\n  instead: wait for it, or cancel it first"):
        main.resume(run.id)
    Path(gate).touch()
    assert run.result() == 1
    assert main.resume(run.id) == 1


def test_parameters_do_not_stand_in_the_record(tmp_path: Path) -> None:
    """The record of a run tells whether parameters are equal, not what they are."""

    @flow(cluster="inline", persist_result=True, result_storage=tmp_path)
    def main(password: str) -> int:
        return double(1)

    main("open sesame")
    (record,) = (tmp_path / "runs").glob("*.json")
    text = record.read_text(encoding="utf-8")
    assert "open sesame" not in text
    assert b"open sesame".hex() not in text


def test_flows_called_by_a_resumed_flow_are_resumed_too(tmp_path: Path) -> None:
    """What a called flow has kept is not computed again."""

    @flow
    def inner() -> int:
        return double(3)

    @flow(cluster="inline", persist_result=True, result_storage=tmp_path)
    def main() -> int:
        return shift(double(2)) + inner() + shift(double(2))

    @flow(cluster="inline", persist_result=True, result_storage=tmp_path)
    def later() -> int:
        return inner() + shift(4)

    run_id = failed_run(later)
    assert calls() == [("double", 3), ("shift", 4)]
    broken.clear()
    later.resume(run_id)
    assert calls() == [("shift", 4)]
