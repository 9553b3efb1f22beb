"""Values that outlive a run: keys, stores, packs, leases. Usable alone; knows nothing of flows or Dask.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from dataflow_results.canonical import encode, register, source_of
    from dataflow_results.care.catalogue import Query, list_batches
    from dataflow_results.care.collecting import collect
    from dataflow_results.care.garbage_facts import Rules
    from dataflow_results.care.verify import verify
    from dataflow_results.files import open_files
    from dataflow_results.keying.keys import node_key
    from dataflow_results.keying.plans import CallArguments, RunPlace, make_plan
    from dataflow_results.keying.positions import item_keys
    from dataflow_results.keying.preimages import pack_preimage
    from dataflow_results.liveness.leases import Claims
    from dataflow_results.liveness.runs import RunPhase, RunRecords
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
    from dataflow_results.problems import Problem, ResultsWarning
    from dataflow_results.records import Provenance, ResultReference
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
    "Claims",
    "GCSResult",
    "LocalResult",
    "MemoryResult",
    "Problem",
    "Provenance",
    "Query",
    "ResultReference",
    "ResultStore",
    "ResultsWarning",
    "Rules",
    "RunPhase",
    "RunPlace",
    "RunRecords",
    "S3Result",
    "Template",
    "collect",
    "encode",
    "item_keys",
    "list_batches",
    "load",
    "make_plan",
    "node_key",
    "open_files",
    "open_store",
    "pack_preimage",
    "register",
    "source_of",
    "verify",
]

_MODULES = {
    "canonical": ("encode", "register", "source_of"),
    "care.catalogue": ("Query", "list_batches"),
    "care.collecting": ("collect",),
    "care.garbage_facts": ("Rules",),
    "care.verify": ("verify",),
    "files": ("open_files",),
    "keying.keys": ("node_key",),
    "keying.plans": ("CallArguments", "RunPlace", "make_plan"),
    "keying.positions": ("item_keys",),
    "keying.preimages": ("pack_preimage",),
    "liveness.leases": ("Claims",),
    "liveness.runs": ("RunPhase", "RunRecords"),
    "locations": ("AzureResult", "GCSResult", "LocalResult", "MemoryResult", "S3Result"),
    "policies": (
        "DEFAULT", "FLOW_PARAMETERS", "INPUTS", "LINEAGE", "NO_CACHE", "RUN_ID", "TASK_SOURCE", "CacheKeyFnPolicy",
        "CachePolicy",
    ),
    "problems": ("Problem", "ResultsWarning"),
    "records": ("Provenance", "ResultReference"),
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
