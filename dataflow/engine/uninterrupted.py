"""What worker processes of ours load as they start: they do not hear of Ctrl-C, which is for the program."""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(worker: Any) -> None:
    """Ignore interrupts; Dask calls this in the main thread of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
