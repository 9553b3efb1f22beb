"""Threads without a context: for which batch they work, as far as that can be told.

Threads do not take over the context of who starts them, and many libraries start some. So it is guessed: a thread that
began while the one batch ran that runs in this process works for that batch.
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["batch_begins", "batch_ends", "guessed_voice"]

OURS = "dataflow"
"""Threads of this project carry its name; nothing that they say is said by an element."""
_before: dict[Any, frozenset[threading.Thread]] = {}
"""The voices of the batches that run in this process, with the threads that there were before each."""


def batch_begins(voice: Any) -> None:
    """A batch begins, whose elements say what they say to this voice."""
    _before[voice] = frozenset(threading.enumerate())


def batch_ends(voice: Any) -> None:
    """It has ended."""
    del _before[voice]


def guessed_voice() -> Any:
    """The voice of the batch that this thread works for; None if that cannot be told.

    Example:
        >>> guessed_voice() is None
        True
    """
    if len(_before) != 1:
        return None
    found = next(iter(list(_before.items())), None)
    thread = threading.current_thread()
    if found is None or thread in found[1] or thread.name.startswith(OURS):
        return None
    return found[0]
