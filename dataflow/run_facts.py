"""Facts of a run that its elements can ask for: they travel once to each worker, with the programs of the run."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

__all__ = ["Parameters", "RunFacts"]

LARGEST_PARAMETER_BYTES = 100_000
"""Larger values of parameters do not travel only because some element might ask for them."""
LOG_BYTES_PER_ELEMENT = 64 * 1024


class Parameters:
    """Parameters of a flow by name; in another process those that pickle and are not large.

    Args:
        values: the values.
        packed: pickles of values, which are unpickled when somebody asks.

    Example:
        >>> Parameters({"year": 2013}).values
        {'year': 2013}
    """

    __slots__ = ("_packed", "_values")

    def __init__(self, values: Mapping[str, Any] | None = None, packed: Mapping[str, bytes] | None = None) -> None:
        self._values = values
        self._packed = packed

    @property
    def values(self) -> dict[str, Any]:
        """The values by name."""
        if self._values is None:
            self._values = {name: _unpacked(data) for name, data in (self._packed or {}).items()}
        return dict(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._packed is None:
            tried = {name: _packed(value) for name, value in (self._values or {}).items()}
            self._packed = {name: data for name, data in tried.items() if data is not None}
        return (Parameters, (None, self._packed))


def _packed(value: Any) -> bytes | None:
    try:
        data: bytes = cloudpickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - boundary: pickling runs code of the value's class, which may raise anything
        return None
    return data if len(data) <= LARGEST_PARAMETER_BYTES else None


def _unpacked(data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:  # noqa: BLE001 - boundary: as above; who asks for it sees why it is not there
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What code of a run may ask about the run, and what becomes of what it says.

    Example:
        >>> RunFacts(id="5d2c1f0a9b3e", flow="etl").attempt
        1
    """

    id: str = ""
    flow: str = ""
    """Name of the flow."""
    name: str = ""
    """What this run is called."""
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    attempt: int = 1
    """At the flow as a whole."""
    parameters: Parameters = field(default_factory=Parameters, repr=False)
    tags: tuple[str, ...] = ()
    parent: str = ""
    """Id of the run that it was begun in; empty if there is none."""
    log_prints: bool = False
    """Whether what tasks print is a log line, where they say nothing themselves."""
    shows_logs: bool = False
    """Whether each line is shown where the run was started, so that workers need not pass on what is printed."""
    log_level: str = "INFO"
    """From which level on the loggers of `get_run_logger` let lines through."""
    log_bytes: int = LOG_BYTES_PER_ELEMENT
    """How much of what an element logs and prints is kept; 0: nothing is looked at."""
    history: str = ""
    """URL of the database that its history is kept in; empty if it is kept nowhere."""
    host: str = field(default_factory=socket.gethostname)
    """The machine where it was started."""
