"""Hooks of flows: told of every state of a run, in both doors, also of the ends that are no answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from dataflow import Flow, flow, task
from dataflow.errors import TaskDefinitionError
from dataflow.flow_hooks import FlowAttempt
from dataflow.states import Cancelled, Completed, State
from dataflow.triggers import manual_only


class Notes:
    """Hooks that write down what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.last: FlowAttempt | None = None

    def hook(self, flow: Any, flow_run: FlowAttempt, state: State[Any]) -> None:
        self.told.append(f"{flow.name} {flow_run.run_count} {state.name}")
        self.last = flow_run

    def hooks(self) -> dict[str, Any]:
        """One for each kind of state."""
        names = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
        return {name: [self.hook] for name in names}

    def handler(self, flow: Any, old: State[Any], new: State[Any]) -> None:
        self.told.append(f"{old.name} -> {new.name}")


@task
def half(x: float) -> float:
    return x / 2


@task
def broken() -> None:
    raise ValueError("Intentional failure")


def test_a_completed_run_is_told_with_its_parameters() -> None:
    """The hooks get flow, run and state: id, name, parameters with defaults, and the value."""
    notes = Notes()

    @flow(cluster="inline", name="numbers", flow_run_name="numbers-{x}", **notes.hooks())
    def body(x: int, y: int = 2) -> float:
        return half(x) + y

    run = body.start(6)
    assert run.result() == 5.0
    assert notes.told == ["numbers 1 Running", "numbers 1 Completed"]
    told = notes.last
    assert told is not None
    assert (told.id, told.name, told.flow_name, told.parameters) == (run.id, "numbers-6", "numbers", {"x": 6, "y": 2})
    assert (told.state_name, told.state.result(), told.state.run.id) == ("Completed", 5.0, run.id)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [(Cancelled("enough"), "Cancelled"), (Completed("good"), "Completed"), (ValueError("bad"), "Failed")],
)
def test_the_hook_follows_from_the_final_state(returned: Any, expected: str) -> None:
    """Whatever the body returns or raises decides which hook is called."""
    notes = Notes()

    @flow(cluster="inline", **notes.hooks())
    def body() -> str:
        if isinstance(returned, Exception):
            raise returned
        return returned  # type: ignore[no-any-return]

    body(return_state=True)
    assert notes.told == ["body 1 Running", f"body 1 {expected}"]


def test_hooks_of_tasks_come_before_those_of_their_flow() -> None:
    """The flow has not ended before all hooks of its tasks were called, on a cluster too."""
    notes = Notes()
    slow = half.with_options(on_completion=lambda task, task_run, state: notes.told.append(task_run.name))

    @flow(cluster="threads", on_completion=notes.hook)
    def body() -> None:
        slow.map(range(3))

    body()
    assert notes.told == ["half[0]", "half[1]", "half[2]", "body 1 Completed"]


@pytest.mark.parametrize("is_async", [False, True])
def test_every_attempt_is_told(is_async: bool) -> None:
    """A flow that fails and is tried again after a delay: the handlers see each state, hooks Running once more."""
    notes, tries = Notes(), [0]

    def attempt() -> int:
        tries[0] += 1
        if tries[0] == 1:
            raise ValueError("once")
        return tries[0]

    options: dict[str, Any] = {"retries": 1, "retry_delay_seconds": 0.001, "cluster": "inline"}

    @flow(name="body", state_handlers=notes.handler, **options, **notes.hooks())
    def body() -> int:
        return attempt()

    @flow(name="body", state_handlers=notes.handler, **options, **notes.hooks())
    async def async_body() -> int:
        return attempt()

    assert (asyncio.run(async_body()) if is_async else body()) == 2
    assert notes.told == [
        "body 1 Running", "Pending -> Running", "Running -> AwaitingRetry", "body 2 Retrying",
        "AwaitingRetry -> Retrying", "body 2 Completed", "Retrying -> Completed",
    ]  # fmt: skip


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(2)])
def test_an_interrupted_body_is_told_as_crashed_before_the_error_goes_on(error: BaseException) -> None:
    """Ctrl-C in the body: tasks first, then on_crashed with the error, then whoever called gets it."""
    notes = Notes()
    waits = half.with_options(trigger=manual_only, on_cancellation=lambda t, r, s: notes.told.append(r.name))

    @flow(cluster="threads", **notes.hooks())
    def body() -> None:
        waits.submit(1)
        raise error

    with pytest.raises(type(error)):
        body()
    assert notes.told == ["body 1 Running", "half", "body 1 Crashed"]
    assert notes.last is not None
    assert notes.last.state.result(raise_on_failure=False) is error


def test_a_cancelled_run_is_told_once() -> None:
    """Cancelling a run from another thread calls on_cancellation, and a hook may ask the run for its state."""
    notes = Notes()
    waits = half.with_options(trigger=manual_only)

    @flow(cluster="threads", on_cancellation=[notes.hook, lambda flow, run, state: run.run.cancel()])
    def body() -> None:
        waits(1)

    run = body.start()
    run.cancel()
    assert run.wait().is_cancelled()
    assert notes.told == ["body 1 Cancelled"]


def test_the_graph_door_has_the_same_hooks() -> None:
    """``Flow(...)`` tells completions, failures with retries, and classic hooks with two arguments."""
    notes = Notes()
    with Flow("good", **notes.hooks()) as good:
        half(half(4))
    good.run(cluster="inline")
    failures: list[tuple[str, str]] = []
    with Flow(
        "bad",
        on_failure=lambda flow, state: failures.append((flow.name, state.message)),
        state_handlers=[notes.handler],
        retries=1,
    ) as bad:
        broken()
    bad.run(cluster="threads")
    assert notes.told == [
        "good 1 Running", "good 1 Completed", "Pending -> Running", "Running -> AwaitingRetry",
        "AwaitingRetry -> Retrying", "Retrying -> Failed",
    ]  # fmt: skip
    assert failures == [("bad", "1 of 1 reference tasks failed")]


def test_a_paused_flow_is_told_when_it_is_approved() -> None:
    """A graph that waits for an approval is Paused, and Completed once it was approved."""
    notes = Notes()
    with Flow("release", state_handlers=[notes.handler]) as release:
        half.with_options(trigger=manual_only)(4)
    state = release.run(cluster="inline")
    state.approve()
    assert notes.told == ["Pending -> Running", "Running -> Paused", "Paused -> Completed"]


def test_decorators_add_hooks_to_flows_of_both_doors() -> None:
    """``@flow.on_completion`` and its like add to what the flow has, and give the function back."""
    notes = Notes()

    @flow(cluster="inline", on_completion=notes.hook)
    def body() -> None:
        half(1)

    with Flow("graph") as graph:
        half(1)
    for one in (body, graph):
        for decorate in (one.on_completion, one.on_running, one.on_failure, one.on_cancellation, one.on_crashed):
            assert decorate(notes.hook) == notes.hook
    body()
    graph.run(cluster="inline")
    assert notes.told == [
        "body 1 Running", "body 1 Completed", "body 1 Completed", "graph 1 Running", "graph 1 Completed",
    ]  # fmt: skip


def test_a_hook_of_a_flow_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The run ends as it did, and the log names the hook and the flow."""

    def bad(flow: Any, flow_run: Any, state: State[Any]) -> None:
        raise ValueError("oops")

    @flow(cluster="inline", on_running=bad, on_completion=bad)
    def body() -> int:
        return 3

    with caplog.at_level(logging.ERROR, logger="dataflow"):
        assert body() == 3
    assert [record.getMessage().split()[2].rsplit(".", 1)[1] for record in caplog.records] == ["bad", "bad"]
    assert "of <flow 'body'> raised for body" in caplog.records[0].getMessage()


def test_a_hook_of_a_flow_that_cannot_be_called_is_refused() -> None:
    """A wrong signature is an error of the definition, in both doors."""
    for define in (lambda: flow(lambda: 1, on_failure=lambda: None), lambda: Flow("graph", on_failure=lambda: None)):
        with pytest.raises(TaskDefinitionError, match="def hook\\(flow, flow_run, state\\)"):
            define()
