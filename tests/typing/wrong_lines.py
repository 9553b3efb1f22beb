"""Code with mistakes that type checkers must find: every line marked so, and no other. Checked, never run."""

from __future__ import annotations

from dataflow import Flow, flow, task, unmapped
from dataflow.futures import Future


def mistakes() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @task(name=3)  # expect-error
    def named(x: int) -> int:
        return x

    @task(retrys=3)  # expect-error
    def misspelt(x: int) -> int:
        return x

    @task
    async def fetch(url: str) -> bytes:
        return url.encode()

    @flow
    def body(n: int, word: str = "a") -> str:
        double("a")  # expect-error
        double()  # expect-error
        double(1, 2)  # expect-error
        double(y=1)  # expect-error
        double(1).upper()  # expect-error
        double.submit(1).upper()  # expect-error
        double.submit(1).result().upper()  # expect-error
        double.map([1])[0].result().upper()  # expect-error
        fetch.submit("a").result().upper().encode()  # expect-error
        number: str = double(n)  # expect-error
        future: Future[str] = double.submit(n)  # expect-error
        double.name = "other"  # expect-error
        unmapped()  # expect-error
        return number + future.result()

    body("a")  # expect-error
    body()  # expect-error
    body(1, "b", "c")  # expect-error
    body(1).append(1)  # expect-error
    body(1, return_state=True).upper()  # expect-error

    @flow(cluster="inline", clusters=3)  # expect-error
    def other() -> int:
        return 1

    @flow
    async def async_body() -> int:
        return fetch("a")  # expect-error

    Flow()  # expect-error
    Flow("a").run(keep=3)  # expect-error
