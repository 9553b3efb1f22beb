"""Settings read once from the environment (``DATAFLOW_…``), with their defaults and units."""

from __future__ import annotations

import functools
import os
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Settings", "settings"]

PREFIX = "DATAFLOW_"


class Settings(BaseModel):
    """All settings; each is also an environment variable in capitals with ``DATAFLOW_`` before it.

    Example:
        >>> Settings(cluster="threads").cluster
        'threads'
    """

    model_config = ConfigDict(frozen=True)

    cluster: str = ""
    """Where flows run when nothing else says so: ``inline``, ``threads``, ``local`` or an address. Empty: the current
    Dask client if there is one, else ``local``."""

    batch_seconds: float = 0.5
    """How long a batch should take. Batches between 0.2 s and 2 s keep both the overhead and the tail small."""

    send_after_seconds: float = 0.05
    """How long a submitted task may wait for others to be sent with it while the flow's body is busy."""

    large_argument_bytes: int = 1_000_000
    """Arguments larger than this travel once per worker under a key of their own."""

    connect_timeout_seconds: float = 10.0
    """How long to wait for an answer from a cluster's address."""

    workers_timeout_seconds: float | None = None
    """How long a run waits for a cluster without workers; None waits for ever."""

    result_storage: str = "~/.dataflow/results"
    """Where results are kept when neither the task nor the flow says so: a path or any URL that fsspec opens."""

    persist_results: bool = False
    """Whether results are kept when neither the task nor the flow says so."""

    limits: str = ""
    """Limits by name, separated by commas: places, or uses in a time, as in ``database=3, api=10/s``."""

    history: str = "sqlite:///~/.dataflow/history.db"
    """Where the history of runs is kept: any URL that SQLAlchemy opens, or ``off``."""

    history_keep_days: float = 90.0
    """Runs that ended longer ago are forgotten; 0 keeps them however old they are."""

    history_keep_runs: int = 1000
    """Of more runs than this the oldest are forgotten; 0 keeps them however many they are."""

    history_finish_seconds: float = 1.0
    """How long the end of a flow waits until it is written. What is not written by then is written a little later."""

    progress: Literal["auto", "on", "plain", "json", "off"] = "auto"
    """How flows show how far they are: ``auto`` (a table if there is a terminal), ``on`` (otherwise plain lines),
    ``plain``, ``json`` (an object per node and second on a line of its own), or ``off``."""

    cancel_grace_seconds: float = 2.0
    """How long a cancelled run waits for the elements that are running to end; after that they are dropped."""

    async_concurrency: int = 256
    """How many elements of one batch of ``async def`` tasks are under way at once."""

    log_bytes_per_element: int = 65_536
    """How much of what an element logs and prints is kept: the first lines and the last ones. 0 keeps nothing."""

    log_level: str = "INFO"
    """From which level on the loggers that `get_run_logger` gives let lines through."""

    log_prints: bool = False
    """Whether what tasks and flows print is a line of their log, when neither of them says so."""

    show_logs: bool | None = None
    """Whether each line that a run logs or prints is shown on stderr; None: only those of ``log_prints``."""

    full_tracebacks: bool = False
    """Whether tracebacks of what tasks and flows raise show the frames of this package and of Dask, too."""


@functools.cache
def settings() -> Settings:
    """The settings of this process, read from the environment at first use.

    Raises:
        pydantic.ValidationError: a variable holds something that does not fit.
    """
    named = {name: f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = {name: os.environ[variable] for name, variable in named.items() if variable in os.environ}
    return Settings.model_validate(given)
