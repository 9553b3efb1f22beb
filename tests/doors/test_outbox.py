"""Nodes wait in the outbox until they are sent, and what they use is kept meanwhile."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from dataflow import flow, session, task
from dataflow.graph.nodes import Graph, Input, Node, TaskSpec, Whole
from dataflow.outbox import Outbox


def one_and_its_user() -> tuple[Node, Node]:
    """A node, and a node that uses it."""
    graph, spec = Graph("example"), TaskSpec(name="work", function=len, parameters=("x",))
    one = Node(graph=graph, task=spec, slug="one")
    return one, Node(graph=graph, task=spec, slug="user", arguments=(Whole(Input(one)),))


def test_what_unsent_nodes_use_is_counted() -> None:
    """A node counts its unsent users from when they are added to when they are taken."""
    one, user = one_and_its_user()
    outbox = Outbox()
    assert outbox.add(user)
    assert one.unsent_uses == 1
    assert outbox.take() == [user]
    assert one.unsent_uses == 0
    assert not outbox


def test_what_was_taken_is_not_forgotten_before_it_is_known() -> None:
    """An empty outbox does not mean that all was sent: the last node taken tells whether the machine has it yet."""
    one, user = one_and_its_user()
    outbox = Outbox()
    outbox.add(one)
    outbox.add(user)
    assert (bool(outbox), outbox.last_taken) == (True, None)
    outbox.take()
    assert (bool(outbox), outbox.last_taken) == (False, user)
    outbox.take()
    assert outbox.last_taken is user


def test_flow_waits_for_what_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body ends while its nodes are between outbox and machine: the flow does not end without them."""
    on_its_way, body_may_end = threading.Event(), threading.Event()
    compile_stages = session.compile_stages

    def compile_slowly(*arguments: Any, **options: Any) -> Any:
        on_its_way.set()
        body_may_end.wait(0.2)  # the body ends, and asks whether all has ended, within this time
        return compile_stages(*arguments, **options)

    monkeypatch.setattr(session, "compile_stages", compile_slowly)

    @task
    def work(x: int) -> int:
        return x

    @flow(cluster="threads")
    def main() -> None:
        work.map([1, 2, 3])
        assert on_its_way.wait(5)

    run = main.start()
    run.wait()
    assert run.progress() == [("work", 3, 3)]


def test_asking_an_empty_outbox_changes_nothing() -> None:
    """Somebody who asks when there is nothing to send does not make the next node go out alone."""
    _, user = one_and_its_user()
    outbox = Outbox()
    outbox.ask()
    outbox.add(user)
    assert not outbox.is_due()
    outbox.ask()
    assert outbox.is_due()


def test_value_waits_for_a_user_that_is_not_sent_yet() -> None:
    """A future is dropped while the node that uses it is still in the outbox: its value stays for that node."""

    @task
    def add_one(x: int) -> int:
        return x + 1

    @flow(cluster="threads")
    def main() -> int:
        last = add_one.submit(1)
        last.result()
        last = add_one.submit(last)
        time.sleep(0.02)  # the run hears of the dropped future before it sends the node
        return last.result()

    assert main() == 3
