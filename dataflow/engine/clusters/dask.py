"""Dask clusters: by name, by address, by client; started once and used again."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import threading
import time
import weakref
from typing import Any

import distributed
from distributed import Client, LocalCluster

from dataflow.engine.clusters.dask_shell import DaskShell
from dataflow.engine.clusters.processes import QuietNanny
from dataflow.engine.events import BatchAway, BatchReported, RestReturned
from dataflow.engine.limits.agent import agent_of_client
from dataflow.engine.notices import Noticed, unpack_notices
from dataflow.engine.report import Report
from dataflow.engine.shell import Post
from dataflow.errors import ClusterError, ClusterUnreachable
from dataflow.settings import settings

__all__ = [
    "DaskCluster",
    "address_cluster",
    "current_cluster",
    "existing_cluster",
    "local_cluster",
    "threads_cluster",
    "worker_cluster",
]

logger = logging.getLogger("dataflow")
COUNT_SECONDS = 0.4
"""How old the number of worker threads may be."""
MOST_SAID_BYTES = 32 * 2**20
"""So much of what elements said the scheduler may remember."""
_started: dict[str, DaskCluster] = {}
_starting = threading.Lock()
_clusters: dict[Client, DaskCluster] = {}


class DaskCluster:
    """A Dask cluster, by its client."""

    def __init__(self, client: Client, *, crosses_processes: bool) -> None:
        self.client = client
        self.crosses_processes = crosses_processes
        self.name = str(client.scheduler.address) if client.scheduler is not None else "closed"
        self.topic = f"dataflow-{client.id}"
        """Where the workers send the reports of all runs of this client."""
        self.limits = agent_of_client(client)
        self._threads, self._counted_at = 0, float("-inf")
        self._said_bytes = 0
        self.shells: weakref.WeakValueDictionary[str, DaskShell] = weakref.WeakValueDictionary()
        client.subscribe_topic(self.topic, self._on_event)

    def open_shell(self, run_id: str, post: Post) -> DaskShell:
        """A shell for one run."""
        self.limits.introduce()
        shell = self.shells[run_id] = DaskShell(self, run_id, post)
        return shell

    def threads(self) -> int:
        """Worker threads; asked of the scheduler at most every half second."""
        now = time.monotonic()
        if now - self._counted_at > COUNT_SECONDS:
            self._threads, self._counted_at = sum(self.client.nthreads().values()), now
        return self._threads

    def tidy(self) -> None:
        """Have the scheduler forget what was sent through it; it remembers 1,000 messages for who subscribes later."""
        if self._said_bytes < MOST_SAID_BYTES:
            return
        self._said_bytes, topic = 0, self.topic

        def forget(dask_scheduler: Any) -> None:
            """Travels as it stands here, since the scheduler may not have this package."""
            broker = getattr(dask_scheduler, "_broker", None)  # there is no public way to it
            if broker is not None:
                broker.truncate(topic)

        try:
            self.client.run_on_scheduler(forget)
        except Exception:  # boundary: a scheduler that is gone, or takes no functions, or has another broker
            logger.debug("the scheduler could not be made to forget what elements said", exc_info=True)

    def _on_event(self, event: tuple[float, Any]) -> None:
        """A report came; it is for one of the runs, if that still goes on."""
        run_id, wire = event[1]
        shell = self.shells.get(run_id)
        if shell is None:
            return
        if "recalled" in wire:
            shell.post(RestReturned(wire["recalled"], wire["limit"]))
        elif "notices" in wire:
            self._said_bytes += len(wire["items"])
            shell.post(Noticed(wire["notices"], unpack_notices(wire["items"])))
        elif "away" in wire:
            shell.post(BatchAway(wire["away"]))
        else:
            shell.post(BatchReported(Report.from_wire(wire)))

    def close_shells(self) -> None:
        """Drop what all runs have on the cluster."""
        for shell in list(self.shells.values()):
            shell.close()


def local_cluster(**options: Any) -> DaskCluster:
    """Worker processes on this machine; without options one per process of ours, started once and used again.

    A worker process starts none of its own: what is said without options there means the cluster that it is of.
    """
    if options:
        return _of(_start_processes(**options), crosses_processes=True)
    if _is_worker_process():
        return worker_cluster()
    return _once("local", crosses_processes=True)


def threads_cluster(**options: Any) -> DaskCluster:
    """Worker threads in this process; values are not copied."""
    if options:
        return _of(_start_threads(**options), crosses_processes=False)
    return _once("threads", crosses_processes=False)


def _of(client: Client, *, crosses_processes: bool) -> DaskCluster:
    """The one `DaskCluster` of a client; those of closed clients are forgotten."""
    for other in [other for other in _clusters if other.status == "closed"]:
        del _clusters[other]
    known = _clusters.get(client)
    if known is None:
        known = _clusters[client] = DaskCluster(client, crosses_processes=crosses_processes)
    return known


def _once(kind: str, *, crosses_processes: bool) -> DaskCluster:
    with _starting:
        known = _started.get(kind)
        if known is None or known.client.status != "running":
            known = _started[kind] = _of(_STARTERS[kind](), crosses_processes=crosses_processes)
        return known


def _start_processes(**options: Any) -> Client:
    return _start(worker_class=QuietNanny, **options)


def _start_threads(**options: Any) -> Client:
    return _start(processes=False, **options)


def _start(**options: Any) -> Client:
    """A client of a new cluster of this process; no dashboard unless asked for, since that takes 0.6 s to load."""
    defaults: dict[str, Any] = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.ERROR}
    if "dashboard_address" not in options:
        defaults["scheduler_kwargs"] = {"dashboard": False}
    client = Client(LocalCluster(**{**defaults, **options}), set_as_default=False)
    atexit.register(_stop, client)
    return client


def _stop(client: Client) -> None:
    """Close a cluster of ours when the process ends, without the log lines of a planned end."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if client in _clusters:
        _clusters[client].close_shells()
    cluster = client.cluster
    client.close()
    if cluster is not None:
        cluster.close()


_STARTERS = {"local": _start_processes, "threads": _start_threads}


def address_cluster(*, address: str) -> DaskCluster:
    """The cluster whose scheduler listens at an address; the connection is kept for later runs."""
    if _address_here() == address:
        return worker_cluster()
    with _starting:
        known = _started.get(address)
        if known is None or known.client.status != "running":
            known = _started[address] = _of(_connect(address), crosses_processes=True)
        return known


def _connect(address: str) -> Client:
    seconds = settings().connect_timeout_seconds
    try:
        return Client(address, timeout=seconds, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterUnreachable(
            f"no Dask scheduler answered within {seconds:g} s ({type(error).__name__}: {error})",
            where=f"cluster={address!r}",
            fix="check the address and that `dask scheduler` runs there, or leave cluster= out to run locally",
        ) from error


def existing_cluster(*, client_or_cluster: Any) -> DaskCluster:
    """The cluster of a client or cluster object that user code made."""
    if isinstance(client_or_cluster, DaskCluster):
        return client_or_cluster
    if isinstance(client_or_cluster, Client):
        client = client_or_cluster
    elif hasattr(client_or_cluster, "scheduler_address"):
        client = Client(client_or_cluster, set_as_default=False)
    else:
        raise ClusterError(
            f"{type(client_or_cluster).__name__} is not a cluster",
            where=f"cluster={client_or_cluster!r:.60}",
            fix='pass "inline", "threads", "local", an address, a distributed.Client or a Dask cluster object',
        )
    if client.asynchronous:
        raise ClusterError(
            "the client is asynchronous",
            where=f"cluster={client!r:.60}",
            fix="pass its address (client.scheduler.address): dataflow keeps a connection of its own",
        )
    return _of(client, crosses_processes=not str(client.scheduler.address).startswith("inproc"))


def current_cluster() -> DaskCluster:
    """The cluster of the current Dask client (of a notebook, say), or the local one if there is none."""
    try:
        client = distributed.get_client()
    except ValueError:
        return local_cluster()
    return existing_cluster(client_or_cluster=client.scheduler.address if client.asynchronous else client)


def worker_cluster() -> DaskCluster:
    """The cluster of the worker that executes this task; one connection for each process."""
    address = _address_here()
    with _starting:
        running = (cluster for client, cluster in list(_clusters.items()) if client.status == "running")
        known = next((cluster for cluster in running if cluster.name == address), None)
        return known or existing_cluster(client_or_cluster=distributed.get_client())


def _address_here() -> str | None:
    """The address of the scheduler of the worker that executes this task; None outside of tasks."""
    try:
        return str(distributed.get_worker().scheduler.address)
    except ValueError:
        return None


def _is_worker_process() -> bool:
    """Whether this is a task in a process that is there for a worker, which may not start processes."""
    return multiprocessing.current_process().daemon and _address_here() is not None
