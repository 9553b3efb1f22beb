"""B2 and B4: single calls of tasks, against Client.submit."""

from __future__ import annotations

import functools
import statistics

from dataflow import flow, task
from tests.benchmarks.elements import same
from tests.benchmarks.harness import Contest, Row, compete, seconds, two_processes

SUBMITS = 10_000
CALLS = 30

echo = task(same, name="echo")


@flow
def loop(count: int) -> list[int]:
    """A loop of submit, then every result."""
    futures = [echo.submit(i) for i in range(count)]
    return [future.result() for future in futures]


@flow
def calls(count: int) -> float:
    """Milliseconds that one ``t(x)`` takes: the median of some."""
    echo(0)
    return statistics.median(seconds(lambda: echo(1)) for _ in range(count)) * 1000


def b2(repeat: int | None) -> list[Row]:
    """B2: a loop of 10,000 submits inside a flow, against 10,000 Client.submit."""
    client = two_processes()
    run = loop.with_options(cluster=client)

    def mine() -> None:
        assert run(SUBMITS) == list(range(SUBMITS))

    def theirs() -> None:
        futures = [client.submit(same, i, pure=False) for i in range(SUBMITS)]
        assert client.gather(futures) == list(range(SUBMITS))

    contest = Contest(
        name="B2",
        what="loop of 10,000 submits, then gather; reference Client.submit",
        ours=functools.partial(seconds, mine),
        reference=functools.partial(seconds, theirs),
        bound=">= 20",
        repeat_reference=1,
    )
    return [compete(contest, repeat)]


def b4(repeat: int | None) -> list[Row]:
    """B4: one call inside a flow, against submit and result."""
    client = two_processes()
    run = calls.with_options(cluster=client)

    def theirs() -> float:
        took = [seconds(lambda: client.submit(same, 1, pure=False).result()) for _ in range(CALLS)]
        return statistics.median(took) * 1000

    contest = Contest(
        name="B4",
        what="t(x) inside a flow, one call; reference client.submit(f, x).result()",
        ours=lambda: run(CALLS),
        reference=theirs,
        bound="<= 1.5",
        unit="ms",
    )
    return [compete(contest, repeat)]
