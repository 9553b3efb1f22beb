"""dataflow: plain Python functions become flows that run on Dask, with the truth about every element.

The names below are loaded when they are first used, so that a worker, which needs none of them, starts faster.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from dataflow.annotations import allow_failure, flatten, mapped, unmapped
    from dataflow.flows import Flow, flow
    from dataflow.parameters import Parameter
    from dataflow.tasks import Task, task
    from dataflow.waiting import as_completed, wait

__all__ = [
    "Flow",
    "Parameter",
    "Task",
    "allow_failure",
    "as_completed",
    "flatten",
    "flow",
    "mapped",
    "task",
    "unmapped",
    "wait",
]

_HOMES = {
    "Flow": "dataflow.flows",
    "Parameter": "dataflow.parameters",
    "Task": "dataflow.tasks",
    "allow_failure": "dataflow.annotations",
    "as_completed": "dataflow.waiting",
    "flatten": "dataflow.annotations",
    "flow": "dataflow.flows",
    "mapped": "dataflow.annotations",
    "task": "dataflow.tasks",
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
