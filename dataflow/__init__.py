"""dataflow: plain Python functions become flows that run on Dask, with the truth about every element."""

from dataflow.annotations import allow_failure, flatten, mapped, unmapped
from dataflow.flows import Flow, flow
from dataflow.futures import as_completed, wait
from dataflow.parameters import Parameter
from dataflow.tasks import Task, task

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
