"""Cache policies under the name people know: what the key of a result is made of. See `dataflow_results.policies`."""

from __future__ import annotations

from dataflow_results.policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    LINEAGE,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
)

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "LINEAGE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CacheKeyFnPolicy",
    "CachePolicy",
]
