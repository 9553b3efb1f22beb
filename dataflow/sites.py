"""Where user code made a call: file and line, for messages."""

from __future__ import annotations

import sys

__all__ = ["caller_site"]

_PACKAGE = __name__.partition(".")[0]
_INSIDE = f"{_PACKAGE}."


def caller_site() -> str:
    """File and line of the nearest frame outside this package, as ``flows/etl.py:12``."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module: str = frame.f_globals.get("__name__", "")
        if not module.startswith(_INSIDE) and module != _PACKAGE:
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
