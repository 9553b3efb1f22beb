"""Worker processes that do not import the user's script again.

A worker process starts by importing the main module of the process that started it, so a script without
``if __name__ == "__main__":`` would run itself again in every worker. Our workers need nothing from that module:
functions that live there travel by value. So it is hidden from them while they start.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Nanny

__all__ = ["QuietNanny"]


class _MainModule:
    """Takes away what multiprocessing finds the main module by, as long as some worker process is being started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starting = 0
        self._taken: dict[str, Any] = {}

    def hide(self) -> None:
        main = sys.modules["__main__"]
        with self._lock:
            if not self._starting:
                self._taken = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
                main.__dict__.pop("__file__", None)
                main.__spec__ = None
            self._starting += 1

    def show(self) -> None:
        with self._lock:
            self._starting -= 1
            if not self._starting:
                found = {name: value for name, value in self._taken.items() if value is not None}
                sys.modules["__main__"].__dict__.update(found)


_main_module = _MainModule()


@contextmanager
def main_module_hidden() -> Iterator[None]:
    """Within this block new processes do not import the main module."""
    _main_module.hide()
    try:
        yield
    finally:
        _main_module.show()


UNINTERRUPTED = "dataflow.engine.uninterrupted"
"""Ctrl-C in a terminal reaches all processes started from it. The run decides what becomes of the workers' work."""


class QuietNanny(Nanny):  # type: ignore[misc]
    """A nanny whose worker processes neither import the main module nor hear of Ctrl-C, also when started again."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.preload: list[str] = [*self.preload, UNINTERRUPTED]

    async def instantiate(self) -> Any:
        """Start the worker process."""
        with main_module_hidden():
            return await super().instantiate()
