"""R1 to R4 and R7: results kept in a store, found again, found on S3, and not even looked for."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import s3fs
from distributed import Client

from dataflow import flow, task
from dataflow.cache_policies import INPUTS, LINEAGE
from dataflow.results import S3Result
from tests.benchmarks.elements import add_up, ours, same
from tests.benchmarks.harness import Row, quiet_client, seconds, two_processes

__all__ = ["r1_r2", "r3", "r4", "r7"]

MILLION = 1_000_000
HUNDRED_THOUSAND = 100_000
JOBLIB_ELEMENTS = 3_000
DEPTH = 1_000
NUMBERS = 125_000
"""Of 8 bytes in each of the results of R7: a thousand of them are 1 GB."""

first = task(same, name="first", cache_policy=INPUTS)
second = task(same, name="second", cache_policy=INPUTS)
total = task(add_up, name="total")


@flow
def kept(count: int) -> int:
    """B1 with every element's result of both tasks kept."""
    return total(second.map(first.map(range(count))))


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder on the local disk."""
    path = Path(tempfile.mkdtemp(prefix="dataflow-results-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run_kept(client: Client, count: int, store: Path) -> float:
    """Seconds of the kept pipeline, its answer checked."""
    started = time.perf_counter()
    result = kept.with_options(cluster=client, result_storage=store)(count)
    assert result == count * (count - 1) // 2, result
    return time.perf_counter() - started


def joblib_seconds() -> tuple[float, float]:
    """Seconds per element of joblib.Memory: storing results, and finding them again."""
    with folder() as place:
        cached = joblib.Memory(place, verbose=0).cache(same)
        work: Callable[[], list[int]] = lambda: [cached(x) for x in range(JOBLIB_ELEMENTS)]  # noqa: E731
        return seconds(work) / JOBLIB_ELEMENTS, seconds(work) / JOBLIB_ELEMENTS


def r1_r2(repeat: int | None) -> list[Row]:
    """R1: what keeping costs over B1. R2: what finding costs. Both against joblib.Memory."""
    client = two_processes()
    plain, storing, finding = [], [], []
    with quiet_client(client), folder() as warm:
        run_kept(client, 1000, warm)
        for _ in range(repeat or 3):
            plain.append(seconds(lambda: ours(client, MILLION)))
            with folder() as store:
                storing.append(run_kept(client, MILLION, store))
                finding.append(run_kept(client, MILLION, store))
    joblib_storing, joblib_finding = joblib_seconds()
    b1, first_run, again = (sorted(times)[len(times) // 2] for times in (plain, storing, finding))
    over = first_run - b1
    return [
        row("R1a", "1M elements, 2 results each kept on local disk, over B1", over, b1, over, "<= 5"),
        row("R1b", "the same per element, vs joblib.Memory storing", first_run, joblib_storing * MILLION,
            joblib_storing * MILLION / first_run, ">= 50"),
        row("R2a", "the same again, all found", again, b1, again, "<= 3"),
        row("R2b", "the same per element, vs joblib.Memory hits", again, joblib_finding * MILLION,
            joblib_finding * MILLION / again, ">= 20"),
    ]  # fmt: skip


def row(name: str, what: str, mine: float, reference: float, ratio: float, bound: str) -> Row:
    """A line whose seconds for a million elements are microseconds for one."""
    return Row(name=name, what=what, unit="us", ours=mine, reference=reference, ratio=ratio, bound=bound)


def noted(x: int, log: str) -> int:
    """A no-op that leaves a byte for each call."""
    with Path(log, f"calls-{psutil.Process().pid}").open("ab") as file:
        file.write(b".")
    return x


note = task(noted, name="note", cache_policy=INPUTS - "log")


@flow
def noting(numbers: list[int], log: str) -> int:
    """A mapped task that counts its calls, and a sum."""
    return total(note.map(numbers, log))


def r3(repeat: int | None) -> list[Row]:
    """R3: of 100,000 elements exactly those run that changed."""
    client = two_processes()
    with folder() as store, folder() as log:
        run = noting.with_options(cluster=client, result_storage=store)
        numbers = list(range(HUNDRED_THOUSAND))
        run(numbers, str(log))
        before = calls_in(log)
        numbers[::1000] = range(-100, 0)
        run(numbers, str(log))
        changed = calls_in(log) - before
    return [
        Row(name="R3", what="100,000 elements, 100 changed: calls", unit="calls", ours=changed, reference=100,
            ratio=changed / 100, bound="<= 1", note=f"{before:,} calls before"),
    ]  # fmt: skip


def calls_in(log: Path) -> int:
    """How many bytes the calls have left."""
    return sum(file.stat().st_size for file in log.iterdir())


@contextmanager
def s3_server() -> Iterator[tuple[S3Result, Path]]:
    """A server of S3 in a process of its own: where results go, and its log, a line for each request."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with folder() as place:
        log = place / "requests.log"
        with log.open("wb") as file:
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
            server = subprocess.Popen(command, stderr=file, stdout=file)
        try:
            options = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}"}}
            while b"Running on" not in log.read_bytes():
                time.sleep(0.05)
            s3fs.S3FileSystem(**options).mkdir("results")
            yield S3Result("results", options={"client_kwargs": options["client_kwargs"]}), log
        finally:
            server.kill()
            server.wait()


def requests_in(log: Path, start: int) -> Counter[str]:
    """Requests by verb in a part of a log."""
    return Counter(re.findall(rb'"([A-Z]+) /', log.read_bytes()[start:]))  # type: ignore[arg-type]


@flow
def on_s3(count: int) -> int:
    """One mapped no-op, its results kept, and a sum."""
    return total(first.map(range(count)))


def r4(repeat: int | None) -> list[Row]:
    """R4: requests of 100,000 small results on S3, and of finding them all."""
    environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    client = two_processes()
    client.run(set_environment, environment)
    set_environment(environment)
    with s3_server() as (store, log):
        work = on_s3.with_options(cluster=client, result_storage=store)
        start = log.stat().st_size
        run = work.start(HUNDRED_THOUSAND)
        assert run.result() == HUNDRED_THOUSAND * (HUNDRED_THOUSAND - 1) // 2
        batches = run.summary()[0].batches
        puts = requests_in(log, start)[b"PUT"]  # type: ignore[call-overload]
        client.restart()
        client.run(set_environment, environment)
        start = log.stat().st_size
        work(HUNDRED_THOUSAND)
        again = requests_in(log, start)
    return [
        Row(name="R4a", what="100,000 small results on S3: PUTs over one a batch", unit="PUTs", ours=puts,
            reference=batches, ratio=puts - batches, bound="<= 8"),
        Row(name="R4b", what="the same again in new processes: requests", unit="requests", ours=sum(again.values()),
            reference=100, ratio=sum(again.values()), bound="<= 100", note=dict_text(again)),
    ]  # fmt: skip


def dict_text(requests: Counter[Any]) -> str:
    """``12 GET, 2 PUT``."""
    return ", ".join(f"{number} {verb.decode()}" for verb, number in sorted(requests.items()))


def set_environment(variables: dict[str, str]) -> None:
    """Credentials, as a worker has them."""
    import os

    os.environ.update(variables)


def begin(size: int) -> np.ndarray[Any, Any]:
    """The first result of a chain."""
    return np.zeros(size)


def add_one(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A step of a chain."""
    return numbers + 1


begun = task(begin, name="begin", cache_policy=LINEAGE)
step = task(add_one, name="step", cache_policy=LINEAGE)


@flow
def chain(depth: int, size: int) -> float:
    """A chain of large results."""
    last = begun.submit(size)
    for _ in range(depth):
        last = step.submit(last)
    return float(last.result()[0])


def r7(repeat: int | None) -> list[Row]:
    """R7: a hit at the end of a thousand results of 1 MB, in new processes."""
    client = two_processes()
    with folder() as store:
        work = chain.with_options(cluster=client, result_storage=store)
        assert work(DEPTH, NUMBERS) == DEPTH
        client.restart()
        taken = seconds(lambda: work(DEPTH, NUMBERS))
        read_before = bytes_read(client)
        work(DEPTH, NUMBERS)  # by now all modules are loaded
        megabytes = (bytes_read(client) - read_before) / 1e6
        size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) / 1e9
    return [
        Row(name="R7a", what="a LINEAGE hit after 1,000 results of 1 MB", unit="s", ours=taken, reference=1.0,
            ratio=taken, bound="<= 1", note=f"{size:.2f} GB in the store"),
        Row(name="R7b", what="the same: bytes read by client and workers", unit="MB", ours=megabytes, reference=1.0,
            ratio=megabytes, bound="<= 5", note="of 1,000 MB; one result is 1 MB"),
    ]  # fmt: skip


def bytes_read(client: Client) -> int:
    """Bytes that the client and its workers have read from files so far."""
    return sum(client.run(own_bytes_read).values()) + own_bytes_read()


def own_bytes_read() -> int:
    """Bytes that this process has read from files so far."""
    return int(psutil.Process().io_counters().read_chars)
