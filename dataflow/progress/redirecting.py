"""While a table stands in the terminal, what else goes there is printed above it: prints, warnings, lines of logs."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.file_proxy import FileProxy

from dataflow.engine.capture import HeardStream

__all__ = ["redirected"]

Undo = Callable[[], None]

_kept: deque[FileProxy] = deque(maxlen=16)
"""``print`` holds no reference to ``sys.stdout``: were it freed while another thread prints, Python would crash."""


def redirected(console: Console) -> Undo:
    """Lead the streams of this process, and the handlers of logs that write to them, to the console.

    What goes to a file or a pipe goes on going there.

    Returns:
        What takes it back.
    """
    undone: list[Undo] = []
    for name in ("stdout", "stderr"):
        outer = getattr(sys, name)
        stream = outer.stream if isinstance(outer, HeardStream) else outer
        if stream is not None and stream.isatty():
            undone.append(_lead(name, outer, stream, FileProxy(console, stream)))

    def undo() -> None:
        for one in undone:
            one()

    return undo


def _lead(name: str, outer: Any, stream: Any, proxy: FileProxy) -> Undo:
    # What listens to the stream goes on listening: it stays the outermost.
    handlers = _handlers_to(stream)
    _kept.append(proxy)
    _put(name, stream, proxy)
    for handler in handlers:
        handler.setStream(proxy)

    def undo() -> None:
        _put(name, proxy, stream)
        for handler in handlers:
            if handler.stream is proxy:
                handler.setStream(stream)
        proxy.flush()

    return undo


def _put(name: str, old: Any, new: Any) -> None:
    """Put a stream in the place of another, unless somebody has put a third one there meanwhile."""
    outer = getattr(sys, name)
    if outer is old:
        setattr(sys, name, new)
    elif isinstance(outer, HeardStream) and outer.stream is old:
        outer.stream = new


def _handlers_to(stream: Any) -> list[logging.StreamHandler[Any]]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    found = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
    return [handler for handler in found if isinstance(handler, logging.StreamHandler) and handler.stream is stream]
