"""Exceptions packed into bytes so that they can travel: the original object with its traceback, or a stand-in."""

from __future__ import annotations

import pickle
import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple

import cloudpickle
from tblib import pickling_support

from dataflow.errors import RemoteError, UpstreamFailed
from dataflow.states import StateType
from dataflow.tracebacks import detach, fold

__all__ = ["Failure", "LiveErrors", "exception_of", "keeping_live", "let_go", "pack_error", "unpack_error"]

PLAIN_ARGUMENTS = frozenset({bool, bytes, float, int, str, type(None)})
MOST_LIVE_ERRORS = 100
"""So many exceptions of an inline run are kept with their frames."""


pickling_support.install()  # teaches pickle tracebacks, and the exceptions of Python


class Failure(NamedTuple):
    """Stands in a column where an element has no value: its state and its packed error."""

    state: int
    error: bytes


class LiveErrors:
    """Exceptions of an inline run themselves, with their frames, so that a debugger finds what is in them.

    They keep alive everything that is in their frames, and in those of whoever called them. So there are not many of
    them, and they go with this object, which nothing that outlives the run may hold.
    """

    __slots__ = ("__weakref__", "_errors", "_kept")

    def __init__(self) -> None:
        self._errors: dict[int, tuple[BaseException, TracebackType | None]] = {}
        self._kept = 0

    def keep(self, error: BaseException, packed: bytes) -> bytes:
        """Keep an exception, if there is room; gives its packed form, which leads back to it."""
        if len(self._errors) >= MOST_LIVE_ERRORS:
            return packed
        self._kept += 1
        self._errors[self._kept] = (error, error.__traceback__)
        live = PackedLive(packed)
        live.errors, live.number = weakref.ref(self), self._kept
        return live

    def find(self, number: int) -> BaseException | None:
        """An exception with the traceback it was kept with; what was added by raising it again is gone."""
        error, kept = self._errors.get(number, (None, None))
        return None if error is None else error.with_traceback(kept)

    def let_go(self, number: int) -> None:
        """Nobody will ask for this one."""
        self._errors.pop(number, None)

    def clear(self) -> None:
        """Let go of all."""
        self._errors.clear()


class PackedLive(bytes):
    """A packed exception that leads back to the exception itself, as long as that is kept."""

    errors: weakref.ref[LiveErrors]
    number: int

    def __reduce__(self) -> tuple[Any, ...]:
        return (bytes, (bytes(self),))


_live: ContextVar[LiveErrors | None] = ContextVar("live", default=None)
"""Where exceptions that are packed now are kept themselves; None: nowhere."""


@contextmanager
def keeping_live(errors: LiveErrors | None) -> Iterator[None]:
    """Keep the exceptions that are packed inside."""
    token = _live.set(errors)
    try:
        yield
    finally:
        _live.reset(token)


def pack_error(error: BaseException) -> bytes:
    """Pickle an exception with its traceback and its causes; one that cannot be pickled becomes a `RemoteError`."""
    live = _live.get()
    packed = _packed(error)
    return packed if live is None else live.keep(error, packed)


def _packed(error: BaseException) -> bytes:
    if _is_simple(error):
        return pickle.dumps(error)
    try:
        pickling_support.install(error)  # teaches pickle this class of exception, and those of its causes
        packed = cloudpickle.dumps(error)
        pickle.loads(packed)
    except Exception:  # noqa: BLE001 - boundary: pickling runs code of the user's exception class, which may raise anything
        stand_in = _stand_in(error)
        pickling_support.install(stand_in)
        packed = pickle.dumps(stand_in)
    return bytes(packed)


def _is_simple(error: BaseException) -> bool:
    """Whether an exception certainly pickles: one of Python's own, with plain arguments and nothing else to it."""
    return (
        type(error).__module__ == "builtins"
        and error.__cause__ is None
        and error.__context__ is None
        and not error.__dict__
        and PLAIN_ARGUMENTS.issuperset(map(type, error.args))
    )


def unpack_error(packed: bytes) -> BaseException:
    """The exception, with the traceback it had where it was raised; of an open inline run the very object."""
    if isinstance(packed, PackedLive):
        errors = packed.errors()
        found = None if errors is None else errors.find(packed.number)
        if found is not None:
            return found
    return detach(pickle.loads(packed))


def let_go(packed: bytes) -> None:
    """Only the packed form of this exception is of interest from now on."""
    errors = packed.errors() if isinstance(packed, PackedLive) else None
    if errors is not None:
        errors.let_go(packed.number)  # type: ignore[attr-defined]


def exception_of(failure: Failure, where: str = "") -> BaseException:
    """What user code sees of a failure: the exception itself, or `UpstreamFailed` chained to it."""
    error = unpack_error(failure.error)
    if failure.state != StateType.UPSTREAM_FAILED or isinstance(error, UpstreamFailed):
        return error
    wrapped = UpstreamFailed("it was not run, because an input failed", where=where, fix="see the cause above")
    wrapped.__cause__ = error
    return wrapped


def _stand_in(error: BaseException) -> RemoteError:
    text = "".join(traceback.format_exception(fold(error)))
    fix = "make the exception picklable to get it whole"
    stand_in = RemoteError(f"{type(error).__qualname__}: {error}\n{text}", fix=fix)
    return stand_in.with_traceback(error.__traceback__)
