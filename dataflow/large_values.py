"""Large values: those that travel once per worker under a key of their own, not with each batch."""

from __future__ import annotations

from typing import Any

from dataflow.engine.columns import size_of_value
from dataflow.settings import settings

__all__ = ["is_large"]

SMALL_TYPES = frozenset({int, float, bool, complex, type(None)})
"""Types whose values are never large, so that they need not be asked."""


def is_large(value: Any) -> bool:
    """Whether a value is larger than the setting ``large_argument_bytes``.

    Example:
        >>> is_large(1), is_large(bytes(2_000_000))
        (False, True)
    """
    return type(value) not in SMALL_TYPES and size_of_value(value) > settings().large_argument_bytes
