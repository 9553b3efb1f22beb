"""dataflow: plain Python functions become flows that run on Dask, with the truth about every element.

The names below are loaded when they are first used, so that a worker, which needs none of them, starts faster.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from dataflow.annotations import allow_failure, flatten, mapped, unmapped
    from dataflow.apply_maps import apply_map
    from dataflow.control_flow import case, ifelse, merge, switch
    from dataflow.filter_tasks import FilterTask
    from dataflow.flows import Flow, flow
    from dataflow.limits import concurrency, rate_limit
    from dataflow.logs import get_run_logger
    from dataflow.parameters import Parameter
    from dataflow.pausing import pause_flow_run, resume_flow_run, suspend_flow_run
    from dataflow.resources import resource_manager
    from dataflow.signals import Loop, Skip
    from dataflow.tasks import Task, task
    from dataflow.transactions import transaction
    from dataflow.waiting import as_completed, wait

__all__ = [
    "FilterTask",
    "Flow",
    "Loop",
    "Parameter",
    "Skip",
    "Task",
    "allow_failure",
    "apply_map",
    "as_completed",
    "case",
    "concurrency",
    "flatten",
    "flow",
    "get_run_logger",
    "ifelse",
    "mapped",
    "merge",
    "pause_flow_run",
    "rate_limit",
    "resource_manager",
    "resume_flow_run",
    "suspend_flow_run",
    "switch",
    "task",
    "transaction",
    "unmapped",
    "wait",
]

_HOMES = {
    "FilterTask": "dataflow.filter_tasks",
    "Flow": "dataflow.flows",
    "Loop": "dataflow.signals",
    "Parameter": "dataflow.parameters",
    "Skip": "dataflow.signals",
    "Task": "dataflow.tasks",
    "allow_failure": "dataflow.annotations",
    "apply_map": "dataflow.apply_maps",
    "as_completed": "dataflow.waiting",
    "case": "dataflow.control_flow",
    "concurrency": "dataflow.limits",
    "flatten": "dataflow.annotations",
    "flow": "dataflow.flows",
    "get_run_logger": "dataflow.logs",
    "ifelse": "dataflow.control_flow",
    "mapped": "dataflow.annotations",
    "merge": "dataflow.control_flow",
    "pause_flow_run": "dataflow.pausing",
    "rate_limit": "dataflow.limits",
    "resource_manager": "dataflow.resources",
    "resume_flow_run": "dataflow.pausing",
    "suspend_flow_run": "dataflow.pausing",
    "switch": "dataflow.control_flow",
    "task": "dataflow.tasks",
    "transaction": "dataflow.transactions",
    "unmapped": "dataflow.annotations",
    "wait": "dataflow.waiting",
}
"""The module that defines each public name."""


def __getattr__(name: str) -> _typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(_importlib.import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
