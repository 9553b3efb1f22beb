"""Code as users write it that type checkers must accept, with the types they must see. Checked, never run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, assert_type

from dataflow import Flow, Parameter, Task, allow_failure, as_completed, flatten, flow, mapped, task, unmapped, wait
from dataflow.flows import FlowRun
from dataflow.futures import Future, MappedFuture
from dataflow.states import Completed, State


@task
def double(x: int) -> int:
    return 2 * x


@task(name="to text", tags=["text"], retries=0)
def text(x: int, width: int = 3) -> str:
    return f"{x:{width}}"


@task
async def fetch(url: str) -> bytes:
    await asyncio.sleep(0)
    return url.encode()


class Add(Task[[int, int], int]):
    def __init__(self, extra: int, **options: Any) -> None:
        self.extra = extra
        super().__init__(**options)

    def run(self, x: int, y: int = 1) -> int:
        return x + y + self.extra


@flow
def body(n: int, word: str = "a") -> list[str]:
    number = double(n)
    assert_type(number, int)
    assert_type(text(number, width=4), str)
    future = double.submit(n)
    assert_type(future, Future[int])
    assert_type(future.result(timeout=5), int)
    assert_type(future.state, State[int])
    many = text.map(double.map([1, 2, 3]), width=unmapped(4))
    assert_type(many, MappedFuture[str])
    assert_type(many.result(), list[str])
    assert_type(many[0], Future[str])
    assert_type(many[1:], MappedFuture[str])
    assert_type([one.result() for one in many], list[str])
    assert_type(double(n, return_state=True), State[int])
    assert_type(double.submit(n, return_state=True), State[int])
    assert_type(double.map([n], return_state=True), list[State[int]])
    assert_type(double(n, wait_for=[future]), int)
    assert_type(fetch.submit("a"), Future[bytes])
    assert_type(fetch.map(["a"]), MappedFuture[bytes])
    wait([future])
    wait(many)
    for done in as_completed(many):
        assert_type(done.result(), str)
    text.submit(future)
    double.map(flatten([[1], [2]]), strict=False)
    double.submit(allow_failure(future), wait_for=[mapped(many)])
    return many.result()


def calls_of_flows() -> None:
    assert_type(body(1), list[str])
    assert_type(body(1, word="b", return_state=True), State[list[str]])
    assert_type(body.start(1), FlowRun[list[str]])
    assert_type(body.start(1).result(), list[str])
    assert_type(body.with_options(name="other")(1), list[str])


@flow(name="futures", cluster="inline", retries=0)
def futures() -> Future[int]:
    return double.submit(1)


@flow
def mapped_futures() -> MappedFuture[int]:
    return double.map([1])


@flow
def list_of_futures() -> list[Future[int]]:
    return [double.submit(1)]


def flows_of_futures() -> None:
    assert_type(futures(), int)
    assert_type(mapped_futures(), list[int])
    assert_type(list_of_futures(), list[int])


@flow
async def async_body(n: int) -> bytes:
    assert_type(double(n), int)
    return await fetch("a")


async def main() -> None:
    assert_type(await async_body(1), bytes)
    started: Coroutine[Any, Any, bytes] = async_body(1)
    await started
    assert_type(await async_body(1, return_state=True), State[bytes])


@flow
def decided() -> State[int]:
    return Completed(data=1)


def graph_door() -> None:
    add = Add(3, name="add")
    assert_type(add(1, 2), int)
    assert_type(double.fn(1), int)
    assert_type(double.with_options(name="twice")(1), int)
    assert_type(double.name, str)

    with Flow("graph", cluster="inline") as graph:
        n = Parameter("n", default=1, annotation=int)
        first = double(2)
        second = text.map([first, 3], unmapped(4))
        add.bind(x=first, y=n)
    state = graph.run({"n": 5}, cluster="inline")
    state.is_successful()
    graph.set_reference_tasks([second])
