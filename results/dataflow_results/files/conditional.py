"""Create a file only if it is not there, on stores that may lose the answer, and find out who ignores the condition."""

from __future__ import annotations

import os
from collections.abc import Callable

from dataflow_results.errors import StoreError
from dataflow_results.files.trouble import Kind, Trouble

__all__ = ["Attempt", "created", "honours_conditions", "ignored_conditions"]

Attempt = Callable[[bytes], Trouble | None]
"""Try to create a file with this content, patiently; the last trouble, or None."""


def created(data: bytes, attempt: Attempt, read: Callable[[], bytes | None]) -> bool | Trouble:
    """Create a file: True if we made it, False if somebody else did, or the trouble.

    An attempt whose answer was lost is repeated below us and then conflicts with itself. So a conflict is no verdict:
    what is stored decides, because nobody else writes the same bytes.

    Example:
        >>> conflict = Trouble(kind=Kind.EXISTS, summary="412")
        >>> created(b"mine", lambda data: conflict, lambda: b"mine")
        True
    """
    trouble = attempt(data)
    if trouble is None:
        return True
    return read() == data if trouble.kind is Kind.EXISTS else trouble


def honours_conditions(attempt: Attempt) -> bool | Trouble:
    """Whether a store refuses the second of two creates of one file; the trouble if it cannot be told.

    Args:
        attempt: creates one and the same file, whose name nobody else uses.

    Example:
        >>> honours_conditions(lambda data: None)  # both succeed: the condition is ignored
        False
    """
    first = attempt(os.urandom(16))
    if first is not None and first.kind is not Kind.EXISTS:
        return False if first.kind is Kind.UNSUPPORTED else first
    second = attempt(os.urandom(16))
    if second is None:
        return False
    return True if second.kind is Kind.EXISTS else second


def ignored_conditions(where: str) -> StoreError:
    """The error for a create on a store that overwrites instead of refusing."""
    return StoreError(
        "this store ignores 'create only if absent' (two creates of one file succeeded), so leases would be unsafe",
        where=where,
        fix="a store with conditional writes, or no leases; reading and writing results works",
    )
