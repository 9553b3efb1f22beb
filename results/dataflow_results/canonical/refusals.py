"""Why a value has no canonical form, and what to do instead: a table by kind of value."""

from __future__ import annotations

import io
import re
import socket
import threading
import types
from collections.abc import Callable
from typing import Any

__all__ = ["Refusal", "leave_out", "reason_for"]


class Refusal(Exception):
    """A handler will not encode this value.

    Args:
        problem: what is wrong with it, in one sentence.
        instead: what to write; None: the general advice.
        pickle_may_help: whether its pickle could stand for it.
    """

    def __init__(self, problem: str, *, instead: str | None = None, pickle_may_help: bool = True) -> None:
        super().__init__(problem)
        self.problem = problem
        self.instead = instead
        self.pickle_may_help = pickle_may_help

    @property
    def advice(self) -> str:
        """What to do about it, wherever it was found."""
        return self.instead or GENERAL


GENERAL = (
    'say what it consists of: register(its class, function), or a method __dataflow_key__(self); or unknown="pickle"'
)


def leave_out(place: str) -> str:
    """How to keep the argument at a place out of the key."""
    return f'leave it out of the key: INPUTS - "{_argument_in(place)}"'


def _argument_in(place: str) -> str:
    found = re.search(r"'([^']+)'", place.split(".", maxsplit=1)[0]) or re.match(r"(?:value\.)?(\w+)", place)
    return found[1] if found else place


def _consumed(what: str) -> Callable[[Any], Refusal]:
    problem = f"{what} can be read once only, so looking at its content would use it up"
    return lambda _: Refusal(problem, instead="pass list(...) of it", pickle_may_help=False)


def _handle(what: str, instead: str) -> Callable[[Any], Refusal]:
    problem = f"{what} belongs to this process and has no canonical form"
    return lambda _: Refusal(problem, instead=instead, pickle_may_help=False)


_LOCK = _handle("a lock", "make it where it is used")

REASONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Refusal]], ...] = (
    (types.GeneratorType, _consumed("a generator")),
    (types.AsyncGeneratorType, _consumed("an async generator")),
    (types.CoroutineType, _handle("a coroutine", "await it and pass the value")),
    (io.IOBase, _handle("an open file", "pass its path, or its content")),
    (socket.socket, _handle("socket.socket", "connect where it is used, and pass the address")),
    ((type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event), _LOCK),
    ((threading.Semaphore, threading.Barrier, threading.local), _LOCK),
    (threading.Thread, _handle("a thread", "start it where it is used")),
    ((types.FrameType, types.TracebackType), _handle("a frame or traceback", "pass the text of it")),
)
"""Kinds of values and why they are refused; the first that fits is taken."""


def reason_for(value: Any) -> Refusal:
    """Why a value without handler is refused."""
    for kind, reason in REASONS:
        if isinstance(value, kind):
            return reason(value)
    cls = type(value)
    if hasattr(cls, "__dask_graph__"):
        return Refusal(
            f"{_name_of(cls)} is a Dask collection, whose content is not computed yet",
            instead="compute it, or pass what it is made from",
            pickle_may_help=False,
        )
    if hasattr(cls, "__await__"):
        return _handle("a future", "await it and pass the value")(value)
    if hasattr(cls, "__next__"):
        return _consumed("an iterator")(value)
    return Refusal(f"{_name_of(cls)} has no canonical form")


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")
