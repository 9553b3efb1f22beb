"""Exceptions that travel: the original with traceback and cause, or a stand-in that says the same."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import traceback
from typing import Any

import pytest

from dataflow.engine.failures import Failure, exception_of, pack_error, unpack_error
from dataflow.errors import ExecutionError, RemoteError, UpstreamFailed
from dataflow.states import StateType


class WithFields(Exception):
    """An exception that keeps more than its message."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (_with_fields, (self.args[0], self.code))


def _with_fields(message: str, code: int) -> WithFields:
    return WithFields(message, code=code)


class CannotBePickled(Exception):
    """Holds a lock."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class CannotBeUnpickled(Exception):
    """Pickles, and then cannot be made again: its arguments do not fit."""

    def __init__(self, code: int, name: str) -> None:
        super().__init__(f"{name} ended with {code}")


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The exception as it is caught, two calls deep."""

    def inner() -> None:
        raise error from cause

    try:
        inner()
    except BaseException as caught:  # noqa: BLE001 - that is what is tested
        return caught
    raise AssertionError


def test_the_original_comes_back() -> None:
    """Class, message and fields are those of the exception that was raised."""
    found = unpack_error(pack_error(raised(WithFields("no such file", code=2))))
    assert (type(found), str(found), found.code) == (WithFields, "no such file", 2)  # type: ignore[attr-defined]


def test_the_traceback_comes_too() -> None:
    """The frames in which it was raised are shown, innermost last."""
    found = unpack_error(pack_error(raised(ValueError("deep"))))
    names = [frame.name for frame in traceback.extract_tb(found.__traceback__)]
    assert names == ["raised", "inner"]


def test_raising_it_again_shows_where_it_was_raised_first() -> None:
    """The frames of the worker stay behind those of the caller."""
    with pytest.raises(ValueError, match="deep") as caught:
        raise unpack_error(pack_error(raised(ValueError("deep"))))
    assert [entry.name for entry in caught.traceback][-2:] == ["raised", "inner"]


def test_the_cause_comes_too() -> None:
    """``raise … from …`` is kept."""
    found = unpack_error(pack_error(raised(ValueError("high"), cause=KeyError("low"))))
    assert isinstance(found.__cause__, KeyError)
    assert found.__cause__.args == ("low",)


CHAIN = """
from dataflow.engine.failures import pack_error, unpack_error
try:
    try:
        try:
            raise KeyError("low")
        except KeyError as low:
            raise ValueError("middle") from low
    except ValueError as middle:
        raise RuntimeError("high") from middle
except RuntimeError as high:
    packed = pack_error(high)
middle = unpack_error(packed).__cause__
print(repr(middle), repr(middle.__cause__), middle.__traceback__ is not None)
"""


def test_causes_keep_their_causes_and_tracebacks() -> None:
    """The whole chain comes, in a process that has loaded nothing but the engine, as an inline run is."""
    said = subprocess.run([sys.executable, "-c", CHAIN], capture_output=True, text=True, check=True).stdout
    assert said == "ValueError('middle') KeyError('low') True\n"


def test_an_exception_that_was_never_raised_has_no_traceback() -> None:
    """Packing does not invent one."""
    assert unpack_error(pack_error(ValueError("made"))).__traceback__ is None


def test_a_class_of_this_test_travels_by_value() -> None:
    """A class that no worker could import is pickled with its code."""

    class Local(Exception):
        """Not importable."""

    found = unpack_error(pack_error(raised(Local("here"))))
    assert (type(found).__name__, str(found)) == ("Local", "here")


def test_a_stand_in_says_the_same() -> None:
    """Name, message and the whole traceback as text; and how to get the exception whole."""
    error = CannotBePickled("locked")
    found = unpack_error(pack_error(raised(error)))
    assert isinstance(found, RemoteError)
    assert found.problem.startswith(f"{type(error).__name__}: {error}\n")
    assert "in inner\n" in found.problem
    assert found.fix == "make the exception picklable to get it whole"
    assert [frame.name for frame in traceback.extract_tb(found.__traceback__)] == ["raised", "inner"]


def test_an_exception_with_another_signature_comes_whole() -> None:
    """A class whose constructor does not take its ``args`` is made again without calling it."""
    found = unpack_error(pack_error(raised(CannotBeUnpickled(3, "tool"))))
    assert isinstance(found, CannotBeUnpickled)
    assert str(found) == str(CannotBeUnpickled(3, "tool"))


def test_a_failure_shows_its_exception() -> None:
    """An element that failed by itself shows what it raised."""
    shown = exception_of(Failure(int(StateType.FAILED), pack_error(ValueError("mine"))), "work[3]")
    assert (type(shown), str(shown)) == (ValueError, "mine")


def test_an_element_that_was_not_run_says_why() -> None:
    """Its exception says where, and the exception of the input is its cause."""
    shown = exception_of(Failure(int(StateType.UPSTREAM_FAILED), pack_error(ValueError("root"))), "work[3]")
    assert isinstance(shown, UpstreamFailed)
    assert shown.where == "work[3]"
    assert isinstance(shown.__cause__, ValueError)


def test_a_packed_error_is_plain_bytes() -> None:
    """It can stand in any message."""
    packed = pack_error(raised(ExecutionError("problem", where="here", fix="this")))
    assert type(packed) is bytes
    assert str(pickle.loads(packed)) == "here: problem\n  instead: this"
