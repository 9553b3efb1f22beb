"""The one tree of errors, grouped by what a handler would do.

::

    DataflowError
    ├── UsageError                  change the code that was written
    │   ├── TaskDefinitionError         what @task was given is not a task
    │   ├── ArgumentError               missing, extra or repeated arguments of a call
    │   ├── MapError                    what .map was given cannot be iterated
    │   │   └── MapLengthError              iterated arguments of different lengths
    │   ├── HandleError                 a handle used as if it were its value, or outside its flow
    │   ├── CycleError                  a node that waits for itself
    │   ├── ParameterError              flow parameters that do not fit their annotations
    │   ├── InputError                  input that does not fit what a paused run asks for
    │   └── FlowValidationError         all complaints of a flow at once
    ├── ExecutionError              look at the work that failed
    │   ├── UpstreamFailed              an input failed; chained to the root cause
    │   ├── FlowFailed                  work of the flow failed and nobody looked at it
    │   ├── UnpicklableArgument         an input that cannot travel to a worker
    │   ├── UnpicklableResult           a result that cannot leave its worker
    │   ├── RemoteError                 stands in for an exception that cannot be pickled
    │   ├── WorkLost                    the cluster lost a batch and cannot run it again
    │   ├── TimedOut                    an attempt, or a flow, took longer than its limit (also a TimeoutError)
    │   │   └── PauseTimedOut               nobody resumed a paused run in time
    │   ├── ProcessDied                 the process of an isolated attempt died
    │   └── Cancelled                   the run was cancelled before the work ended
    ├── ClusterError                look at the cluster
    │   ├── ClusterUnreachable          nobody answers at the address
    │   └── NoWorkers                   the cluster has no worker within the time limit
    ├── HistoryError                look at the database of runs, or at what it was asked
    └── NotFinished                 wait, or ask with a longer timeout (also a TimeoutError)
        └── RunSuspended                resume the run, which was put down

Errors of stored results (keys, stores, what lies in them) have a tree of their own: `dataflow_results.errors`.
Every error pickles with its fields, because errors travel between processes.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataflow_results.errors import ExplainedError

__all__ = [
    "ArgumentError",
    "Cancelled",
    "ClusterError",
    "ClusterUnreachable",
    "CycleError",
    "DataflowError",
    "ExecutionError",
    "FlowFailed",
    "FlowValidationError",
    "HandleError",
    "HistoryError",
    "InputError",
    "MapError",
    "MapLengthError",
    "NoWorkers",
    "NotFinished",
    "ParameterError",
    "PauseTimedOut",
    "ProcessDied",
    "RemoteError",
    "RunSuspended",
    "TaskDefinitionError",
    "TimedOut",
    "UnpicklableArgument",
    "UnpicklableResult",
    "UpstreamFailed",
    "UsageError",
    "WorkLost",
]


class DataflowError(ExplainedError):
    """Root of all errors that dataflow raises by itself.

    Args:
        problem: what was wrong, in one sentence.
        where: the run, node, element or argument path it was found at.
        fix: what to write or do instead.
    """


class UsageError(DataflowError):
    """The code that was written has to change."""


class TaskDefinitionError(UsageError, TypeError):
    """What ``@task`` or ``@flow`` was given cannot be one."""


class ArgumentError(UsageError, TypeError):
    """A call with missing, extra or repeated arguments."""


class MapError(UsageError, TypeError):
    """An argument of ``.map`` cannot be iterated, or nothing can."""


class MapLengthError(MapError, ValueError):
    """Iterated arguments of one map have different lengths."""


class HandleError(UsageError, TypeError):
    """A handle or future was used as if it were its value, or where it does not belong."""


class CycleError(UsageError, ValueError):
    """A node waits, over others, for itself."""


class ParameterError(UsageError, ValueError):
    """Flow parameters are missing, unknown or do not fit their annotations."""


class InputError(UsageError, ValueError):
    """What was given to a paused run is not what it asks for."""


class FlowValidationError(UsageError, ValueError):
    """All complaints of a flow at once; ``complaints`` holds each as an error of its own."""

    def __init__(self, flow_name: str, complaints: Sequence[UsageError]) -> None:
        lines = "\n".join(f"- {complaint}" for complaint in complaints)
        noun = "complaint" if len(complaints) == 1 else "complaints"
        super().__init__(f"{len(complaints)} {noun}; nothing was run\n{lines}", where=f"flow {flow_name!r}")
        self.complaints = tuple(complaints)


class ExecutionError(DataflowError):
    """Work of a run did not succeed."""


class UpstreamFailed(ExecutionError):
    """The element was not run because an input failed; ``__cause__`` is the root cause."""


class FlowFailed(ExecutionError):
    """Submitted work failed and nobody looked at it; ``__cause__`` is the first failure."""


class UnpicklableArgument(ExecutionError, TypeError):
    """An input cannot be pickled, so it cannot travel to a worker process."""


class UnpicklableResult(ExecutionError, TypeError):
    """A result cannot be pickled, so it cannot leave its worker process."""


class WorkLost(ExecutionError):
    """The cluster lost a batch (a worker died in it, or its keys were cancelled by somebody else)."""


class TimedOut(ExecutionError, TimeoutError):
    """An attempt of a task, or a whole flow, took longer than its ``timeout_seconds``."""


class PauseTimedOut(TimedOut):
    """A run was paused, and nobody resumed it in time."""


class ProcessDied(ExecutionError):
    """The process of its own that an attempt ran in (``isolation="process"``) ended without an answer."""


class Cancelled(ExecutionError):
    """The run was cancelled before this work ended."""


class RemoteError(ExecutionError):
    """Stands in for a user's exception that cannot be pickled: same name, message and traceback as text."""


class ClusterError(DataflowError):
    """The cluster cannot be used."""


class ClusterUnreachable(ClusterError, ConnectionError):
    """Nobody answers at the cluster's address."""


class NoWorkers(ClusterError, TimeoutError):
    """The cluster had no worker within the time limit."""


class HistoryError(DataflowError):
    """The database of runs cannot be used, or does not know what it was asked for."""


class NotFinished(DataflowError, TimeoutError):
    """The work had not ended when the time limit was over."""


class RunSuspended(NotFinished):
    """The run was put down before it ended; it goes on when somebody resumes it."""
