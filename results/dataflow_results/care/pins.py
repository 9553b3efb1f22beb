"""Pins: what must not be collected, whatever its age: the results of a task, those of a run, or a single one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from dataflow_results.digests import digest
from dataflow_results.errors import CorruptResult, ResultMissing
from dataflow_results.files.protocol import Files

__all__ = ["Pin", "PinKind", "add_pin", "list_pins", "remove_pin"]

PINS: Final = "pins"
"""Folder of all pins."""
PIN_FORMAT: Final = 1
SUFFIX: Final = ".json"


class PinKind(StrEnum):
    """What a pin names."""

    TASK = "task"
    """By name, or by collection."""
    RUN = "run"
    RESULT = "result"
    """As ``collection/key``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Something that must not be collected."""

    kind: PinKind
    target: str
    reason: str = ""
    """For people."""

    @property
    def name(self) -> str:
        """File of the pin: the same for pins of the same thing."""
        return f"{PINS}/{self.kind.value}-{digest(b'pin', self.target.encode()).hex()[:16]}{SUFFIX}"


def add_pin(files: Files, pin: Pin) -> None:
    """Keep something until the pin is removed.

    Raises:
        StoreError: the store is in trouble.

    Example:
        >>> from dataflow_results.files import open_files
        >>> files = open_files("memory://pins-example")
        >>> add_pin(files, Pin(kind=PinKind.RUN, target="run-1", reason="in the paper"))
        >>> [(pin.kind.value, pin.target) for pin in list_pins(files)]
        [('run', 'run-1')]
        >>> remove_pin(files, list_pins(files)[0])
        >>> list_pins(files)
        []
    """
    files.write(pin.name, [json.dumps({"format": PIN_FORMAT, **asdict(pin)}).encode()])


def remove_pin(files: Files, pin: Pin) -> None:
    """Let something be collected again; not pinned is no error."""
    files.remove([pin.name])


def list_pins(files: Files) -> list[Pin]:
    """All pins, by kind and target.

    Raises:
        CorruptResult: one cannot be read: nobody knows what it keeps.
        StoreError: the store does not answer.
    """
    names = [entry.name for entry in files.list(PINS) if entry.name.endswith(SUFFIX)]
    found = []
    for name, data in zip(names, files.read_many([(name, 0, None) for name in names]), strict=True):
        if isinstance(data, bytes):
            found.append(_unpacked(data, f"{files.url}/{name}"))
        elif not isinstance(data, ResultMissing):
            raise data
    return sorted(found, key=lambda pin: (pin.kind, pin.target))


def _unpacked(data: bytes, where: str) -> Pin:
    try:
        said = json.loads(data)
        return Pin(kind=PinKind(said["kind"]), target=said["target"], reason=said["reason"])
    except (ValueError, TypeError, KeyError) as error:
        fix = "remove the file, or upgrade dask-dataflow"
        raise CorruptResult("this pin cannot be read, so nobody knows what it keeps", where=where, fix=fix) from error
