"""The driver brings events and instructions together, in its own thread or the caller's, and hides no error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from dataflow.compiler.plan import compile_stages
from dataflow.engine.assemble import Assembled
from dataflow.engine.clusters.inline import InlineCluster, InlineShell
from dataflow.engine.driver import Driver
from dataflow.engine.events import CancelAsked, CancelOverdue, Event, StagesAdded
from dataflow.engine.failures import unpack_error
from dataflow.engine.shell import Post
from dataflow.graph.nodes import Node
from dataflow.states import StateType
from tests.engine.rehearsal import Rehearsal, error_bytes

PATIENCE_SECONDS = 10.0


class HandShell(InlineShell):
    """Claims to run batches elsewhere; they run when ``go`` is called, or at once if ``at_once``."""

    threaded = True

    def __init__(self, post: Post, *, at_once: bool) -> None:
        super().__init__("run", post)
        self.at_once = at_once
        self.submitted: list[Assembled] = []
        self.arrived = threading.Event()
        self.closed = 0
        self.cancelled: list[int] = []
        self.stopped: list[int] = []

    def submit(self, batches: Sequence[Assembled]) -> None:
        self.submitted.extend(batches)
        if self.at_once:
            self.run(batches)
        self.arrived.set()

    def go(self) -> None:
        """Run what was submitted, in the calling thread."""
        assert self.arrived.wait(PATIENCE_SECONDS)
        self.run(self.submitted)

    def run(self, batches: Sequence[Assembled]) -> None:
        super().submit(batches)
        while self.run_next():
            pass

    def stop(self, batches: Sequence[Any], *, whole_run: bool) -> None:
        self.stopped.extend(batch.number for batch in batches)

    def cancel(self, batches: Sequence[Any]) -> None:
        self.cancelled.extend(batch.number for batch in batches)

    def close(self) -> None:
        self.closed += 1


class BrokenShell(HandShell):
    """Cannot send anything."""

    def submit(self, batches: Sequence[Assembled]) -> None:
        raise RuntimeError("the cluster is on fire")


class HandCluster:
    """Opens one shell, which tests can reach."""

    name = "by hand"

    def __init__(self, kind: type[HandShell] = HandShell, *, at_once: bool = True) -> None:
        self.kind = kind
        self.at_once = at_once

    def open_shell(self, run_id: str, post: Post) -> HandShell:
        self.shell = self.kind(post, at_once=self.at_once)
        return self.shell


def nothing() -> list[Event]:
    """There is nothing to prepare."""
    return []


Open = Callable[..., Driver]


@pytest.fixture
def open_driver() -> Iterator[Open]:
    """Opens drivers and closes them after the test."""
    opened: list[Driver] = []

    def make(cluster: Any, prepare: Callable[[], list[Event]] = nothing) -> Driver:
        opened.append(Driver("run", cluster, prepare=prepare, due=lambda: None))
        return opened[-1]

    yield make
    for driver in opened:
        driver.close()


def double(x: int) -> int:
    return 2 * x


def interrupt(x: int) -> int:
    raise KeyboardInterrupt


def added(build: Callable[[Rehearsal], Node]) -> tuple[Node, StagesAdded]:
    """A node, and the event that brings its stages."""
    graph = Rehearsal()
    node = build(graph)
    stages = compile_stages(graph.graph.nodes, graph.compiler, kept=frozenset([node]), cut_held=False)
    return node, StagesAdded(tuple(stages), frozenset([node]))


def ended(driver: Driver, node: Node) -> Callable[[], bool]:
    """Whether a node has ended."""
    return lambda: node in driver.machine.facts and driver.machine.facts[node].ended


def values_of(driver: Driver, node: Node) -> list[Any]:
    """All values of a node, by index."""
    segments = driver.machine.facts[node].segments
    return [value for segment in segments if segment.key for value in driver.shell.fetch([segment.key])[0].values]


CLUSTERS = {"inline": InlineCluster, "in a thread": HandCluster}


@pytest.mark.parametrize("kind", CLUSTERS)
def test_a_map_runs_to_its_end(kind: str, open_driver: Open) -> None:
    """Waiting for a node gives True when it has ended, with its values on the cluster."""
    driver = open_driver(CLUSTERS[kind]())
    node, event = added(lambda graph: graph.map(double, range(5), batch_size=2))
    driver.post(event)
    assert driver.wait(ended(driver, node), PATIENCE_SECONDS)
    assert values_of(driver, node) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("kind", CLUSTERS)
def test_a_generator_is_pulled_until_it_ends(kind: str, open_driver: Open) -> None:
    """Its items become elements, none twice, and the map gets its length."""
    driver = open_driver(CLUSTERS[kind]())
    node, event = added(lambda graph: graph.map(double, (x for x in range(3000)), batch_size=100))
    driver.post(event)
    assert driver.wait(ended(driver, node), PATIENCE_SECONDS)
    assert values_of(driver, node) == [2 * x for x in range(3000)]


@pytest.mark.parametrize("kind", CLUSTERS)
def test_a_generator_that_raises_fails_one_element(kind: str, open_driver: Open) -> None:
    """Its exception is the outcome of the element that did not come."""

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the file ended")

    driver = open_driver(CLUSTERS[kind]())
    node, event = added(lambda graph: graph.map(double, broken()))
    driver.post(event)
    assert driver.wait(ended(driver, node), PATIENCE_SECONDS)
    facts = driver.machine.facts[node]
    found = facts.first_failure()
    assert found is not None
    assert str(unpack_error(found[1].error_of(found[0]) or b"")) == "the file ended"


def test_what_a_generator_gave_before_it_raised_is_run(open_driver: Open) -> None:
    """One item came, so one element completes, and the next is the failed one."""

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the file ended")

    driver = open_driver(InlineCluster())
    node, event = added(lambda graph: graph.map(double, broken()))
    driver.post(event)
    driver.wait(ended(driver, node))
    assert driver.machine.facts[node].counts == {StateType.COMPLETED: 1, StateType.FAILED: 1}


# Inline


def test_inline_runs_in_the_calling_thread(open_driver: Open) -> None:
    """Whoever waits does the work."""
    threads: list[int] = []

    def where(x: int) -> None:
        threads.append(threading.get_ident())

    driver = open_driver(InlineCluster())
    node, event = added(lambda graph: graph.map(where, [1]))
    driver.post(event)
    assert threads == []
    driver.wait(ended(driver, node))
    assert threads == [threading.get_ident()]


def test_inline_ctrl_c_reaches_the_caller(open_driver: Open) -> None:
    """A keyboard interrupt in a task is no outcome of it."""
    driver = open_driver(InlineCluster())
    node, event = added(lambda graph: graph.map(interrupt, [1]))
    driver.post(event)
    with pytest.raises(KeyboardInterrupt):
        driver.wait(ended(driver, node))


def test_inline_gives_up_when_nothing_is_left_to_do(open_driver: Open) -> None:
    """What cannot come true is not waited for."""
    assert open_driver(InlineCluster()).wait(lambda: False) is False


def test_inline_asks_for_what_is_due(open_driver: Open) -> None:
    """Nodes that are to be sent are asked for in every round."""
    node, event = added(lambda graph: graph.map(double, [1]))
    waiting: list[Event] = [event]

    def prepare() -> list[Event]:
        given, waiting[:] = waiting[:], []
        return given

    driver = open_driver(InlineCluster(), prepare)
    assert driver.wait(ended(driver, node))


# In a thread


def test_a_timeout_ends_a_wait(open_driver: Open) -> None:
    """While a batch is under way, waiting no time gives False."""
    cluster = HandCluster(at_once=False)
    driver = open_driver(cluster)
    node, event = added(lambda graph: graph.map(double, [1]))
    driver.post(event)
    assert driver.wait(ended(driver, node), timeout=0.0) is False
    cluster.shell.go()
    assert driver.wait(ended(driver, node), PATIENCE_SECONDS) is True


def test_a_failure_of_the_driver_reaches_all_who_wait(open_driver: Open) -> None:
    """If the cluster cannot be told what to do, every wait raises that, now and later."""
    driver = open_driver(HandCluster(BrokenShell))
    node, event = added(lambda graph: graph.map(double, [1]))
    driver.post(event)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the cluster is on fire"):
            driver.wait(ended(driver, node), PATIENCE_SECONDS)


def test_a_failure_of_preparing_reaches_who_waits(open_driver: Open) -> None:
    """Compiling runs in the driver's thread; its errors must not be lost there."""

    def prepare() -> list[Event]:
        raise ValueError("cannot be compiled")

    driver = open_driver(HandCluster(), prepare)
    with pytest.raises(ValueError, match="cannot be compiled"):
        driver.wait(lambda: False, PATIENCE_SECONDS)


def test_what_is_true_is_given_even_after_a_failure(open_driver: Open) -> None:
    """A wait for something that has come true before does not raise."""
    driver = open_driver(HandCluster(BrokenShell))
    _, event = added(lambda graph: graph.map(double, [1]))
    driver.post(event)
    with pytest.raises(RuntimeError):
        driver.wait(lambda: False, PATIENCE_SECONDS)
    assert driver.wait(lambda: True) is True


def test_cancel_reaches_the_cluster(open_driver: Open) -> None:
    """Batches under way are asked to stop; when time is up they are taken off, and a late report changes nothing."""
    cluster = HandCluster(at_once=False)
    driver = open_driver(cluster)
    node, event = added(lambda graph: graph.map(double, [1, 2], batch_size=2))
    driver.post(event)
    assert cluster.shell.arrived.wait(PATIENCE_SECONDS)
    driver.post(CancelAsked(error_bytes("cancelled")))
    assert driver.wait(lambda: cluster.shell.stopped == [0], PATIENCE_SECONDS)
    assert not driver.wait(ended(driver, node), 0.0)
    driver.post(CancelOverdue(error_bytes("still running")))
    assert driver.wait(ended(driver, node), PATIENCE_SECONDS)
    assert driver.wait(lambda: bool(cluster.shell.cancelled), PATIENCE_SECONDS)
    cluster.shell.go()
    assert cluster.shell.cancelled == [0]
    assert driver.machine.facts[node].counts == {StateType.CANCELLED: 2}


def test_closing_ends_the_thread_and_the_shell_once() -> None:
    """A second close does nothing."""
    cluster = HandCluster()
    driver = Driver("closing", cluster, prepare=nothing, due=lambda: None)
    driver.close()
    driver.close()
    assert cluster.shell.closed == 1
    assert "dataflow-run-closing" not in {thread.name for thread in threading.enumerate()}


def test_an_event_of_any_thread_wakes_who_waits(open_driver: Open) -> None:
    """A report that another thread posts ends a wait at once."""
    cluster = HandCluster(at_once=False)
    driver = open_driver(cluster)
    node, event = added(lambda graph: graph.map(double, [4]))
    driver.post(event)
    worker = threading.Thread(target=cluster.shell.go)
    worker.start()
    assert driver.wait(ended(driver, node), PATIENCE_SECONDS)
    worker.join()
    assert values_of(driver, node) == [8]
