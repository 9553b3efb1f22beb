"""Runs the benchmarks, prints their table and saves it: ``python tests/benchmarks/run.py [B1 B3 ...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the benchmarks are not installed, so their functions must be found from here

from tests.benchmarks import (  # noqa: E402
    attempts,
    building,
    calls,
    canonical_speed,
    elements,
    history,
    isolation,
    large_objects,
    memory,
    movement,
    results_speed,
    startup,
    tails,
)
from tests.benchmarks.harness import Row, close_clusters, save, table  # noqa: E402

BENCHMARKS: dict[str, Callable[[int | None], list[Row]]] = {
    "B1": elements.b1,
    "B2": calls.b2,
    "B3": elements.b3,
    "B4": calls.b4,
    "B5": tails.b5,
    "B6": tails.b6,
    "B7": building.b7,
    "B8": movement.b8,
    "B9": memory.b9,
    "B10": startup.b10,
    "B11": startup.b11,
    "A1": attempts.a1,
    "H1": history.h1,
    "H2": history.h2,
    "I1": isolation.i1,
    "I2": isolation.i2,
    "I3": isolation.i3,
    "R1": results_speed.r1_r2,
    "R3": results_speed.r3,
    "R4": results_speed.r4,
    "R5": large_objects.r5,
    "R6": canonical_speed.r6,
    "R7": results_speed.r7,
}
RESULTS = Path(__file__).with_name("results.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 if every bound is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--repeat", type=int, default=None, help="measure each this often instead of its own default")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to save the results")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    rows: list[Row] = []
    try:
        for name in chosen.names or BENCHMARKS:
            print(f"{name} …", file=sys.stderr, flush=True)
            rows += BENCHMARKS[name](chosen.repeat)
            save(rows, chosen.output)
    finally:
        close_clusters()
        if rows:
            print(table(rows))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
