"""Suspending a run: it is put down, and taken up again, here or by another process; what is kept does not run twice."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataflow import flow, pause_flow_run, resume_flow_run, suspend_flow_run, task
from dataflow.errors import InputError, RunSuspended, UsageError
from tests.waiting import PATIENCE_SECONDS, until


@pytest.fixture(params=["inline", "threads"])
def cluster(request: pytest.FixtureRequest) -> str:
    """Where the flows run."""
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["history", "no history"])
def _with_and_without_history(request: pytest.FixtureRequest) -> None:
    """In the same process a run can be taken up without one."""
    if not request.param:
        request.getfixturevalue("no_history")


@pytest.fixture
def no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none."""
    monkeypatch.setattr("dataflow.asking.history_url", lambda: None)
    monkeypatch.setattr("dataflow.recording.recordings.history_url", lambda: None)
    monkeypatch.setattr("dataflow.recording.put_down.history_url", lambda: None)


@task(persist_result=True)
def kept(x: int, folder: str) -> int:
    """Leaves a mark for each call."""
    Path(folder, f"{x}-{time.time_ns()}").touch()
    threading.Event().wait(0.001)
    return 2 * x


@task
def forgotten(x: int) -> int:
    """Keeps nothing."""
    return x


def calls(folder: Path) -> list[int]:
    """What `kept` was called with, in order of size."""
    return sorted(int(file.name.partition("-")[0]) for file in folder.iterdir())


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where calls leave their marks."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


@pytest.mark.usefixtures("_with_and_without_history")
def test_a_suspended_flow_is_taken_up(cluster: str, marks: Path, tmp_path: Path) -> None:
    """The body ends at the call; the resumed body runs nothing that is kept, and the same call gives the input."""

    @flow(cluster=cluster, result_storage=tmp_path / "store")
    def weighed(count: int) -> list[int]:
        doubled = kept.map(range(count), str(marks)).result()
        factor = suspend_flow_run(wait_for_input=int)
        offset = suspend_flow_run(wait_for_input=int)
        return [factor * x + offset for x in doubled]

    run = weighed.start(3)
    state = run.wait(timeout=PATIENCE_SECONDS)
    assert (state.name, state.message) == ("Suspended", "suspend-1: waits for int")
    assert run.done()
    with pytest.raises(RunSuspended, match=rf"resume_flow_run\('{run.id}'\)"):
        run.result()
    with pytest.raises(InputError, match="the input 'ten' does not fit int"):
        weighed.resume(run.id, 3, run_input="ten")
    again = weighed.take_up(run.id, 3, run_input=10)
    assert (again.name, again.message) == ("Suspended", "suspend-2: waits for int")
    assert weighed.take_up(run.id, 3).message == "suspend-2: waits for int"
    assert weighed.resume(run.id, 3, run_input=1) == [1, 21, 41]
    assert calls(marks) == [0, 1, 2]


@pytest.mark.usefixtures("_with_and_without_history")
def test_a_suspension_that_asks_for_nothing_ends_with_the_resume() -> None:
    """Being resumed is the answer; a call that was not reached before suspends all the same."""

    @flow(cluster="inline")
    def patient() -> str:
        suspend_flow_run()
        suspend_flow_run(key="really")
        return "done"

    run = patient.start()
    assert run.wait().message == "suspend-1: waits for somebody to resume it"
    assert patient.take_up(run.id).message == "really: waits for somebody to resume it"
    assert patient.resume(run.id) == "done"


def test_a_map_is_suspended_from_outside(cluster: str, marks: Path, tmp_path: Path) -> None:
    """What runs ends and is kept, the rest runs after the resume: each element once."""

    @flow(cluster=cluster, result_storage=tmp_path / "store")
    def doubled(count: int) -> list[int]:
        return kept.map(range(count), str(marks)).result()

    run = doubled.start(300)
    until(lambda: len(calls(marks)) >= 20)
    run.suspend()
    assert run.wait(timeout=PATIENCE_SECONDS).name == "Suspended"
    assert 20 <= len(calls(marks)) < 300
    assert doubled.resume(run.id, 300) == [2 * x for x in range(300)]
    assert calls(marks) == list(range(300))


@task(persist_result=True, timeout_seconds=PATIENCE_SECONDS)
def slow(folder: str) -> int:
    """Could be ended at once, but is let be."""
    Path(folder, f"0-{time.time_ns()}").touch()
    threading.Event().wait(0.3)
    return 7


def test_what_is_running_may_end(marks: Path, tmp_path: Path) -> None:
    """An element in the middle of its work is not cut off by a suspension; it is kept and does not run again."""

    @flow(cluster="threads", result_storage=tmp_path / "store")
    def working() -> int:
        return forgotten(slow(str(marks)))

    run = working.start()
    until(lambda: calls(marks))
    run.suspend()
    assert run.wait(timeout=PATIENCE_SECONDS).name == "Suspended"
    assert working.resume(run.id) == 7
    assert calls(marks) == [0]


def test_being_resumed_is_no_answer_to_what_was_not_asked(marks: Path, tmp_path: Path) -> None:
    """A run that failed before it came to its suspension is suspended there, when it is resumed."""
    broken = [True]

    @flow(cluster="inline", result_storage=tmp_path / "store")
    def moody() -> int:
        one = kept(1, str(marks))
        if broken:
            raise ConnectionError(broken.pop())
        suspend_flow_run()
        return one

    run = moody.start()
    assert run.wait().name == "Failed"
    with pytest.raises(InputError, match="the input 3 was not asked for"):
        moody.resume(run.id, run_input=3)
    assert moody.take_up(run.id).name == "Suspended"
    assert moody.resume(run.id) == 2
    assert calls(marks) == [1]


def test_tasks_that_keep_nothing_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """A warning says what will run again."""
    caplog.set_level(logging.WARNING)  # the handlers of the tests are made silent by clusters of earlier ones

    @flow(cluster="inline")
    def careless() -> int:
        one = forgotten(1)
        suspend_flow_run()
        return one

    run = careless.start()
    run.wait()
    (warning,) = [record.getMessage() for record in caplog.records if "suspended" in record.getMessage()]
    assert warning.startswith(f"run {run.id} of 'careless' is suspended; these tasks keep no results and run again")
    assert "forgotten" in warning
    assert careless.resume(run.id) == 1


def test_an_async_flow_is_suspended() -> None:
    """The call is awaited."""

    @flow(cluster="inline")
    async def patient() -> int:
        answer: int = await suspend_flow_run(wait_for_input=int)
        return answer

    run = patient.start()
    assert run.wait(timeout=PATIENCE_SECONDS).name == "Suspended"
    assert patient.take_up(run.id, run_input=3).data == 3


def test_code_around_a_suspension_is_left_as_by_an_error() -> None:
    """`except Exception` lets it pass, `finally` is run; retries of the flow are not used up."""
    ran: list[str] = []

    @flow(cluster="inline", retries=3)
    def careful() -> None:
        try:
            suspend_flow_run()
        except Exception:  # noqa: BLE001 - boundary: what this test is about
            ran.append("except")
        finally:
            ran.append("finally")

    assert careful(return_state=True).name == "Suspended"
    assert ran == ["finally"]


def test_a_paused_flow_is_suspended() -> None:
    """A body that waits at a pause is put down there."""

    @flow(cluster="inline")
    def asking() -> int:
        answer: int = pause_flow_run(wait_for_input=int, timeout=PATIENCE_SECONDS)
        return answer

    run = asking.start()
    until(lambda: run.state.is_paused())
    run.suspend()
    assert run.wait(timeout=PATIENCE_SECONDS).name == "Suspended"
    assert asking.resume(run.id, run_input=4) == 4


def test_a_called_flow_cannot_be_put_down_alone() -> None:
    """Its caller would wait for it: an error says what to do instead."""

    @flow
    def inner() -> None:
        suspend_flow_run()

    @flow(cluster="inline")
    def outer() -> None:
        inner()

    with pytest.raises(UsageError, match=r"another one called cannot be put down\n  instead: suspend_flow_run\(\) in"):
        outer()


@pytest.mark.usefixtures("no_history")
def test_without_a_history_another_process_is_told_so() -> None:
    """What a run asked cannot be known without one: input is refused before anything runs."""

    @flow(cluster="inline")
    def asking() -> None:
        suspend_flow_run(wait_for_input=int)

    with pytest.raises(UsageError, match="there is no history to find it in\n  instead: resume it in the process"):
        asking.resume("0123456789ab", run_input=3)
    with pytest.raises(UsageError, match="it is not known here, and there is no history"):
        resume_flow_run("0123456789ab", 3)


found: list[int] = []


@flow(cluster="inline")
def waiting(offset: int) -> None:
    """Can be found again by its name."""
    found.append(suspend_flow_run(wait_for_input=int) + offset)


@pytest.mark.usefixtures("_with_and_without_history")
def test_a_suspended_run_is_taken_up_by_its_id_where_it_was_put_down() -> None:
    """Flow and arguments are known, also without a history; input that does not fit changes nothing."""
    found.clear()
    run = waiting.start(1)
    assert run.wait().name == "Suspended"
    with pytest.raises(InputError, match="'ten'"):
        resume_flow_run(run.id, "ten")
    resume_flow_run(run.id, 41)
    assert found == [42]


@pytest.mark.usefixtures("_with_and_without_history")
def test_the_time_to_answer_can_be_over() -> None:
    """A suspension with a timeout is not resumed later than that, in whichever way."""

    @flow(cluster="inline")
    def hasty() -> int:
        answer: int = suspend_flow_run(wait_for_input=int, timeout=0.05)
        return answer

    run = hasty.start()
    assert run.wait().name == "Suspended"
    threading.Event().wait(0.06)
    with pytest.raises(UsageError, match="suspend-1: the time to answer is over\n  instead: run the flow anew"):
        hasty.resume(run.id, run_input=3)
    with pytest.raises(UsageError, match="the time to answer is over"):
        hasty.resume(run.id)


@pytest.mark.usefixtures("_with_and_without_history")
def test_one_of_two_threads_resumes_a_run() -> None:
    """The other one is told so, and the body is called again once."""
    calls_of_body: list[int] = []
    both = threading.Barrier(2)
    loser_is_told = threading.Event()
    told: list[str] = []

    @flow(cluster="inline")
    def once() -> None:
        calls_of_body.append(1)
        suspend_flow_run()
        assert loser_is_told.wait(PATIENCE_SECONDS)

    def resume() -> None:
        both.wait()
        try:
            once.resume(run.id)
        except UsageError as error:
            told.append(error.problem)
            loser_is_told.set()

    run = once.start()
    run.wait()
    threads = [threading.Thread(target=resume) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls_of_body) == 2
    (problem,) = told
    assert problem in ("somebody else resumes it at this moment", "it is still going on")


def test_a_call_that_fails_before_it_begins_does_not_keep_others_out() -> None:
    """Arguments that do not fit are mended, and the run is resumed."""

    @flow(cluster="inline")
    def sized(size: int) -> int:
        suspend_flow_run()
        return size

    run = sized.start(3)
    run.wait()
    with pytest.raises(Exception, match="size"):
        sized.resume(run.id, "three")
    assert sized.resume(run.id, 3) == 3


@pytest.mark.parametrize("wait", [pause_flow_run, suspend_flow_run])
def test_nobody_can_answer_in_no_time(wait: Callable[..., Any]) -> None:
    """A timeout of nothing is an error where it is said."""

    @flow(cluster="inline")
    def hasty() -> None:
        wait(timeout=0)

    with pytest.raises(UsageError, match="nobody can answer within 0 s"):
        hasty()
