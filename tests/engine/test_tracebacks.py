"""Folded tracebacks: which frames stay, which go, and that nothing but frames is lost."""

from __future__ import annotations

import gc
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataflow.engine.failures import LiveErrors, keeping_live, let_go, pack_error, unpack_error
from dataflow.errors import UsageError
from dataflow.settings import settings
from dataflow.tracebacks import fold, folding

Function = Callable[..., Any]


def in_module(module: str, name: str, *, file: str = "file.py") -> Function:
    """A function of a module that calls what it is given, or raises it."""
    source = f"def {name}(error, *calls):\n    if not calls: raise error\n    calls[0](error, *calls[1:])"
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(source, file, "exec"), namespace)
    found: Function = namespace[name]
    return found


MAIN = in_module("__main__", "main")
TASK = in_module("etl.tasks", "load")
CALL = in_module("dataflow.flows", "call")
ENGINE = in_module("dataflow.engine.driver", "drive")
RESULT = in_module("dataflow.futures", "result")
WALK = in_module("builtins", "walk", file="<walk of load>")
DASK = in_module("distributed.client", "gather")
POOL = in_module("concurrent.futures.thread", "run")


def frames(*calls: Function, error: BaseException | None = None) -> list[str]:
    """Names of the functions in the folded traceback of an error that went through these."""
    try:
        calls[0](error or ValueError("broken"), *calls[1:])
    except BaseException as caught:  # noqa: BLE001 - that is what is tested
        caught.__traceback__ = caught.__traceback__ and caught.__traceback__.tb_next  # without this function itself
        return names(fold(caught))
    raise AssertionError


def names(error: BaseException) -> list[str]:
    """Names of the functions in a traceback."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_frames_before_the_task_go() -> None:
    """What the engine does to call a task is of no interest."""
    assert frames(WALK, ENGINE, TASK) == ["load"]


def test_of_several_frames_of_ours_the_one_that_was_called_stays() -> None:
    """The user sees what they called, and then what was raised in it."""
    assert frames(MAIN, CALL, ENGINE, DASK, POOL, WALK, TASK) == ["main", "call", "load"]


def test_each_way_through_us_leaves_one_frame() -> None:
    """A call in a body, and the body in its call."""
    assert frames(MAIN, CALL, ENGINE, TASK, RESULT, WALK, TASK) == ["main", "call", "load", "result", "load"]


def test_frames_that_users_never_call_do_not_stay() -> None:
    """Between a function that was passed on and its caller there is nothing to show."""
    assert frames(TASK, WALK, ENGINE, TASK) == ["load", "load"]


def test_dask_stays_where_the_user_calls_it() -> None:
    """Frames of the libraries below are ours only behind a frame of ours."""
    assert frames(TASK, DASK, POOL, TASK) == ["load", "gather", "run", "load"]


def test_an_error_of_ours_ends_where_the_user_called_us() -> None:
    """What it says is enough; where we raised it is not shown."""
    assert frames(MAIN, CALL, ENGINE, error=UsageError("wrong")) == ["main", "call"]


def test_something_that_broke_in_us_shows_where() -> None:
    """An error that is none of ours keeps its last frame, so that it can be reported."""
    assert frames(MAIN, CALL, ENGINE, DASK) == ["main", "call", "gather"]


def test_a_traceback_of_nothing_but_us_keeps_its_end() -> None:
    """There is always a line."""
    assert frames(ENGINE, WALK) == ["walk"]


def test_causes_and_contexts_are_folded_too() -> None:
    """Every exception that is printed with it."""
    errors: list[BaseException] = []
    for calls in ((WALK, TASK), (ENGINE, TASK), (MAIN, CALL, ENGINE, TASK)):
        try:
            calls[0](ValueError(len(errors)), *calls[1:])
        except ValueError as error:
            errors.append(error)
    cause, context, last = errors
    last.__cause__, cause.__context__, context.__context__ = cause, context, last  # a ring ends, too
    fold(last)
    assert [names(one)[1:] for one in errors] == [["load"], ["load"], ["main", "call", "load"]]


def test_folding_changes_what_leaves_the_block() -> None:
    """The traceback that goes on is the folded one, with the frame of the block in front."""
    with pytest.raises(ValueError, match="broken") as caught, folding():
        ENGINE(ValueError("broken"), WALK, TASK)
    assert names(caught.value)[1:] == ["load"]


def test_the_lines_are_those_of_before() -> None:
    """A folded traceback tells the same lines."""
    try:
        WALK(ValueError("broken"), TASK)
    except ValueError as error:
        before = traceback.extract_tb(error.__traceback__)[-1]
        after = traceback.extract_tb(fold(error).__traceback__)[-1]
    assert (after.filename, after.lineno, after.name) == (before.filename, before.lineno, before.name)


@pytest.fixture
def showing_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The setting that folds nothing."""
    monkeypatch.setenv("DATAFLOW_FULL_TRACEBACKS", "1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("showing_all")
def test_a_setting_shows_all() -> None:
    """Nothing is lost for those who look for an error in the engine."""
    assert frames(MAIN, CALL, ENGINE, WALK, TASK) == ["main", "call", "drive", "walk", "load"]


# Exceptions that came in bytes


def test_what_came_in_bytes_does_not_hold_who_asked() -> None:
    """A function that takes an exception apart is not kept alive by it, nor what stands in it."""

    class Run:
        """Something that should go with the last name of it."""

    def ask(packed: bytes) -> weakref.ref[Run]:
        run = Run()
        error = unpack_error(packed)
        assert names(error) == ["broken", "load"]
        return weakref.ref(run)

    gc.disable()
    try:
        assert ask(pack_error(broken(1)))() is None
    finally:
        gc.enable()


# Exceptions that are kept as they are


def broken(number: int) -> ValueError:
    """An exception as it is caught."""
    try:
        TASK(ValueError(number))
    except ValueError as error:
        return error
    raise AssertionError


def test_a_kept_exception_comes_back_itself() -> None:
    """While it is kept, unpacking gives the very object; two that say the same are not taken for each other."""
    errors = LiveErrors()
    first, second = broken(1), broken(1)
    with keeping_live(errors):
        packed = [pack_error(first), pack_error(second)]
    assert packed[0] == packed[1]
    assert [unpack_error(one) for one in packed] == [first, second]


def test_what_raising_it_again_added_is_gone() -> None:
    """However often it is raised, it has the frames of the first time."""
    errors, error = LiveErrors(), broken(1)
    with keeping_live(errors):
        packed = pack_error(error)
    for _ in range(3):
        with pytest.raises(ValueError, match="1") as caught:
            raise unpack_error(packed)
        assert names(caught.value)[1:] == ["broken", "load"]


def test_without_what_keeps_it_a_copy_comes() -> None:
    """Once it is let go of, all are, or what keeps them is gone, the packed form is what there is."""
    errors, kept = LiveErrors(), [broken(number) for number in range(3)]
    with keeping_live(errors):
        packed = [pack_error(error) for error in kept]
    let_go(packed[0])
    assert [unpack_error(one) is error for one, error in zip(packed, kept, strict=True)] == [False, True, True]
    errors.clear()
    assert [str(unpack_error(one)) for one in packed] == ["0", "1", "2"]
    del errors
    assert unpack_error(packed[1]) is not kept[1]


def test_only_so_many_are_kept() -> None:
    """Frames can hold much, so the hundred and first exception is packed only."""
    errors, kept = LiveErrors(), [broken(number) for number in range(101)]
    with keeping_live(errors):
        packed = [pack_error(error) for error in kept]
    assert [n for n, one in enumerate(packed) if unpack_error(one) is not kept[n]] == [100]
