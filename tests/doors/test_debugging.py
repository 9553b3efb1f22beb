"""Debugging: tracebacks show the user's lines first, and inline a debugger stops at the line that raised."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import traceback
import weakref
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, context, flow, task
from dataflow.errors import FlowFailed, MapError, UpstreamFailed
from dataflow.signals import Loop
from dataflow.triggers import all_finished

CLUSTERS = ("inline", "threads", "processes")


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Any:
    """Each kind of cluster; processes are those of the shared one."""
    return request.getfixturevalue("client") if request.param == "processes" else request.param


def number_in(text: str) -> float:
    """What a task calls."""
    return float(text)


@task
def parse(text: str, unit: int = 1) -> float:
    """Fails for words."""
    return number_in(text) * unit


@task
def half(number: float) -> float:
    """Comes after."""
    return number / 2


def printed(error: BaseException) -> list[str]:
    """Names of the functions in the printed traceback, each with a star if its file is of the package."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{'*' if '/dataflow/' in frame.filename else ''}{frame.name}" for frame in frames]


def raised_by(call: Any) -> BaseException:
    """What a call raises, with its traceback from there on."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - that is what is tested
        return error
    raise AssertionError


def test_a_traceback_shows_the_lines_of_the_user(cluster: Client | str) -> None:
    """The call of the flow, the line of its body, the task and what it called; one line of ours at each way through."""

    @flow(cluster=cluster)
    def main() -> float:
        return half.submit(parse.submit("1")).result() + parse("one")

    error = raised_by(main)
    assert printed(error) == ["raised_by", "*__call__", "main", "*__call__", "parse", "number_in"]
    text = "".join(traceback.format_exception(error))
    assert 'return half.submit(parse.submit("1")).result() + parse("one")' in text
    assert text.splitlines()[-1] == "ValueError: could not convert string to float: 'one'"


def test_the_cause_of_what_was_not_run_shows_the_task_alone(cluster: Client | str) -> None:
    """An input failed: below its lines stands the line that asked for the value."""

    @flow(cluster=cluster)
    def main() -> list[float]:
        return half.map(parse.map(["1", "two"])).result()

    error = raised_by(main)
    assert isinstance(error, UpstreamFailed)
    assert printed(error) == ["raised_by", "*__call__", "main", "*result"]
    assert error.__cause__ is not None
    assert printed(error.__cause__) == ["parse", "number_in"]


def test_a_failure_that_nobody_saw_shows_the_task_alone() -> None:
    """The cause of `FlowFailed` is the task's own exception."""

    @flow(cluster="inline")
    def main() -> None:
        parse.submit("one")

    error = raised_by(main)
    assert isinstance(error, FlowFailed)
    assert printed(error) == ["raised_by", "*__call__"]
    assert error.__cause__ is not None
    assert printed(error.__cause__) == ["parse", "number_in"]


def test_an_exception_that_is_given_back_shows_the_task_alone(cluster: Client | str) -> None:
    """The state of an element in either door, and a value asked for without raising."""
    with Flow("parsing") as parsing:
        numbers = parse.map(["1", "two"])
    state = parsing.run(cluster=cluster)

    @flow(cluster=cluster)
    def main() -> list[Any]:
        future = parse.map(["1", "two"])
        future.wait()
        return [future[1].state.data, future.result(raise_on_failure=False)[1]]

    errors = [state.result[numbers].map_states[1].result, *main()]
    assert [printed(error) for error in errors] == [["parse", "number_in"]] * 3


def test_awaiting_a_future_shows_the_lines_of_the_user() -> None:
    """The threads and loops in between are folded."""

    @flow(cluster="inline")
    async def main() -> float:
        return await parse.submit("one")

    error = raised_by(lambda: asyncio.run(main()))
    assert [name for name in printed(error) if name in ("main", "parse") or "*" in name] == [
        "*_call_async", "main", "*__await__", "parse",
    ]  # fmt: skip
    assert printed(error)[-4:] == ["main", "*__await__", "parse", "number_in"]


def test_wrong_use_ends_at_the_line_of_the_user() -> None:
    """Of an error that we raise ourselves only the call is shown."""

    @flow(cluster="inline")
    def main() -> Any:
        return parse.map(1)

    error = raised_by(main)
    assert isinstance(error, MapError)
    assert printed(error) == ["raised_by", "*__call__", "main", "*map"]


def test_an_attempt_knows_nothing_of_what_we_handled(cluster: Client | str) -> None:
    """Earlier attempts, rounds of a loop, and what ended a step before are no context of an exception."""

    @task(retries=1)
    def again() -> None:
        if context.get("task_loop_count", 1) == 1:
            raise Loop(1)
        raise ValueError("again")

    @task(trigger=all_finished)
    def after(error: BaseException) -> None:
        raise KeyError("after")

    @task(retries=1)
    async def later() -> None:
        raise OSError("later")

    @flow(cluster=cluster)
    def main() -> list[Any]:
        futures = [again.submit(), after.submit(again.submit()), later.submit()]
        return [future.result(raise_on_failure=False) for future in futures]

    assert [(repr(error), error.__context__) for error in main()] == [
        ("ValueError('again')", None),
        ("KeyError('after')", None),
        ("OSError('later')", None),
    ]


# Inline: the exception itself


class Held:
    """A local value that can be watched."""


@task
def explode(seen: list[Any]) -> None:
    """Fails with a local value."""
    local = Held()
    seen.append(weakref.ref(local))
    raise ValueError("broken")


def test_inline_the_frames_are_alive() -> None:
    """A debugger finds the local values where it was raised."""
    seen: list[Any] = []

    @flow(cluster="inline")
    def main() -> None:
        explode(seen)

    error = raised_by(main)
    frame = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
    assert frame.f_locals["local"] is seen[0]()


def test_inline_the_original_object_reaches_the_user() -> None:
    """Not a copy: what the task raised is what the body catches, however often it asks, with the same frames."""
    original = ValueError("mine")

    @task
    def fail() -> None:
        raise original

    @flow(cluster="inline")
    def main() -> list[Any]:
        future = fail.submit()
        caught = [raised_by(future.result) for _ in range(3)]
        return [(error is original, printed(error)) for error in caught]

    assert main() == [(True, ["raised_by", "*result", "fail"])] * 3


def test_inline_nothing_is_kept_after_the_flow() -> None:
    """Once the user lets go of the error, what was in its frames is gone."""
    seen: list[Any] = []

    @flow(cluster="inline")
    def main() -> None:
        explode(seen)

    error: BaseException | None = raised_by(main)
    assert isinstance(seen[0](), Held)
    assert error is not None
    del error
    gc.collect()
    assert seen[0]() is None


def test_inline_a_run_that_has_ended_keeps_nothing() -> None:
    """Its states can still be asked for, and say what was raised; the frames are gone."""
    seen: list[Any] = []

    @flow(cluster="inline")
    def main() -> None:
        explode.submit(seen).wait()

    run = main.start()
    assert run.wait().is_completed()
    gc.collect()
    assert seen[0]() is None
    assert str(run.reproduce("explode").error) == "broken"


def test_inline_nothing_is_kept_after_the_last_state() -> None:
    """In the graph door errors live as long as the state of the run; its frames do not keep it in use themselves."""
    seen: list[Any] = []
    with Flow("exploding") as exploding:
        handle = explode(seen)

    def look() -> weakref.ref[Any]:
        state = exploding.run(cluster="inline")
        error = state.result[handle].result
        assert state.result[handle].result is error
        assert [frame.f_locals.get("local") for frame, _ in traceback.walk_tb(error.__traceback__)] == [seen[0]()]
        return weakref.ref(state.run)

    run = look()
    gc.collect()  # ends the run
    gc.collect()  # and takes it away
    assert (run(), seen[0]()) == (None, None)


def test_inline_the_last_attempts_are_kept_not_the_first() -> None:
    """Attempts that were followed by another do not take the room of the error that ends an element."""

    @task(retries=1)
    def fail(x: int) -> None:
        mine = x
        raise ValueError(mine)

    @flow(cluster="inline")
    def main() -> list[int]:
        errors: list[Any] = fail.map(range(90)).result(raise_on_failure=False)
        frames = [[frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1] for error in errors]
        return [frame.f_locals["mine"] for frame in frames]

    assert main() == list(range(90))


SCRIPT = """
from dataflow import flow, task

@task
def parse(text):
    doubled = text * 2
    return float(doubled)

@flow(cluster="inline")
def main():
    return parse.map(["1", "x"])

main()
"""


def test_pdb_stops_at_the_line_that_raised(tmp_path: Path) -> None:
    """``python -m pdb -c continue script.py`` shows the local values of the task."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "pdb", "-c", "continue", str(script)],
        input="p doubled\nup\nup\nq\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    stopped = done.stdout.partition("Entering post mortem debugging")[2]
    assert "-> return float(doubled)\n(Pdb) 'xx'\n" in stopped
    assert stopped.index("flows.py(") < stopped.index("script.py(13)<module>()\n-> main()")
