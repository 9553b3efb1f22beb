"""What all tests share: one small real cluster for the whole session, a clean state around each test, a leak check."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from dataflow.settings import settings

HISTORY = tempfile.mkdtemp(prefix="dataflow-tests-")
os.environ["DATAFLOW_HISTORY"] = f"sqlite:///{HISTORY}/history.db"  # before any setting is read, for all processes
atexit.register(shutil.rmtree, HISTORY, ignore_errors=True)

SETTLE_SECONDS = 5.0
"""How long threads of a test may take to end by themselves before they count as leaked."""

OURS = "dataflow"
"""Threads of this project carry its name; others belong to the libraries below, which keep some for ever."""

WRITER = "dataflow-history"
"""The one thread that goes on for a moment after the last run has ended: it writes the history of all of them."""


def pytest_collection_finish() -> None:
    """What is there before the first test stays: nobody has to look through it again and again for what is left."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def local_cluster() -> Iterator[LocalCluster]:
    """A real cluster of two worker processes with one thread each, started once."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs=40,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def session_client(local_cluster: LocalCluster) -> Iterator[Client]:
    """The one connection to the shared cluster; not the process's default, so that tests say where they run."""
    with Client(local_cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def client(session_client: Client) -> Iterator[Client]:
    """A client of the shared cluster; fails the test that leaves values behind on it."""
    yield session_client
    gc.collect()
    left = keys_left(session_client)
    if left:
        session_client.restart()
    assert not left, f"values left on the cluster after the test: {sorted(left)[:5]}"


def keys_left(client: Client) -> list[str]:
    """Keys that workers still hold once the scheduler had time to forget what nobody wants."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        held = [str(key) for keys in client.has_what().values() for key in keys]
        if not held or time.monotonic() > deadline:
            return held
        pause(0.05)


@pytest.fixture
def own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a history that runs of this process are kept in during the test, and no others."""
    url = f"sqlite:///{tmp_path}/own.db"
    monkeypatch.setenv("DATAFLOW_HISTORY", url)
    settings.cache_clear()
    yield url
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(autouse=True)
def heard_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Dask silences the handlers that it finds when a cluster starts, and takes pytest's for its own."""
    caplog.handler.setLevel(0)


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail a test that leaves a thread of ours running."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + SETTLE_SECONDS
    while leaked := [thread.name for thread in set(threading.enumerate()) - before if is_ours(thread)]:
        assert time.monotonic() < deadline, f"threads left running: {leaked}"
        pause(0.02)


def is_ours(thread: threading.Thread) -> bool:
    """Whether a thread is one that a run has left behind."""
    return thread.name.startswith(OURS) and thread.name != WRITER


def pause(seconds: float) -> None:
    """Let other threads go on for a moment."""
    threading.Event().wait(seconds)
