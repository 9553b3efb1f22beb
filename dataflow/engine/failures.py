"""Exceptions packed into bytes so that they can travel: the original object with its traceback, or a stand-in."""

from __future__ import annotations

import pickle
import traceback
from typing import NamedTuple

import cloudpickle
from tblib import pickling_support

from dataflow.errors import RemoteError, UpstreamFailed
from dataflow.states import StateType

__all__ = ["Failure", "exception_of", "pack_error", "unpack_error"]


class Failure(NamedTuple):
    """Stands in a column where an element has no value: its state and its packed error."""

    state: int
    error: bytes


def pack_error(error: BaseException) -> bytes:
    """Pickle an exception with its traceback and its causes; one that cannot be pickled becomes a `RemoteError`."""
    try:
        pickling_support.install(error)  # teaches pickle this class of exception, and those of its causes
        packed = cloudpickle.dumps(error)
        pickle.loads(packed)
    except Exception:  # noqa: BLE001 - boundary: pickling runs code of the user's exception class, which may raise anything
        stand_in = _stand_in(error)
        pickling_support.install(stand_in)
        packed = pickle.dumps(stand_in)
    return bytes(packed)


def unpack_error(packed: bytes) -> BaseException:
    """The exception, with the traceback it had on its worker."""
    return pickle.loads(packed)  # type: ignore[no-any-return]


def exception_of(failure: Failure, where: str = "") -> BaseException:
    """What user code sees of a failure: the exception itself, or `UpstreamFailed` chained to it."""
    error = unpack_error(failure.error)
    if failure.state != StateType.UPSTREAM_FAILED:
        return error
    wrapped = UpstreamFailed("it was not run, because an input failed", where=where, fix="see the cause above")
    wrapped.__cause__ = error
    return wrapped


def _stand_in(error: BaseException) -> RemoteError:
    text = "".join(traceback.format_exception(error))
    fix = "make the exception picklable to get it whole"
    stand_in = RemoteError(f"{type(error).__qualname__}: {error}\n{text}", fix=fix)
    return stand_in.with_traceback(error.__traceback__)
