"""Which ledger of limits holds for the code that is executing: that of its run, of its worker, or of this process."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from dataflow.context import current_run, isolated_process
from dataflow.engine.limits.desk import Desk
from dataflow.engine.limits.local import local_desk
from dataflow.errors import UsageError

__all__ = ["desk_here", "known_desks"]

AGENTS = "dataflow.engine.limits.agent"


def desk_here() -> Desk:
    """Where the code that is executing asks for places.

    Raises:
        UsageError: it runs in a process of its own, which cannot ask.
    """
    if isolated_process.is_set():
        raise UsageError(
            'an attempt with isolation="process" cannot ask the cluster for places',
            where="concurrency or rate_limit in a task",
            fix="limit the task itself: @task(concurrency_limit=3), or a tag with a limit",
        )
    run = current_run.get()
    return run.limits if run is not None else _agent_here() or local_desk()


def known_desks() -> set[Desk]:
    """All that this process can ask: its own, and those of the clusters it is connected to."""
    agents: Any = sys.modules.get(AGENTS)
    return {desk_here(), local_desk(), *(agents.known_agents() if agents is not None else ())}


def _agent_here() -> Desk | None:
    """The agent of the worker whose task is executing; Dask is not imported to find out."""
    if "distributed" not in sys.modules:
        return None
    agents: Any = importlib.import_module(AGENTS)
    agent: Desk | None = agents.agent_here()
    return agent
