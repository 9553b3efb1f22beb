"""B8: how many bytes a large unmapped value costs, counted on the loopback interface."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dataflow import flow, task, unmapped
from tests.benchmarks.harness import Row, two_processes

ELEMENTS = 10_000
ARRAY_BYTES = 100_000_000
WORKERS = 2


@task
def place_of(index: int, array: np.ndarray) -> tuple[int, int]:
    """Which process saw the array, and at which address in its memory."""
    assert array.nbytes == ARRAY_BYTES
    return os.getpid(), array.__array_interface__["data"][0]


@flow
def places(array: np.ndarray) -> set[tuple[int, int]]:
    """Every distinct place that the array was seen at."""
    return set(place_of.map(range(ELEMENTS), unmapped(array)).result())


def loopback_bytes() -> int:
    """Bytes received so far on this machine's loopback interface (Linux)."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "lo":
            return int(figures.split()[0])
    raise RuntimeError("there is no loopback interface in /proc/net/dev")


def b8(repeat: int | None) -> list[Row]:
    """B8: a 100 MB unmapped array with 10,000 elements reaches each worker once."""
    array = np.random.default_rng(8).random(ARRAY_BYTES // 8)
    run = places.with_options(cluster=two_processes(), validate_parameters=False)
    before = loopback_bytes()
    seen = run(array)
    moved = loopback_bytes() - before
    copies = {process: sum(1 for other, _ in seen if other == process) for process, _ in seen}
    return [
        Row(
            name="B8a",
            what="100 MB unmapped array, 10,000 elements: bytes moved; reference 100 MB x workers",
            unit="MB",
            ours=moved / 1e6,
            reference=ARRAY_BYTES * WORKERS / 1e6,
            ratio=moved / (ARRAY_BYTES * WORKERS),
            bound="<= 1.1",
            note="all traffic of the loopback interface",
        ),
        Row(
            name="B8b",
            what="the same: copies per worker",
            unit="copies",
            ours=max(copies.values()),
            reference=1,
            ratio=max(copies.values()),
            bound="<= 1",
            note=f"seen by {len(copies)} of {WORKERS} workers",
        ),
    ]
