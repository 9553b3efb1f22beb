"""Clusters that cannot be used: nobody at the address, nobody to work, or no such kind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster

from dataflow import flow, task
from dataflow.errors import ClusterError, ClusterUnreachable, NoWorkers
from dataflow.settings import settings
from tests.bad_input.checks import refused


@task
def one() -> int:
    """The least a cluster can do."""
    return 1


@flow
def main() -> int:
    """A flow of one task."""
    return one()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Short time limits, read afresh from the environment."""
    monkeypatch.setenv("DATAFLOW_CONNECT_TIMEOUT_SECONDS", "0.5")
    monkeypatch.setenv("DATAFLOW_WORKERS_TIMEOUT_SECONDS", "0.5")
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


@pytest.fixture
def empty_cluster() -> Iterator[LocalCluster]:
    """A cluster with a scheduler and no worker."""
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.mark.usefixtures("patience")
def test_an_address_without_a_cluster_is_unreachable() -> None:
    """Within the time limit; the address is named."""
    with refused(ClusterUnreachable, "tcp://127.0.0.1:9"):
        main.with_options(cluster="tcp://127.0.0.1:9")()


def test_an_unknown_kind_of_cluster_is_named() -> None:
    """The kinds that exist are listed."""
    with refused(ClusterError, "'slrum'", "inline", "threads", "local"):
        main.with_options(cluster="slrum")()


class Hearing(logging.Handler):
    """Hears what a logger says; other than pytest's own, it is not silenced by a cluster that starts meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@pytest.mark.usefixtures("patience")
def test_a_cluster_without_workers_says_so_and_ends(empty_cluster: LocalCluster) -> None:
    """It waits as long as it may, having said what it waits for, and then gives up."""
    logger, hearing = logging.getLogger("dataflow"), Hearing()
    logger.addHandler(hearing)
    try:
        with refused(NoWorkers, empty_cluster.scheduler_address):
            main.with_options(cluster=empty_cluster)()
    finally:
        logger.removeHandler(hearing)
    assert any("no worker" in line for line in hearing.heard)


def test_a_cluster_whose_workers_come_late_is_waited_for(empty_cluster: LocalCluster) -> None:
    """The flow starts as soon as a worker is there."""
    answer: list[int] = []
    with Client(empty_cluster, set_as_default=False) as client:
        run = threading.Thread(target=lambda: answer.append(main.with_options(cluster=client)()))
        run.start()
        empty_cluster.scale(1)
        run.join(timeout=30)
    assert answer == [1]
