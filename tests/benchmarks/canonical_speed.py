"""R6: how fast keys are made of large arrays and of many small values; run it as a module of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from dataflow_results.canonical import encode, encode_many
from tests.benchmarks.harness import Row, table

BYTES = 100_000_000
COUNT = 1_000_000


def best_seconds(work: Callable[[], object], repeat: int = 3) -> float:
    """The shortest of some runs."""

    def runs() -> Iterator[float]:
        for _ in range(repeat):
            start = time.perf_counter()
            work()
            yield time.perf_counter() - start

    return min(runs())


def rate(what: str, value: object, bound: str) -> Row:
    """One line: gigabytes of a value that are keyed in a second."""
    ours = BYTES / 1e9 / best_seconds(lambda: encode(value))
    return Row(
        name="R6a", what=f"key of 100 MB: {what}", unit="GB/s", ours=ours, reference=1.0, ratio=ours, bound=bound
    )


def cost(what: str, values: object, bound: str) -> Row:
    """One line: microseconds per value of a column."""
    ours = best_seconds(lambda: encode_many(values)) / COUNT * 1e6  # type: ignore[arg-type]
    return Row(
        name="R6b", what=f"keys of 1M {what}", unit="us", ours=ours, reference=0.3, ratio=ours / 0.3, bound=bound
    )


def r6(repeat: int | None) -> list[Row]:
    """R6: the key of a 100 MB array at 1 GB/s or more, and of an int in 0.3 us or less."""
    array = np.random.default_rng(6).random(BYTES // 8)
    matrix = array.reshape(1250, -1)
    return [
        rate("array", array, ">= 1"),
        rate("array in Fortran order", np.asfortranarray(matrix), ">= 0.5"),
        rate("every second element", np.repeat(array, 2)[::2], ">= 0.5"),
        rate(
            "frame of floats, column by column",
            pd.DataFrame({str(i): part for i, part in enumerate(array.reshape(10, -1))}),
            ">= 1",
        ),
        rate("frame of one matrix", pd.DataFrame(array.reshape(-1, 10)), ">= 0.5"),
        cost("ints in a list", list(range(COUNT)), "<= 1"),
        cost("ints in a range", range(COUNT), "<= 1"),
        cost("floats in an array", array[:COUNT], "<= 1"),
        cost("strings", [str(number) for number in range(COUNT)], "<= 2"),
    ]


if __name__ == "__main__":
    print(table(r6(None)))
