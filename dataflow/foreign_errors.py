"""Foreign errors: packed exceptions opened where their classes may not be known, long after they were raised."""

from __future__ import annotations

import io
import pickle
from functools import cache
from typing import Any

from dataflow.engine.failures import unpack_error
from dataflow.errors import RemoteError
from dataflow.tracebacks import detach

__all__ = ["load_error"]


def load_error(packed: bytes) -> BaseException:
    """The exception; where its class is not known here, one of a class with the same name and the same text.

    Args:
        packed: as `pack_error` gave it.

    Example:
        >>> from dataflow.engine.failures import pack_error
        >>> load_error(pack_error(ValueError("no number")))
        ValueError('no number')
    """
    try:
        return unpack_error(packed)
    except Exception:  # noqa: BLE001 - boundary: unpickling runs code of the user's exception class, or misses it
        return _stand_in(packed)


def _stand_in(packed: bytes) -> BaseException:
    try:
        error = _Opener(io.BytesIO(packed)).load()
    except Exception as problem:  # noqa: BLE001 - boundary: what was packed may run any code when it is opened
        return _unreadable(problem)
    return detach(error) if isinstance(error, BaseException) else _unreadable(error)


def _unreadable(found: Any) -> RemoteError:
    problem = f"an exception that cannot be read here ({type(found).__name__}: {found})"
    return RemoteError(problem, fix="ask for it where the modules of its task can be imported")


class _Opener(pickle.Unpickler):
    """Makes classes in the places of those that cannot be imported."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """A class or function by its name, or a class of exceptions that is called so."""
        try:
            return super().find_class(module_name, global_name)
        except (ImportError, AttributeError):
            return _class_called(module_name, global_name)


@cache
def _class_called(module: str, name: str) -> type[Exception]:
    return type(name.rpartition(".")[2], (Exception,), {"__module__": module})
