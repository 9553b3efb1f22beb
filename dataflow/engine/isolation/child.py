"""What runs in the process of isolated attempts: reads requests, calls functions, answers. Imports very little."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import importlib
import inspect
import os
import resource
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

from dataflow.context import Attempt, attempted, current_voice, inside_task, isolated_process
from dataflow.engine.capture import captured
from dataflow.engine.failures import pack_error
from dataflow.engine.isolation.child_voice import ChildVoice
from dataflow.engine.isolation.wire import CALL, LOAD, SETTLE, Buffer, chunks, pack, receive, unpack
from dataflow.engine.nests import here
from dataflow.errors import UnpicklableResult
from dataflow.run_facts import RunFacts

__all__ = ["Server", "main"]

SACRIFICE = "500"
"""Added to the score by which Linux chooses whom to end when memory runs out: rather this process than its worker."""


def main(channel: int, lifeline: int, idle_seconds: float, memory_limit_bytes: int | None) -> None:
    """Serve until the worker hangs up, or has asked for nothing for a while.

    Args:
        channel: socket to the worker.
        lifeline: pipe whose other end closes when the worker ends, however it does.
        idle_seconds: how long to wait for a request.
        memory_limit_bytes: for the data of this process.
    """
    isolated_process.set()
    _end_with(lifeline)
    _limit_memory(memory_limit_bytes)
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    Server(channel, idle_seconds).serve()


class Server:
    """Answers requests.

    Args:
        channel: where they come from.
        idle_seconds: after which none is waited for any more.
    """

    def __init__(self, channel: int, idle_seconds: float) -> None:
        self._channel = channel
        self._idle_seconds = idle_seconds
        self._sending = threading.Lock()
        self._functions: dict[bytes, Callable[..., Any]] = {}
        """By digest."""
        self._out_of_memory = pack((False, pack_error(MemoryError("no memory was left, not even to tell where"))))
        self._handlers: dict[int, Callable[..., Any]] = {SETTLE: _settle, LOAD: self._load, CALL: self._call}

    def serve(self) -> None:
        """Say that it is ready, then answer request after request."""
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            self._send(pack((True, None)))
            while self._waited():
                self._send(self._answer(receive(self._exactly)))

    def _waited(self) -> bool:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(self._idle_seconds * 1000))

    def _exactly(self, size: int) -> bytearray:
        found = bytearray(size)
        missing = memoryview(found)
        while missing:
            got = os.readv(self._channel, [missing])
            if not got:
                raise EOFError
            missing = missing[got:]
        return found

    def _send(self, parts: Sequence[Buffer]) -> None:
        with self._sending:
            self._write(parts)

    def _write(self, parts: Sequence[Buffer]) -> None:
        for chunk in chunks(parts):
            missing = memoryview(chunk)
            while missing:
                missing = missing[os.write(self._channel, missing) :]

    def _answer(self, parts: Sequence[Buffer]) -> list[Buffer]:
        try:
            kind, *content = unpack(parts)
            value = self._handlers[kind](*content)
        except BaseException as error:  # noqa: BLE001 - boundary: user code; whatever it raises is the answer
            answer = self._failed(error)
        else:
            answer = _packed_value(value)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return answer

    def _failed(self, error: BaseException) -> list[Buffer]:
        try:
            _make_room(error)
            return pack((False, pack_error(error.with_traceback(_own(error.__traceback__)))))
        except MemoryError:
            return self._out_of_memory

    def _load(self, forgotten: bytes | None, digest: bytes, data: bytes) -> None:
        if forgotten is not None:
            del self._functions[forgotten]
        self._functions[digest] = unpack([data])

    def _call(
        self,
        digest: bytes,
        now: Attempt | None,
        told: tuple[RunFacts, Mapping[str, Any]] | None,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        nested: list[Any] = []
        function = self._functions[digest]
        voice = ChildVoice(self._send, *(told or (RunFacts(), {})), (function, arguments, keywords))
        token, voice_token = inside_task.set(nested), current_voice.set(voice)
        try:
            with here("inline"), captured(), attempted(now) if now is not None else contextlib.nullcontext():
                return _outcome(nested, function, arguments, keywords)
        finally:
            voice.close()
            current_voice.reset(voice_token)
            inside_task.reset(token)


def _outcome(
    nested: list[Any], function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """The value of a call, after what the function submitted itself has ended."""
    try:
        value = function(*arguments, **keywords)
        if inspect.iscoroutine(value):
            value = importlib.import_module("asyncio").run(value)  # imported here, because most children never need it
    except BaseException as error:
        for body in nested:
            body.close(error, None)
        raise
    for body in nested:
        value = body.close(None, value)
    return value


def _settle(folder: str | None, path: list[str], environment: Mapping[str, str]) -> None:
    """Take over what the worker's code finds around it."""
    if folder is not None:
        with contextlib.suppress(OSError):  # it may have been removed meanwhile
            os.chdir(folder)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    importlib.invalidate_caches()  # the path may lead to files that were just written


def _make_room(error: BaseException | None) -> None:
    """What filled the memory is held by the variables of the functions that an error came through."""
    while isinstance(error, MemoryError):  # while it is handled, another one may come
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _own(found: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the user's; all of it if none is."""
    inner = found
    while inner is not None and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    return inner or found


def _packed_value(value: Any) -> list[Buffer]:
    try:
        return pack((True, value))
    except Exception as error:  # noqa: BLE001 - boundary: pickling runs code of users' classes
        problem = f"the result {value!r:.60} cannot be pickled ({type(error).__name__}: {error})"
        fix = "return plain data, or keep the resource inside the task"
        found = UnpicklableResult(problem, fix=fix)
        found.__cause__ = error
        return pack((False, pack_error(found)))


def _end_with(lifeline: int) -> None:
    """Have this process, and those it starts, killed when the other end of a pipe is closed.

    The kernel does it, so that it works while native code holds the interpreter lock. PR_SET_PDEATHSIG would not do: it
    acts when the thread that started this process ends, not when its process does.
    """
    if not hasattr(fcntl, "F_SETSIG"):
        threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
        return
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        if not os.read(lifeline, 1):  # it was closed before this process listened
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _limit_memory(limit_bytes: int | None) -> None:
    """Let an allocation beyond the limit fail in this process alone, with a `MemoryError` if Python asked for it."""
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the system chooses by its own lights
        Path("/proc/self/oom_score_adj").write_text(SACRIFICE)
    if limit_bytes is not None:
        _, hard = resource.getrlimit(LIMITED)
        soft = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(LIMITED, (soft, hard))


LIMITED = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
"""RLIMIT_DATA counts what may be written to; RLIMIT_AS would count address space that is only reserved as well, of
which every thread takes 64 MB and more."""
