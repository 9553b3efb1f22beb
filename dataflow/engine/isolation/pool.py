"""The warm processes of this worker, and calls that run in them."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from dataflow.context import Attempt
from dataflow.engine.isolation.process import Ended, OutOfTime, Packed, Process, opened
from dataflow.engine.isolation.wire import CALL, Buffer, pack
from dataflow.engine.pickles import dumps
from dataflow.errors import Cancelled, ExecutionError, TimedOut, UnpicklableArgument
from dataflow.run_facts import RunFacts
from dataflow_results.digests import digest

__all__ = ["Limits", "Pool", "call_isolated", "end_isolated", "stop_isolated"]

IDLE_SECONDS = 60.0
"""After so long without a call a process ends by itself."""
FRESH = 0.8
"""Processes are not used any more after this part of it, so that none ends at the moment that it is asked."""


Told: TypeAlias = tuple[RunFacts, Mapping[str, Any]]
"""What the code of an attempt may ask for: of its run, and of its element."""


class Limits(NamedTuple):
    """What an attempt may take."""

    timeout_seconds: float | None
    memory_limit_bytes: int | None


class _Work:
    """A call that is under way."""

    __slots__ = ("is_stopped", "process", "run_id")

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.process: Process | None = None
        self.is_stopped = False


class Pool:
    """Keeps processes that wait for calls; as many as calls were under way at once, each for calls of one memory limit.

    Args:
        idle_seconds: how long a process waits.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._functions: dict[int, tuple[weakref.ref[Any], str, Packed]] = {}
        """Functions as they travel, by id; with the run for which they were packed, because globals may change."""
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        """The one that was used last stands last."""
        self._under_way: defaultdict[str, set[_Work]] = defaultdict(set)
        """By run."""
        self._dying: list[Process] = []
        """Killed, but not let go by the system yet."""

    def call(self, function: Packed, request: Sequence[Buffer], limits: Limits, run_id: str) -> list[Buffer]:
        """The packed answer to a request to call a function.

        Raises:
            TimedOut: it took longer than its limit.
            ProcessDied: the process ended before it answered.
            Cancelled: the run was stopped.
        """
        work = _Work(run_id)
        with self._lock:
            self._under_way[run_id].add(work)
        try:
            process = self._process_for(work, limits.memory_limit_bytes)
            answer = process.call(function, request, limits.timeout_seconds)
        except BaseException as error:
            self._end(work)
            if not isinstance(error, (Ended, OutOfTime)):
                raise
            raise _error_of(error, work, limits) from None
        self._give_back(work)
        return answer

    def stop(self, run_id: str) -> int:
        """Kill the processes that work for a run; their calls raise `Cancelled`.

        Returns:
            How many there were.
        """
        with self._lock:  # nobody else ends a process of work that is under way, so its number is still its own
            found = self._under_way.get(run_id, set())
            for work in found:
                work.is_stopped = True
                if work.process is not None:
                    work.process.kill()
            return len(found)

    def end_idle(self, idle_seconds: float = 0.0) -> None:
        """End the processes that wait, and have waited for so long."""
        latest = time.monotonic() - idle_seconds
        with self._lock:
            ending = [process for process in self._idle if process.used <= latest]
            self._idle = [process for process in self._idle if process.used > latest]
            ending += self._dying
            self._dying = []
        left = [process for process in ending if not process.end()]
        with self._lock:
            self._dying += left

    def forget(self) -> None:
        """In a fork of this process: the pool belongs to the one that was forked."""
        working = (work.process for found in self._under_way.values() for work in found)
        for process in (*self._idle, *self._dying, *working):
            if process is not None:
                with contextlib.suppress(OSError):
                    process.forget()
        self._reset()

    def packed(self, function: Callable[..., Any], run_id: str) -> Packed:
        """A function as it travels.

        Raises:
            UnpicklableArgument: it cannot.
        """
        reference, packed_for, found = self._functions.get(id(function), (None, "", None))
        if found is not None and reference is not None and reference() is function and packed_for == run_id:
            return found
        fresh = _packed(function)
        with contextlib.suppress(TypeError):  # not every callable can be referred to weakly
            number = id(function)
            reference = weakref.ref(function, lambda _: self._functions.pop(number, None))
            self._functions[number] = (reference, run_id, fresh)
        return fresh

    def _process_for(self, work: _Work, memory_limit_bytes: int | None) -> Process:
        self.end_idle(self._idle_seconds * FRESH)
        process = self._taken(memory_limit_bytes) or Process(memory_limit_bytes, self._idle_seconds)
        with self._lock:
            work.process = process
            if work.is_stopped:
                process.kill()
        return process

    def _taken(self, memory_limit_bytes: int | None) -> Process | None:
        while True:
            with self._lock:
                fitting = [process for process in self._idle if process.memory_limit_bytes == memory_limit_bytes]
                if not fitting:
                    return None
                self._idle.remove(fitting[-1])
            if fitting[-1].is_alive:
                return fitting[-1]
            fitting[-1].end()

    def _give_back(self, work: _Work) -> None:
        assert work.process is not None
        work.process.used = time.monotonic()
        with self._lock:
            self._leave(work)
            if not work.is_stopped:
                self._idle.append(work.process)
                return
        work.process.end()

    def _end(self, work: _Work) -> None:
        with self._lock:
            self._leave(work)
        if work.process is not None and not work.process.end():
            with self._lock:
                self._dying.append(work.process)

    def _leave(self, work: _Work) -> None:
        self._under_way[work.run_id].discard(work)
        if not self._under_way[work.run_id]:
            del self._under_way[work.run_id]


def _packed(function: Callable[..., Any]) -> Packed:
    try:
        data = dumps(function)
    except Exception as error:
        problem = f"the function, or something it refers to, cannot be pickled ({type(error).__name__}: {error})"
        fix = "open the resource inside the task, or do without isolation"
        raise UnpicklableArgument(problem, fix=fix) from error
    return Packed(digest(b"isolated function", data), data)


def _error_of(error: Exception, work: _Work, limits: Limits) -> ExecutionError:
    assert work.process is not None
    if work.is_stopped:
        return Cancelled("it was cancelled while it ran, so its process was ended")
    if isinstance(error, Ended):
        return work.process.obituary()
    problem = f"it took longer than {limits.timeout_seconds:g} s, so its process was ended"
    return TimedOut(problem, fix="raise timeout_seconds=, or look why it takes so long")


def _request(
    function: Packed,
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
    attempt: Attempt | None,
    told: Told | None = None,
) -> list[Buffer]:
    try:
        return pack((CALL, function.digest, attempt, told, arguments, dict(keywords)))
    except Exception as error:
        problem = f"an argument cannot be pickled, so it cannot travel to the process of the attempt ({error!r})"
        raise UnpicklableArgument(problem, fix="pass plain data, or open the resource inside the task") from error


_pool = Pool()
atexit.register(_pool.end_idle)
os.register_at_fork(after_in_child=_pool.forget)


def call_isolated(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
    *,
    timeout_seconds: float | None = None,
    memory_limit_bytes: int | None = None,
    context: Attempt | None = None,
    told: Told | None = None,
    run_id: str = "",
    where: str = "",
) -> Any:
    """Call a function in a process of its own; a coroutine function is run there to its end.

    Args:
        function: travels once to each process.
        arguments: positional ones.
        keywords: the others.
        timeout_seconds: for the call; the start of a process, and what has to be imported there, do not count.
        memory_limit_bytes: for the data of the process.
        context: the attempt, as `dataflow.context.get` tells it to the function.
        told: facts of the run and of the element, that the function may ask for.
        run_id: for `stop_isolated`.
        where: what errors of the isolation itself name.

    Raises:
        BaseException: what the function raised, with its traceback.
        TimedOut: it took longer than its limit; the process was killed.
        ProcessDied: the process ended before it answered.
        Cancelled: `stop_isolated` was called for the run.
        UnpicklableArgument: the function or an argument cannot travel to the process.
        UnpicklableResult: the result cannot travel back.

    Example:
        >>> call_isolated(divmod, (7, 2), {}, timeout_seconds=10)
        (3, 1)
    """
    try:
        packed = _pool.packed(function, run_id)
        request = _request(packed, arguments, keywords, context, told)
        answer = _pool.call(packed, request, Limits(timeout_seconds, memory_limit_bytes), run_id)
    except ExecutionError as error:
        error.where = error.where or where
        raise
    return opened(answer)


def stop_isolated(run_id: str) -> int:
    """Kill the processes that work for a run now; the calls that wait for them raise `Cancelled`.

    Args:
        run_id: as it was given to `call_isolated`.

    Returns:
        How many calls were under way.

    Example:
        >>> stop_isolated("no such run")
        0
    """
    return _pool.stop(run_id)


def end_isolated() -> None:
    """End the processes that wait for a next call; it would start others.

    Example:
        >>> end_isolated()
    """
    _pool.end_idle()
