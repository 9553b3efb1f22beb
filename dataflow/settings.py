"""Settings read once from the environment (``DATAFLOW_…``), with their defaults and units."""

from __future__ import annotations

import functools
import os

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

    cancel_grace_seconds: float = 2.0
    """How long a cancelled run waits for the elements that are running to end; after that they are dropped."""

    async_concurrency: int = 256
    """How many elements of one batch of ``async def`` tasks are under way at once."""

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
