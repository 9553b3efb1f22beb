"""I1 to I3: what a process of its own costs an attempt: ``python -m tests.benchmarks.isolation``."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from dataflow import flow, task
from dataflow.engine.isolation import call_isolated, end_isolated
from dataflow.errors import TimedOut
from tests.benchmarks.elements import same
from tests.benchmarks.harness import Contest, Row, close_clusters, compete, seconds, table, two_processes

CALLS = 2000
COLD_CALLS = 10
ELEMENTS = 10_000
LIMIT_SECONDS = 0.1
BOUND_MS = 2.0

bare = task(same, name="bare")
isolated = task(same, name="isolated", isolation="process")


@flow
def mapped(count: int, *, is_isolated: bool) -> list[int]:
    """One task over many elements."""
    return (isolated if is_isolated else bare).map(range(count)).result()


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """What one of so many calls costs, after a first one that starts the process."""
    work(0)
    return seconds(lambda: [work(number) for number in range(count)]) / count * 1000


def i1(repeat: int | None) -> list[Row]:
    """I1: a call in a warm process, against the standard library's pool, which can neither be limited nor ended."""

    def theirs() -> float:
        with ProcessPoolExecutor(1) as pool:
            return milliseconds(lambda x: pool.submit(same, x).result(), CALLS)

    contest = Contest(
        name="I1",
        what="a call in a warm process; reference ProcessPoolExecutor.submit(f, x).result()",
        ours=lambda: milliseconds(lambda x: call_isolated(same, (x,), {}, timeout_seconds=60), CALLS),
        reference=theirs,
        bound="<= 1",
        unit="ms",
    )
    return [compete(contest, repeat)]


def i2(repeat: int | None) -> list[Row]:
    """I2: what isolation adds to an element of a map on two worker processes."""
    client = two_processes()
    run = mapped.with_options(cluster=client)

    def cost(*, is_isolated: bool) -> float:
        def work() -> None:
            assert len(run(ELEMENTS, is_isolated=is_isolated)) == ELEMENTS

        return seconds(work) / ELEMENTS * 1000

    cost(is_isolated=True)
    turns = range(repeat or 3)
    ours = statistics.median(cost(is_isolated=True) for _ in turns)
    reference = statistics.median(cost(is_isolated=False) for _ in turns)
    what = 'an element of a map with isolation="process"; reference without; ratio: ms more'
    return [_row("I2", what, ours, reference, ours - reference, f"<= {BOUND_MS:g}")]


def i3(repeat: int | None) -> list[Row]:
    """I3: the first call, which starts a process; and how late a time limit fires."""

    def cold(_: int) -> int:
        end_isolated()
        return call_isolated(os.getpid, (), {})

    def late(_: int) -> float:
        call_isolated(os.getpid, (), {})
        began = time.perf_counter()
        try:
            call_isolated(time.sleep, (60,), {}, timeout_seconds=LIMIT_SECONDS)
        except TimedOut:
            return (time.perf_counter() - began - LIMIT_SECONDS) * 1000
        raise AssertionError("it slept for a minute")

    starting = milliseconds(cold, (repeat or 1) * COLD_CALLS)
    lateness = statistics.median(late(number) for number in range(COLD_CALLS))
    end_isolated()
    return [
        _row("I3", "a call that starts its process; ratio: ms", starting, 0.0, starting, "<= 250"),
        _row("I4", "how late a limit around time.sleep raises; ratio: ms", lateness, 0.0, lateness, "<= 50"),
    ]


def _row(name: str, what: str, ours: float, reference: float, ratio: float, bound: str) -> Row:
    return Row(name=name, what=what, unit="ms", ours=ours, reference=reference, ratio=ratio, bound=bound)


if __name__ == "__main__":
    try:
        print(table([row for benchmark in (i1, i2, i3) for row in benchmark(None)]))
    finally:
        close_clusters()
