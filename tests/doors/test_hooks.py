"""Hooks of tasks: called for each element in the engine's order, here on the client, and harmless whatever they do."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import Flow, Loop, Skip, Task, context, flow, task
from dataflow.errors import TaskDefinitionError
from dataflow.states import Completed, Failed, State
from dataflow.triggers import manual_only

WHERE = ["inline", "threads"]
Told = list[tuple[Any, ...]]


class Notes:
    """Hooks that write down what they are told."""

    def __init__(self) -> None:
        self.told: Told = []
        self.threads: set[str] = set()

    def hook(self, name: str) -> Callable[[Any, Any, State[Any]], None]:
        def hook(task: Any, task_run: Any, state: State[Any]) -> None:
            self.told.append((name, task_run.name, state.name))
            self.threads.add(threading.current_thread().name)

        return hook

    def hooks(self) -> dict[str, Any]:
        """One for each kind of state."""
        names = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
        return {name: [self.hook(name)] for name in names}

    def handler(self, task: Any, old: State[Any], new: State[Any]) -> None:
        self.told.append((shown(old), shown(new)))


def shown(step: Any) -> tuple[str, int]:
    """A state, or the step of a story: its name and attempt; of one that was skipped its state knows no attempt."""
    return step.name, 0 if step.name == "Skipped" else step.attempt


def moody(marks: str, least: int) -> int:
    """Fails until it was called so often; counts in a file, because a worker may be another process."""
    with Path(marks).open("a") as file:
        file.write("x")
    if len(Path(marks).read_text()) < least:
        raise ConnectionError("not now")
    return least


def invert(x: int) -> float:
    return 1 / x


@pytest.mark.parametrize("cluster", WHERE)
def test_a_direct_call_has_its_hooks_called_before_the_body_goes_on(cluster: str) -> None:
    """Running and the end of each call are told in order, between the lines of the body."""
    notes = Notes()
    half = task(invert, **notes.hooks())

    @flow(cluster=cluster)
    def body() -> None:
        half(2)
        notes.told.append(("body", "went on"))
        half(0, return_state=True)

    body()
    assert notes.told == [
        ("on_running", "invert", "Running"),
        ("on_completion", "invert", "Completed"),
        ("body", "went on"),
        ("on_running", "invert-2", "Running"),
        ("on_failure", "invert-2", "Failed"),
    ]


def test_each_element_of_a_map_is_told_of_on_a_real_cluster(client: Client) -> None:
    """Hooks run in a thread of the client and get task, element and state, with value, error and parameters."""
    seen: dict[str, Any] = {}

    def on_end(task: Any, task_run: Any, state: State[Any]) -> None:
        found = state.result(raise_on_failure=False)
        seen[task_run.name] = (task is half, task_run.index, task_run.task_name, dict(task_run.parameters), found)
        seen["where"] = threading.current_thread().name
        seen["id"] = (task_run.id, task_run.flow_run_id, state.run.id)

    half = task(invert, on_completion=on_end, on_failure=[on_end], tags=["math"])

    @flow(cluster=client)
    def body() -> None:
        half.map([1, 0, 4]).wait()

    run = body.start()
    run.wait()
    error = seen.pop("invert[1]")
    assert (*error[:4], repr(error[4])) == (True, 1, "invert", {"x": 0}, "ZeroDivisionError('division by zero')")
    assert seen.pop("where") == f"dataflow-hooks-{run.id}"
    assert seen.pop("id")[1:] == (run.id, run.id)
    assert seen == {
        "invert[0]": (True, 0, "invert", {"x": 1}, 1.0),
        "invert[2]": (True, 2, "invert", {"x": 4}, 0.25),
    }


@pytest.mark.parametrize(("cluster", "delay"), [("inline", 0), ("inline", 0.002), ("threads", 0.002)])
def test_retries_are_told_one_by_one(cluster: str, delay: float, tmp_path: Path) -> None:
    """Each further attempt is Running again for on_running; on_failure is called when no retry is left."""
    notes = Notes()
    options: dict[str, Any] = {**notes.hooks(), "retries": 2, "retry_delay_seconds": delay}
    patient = task(moody, **options)

    @flow(cluster=cluster)
    def body() -> None:
        patient(str(tmp_path / "three"), 3)
        patient(str(tmp_path / "never"), 9, return_state=True)

    body()
    again = [("on_running", "Running"), ("on_running", "Retrying"), ("on_running", "Retrying")]
    assert [(kind, state) for kind, _, state in notes.told] == [
        *again, ("on_completion", "Completed"), *again, ("on_failure", "Failed"),
    ]  # fmt: skip


def loop_once(x: int) -> int:
    from_before = context.get("task_loop_result")
    if from_before is None:
        raise Loop(7)
    return int(from_before)


def test_state_handlers_are_told_what_the_story_tells(tmp_path: Path) -> None:
    """Old and new states of each element are the steps of its story, for every kind of way through."""
    ways: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
        "completed": (invert, (2,), {}),
        "failed": (invert, (0,), {}),
        "skipped": (_skip, (), {}),
        "given": (_given, (), {}),
        "looped": (loop_once, (1,), {}),
        "retried": (moody, (str(tmp_path / "a"), 2), {"retries": 1}),
        "delayed": (moody, (str(tmp_path / "b"), 3), {"retries": 3, "retry_delay_seconds": 0.002}),
        "timed out": (_sleep, (), {"timeout_seconds": 0.05}),
    }
    for name, (function, arguments, options) in ways.items():
        notes = Notes()
        handled = task(function, name=name, state_handlers=[notes.handler], **options)
        after = task(invert, name="after", state_handlers=notes.handler)

        @flow(cluster="inline", name=name)
        def body(handled: Any = handled, arguments: Any = arguments, after: Any = after) -> None:
            after.submit(handled.submit(*arguments)).wait()

        state = body(return_state=True)
        steps = [[shown(step) for step in state.run.story(slug)] for slug in (name, "after")]
        assert notes.told == [pair for story in steps for pair in itertools.pairwise(story)], name


def _sleep() -> None:
    time.sleep(0.2)


def _skip() -> None:
    raise Skip


def _given() -> State[Any]:
    return Completed("as expected", data=3)


def test_which_hook_is_called_for_which_end() -> None:
    """Cached is a completion; what was not run, or skipped, is told to nobody but handlers."""
    notes = Notes()
    cached = task(invert, name="cached", cache_key_fn=lambda context, arguments: "k", **notes.hooks())
    skipped = task(_skip, name="skipped", **notes.hooks())
    failed = task(invert, name="failed", **notes.hooks())
    unrun = task(invert, name="unrun", **notes.hooks())
    crashed = task(_exit, name="crashed", **notes.hooks())

    @flow(cluster="inline", result_storage="memory://hooks-of-ends")
    def body() -> None:
        cached(1)
        cached(1)
        skipped.submit().wait()
        unrun.submit(failed.submit(0)).wait()
        crashed.submit().wait()

    body()
    assert [told for told in notes.told if told[0] != "on_running"] == [
        ("on_completion", "cached", "Completed"),
        ("on_completion", "cached-2", "Cached"),
        ("on_failure", "failed", "Failed"),
        ("on_crashed", "crashed", "Crashed"),
    ]
    assert [name for kind, name, _ in notes.told if kind == "on_running"] == ["cached", "skipped", "failed", "crashed"]


def _exit() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("cluster", WHERE)
def test_cancelled_elements_are_told_before_the_flow_ends(cluster: str) -> None:
    """A body that raises cancels what waits, and the hooks of that are called before the flow ends."""
    notes = Notes()
    waits = task(invert, trigger=manual_only, **notes.hooks())

    @flow(cluster=cluster)
    def body() -> None:
        waits.map([1, 2])
        raise OSError("enough")

    assert body(return_state=True).message == "OSError: enough"
    assert notes.told == [("on_cancellation", "invert[0]", "Cancelled"), ("on_cancellation", "invert[1]", "Cancelled")]


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4), batch_size=st.sampled_from([1, 2, None]))
def test_the_order_of_calls_is_the_order_in_which_elements_ended(sizes: list[int], batch_size: int | None) -> None:
    """However maps are cut and overlap, hooks are called in the order of the engine's log, and once an element."""
    told: list[tuple[str, int]] = []
    options: dict[str, Any] = {"batch_size": batch_size, "on_completion": lambda t, r, s: told.append((r.name, 1))}
    first, second = task(invert, name="first", **options), task(invert, name="second", **options)

    @flow(cluster="threads")
    def body() -> None:
        futures = [second.map(first.map(range(1, size + 1))) for size in sizes]
        for future in futures:
            future.wait()

    run = body(return_state=True).run
    expected = [f"{node.slug}[{index}]" for node, start, stop in run.ended_since(0) for index in range(start, stop)]
    assert [name for name, _ in told] == expected
    assert len(expected) == 2 * sum(sizes)


@pytest.mark.parametrize("cluster", WHERE)
@pytest.mark.parametrize("error", [ValueError("oops"), Skip("oops"), SystemExit("oops")])
def test_a_hook_that_raises_is_logged_and_changes_nothing(
    cluster: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The other hooks are called, the value is there, and the log names hook, task and element."""
    notes = Notes()

    def bad(task: Any, task_run: Any, state: State[Any]) -> None:
        raise error

    double = task(invert, on_completion=[bad, notes.hook("good")], state_handlers=[bad])

    @flow(cluster=cluster)
    def body() -> Any:
        return double.map([1, 2])

    with caplog.at_level(logging.ERROR, logger="dataflow"):
        value: Any = body()
    assert value == [1.0, 0.5]
    assert [name for _, name, _ in notes.told] == ["invert[0]", "invert[1]"]
    assert "bad of <Task 'invert'> raised for invert[0]; nothing else changes" in caplog.records[0].getMessage()


def test_async_hooks_are_awaited_also_where_a_loop_runs() -> None:
    """An ``async def`` hook has ended before the body goes on, in a sync and in an async body."""
    told: list[str] = []

    async def hook(task: Any, task_run: Any, state: State[Any]) -> None:
        told.append(task_run.name)

    half = task(invert, on_completion=hook)

    @flow(cluster="inline")
    def body() -> int:
        half(1)
        return len(told)

    @flow(cluster="inline")
    async def async_body() -> int:
        half.submit(1).wait()
        return len(told)

    assert body() == 1
    assert asyncio.run(async_body()) == 2


@pytest.mark.parametrize("cluster", WHERE)
def test_hooks_may_run_tasks_of_their_own(cluster: str) -> None:
    """A hook calls and submits tasks without a deadlock, and the flow waits for what hooks have begun."""
    told: list[Any] = []
    report = task(lambda text: f"reported {text}", name="report", on_completion=lambda t, r, s: told.append(s.result()))

    def hook(task: Any, task_run: Any, state: State[Any]) -> None:
        told.append(report(task_run.name))
        report.submit("later")

    half = task(invert, on_completion=hook)

    @flow(cluster=cluster)
    def body() -> None:
        half.submit(1)

    body()
    assert told == ["reported invert", "reported invert", "reported later"]


def test_classic_hooks_take_two_arguments_and_handlers_cannot_change_states(caplog: pytest.LogCaptureFixture) -> None:
    """``on_failure=fn(task, state)`` is told by its arity; a state that a handler gives is warned about once."""
    told: list[Any] = []

    def on_failure(task: Any, state: State[Any]) -> None:
        told.append((task.name, state.message))

    def handler(task: Any, old: State[Any], new: State[Any]) -> State[Any]:
        return Failed("no") if new.is_completed() else new

    half = Task(invert, on_failure=on_failure, state_handlers=[handler])
    with Flow("halves") as graph:
        halves = half.map([1, 0, 4])
    with caplog.at_level(logging.WARNING, logger="dataflow"):
        state = graph.run(cluster="threads")
    assert [element.name for element in state.result[halves].map_states] == ["Completed", "Failed", "Completed"]
    assert told == [("invert", "ZeroDivisionError: division by zero")]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "gave the state Failed('no'), which changes nothing" in said[0]


def test_decorators_add_hooks_to_a_task_and_its_variants() -> None:
    """``@t.on_failure`` gives the function back; calls made afterwards, and variants, call it."""
    told: list[str] = []
    half = task(invert, on_completion=lambda t, r, s: told.append("given"))

    @half.on_completion
    def added(task: Any, task_run: Any, state: State[Any]) -> None:
        told.append(f"added {task.name}")

    variant = half.with_options(name="variant")
    for decorate in (half.on_running, half.on_failure, half.on_cancellation, half.on_crashed):
        assert decorate(added) is added

    @flow(cluster="inline")
    def body() -> None:
        half(1)
        variant(1)

    body()
    assert told == ["added invert", "given", "added invert", "given", "added variant"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_failure": lambda state: None}, "def hook(task, task_run, state), or the classic def hook(task, state)"),
        ({"state_handlers": [lambda task, state: None]}, "def handler(task, old_state, new_state)"),
        ({"on_commit": lambda: None}, "def hook(transaction)"),
        ({"on_running": ["notify"]}, "a function, or a list of functions"),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused_where_it_is_given(options: dict[str, Any], said: str) -> None:
    """A wrong signature, or no function at all, is an error of the definition that says what to write."""
    with pytest.raises(TaskDefinitionError) as caught:
        task(invert, **options)
    assert said in str(caught.value)


def test_looking_in_a_hook_is_not_looking() -> None:
    """A hook that asks for the result of a failure does not keep the flow from failing because of it."""

    def hook(task: Any, task_run: Any, state: State[Any]) -> None:
        assert isinstance(state.result(raise_on_failure=False), ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            state.result()
        assert task_run.parameters == {"x": 0}

    half = task(invert, on_failure=hook)

    @flow(cluster="inline")
    def body() -> None:
        half.submit(0)

    assert body(return_state=True).message.startswith("flow 'body': work failed and nobody looked at it: invert")


@pytest.mark.parametrize("options", [{}, {"on_failure": lambda task, task_run, state: None}])
def test_ten_thousand_elements_cost_little(options: dict[str, Any]) -> None:
    """Calling a hook for each element of a large map takes seconds, not minutes; one that is not due costs nothing."""
    told: list[int] = []
    many = task(invert, **(options or {"on_completion": lambda task, task_run, state: told.append(task_run.index)}))

    @flow(cluster="inline")
    def body() -> int:
        return len(many.map(range(1, 10_001)).result())

    before = time.process_time()
    assert body() == 10_000
    assert time.process_time() - before < (1.5 if not options else 0.5)  # measured: 0.15 s and 0.01 s
    assert told == ([] if options else list(range(10_000)))


class Increase(Task[..., Any]):
    """A task that travels as itself, not as its function."""

    def run(self, x: int) -> int:
        return x + 1


def test_hooks_that_cannot_be_pickled_stay_on_the_client(client: Client) -> None:
    """A task whose hook holds a lock travels without it, as a class and in the closure of another task."""
    lock, told = threading.Lock(), []

    def hook(task: Any, task_run: Any, state: State[Any]) -> None:
        with lock:
            told.append(task_run.name)

    increase = Increase(on_completion=hook)

    @task
    def twice(x: int) -> Any:
        return increase(increase(x))

    @flow(cluster=client)
    def body() -> tuple[Any, Any]:
        return increase(1), twice(1)

    assert body() == (2, 3)
    assert told == ["Increase"]


def test_tasks_without_hooks_start_nothing() -> None:
    """A run of such tasks has no thread for hooks, and its nodes know of none."""

    @flow(cluster="threads")
    def body() -> list[str]:
        task(invert)(1)
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("dataflow-hooks")]

    assert body() == []
    assert task(invert).spec.hooks is None


def test_hooks_may_use_the_event_loop_of_an_async_flow() -> None:
    """After a body that has raised its event loop is free, so that a hook can have something done there and wait."""
    found: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    begun, raises = threading.Event(), threading.Event()

    async def answer() -> str:
        return "answered"

    def told(*_: Any) -> None:
        begun.set()
        assert raises.wait(5)
        found.append(asyncio.run_coroutine_threadsafe(answer(), loops[0]).result(2))

    double = task(lambda x: 2 * x, name="double", on_completion=[told])

    @flow(cluster="threads")
    async def broken() -> None:
        loops.append(asyncio.get_running_loop())
        double.submit(1)
        assert await asyncio.to_thread(begun.wait, 5)
        raises.set()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(broken())
    assert found == ["answered"]
