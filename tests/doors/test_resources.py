"""Resources: set up before what uses them, cleaned up after, in both doors and inside maps."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client

from dataflow import (
    Flow,
    apply_map,
    case,
    flow,
    resource_manager,
    task,
    unmapped,
)
from dataflow.errors import TaskDefinitionError
from dataflow.flow_states import FlowState
from dataflow.signals import Skip
from tests.doors.mapped_tasks import WHERE, C, S, U, add, give, is_even

EVENTS: list[str] = []
"""What the resources of these tests did, in order."""


@task
def fail(*_: Any) -> None:
    raise ValueError("broken")


@task
def skip(*_: Any) -> None:
    raise Skip("not today")


@task
def note(text: str) -> str:
    EVENTS.append(text)
    return text


@resource_manager
class Folder:
    """A resource that tells what is done to it; ``weak`` names the step that fails."""

    def __init__(self, name: str, weak: str = "") -> None:
        self.name = name
        self.weak = weak

    def setup(self) -> str:
        EVENTS.append(f"open {self.name}")
        if self.weak == "setup":
            raise OSError("cannot be opened")
        return f"/{self.name}"

    def cleanup(self, path: str) -> None:
        EVENTS.append(f"close {path}")
        if self.weak == "cleanup":
            raise OSError("cannot be closed")


folder: Any = Folder  # mypy does not look at what a decorator makes of a class


@pytest.fixture(autouse=True)
def no_events() -> Iterator[None]:
    """An empty list of events; afterwards states of failed elements go, which are cycles through their tracebacks."""
    EVENTS.clear()
    yield
    gc.collect()


def names(state: FlowState, *handles: Any) -> list[str]:
    return [state.result[handle].name for handle in handles]


def element_names(state: FlowState, handle: Any) -> list[str]:
    """The state of each element."""
    return [element.name for element in state.result[handle].map_states]


@pytest.mark.parametrize("where", ["inline", "threads"])
def test_resource_is_set_up_used_and_cleaned_up(where: str) -> None:
    """Everything inside waits for the setup, whether it uses the resource or not; the cleanup waits for everything."""
    with Flow("resource") as flow, folder("data") as path:
        using = note(path)
        note("beside")
        later = note(using)
    state = flow.run(cluster=where)
    assert state.result[later].result == "/data"
    assert (EVENTS[0], EVENTS[-1]) == ("open data", "close /data")
    assert sorted(EVENTS[1:-1]) == ["/data", "/data", "beside"]
    assert {handle.slug for handle in flow.reference_tasks()} == {"note-2", "note-3"}
    assert [handle.slug for handle in flow.sorted_tasks()] == [
        "Folder.init", "Folder.setup", "note", "note-2", "note-3", "Folder.used", "Folder.cleanup",
    ]  # fmt: skip


@pytest.mark.parametrize("inside", [fail, skip, give])
def test_cleanup_runs_whatever_became_of_the_inside(inside: Any) -> None:
    """A resource that was opened is closed."""
    with Flow("whatever") as flow, folder("data") as path:
        used = inside(path)
    state = flow.run(cluster="inline")
    assert EVENTS == ["open data", "close /data"]
    assert state.is_failed() is state.result[used].is_failed()


def test_failed_setup_is_not_cleaned_up() -> None:
    """There is nothing to close, and what is inside did not run."""
    with Flow("setup") as flow, folder("data", weak="setup") as path:
        used, beside = give(path), give(1)
    state = flow.run(cluster="inline")
    assert EVENTS == ["open data"]
    assert names(state, path, used, beside) == ["Failed", "UpstreamFailed", "UpstreamFailed"]
    assert names(state, *flow.get_tasks(name="Folder.cleanup")) == ["UpstreamFailed"]
    assert state.is_failed()


def test_failed_cleanup_does_not_fail_the_flow() -> None:
    """Its state tells, but the final state of the flow rests on the work."""
    with Flow("cleanup") as flow, folder("data", weak="cleanup") as path:
        give(path)
    state = flow.run(cluster="inline")
    assert names(state, *flow.get_tasks(name="Folder.cleanup")) == ["Failed"]
    assert state.is_successful()


def test_resources_nest_and_stand_in_cases() -> None:
    """The inner one is closed first; in a case that is skipped nothing is opened."""
    with Flow("nested") as flow:
        with folder("outer") as outer, folder(outer) as inner:
            give(inner)
        with case(give("a"), "b"), folder("never") as never:
            give(never)
    assert flow.run(cluster="inline").is_successful()
    assert EVENTS == ["open outer", "open /outer", "close //outer", "close /outer"]


def test_empty_resource_block() -> None:
    """A resource that nothing uses is opened and closed; if it cannot be opened, the flow says so."""
    with Flow("unused") as flow, folder("data"):
        pass
    assert flow.run(cluster="inline").is_successful()
    assert EVENTS == ["open data", "close /data"]
    with Flow("unused") as flow, folder("data", weak="setup"):
        pass
    assert flow.run(cluster="inline").is_failed()


def test_resources_reach_worker_processes(client: Client) -> None:
    """The instance of a class that the decorator replaced in its module pickles by name, and the resource travels."""
    with Flow("processes") as flow, folder("data") as path:
        used = give(path)
    state = flow.run(cluster=client)
    assert state.result[used].result == "/data"
    assert names(state, *flow.get_tasks(name="Folder.cleanup")) == ["Completed"]
    assert pickle.loads(pickle.dumps(folder.resource_class("data"))).setup() == "/data"


def test_resource_in_a_flow_function() -> None:
    """The end of the block waits for what was submitted inside; then the cleanup runs, after an exception too."""

    @flow(cluster="inline")
    def body(weak: bool) -> str:
        with folder("data") as path:
            used = give.submit(path)
            if weak:
                raise KeyError("body")
        assert EVENTS[-1] == "close /data"
        return used  # type: ignore[return-value]

    assert body(False) == "/data"
    with pytest.raises(KeyError, match="body"):
        body(True)
    assert EVENTS == ["open data", "close /data"] * 2


def test_resource_that_cannot_be_set_up_in_a_flow_function() -> None:
    """As with any context manager, its exception is raised before the block."""

    @flow(cluster="inline")
    def body() -> None:
        with folder("data", weak="setup"):
            EVENTS.append("inside")

    with pytest.raises(OSError, match="cannot be opened"):
        body()
    assert EVENTS == ["open data"]


def test_resource_outside_of_flows() -> None:
    """An ordinary context manager that gives the thing itself."""
    with pytest.raises(KeyError), folder("data") as path:
        EVENTS.append(path)
        raise KeyError
    assert EVENTS == ["open data", "/data", "close /data"]


def test_resource_manager_names_what_is_missing() -> None:
    """A class without one of the methods is refused where it is made; names and options are taken."""
    with pytest.raises(TaskDefinitionError, match="no cleanup"):

        @resource_manager
        class Half:
            def setup(self) -> None: ...

    named = resource_manager(folder.resource_class, name="place", setup_task_kwargs={"tags": ["io"]})
    assert (named.setup.name, sorted(named.setup.tags)) == ("place.setup", ["io"])


@pytest.mark.parametrize("where", WHERE)
def test_maps_inside_a_resource(where: str) -> None:
    """One resource for all elements; it is closed when the last of them has ended, failed ones too."""
    with Flow("resource") as flow:
        numbers = give.map([2, -1, 3])
        with folder("data") as path:
            paths = add.map(unmapped(path), ["a", "b", "c"])
            even = is_even.map(numbers)
            with case(even, True):
                noted = note.map(paths)
    state = flow.run(cluster=where)
    assert element_names(state, noted) == [C, U, S]
    assert EVENTS == ["open data", "/dataa", "close /data"]


def test_apply_map_with_a_resource_for_each_element() -> None:
    """Each element has its own resource; where one cannot be opened the others go on."""

    def use(name: Any, weak: Any) -> Any:
        with folder(name, weak) as path:
            return note(path)

    with Flow("resources") as flow:
        paths = apply_map(use, ["a", "bad", "c"], ["", "setup", ""])
    state = flow.run(cluster="inline")
    assert element_names(state, paths) == [C, U, C]
    assert sorted(EVENTS) == sorted(["open a", "/a", "close /a", "open bad", "open c", "/c", "close /c"])
    assert [element_names(state, handle) for handle in flow.get_tasks(name="Folder.cleanup")] == [[C, U, C]]
