"""The cache validators of classic Prefect, as functions that give cache policies; ``cache_for`` is the expiration.

Classic looked at neither the code of the task nor the place of an element in its map. Its cache ended with the process;
ours does not, so the policies below count the task's source too, and the element's index where arguments do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dataflow_results.policies import DEFAULT, FLOW_PARAMETERS, NO_CACHE, POSITION, TASK_SOURCE, CachePolicy

__all__ = [
    "all_inputs",
    "all_parameters",
    "duration_only",
    "never_use",
    "partial_inputs_only",
    "partial_parameters_only",
]


def never_use() -> CachePolicy:
    """Nothing is cached.

    Example:
        >>> never_use()
        NO_CACHE
    """
    return NO_CACHE


def duration_only() -> CachePolicy:
    """Whatever the arguments are: the result of this node and element is good until it expires.

    Example:
        >>> duration_only()
        TASK_SOURCE + POSITION
    """
    return TASK_SOURCE + POSITION


def all_inputs() -> CachePolicy:
    """Good while all arguments are the same.

    Example:
        >>> all_inputs()
        INPUTS + TASK_SOURCE
    """
    return DEFAULT


def all_parameters() -> CachePolicy:
    """Good for this node and element while all parameters of the flow are the same.

    Example:
        >>> all_parameters()
        TASK_SOURCE + FLOW_PARAMETERS + POSITION
    """
    return TASK_SOURCE + FLOW_PARAMETERS + POSITION


def partial_inputs_only(validate_on: Iterable[str] | None = None) -> CachePolicy:
    """Good while the named arguments are the same; without names, while all are.

    Example:
        >>> partial_inputs_only(["date"])
        INPUTS[date] + TASK_SOURCE
    """
    return DEFAULT if validate_on is None else replace(DEFAULT, only=_names(validate_on))


def partial_parameters_only(validate_on: Iterable[str] | None = None) -> CachePolicy:
    """Good for this node and element while the named parameters of the flow are the same; without names, while all are.

    Example:
        >>> partial_parameters_only(["date"])
        TASK_SOURCE + FLOW_PARAMETERS[date] + POSITION
    """
    return all_parameters() if validate_on is None else replace(all_parameters(), only_parameters=_names(validate_on))


def _names(given: Iterable[str]) -> frozenset[str]:
    return frozenset([given] if isinstance(given, str) else given)
