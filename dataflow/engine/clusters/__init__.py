"""Clusters by name: the registry that turns what the user said into a cluster."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, cast

from dataflow.engine.nests import default_cluster
from dataflow.engine.shell import Cluster
from dataflow.errors import ClusterError
from dataflow.settings import settings

__all__ = ["portable_cluster", "resolve_cluster"]

KINDS = {
    "inline": "dataflow.engine.clusters.inline:inline_cluster",
    "threads": "dataflow.engine.clusters.dask:threads_cluster",
    "local": "dataflow.engine.clusters.dask:local_cluster",
    "address": "dataflow.engine.clusters.dask:address_cluster",
    "dask": "dataflow.engine.clusters.dask:existing_cluster",
    "current": "dataflow.engine.clusters.dask:current_cluster",
    "worker": "dataflow.engine.clusters.dask:worker_cluster",
}
ENTRY_POINT_GROUP = "dataflow.clusters"


def resolve_cluster(said: Any) -> Cluster:
    """The cluster that ``cluster=`` means.

    Args:
        said: ``"inline"``, ``"threads"``, ``"local"``, an address, a `distributed` client or cluster object, a mapping
            with ``kind`` and the options of that kind, or None: inside a task the cluster that it runs on, elsewhere
            the setting, the current Dask client, else ``"local"``.

    Raises:
        ClusterError: there is no such kind of cluster.
        ClusterUnreachable: nobody answers at the address.
    """
    if said is None or said == "":
        said = default_cluster.get() or settings().cluster or _current()
    if isinstance(said, Mapping):
        options = dict(said)
        return _make(options.pop("kind", "local"), **options)
    if not isinstance(said, str):
        return _make("dask", client_or_cluster=said)
    if "://" in said or (":" in said and said not in KINDS):
        return _make("address", address=said)
    return _make(said)


def portable_cluster(said: Any) -> Any:
    """What ``cluster=`` was given, as it can be said in another process: a client or cluster object by its address."""
    if said is None or isinstance(said, str | Mapping):
        return said
    scheduler = getattr(said, "scheduler", None)  # of a client; a cluster object has the address itself
    return getattr(said, "scheduler_address", None) or getattr(scheduler, "address", None) or said


def _current() -> Any:
    """The current Dask client, if user code made one; Dask is not imported to find out."""
    if "distributed" in sys.modules:
        return {"kind": "current"}
    return "local"


def _make(kind: str, **options: Any) -> Cluster:
    found = KINDS.get(kind) or next((e.value for e in entry_points(group=ENTRY_POINT_GROUP, name=kind)), None)
    if found is None:
        known = ", ".join(repr(name) for name in ("inline", "threads", "local"))
        raise ClusterError(
            f"there is no kind of cluster called {kind!r}",
            where=f"cluster={kind!r}",
            fix=f"use {known}, an address such as 'tcp://host:8786', or a distributed.Client",
        )
    module, _, name = found.partition(":")
    return cast("Cluster", getattr(importlib.import_module(module), name)(**options))
