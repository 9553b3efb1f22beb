"""B9: a generator of ten million elements, with the memory of the client and the time of the first batch."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import psutil

from dataflow import flow
from tests.benchmarks.elements import first, total
from tests.benchmarks.harness import Row, two_processes

ELEMENTS = 10_000_000
LIMIT_MB = 300


class PeakMemory:
    """Samples the memory of this process while a block runs; ``grown_mb`` is the peak over the start."""

    def __init__(self, every_seconds: float = 0.1) -> None:
        self._every_seconds = every_seconds
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._start = self._peak = 0

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self._start = self._peak = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self._every_seconds):
            self._peak = max(self._peak, self._process.memory_info().rss)

    @property
    def grown_mb(self) -> float:
        return (self._peak - self._start) / 1e6


def numbers(count: int) -> Iterator[int]:
    """A generator, so that nobody knows its length before its end."""
    yield from range(count)


@flow
def streamed(count: int) -> tuple[float, int]:
    """Seconds until the first batch was known to be done, and the sum."""
    start = time.perf_counter()
    elements = first.map(numbers(count))
    result = total.submit(elements)
    while not elements.done_count():
        time.sleep(0.005)
    until_first_seconds = time.perf_counter() - start
    return until_first_seconds, result.result()


def b9(repeat: int | None) -> list[Row]:
    """B9: client and scheduler memory stay flat, and the first batch is done within a second."""
    run = streamed.with_options(cluster=two_processes())
    run(1_000)
    with PeakMemory() as memory:
        until_first_seconds, result = run(ELEMENTS)
    assert result == ELEMENTS * (ELEMENTS - 1) // 2, result
    return [
        Row(
            name="B9a",
            what="generator of 10,000,000 elements, mapped and summed: memory over start",
            unit="MB",
            ours=memory.grown_mb,
            reference=LIMIT_MB,
            ratio=memory.grown_mb / LIMIT_MB,
            bound="<= 1",
            note="client and scheduler, which share this process",
        ),
        Row(
            name="B9b",
            what="the same: until the first batch is done",
            unit="s",
            ours=until_first_seconds,
            reference=1,
            ratio=until_first_seconds,
            bound="<= 1",
        ),
    ]
