"""Values that outlive a run: keys, stores, packs, leases. Usable alone; knows nothing of flows or Dask.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from dataflow_results.canonical import encode, register, source_of
    from dataflow_results.key_plans import CallArguments, RunPlace, make_plan
    from dataflow_results.key_positions import item_keys
    from dataflow_results.keys import node_key
    from dataflow_results.locations import AzureResult, GCSResult, LocalResult, MemoryResult, S3Result
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
    from dataflow_results.preimages import pack_preimage
    from dataflow_results.problems import ResultsWarning
    from dataflow_results.records import Provenance, ResultReference
    from dataflow_results.runs import RunPhase, RunRecords
    from dataflow_results.store import ResultStore, load, open_store
    from dataflow_results.templates import Template

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "LINEAGE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "AzureResult",
    "CacheKeyFnPolicy",
    "CachePolicy",
    "CallArguments",
    "GCSResult",
    "LocalResult",
    "MemoryResult",
    "Provenance",
    "ResultReference",
    "ResultStore",
    "ResultsWarning",
    "RunPhase",
    "RunPlace",
    "RunRecords",
    "S3Result",
    "Template",
    "encode",
    "item_keys",
    "load",
    "make_plan",
    "node_key",
    "open_store",
    "pack_preimage",
    "register",
    "source_of",
]

_MODULES = {
    "canonical": ("encode", "register", "source_of"),
    "key_plans": ("CallArguments", "RunPlace", "make_plan"),
    "key_positions": ("item_keys",),
    "keys": ("node_key",),
    "locations": ("AzureResult", "GCSResult", "LocalResult", "MemoryResult", "S3Result"),
    "policies": (
        "DEFAULT", "FLOW_PARAMETERS", "INPUTS", "LINEAGE", "NO_CACHE", "RUN_ID", "TASK_SOURCE", "CacheKeyFnPolicy",
        "CachePolicy",
    ),
    "preimages": ("pack_preimage",),
    "problems": ("ResultsWarning",),
    "records": ("Provenance", "ResultReference"),
    "runs": ("RunPhase", "RunRecords"),
    "store": ("ResultStore", "load", "open_store"),
    "templates": ("Template",),
}  # fmt: skip
_HOMES = {name: f"dataflow_results.{module}" for module, names in _MODULES.items() for name in names}
"""The module that defines each public name."""


def __getattr__(name: str) -> _typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(_importlib.import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
