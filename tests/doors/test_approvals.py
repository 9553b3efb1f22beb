"""Work that waits for somebody's approval: it holds nothing, others go on, and it can be approved from anywhere."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, flow, task
from dataflow.errors import UsageError
from dataflow.triggers import manual_only


@task
def build(x: int) -> int:
    """Something to approve."""
    return x + 1


@task(trigger=manual_only)
def release(x: int) -> int:
    """Runs when somebody says so."""
    return 10 * x


@task
def announce(x: int) -> str:
    """What comes after."""
    return f"released {x}"


@pytest.fixture(params=["inline", "threads"])
def cluster(request: pytest.FixtureRequest) -> str:
    """Where the flows run."""
    return str(request.param)


def test_a_flow_of_the_block_is_paused_until_it_is_approved(cluster: str) -> None:
    """run() gives the state Paused when nothing goes on, and approve() the state after the rest has run."""
    with Flow("releases") as releases:
        built = build(1)
        released = release(built)
        announced = announce(released)
    state = releases.run(cluster=cluster)
    assert (state.name, state.message) == ("Paused", "1 of 1 reference tasks wait for an approval")
    assert [state.result[handle].name for handle in (built, released, announced)] == ["Completed", "Paused", "Pending"]
    assert state.approve(released).name == "Completed"
    assert state.result[announced].result == "released 20"


def test_a_paused_flow_can_be_waited_for_while_somebody_else_approves(cluster: str) -> None:
    """wait() gives the state after the rest has run, whoever has approved it."""
    with Flow("releases") as releases:
        released = release(build(1))
    state = releases.run(cluster=cluster)
    friend = threading.Timer(0.05, state.run.approve)
    friend.start()
    assert state.wait().name == "Completed"
    friend.join()
    assert state.result[released].result == 20


def test_elements_of_a_map_wait_each(cluster: str) -> None:
    """Every element of a map waits; one approval is for all of them."""
    with Flow("releases") as releases:
        released = release.map(build.map([1, 2, 3]))
    state = releases.run(cluster=cluster)
    assert [element.name for element in state.result[released].map_states] == ["Paused"] * 3
    assert state.approve().name == "Completed"
    assert state.result[released].result == [20, 30, 40]


def test_what_a_map_has_done_before_an_approval_is_done(cluster: str) -> None:
    """Its elements are Completed while those that wait for the approval are Paused."""
    with Flow("releases") as releases:
        built = build.map([1, 2, 3])
        released = release.map(built)
    state = releases.run(cluster=cluster)
    assert [element.name for element in state.result[built].map_states] == ["Completed"] * 3
    assert [element.name for element in state.result[released].map_states] == ["Paused"] * 3
    assert state.approve(released).name == "Completed"


@pytest.mark.parametrize(
    ("place", "words"),
    [("release[1]", "single elements cannot be approved"), ("build", "it waits for no approval")],
)
def test_what_cannot_be_approved_is_an_error(place: str, words: str) -> None:
    """Elements of a map are approved together, and other triggers wait for nobody."""
    with Flow("releases") as releases:
        release.map(build.map([1, 2, 3]))
    state = releases.run(cluster="inline")
    with pytest.raises(UsageError, match=words):
        state.approve(place)
    assert state.approve("release").name == "Completed"


def test_a_running_flow_is_approved_from_outside(client: Client) -> None:
    """The body waits for the value, somebody else approves by name; other work has gone on meanwhile."""

    @flow(cluster=client)
    def releasing() -> list[int]:
        waiting = release.submit(1)
        other = build.map([1, 2])
        return [waiting.result(), *other.result()]

    run = releasing.start()
    while "Paused" not in str(run.run.state(run.nodes[0])) if run.nodes else True:
        run.run.wait_for_news(0, timeout=0.05)
    run.approve("release")
    assert run.result(timeout=30) == [10, 2, 3]
    assert [step.state.name.title() for step in run.story("release")] == ["Pending", "Paused", "Running", "Completed"]


@task
def open_lock(x: int) -> Any:
    """Something that cannot travel."""
    return threading.Lock()


@task(trigger=manual_only)
def locked(lock: Any) -> bool:
    """Runs when somebody says so, with something that cannot travel."""
    return bool(lock.locked())


def test_an_approval_holds_where_the_steps_before_run_again(client: Client) -> None:
    """What stands before cannot wait with the element, so it is made again; the approval is not asked for again."""
    with Flow("locks") as locks:
        was_locked = locked(open_lock(1))
    state = locks.run(cluster=client, keep="terminal")
    assert (state.name, state.approve(was_locked).name) == ("Paused", "Completed")
    assert state.result[was_locked].result is False


def test_approving_what_is_not_there_says_what_is(cluster: str) -> None:
    """An unknown name is an error that names the near one."""
    with Flow("releases") as releases:
        release(1)
    state = releases.run(cluster=cluster)
    with pytest.raises(UsageError, match="release"):
        state.approve("releas")
    state.run.cancel()
    assert state.run.state(state.run.nodes[0]).name == "Cancelled"
