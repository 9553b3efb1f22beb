"""B5 and B6: elements that take long, all of them or a few, against the ideal makespan of eight threads."""

from __future__ import annotations

import functools
import heapq
import random
import time
from collections.abc import Sequence

from dataflow import flow, task
from tests.benchmarks.harness import Contest, Row, compete, eight_threads, seconds

THREADS = 8
EVEN = (1.0,) * 64
MIXED_COUNT = 2_000
LONG_COUNT = 20


@task
def sleep(duration_seconds: float) -> None:
    """Take this long without using a processor."""
    time.sleep(duration_seconds)


@flow
def sleepers(durations_seconds: Sequence[float]) -> None:
    """Sleep for each of the durations."""
    sleep.map(durations_seconds).result()


def mixed() -> list[float]:
    """2,000 durations: 99 % of 1 ms and 1 % of 1 s, at places that look random and are the same in every run."""
    durations = [0.001] * (MIXED_COUNT - LONG_COUNT) + [1.0] * LONG_COUNT
    random.Random(6).shuffle(durations)
    return durations


def ideal_seconds(durations_seconds: Sequence[float], threads: int) -> float:
    """The makespan if the longest go first, each to the thread that is free first."""
    ends = [0.0] * threads
    for duration in sorted(durations_seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def b5(repeat: int | None) -> list[Row]:
    """B5: 64 elements of one second on eight threads."""
    return [_against_ideal("B5", "64 elements of 1 s sleep on 8 threads; reference ideal", EVEN, "<= 1.15", repeat)]


def b6(repeat: int | None) -> list[Row]:
    """B6: a few long elements among many short ones, at unknown places."""
    what = "2,000 elements, 99 % of 1 ms, 1 % of 1 s, 8 threads; reference ideal makespan"
    return [_against_ideal("B6", what, mixed(), "<= 1.3", repeat)]


def _against_ideal(name: str, what: str, durations: Sequence[float], bound: str, repeat: int | None) -> Row:
    run = sleepers.with_options(cluster=eight_threads())
    contest = Contest(
        name=name,
        what=what,
        ours=functools.partial(seconds, lambda: run(list(durations))),
        reference=lambda: ideal_seconds(durations, THREADS),
        bound=bound,
    )
    return compete(contest, repeat)
