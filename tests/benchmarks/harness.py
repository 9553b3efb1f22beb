"""What all benchmarks share: contests between two ways of doing one thing, clusters, repeats, the table of results."""

from __future__ import annotations

import functools
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from distributed import Client, LocalCluster

__all__ = [
    "Contest",
    "Row",
    "close_clusters",
    "compete",
    "eight_threads",
    "is_met",
    "quiet_client",
    "save",
    "seconds",
    "table",
    "two_processes",
]

Measure = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; ``ratio`` is what the bound is about."""

    name: str
    what: str
    unit: str
    ours: float
    reference: float
    ratio: float
    bound: str
    """``<= 1.25`` or ``>= 300``."""
    note: str = ""

    @property
    def met(self) -> bool:
        return is_met(self.ratio, self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Two ways of doing one thing, each giving its cost in ``unit`` (seconds, unless said otherwise)."""

    name: str
    what: str
    ours: Measure
    reference: Measure
    bound: str
    unit: str = "s"
    repeat: int = 3
    """How many times each is measured; the median counts."""
    repeat_reference: int | None = None
    """The same for a reference that is too slow to be measured often."""
    note: str = ""


def is_met(ratio: float, bound: str) -> bool:
    """Whether a ratio keeps a bound written as ``<= 1.25`` or ``>= 300``."""
    relation, limit = bound.split()
    return ratio <= float(limit) if relation == "<=" else ratio >= float(limit)


def compete(contest: Contest, repeat: int | None = None) -> Row:
    """Measure both in turns, so that a slow minute of the machine hits both.

    The ratio is ours / reference where it must stay low, reference / ours where it must be high.
    """
    rounds = repeat or contest.repeat
    rounds_reference = min(rounds, contest.repeat_reference or rounds)
    ours: list[float] = []
    reference: list[float] = []
    for turn in range(rounds):
        ours.append(contest.ours())
        if turn < rounds_reference:
            reference.append(contest.reference())
    mine, theirs = statistics.median(ours), statistics.median(reference)
    ratio = mine / theirs if contest.bound.startswith("<=") else theirs / mine
    return Row(
        name=contest.name,
        what=contest.what,
        unit=contest.unit,
        ours=mine,
        reference=theirs,
        ratio=ratio,
        bound=contest.bound,
        note=contest.note,
    )


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@functools.cache
def two_processes() -> Client:
    """A client of the cluster most benchmarks run on: two worker processes with one thread each, up and warm."""
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
    return _warm(Client(cluster, set_as_default=False))


@functools.cache
def eight_threads() -> Client:
    """A client of a cluster with one worker in this process that has eight threads."""
    cluster = LocalCluster(n_workers=1, threads_per_worker=8, processes=False, dashboard_address=":0")
    return _warm(Client(cluster, set_as_default=False))


def _warm(client: Client) -> Client:
    client.gather(client.map(abs, range(100), pure=False))
    return client


@contextmanager
def quiet_client(client: Client) -> Iterator[Client]:
    """Make a client the current one, as raw Dask code expects."""
    with client.as_current():
        yield client


def close_clusters() -> None:
    """Close the clusters that were started."""
    for start in (two_processes, eight_threads):
        if start.cache_info().currsize:
            client = start()
            cluster = client.cluster
            client.close()
            cluster.close()
            start.cache_clear()


def table(rows: Sequence[Row]) -> str:
    """The rows as text, one line each."""
    head = ("name", "what", "ours", "reference", "ratio", "bound", "met?", "note")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.what,
        f"{row.ours:.4g} {row.unit}",
        f"{row.reference:.4g} {row.unit}",
        f"{row.ratio:.3g}",
        row.bound,
        "yes" if row.met else "NO",
        row.note,
    )


def save(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON; rows of an earlier run under other names stay."""
    earlier = json.loads(path.read_text())["rows"] if path.exists() else []
    names = {row.name for row in rows}
    kept = [row for row in earlier if row["name"] not in names]
    fresh = [{**asdict(row), "met": row.met} for row in rows]
    machine = {"python": platform.python_version(), "system": platform.system(), "processor": platform.machine()}
    merged = sorted(kept + fresh, key=lambda row: (row["name"][0], int("".join(filter(str.isdigit, row["name"])))))
    path.write_text(json.dumps({"machine": machine, "rows": merged}, indent=2) + "\n")
