"""What worker processes of ours load as they start: Ctrl-C is for the program, and its end is no trouble of theirs."""

from __future__ import annotations

import logging
import signal
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(worker: Any) -> None:
    """Ignore interrupts; Dask calls this in the main thread of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed.worker").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """A heartbeat that meets a scheduler which is closing tells nothing; one that is lost is told of otherwise, too."""
    return "during heartbeat" not in record.getMessage()
