"""What is running now, by the names of Prefect: ``runtime.flow_run.id``, ``runtime.task_run.parameters``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dataflow.context import get

__all__ = ["flow_run", "task_run"]


class _FlowRun:
    """The run whose body, or one of whose tasks, is executing; None, or empty, elsewhere."""

    def __repr__(self) -> str:
        return "<dataflow.runtime.flow_run>"

    @property
    def id(self) -> str | None:
        """Its id."""
        return get("run_id")  # type: ignore[no-any-return]

    @property
    def name(self) -> str | None:
        """What the run is called."""
        return get("run_name")  # type: ignore[no-any-return]

    @property
    def flow_name(self) -> str | None:
        """Name of the flow."""
        return get("flow")  # type: ignore[no-any-return]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the flow; on workers those that pickle and are not large."""
        return get("parameters", {})  # type: ignore[no-any-return]

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return get("tags", [])  # type: ignore[no-any-return]

    @property
    def run_count(self) -> int:
        """Number of the attempt at the flow, 1 at first; 0 elsewhere."""
        return get("run_count", 0)  # type: ignore[no-any-return]

    @property
    def parent_flow_run_id(self) -> str | None:
        """Id of the run in which it was begun; None if there is none."""
        return get("parent_run_id") or None

    @property
    def scheduled_start_time(self) -> datetime | None:
        """When it began."""
        return get("scheduled_start_time")  # type: ignore[no-any-return]


class _TaskRun:
    """The element of a task that is executing; None, or empty, elsewhere."""

    def __repr__(self) -> str:
        return "<dataflow.runtime.task_run>"

    @property
    def id(self) -> str | None:
        """The id of the run and the place: ``"5d2c1f0a9b3e/load[17]"``."""
        return get("task_run_id")  # type: ignore[no-any-return]

    @property
    def name(self) -> str | None:
        """The place: ``"load[17]"``, of a plain node its slug."""
        return get("task_run_name")  # type: ignore[no-any-return]

    @property
    def task_name(self) -> str | None:
        """Name of the task."""
        return get("task")  # type: ignore[no-any-return]

    @property
    def index(self) -> int | None:
        """Index of the element; None for a plain node."""
        return get("index")  # type: ignore[no-any-return]

    @property
    def run_count(self) -> int:
        """Number of the attempt, 1 at first; 0 elsewhere."""
        return get("attempt", 0)  # type: ignore[no-any-return]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The arguments of the task's function by name, defaults included."""
        return get("arguments", {})  # type: ignore[no-any-return]

    @property
    def tags(self) -> list[str]:
        """Tags of the task."""
        return get("task_tags", [])  # type: ignore[no-any-return]


flow_run = _FlowRun()
"""The run."""
task_run = _TaskRun()
"""The element."""
