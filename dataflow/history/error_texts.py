"""What exceptions of a past run were and said, read from their packed form without importing what is not loaded."""

from __future__ import annotations

import io
import pickle
import sys
from functools import lru_cache
from typing import Any, NamedTuple

from dataflow.engine.failures import unpack_error

__all__ = ["ErrorText", "read_error"]

REMEMBERED = 10_000
"""Elements of a map mostly fail for a few reasons; so many different ones are read only once."""


class ErrorText(NamedTuple):
    """An exception in words."""

    type: str
    """Qualified name; of what Python defines without a module: ``"ValueError"``."""
    message: str


@lru_cache(maxsize=REMEMBERED)
def read_error(packed: bytes) -> ErrorText:
    """What an exception was and said.

    Classes of modules that are not loaded are not imported, because a look at what happened should run nobody's code:
    exceptions of such classes say what their arguments say.

    Example:
        >>> from dataflow.engine.failures import pack_error
        >>> read_error(pack_error(ValueError("no data")))
        ErrorText(type='ValueError', message='no data')
    """
    try:
        error = _Reader(io.BytesIO(packed)).load()
        return ErrorText(_name(type(error)), str(error))
    except Exception as problem:  # noqa: BLE001 - boundary: pickles run code of classes, which may raise anything
        return ErrorText("", f"it cannot be read: {type(problem).__name__}: {problem}")


class _Reader(pickle.Unpickler):
    """Takes classes that are loaded, and puts empty ones for all others."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name in sys.modules or module_name.partition(".")[0] == OWN_PACKAGE:
            return super().find_class(module_name, global_name)
        return _stand_in(module_name, global_name)


OWN_PACKAGE = unpack_error.__module__.partition(".")[0]


@lru_cache(maxsize=REMEMBERED)
def _stand_in(module_name: str, global_name: str) -> type[Exception]:
    return type(global_name, (Exception,), {"__module__": module_name, "__qualname__": global_name})


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
