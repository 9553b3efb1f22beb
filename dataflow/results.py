"""Stores, places and explanations of results under the names people know; see `dataflow_results`."""

from __future__ import annotations

from typing import Any

from dataflow.persistence import StoreAddress
from dataflow.settings import settings
from dataflow_results.care.catalogue import Query
from dataflow_results.care.misses import why_computed
from dataflow_results.locations import AzureResult, GCSResult, LocalResult, MemoryResult, S3Result
from dataflow_results.records import ResultReference
from dataflow_results.store import ResultStore, load

__all__ = [
    "AzureResult",
    "GCSResult",
    "LocalResult",
    "MemoryResult",
    "ResultReference",
    "ResultStore",
    "S3Result",
    "explain",
    "load",
]


def explain(task: str, *, element: int | None = None, run_id: str = "", storage: Any = None) -> list[str]:
    """Why the newest results of a task were computed, although others were stored: the smallest difference of each.

    Args:
        task: its name.
        element: only this element of a map.
        run_id: only results of this run.
        storage: where the results are; None is the default place.

    Raises:
        ResultMissing: nothing is stored of this task.

    Example:
        >>> from dataflow import flow, task
        >>> from dataflow.cache_policies import INPUTS
        >>> @task(cache_policy=INPUTS)
        ... def scale(x, factor):
        ...     return x * factor
        >>> @flow(cluster="inline", result_storage="memory://explain")
        ... def scaled(factor):
        ...     return scale(3, factor)
        >>> scaled(2), scaled(5)
        (6, 15)
        >>> print(*explain("scale", storage="memory://explain"))
        0: ...factor...
    """
    store = StoreAddress.of(settings().result_storage if storage is None else storage).open()
    found = why_computed(store, Query(task=task, run_id=run_id), element=element)
    return [f"{computed.element.index}: {computed.why}" for computed in found]
