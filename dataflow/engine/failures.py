"""Exceptions packed into bytes so that they can travel: the original object with its traceback, or a stand-in."""

from __future__ import annotations

import pickle
import traceback
from typing import Any, NamedTuple

import cloudpickle
from tblib import Traceback

from dataflow.errors import RemoteError, UpstreamFailed
from dataflow.states import StateType

__all__ = ["Failure", "exception_of", "pack_error", "unpack_error"]


class Failure(NamedTuple):
    """Stands in a column where an element has no value: its state and its packed error."""

    state: int
    error: bytes


def pack_error(error: BaseException) -> bytes:
    """Pickle an exception with its traceback and its cause; one that cannot be pickled becomes a `RemoteError`."""
    frames = Traceback(error.__traceback__).to_dict() if error.__traceback__ else None
    try:
        packed = cloudpickle.dumps((error, error.__cause__, frames))
        pickle.loads(packed)
    except Exception:  # noqa: BLE001 - boundary: pickling runs code of the user's exception class, which may raise anything
        packed = pickle.dumps((_stand_in(error), None, frames))
    return bytes(packed)


def unpack_error(packed: bytes) -> BaseException:
    """The exception, raised as if here: with the traceback it had on its worker."""
    error, cause, frames = pickle.loads(packed)
    if cause is not None:
        error.__cause__ = cause
    return error.with_traceback(_rebuild(frames)) if frames else error  # type: ignore[no-any-return]


def exception_of(failure: Failure, where: str = "") -> BaseException:
    """What user code sees of a failure: the exception itself, or `UpstreamFailed` chained to it."""
    error = unpack_error(failure.error)
    if failure.state != StateType.UPSTREAM_FAILED:
        return error
    wrapped = UpstreamFailed("it was not run, because an input failed", where=where, fix="see the cause above")
    wrapped.__cause__ = error
    return wrapped


def _rebuild(frames: dict[str, Any]) -> Any:
    return Traceback.from_dict(frames).as_traceback()


def _stand_in(error: BaseException) -> RemoteError:
    text = "".join(traceback.format_exception(error))
    return RemoteError(
        f"{type(error).__qualname__}: {error}\n{text}", fix="make the exception picklable to get it whole"
    )
