"""Which process somebody is, said so that another process of the same machine can tell whether it has ended."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

__all__ = ["has_ended", "this_process"]

PROC = Path("/proc")
STARTED = 19
"""Where the start stands in /proc/<pid>/stat, counted from behind the name of the program."""


def this_process() -> str:
    """Machine, and process on it: ``host boot namespace pid start``; parts that the system does not tell are ``-``."""
    return _described(os.getpid())


@functools.lru_cache(maxsize=4)
def _described(pid: int) -> str:
    return f"{_machine()} {pid} {_started(pid)}"


def _machine() -> str:
    boot = _read(PROC / "sys/kernel/random/boot_id")
    try:
        namespace = (PROC / "self/ns/pid").readlink().name
    except OSError:
        namespace = "-"
    return f"{socket.gethostname()} {boot} {namespace}"


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine did; "-" if there is no such process, or nobody tells."""
    after_name = _read(PROC / f"{pid}/stat").rpartition(") ")[2].split(" ")
    return after_name[STARTED] if len(after_name) > STARTED else "-"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "-"


def has_ended(process: str) -> bool:
    """Whether a process has certainly ended: it was one of this machine, and it is not there any more.

    Example:
        >>> has_ended(this_process()), has_ended("elsewhere - - 1 5")
        (False, False)
    """
    *machine, pid, started = process.split(" ")
    if len(machine) != 3 or "-" in machine or started == "-" or " ".join(machine) != _machine():
        return False
    return _started(int(pid)) != started
