"""Waiting in tests for what other threads and processes do; only as long as it takes, and not for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["PATIENCE_SECONDS", "until"]

PATIENCE_SECONDS = 20.0
TURN_SECONDS = 0.01


def until(holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something is so; fail if it is not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        threading.Event().wait(TURN_SECONDS)
