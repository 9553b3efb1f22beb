"""Artifacts made outside of runs: straight into the history, or a warning that there is none."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Mapping
from typing import Any

from dataflow.artifacts.rows import artifact_row
from dataflow.errors import HistoryError

__all__ = ["keep_outside_of_runs"]


def keep_outside_of_runs(body: Mapping[str, Any]) -> None:
    """Write an artifact of no run.

    What is wrong with the database is no reason to end what made the artifact: it is logged.

    Args:
        body: what is said of it.
    """
    # Loaded here: elements make artifacts on workers, which need neither settings nor databases for that.
    url = importlib.import_module("dataflow.recording.places").history_url()
    if url is None:
        _warn_once("artifacts are not kept: there is no history of runs (DATAFLOW_HISTORY=off)")
        return
    try:
        reader = importlib.import_module("dataflow.database.reader").Reader(url)
        reader.put([artifact_row(body, reader.artifact(body["id"]))])
    except HistoryError as error:
        _warn_once(f"artifacts are not kept: {error}")


@functools.cache
def _warn_once(message: str) -> None:
    """Each message once: bars of progress have a lot to say."""
    logging.getLogger("dataflow").warning(message)
