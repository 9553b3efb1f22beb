"""Isolation: an attempt runs in a warm process of its own, which can be ended at any time and harms nobody by dying.

``wire`` is what goes between a worker and such a process, ``child`` runs in the process and imports as little as it
can, ``process`` is the worker's side of one process, ``pool`` keeps them and is what the engine calls.

The names below are loaded when they are first used, so that a child, which needs none of them, starts faster.
"""

from __future__ import annotations

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from dataflow.engine.isolation.pool import call_isolated, end_isolated, stop_isolated

__all__ = ["call_isolated", "end_isolated", "stop_isolated"]


def __getattr__(name: str) -> _typing.Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(_importlib.import_module("dataflow.engine.isolation.pool"), name)
    return found
