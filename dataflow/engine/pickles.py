"""Pickling for other processes: by value what could not be looked up there by its name."""

from __future__ import annotations

import io
import pickle
import sys
from collections import ChainMap
from typing import Any, ClassVar

import cloudpickle

from dataflow.engine.capture import HeardStream

__all__ = ["dumps"]

known_to_cloudpickle = cloudpickle.Pickler.dispatch_table


def _file(stream: Any) -> Any:
    """As cloudpickle does it, for which ``sys.stdout`` is that of where it arrives; here also while others stand above.

    One that listens, and while a table of progress is shown one that prints above the table.
    """
    for name in ("stdout", "stderr"):
        outer = getattr(sys, name)
        inner = outer.stream if isinstance(outer, HeardStream) else outer
        if stream is getattr(inner, "rich_proxied_file", inner):
            return getattr, (sys, name)
    return known_to_cloudpickle[io.TextIOWrapper](stream)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """The pickler of cloudpickle, which knows that streams of this process may be listened to."""

    dispatch_table: ClassVar[Any] = ChainMap({io.TextIOWrapper: _file}, known_to_cloudpickle)


def dumps(value: Any) -> bytes:
    """Pickle; by value where a name could not be looked up on a worker (functions and classes of ``__main__``).

    Raises:
        Exception: it cannot be pickled.

    Example:
        >>> pickle.loads(dumps({"print": print}))
        {'print': <built-in function print>}
    """
    try:
        data = pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - boundary: pickling runs users' code; cloudpickle decides
        data = b"__main__"
    if b"__main__" not in data:
        return data
    with io.BytesIO() as file:
        Pickler(file, protocol=5).dump(value)
        return file.getvalue()
