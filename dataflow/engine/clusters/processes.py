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

_lock = threading.Lock()
_hidden: dict[str, Any] = {}
_depth = 0


@contextmanager
def main_module_hidden() -> Iterator[None]:
    """Take away, for as long as some worker process is being started, what multiprocessing finds the main module by."""
    global _depth
    main = sys.modules["__main__"]
    with _lock:
        if _depth == 0:
            _hidden.update({name: getattr(main, name, None) for name in ("__file__", "__spec__")})
            main.__dict__.pop("__file__", None)
            main.__spec__ = None
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                main.__dict__.update({name: value for name, value in _hidden.items() if value is not None})
                _hidden.clear()


class QuietNanny(Nanny):  # type: ignore[misc]
    """A nanny whose worker processes do not import the main module, also when it starts one again."""

    async def instantiate(self) -> Any:
        """Start the worker process."""
        with main_module_hidden():
            return await super().instantiate()
