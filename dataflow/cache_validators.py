"""The cache validators of classic Prefect, for ``@task(cache_for=..., cache_validator=...)``."""

from __future__ import annotations

from dataflow_results.cache_validators import (
    all_inputs,
    all_parameters,
    duration_only,
    never_use,
    partial_inputs_only,
    partial_parameters_only,
)

__all__ = [
    "all_inputs",
    "all_parameters",
    "duration_only",
    "never_use",
    "partial_inputs_only",
    "partial_parameters_only",
]
