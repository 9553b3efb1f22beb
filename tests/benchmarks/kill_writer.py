"""Kills a writer 200 times at random moments and looks whether a reader ever sees a wrong or partial value.

Prints one line: ``python tests/benchmarks/kill_writer.py [kills]``. The store must pass a check of every byte after
each kill. A writer stores small and large values and merges packs, so that all its kinds of writes are hit.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "results")]  # a script is found from its own folder only

from dataflow_results.care.verify import verify  # noqa: E402
from dataflow_results.digests import digest  # noqa: E402
from dataflow_results.problems import ResultsWarning  # noqa: E402
from dataflow_results.records import Provenance  # noqa: E402
from dataflow_results.store import ResultStore  # noqa: E402

BATCH = 20
LARGE_BYTES = 50_000
COLLECTION = "killed"
MOST_BATCHES = 400
"""More than a writer can store before it is killed."""
LONGEST_SECONDS = 0.15
"""A writer lives at most so long once it has begun to write: long enough for tens of batches and a merge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen over all kills."""

    kills: int
    batches: int
    """How many batches the killed writers had stored in the end."""
    wrong: int
    """Values that were not what was stored under their key."""
    partial: int
    """What `verify` complained of: packs, objects or files that are not whole."""


def key(batch: int, row: int) -> bytes:
    """The key of a row."""
    return digest(b"kill", batch.to_bytes(8, "big"), row.to_bytes(2, "big"))


def value(batch: int, row: int) -> object:
    """What must be found under the key; one in each batch is large."""
    return f"{batch}" + "x" * LARGE_BYTES if row == 3 else (batch, row)


def keys(batch: int) -> bytes:
    """The keys of a batch."""
    return b"".join(key(batch, row) for row in range(BATCH))


def write(folder: str, start: int) -> None:
    """Store batches until somebody ends this process."""
    results = ResultStore(folder, inline_bytes=10_000).task(COLLECTION)
    for batch in count(start):
        results.save(keys(batch), [value(batch, row) for row in range(BATCH)], Provenance(task="t", created_at=0.0))
        if batch == start:
            print("writing", flush=True)


def kill_once(folder: str, start: int, alive_seconds: float) -> None:
    """Start a writer and kill it after it has written for some time."""
    command = [sys.executable, __file__, "--write", folder, str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(alive_seconds)
        writer.send_signal(signal.SIGKILL)


def check(folder: str, batches: range) -> tuple[int, int, int]:
    """Which of the batches are there, how many of their values are wrong, and how much `verify` complains of."""
    store = ResultStore(folder, inline_bytes=10_000)
    partial = len(verify(store).problems)
    results = store.task(COLLECTION)
    found = results.find(b"".join(map(keys, batches)), now=1.0)
    values = results.load(found, found.stored)
    wanted = [value(batches[position // BATCH], position % BATCH) for position in found.stored.tolist()]
    wrong = sum(given != right for given, right in zip(values, wanted, strict=True))
    whole = sum((found.pack.reshape(-1, BATCH) >= 0).all(axis=1).tolist())
    return whole, wrong + len(found.stored) % BATCH, partial


def kill_many(folder: str, kills: int, seed: int = 0) -> Outcome:
    """Kill writers one by one; look after each at what it wrote and at every pack, in the end at everything."""
    moments = random.Random(seed)
    wrong = partial = 0
    for number in range(kills):
        kill_once(folder, number * MOST_BATCHES, moments.uniform(0, LONGEST_SECONDS))
        own = range(number * MOST_BATCHES, (number + 1) * MOST_BATCHES)
        _, seen_wrong, seen_partial = check(folder, own)
        wrong, partial = wrong + seen_wrong, partial + seen_partial
    whole, last_wrong, _ = check(folder, range(kills * MOST_BATCHES))
    return Outcome(kills=kills, batches=whole, wrong=wrong + last_wrong, partial=partial)


def main(arguments: list[str]) -> int:
    """Run, print what was seen; 0 if nothing was wrong."""
    if arguments[:1] == ["--write"]:
        write(arguments[1], int(arguments[2]))
    warnings.simplefilter("error", ResultsWarning)
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_many(folder, int(arguments[0]) if arguments else 200)
    print(outcome)
    return int(outcome.wrong + outcome.partial > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
