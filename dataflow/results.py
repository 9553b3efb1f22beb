"""Stores and places of results under the names people know; see `dataflow_results`."""

from __future__ import annotations

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
    "load",
]
