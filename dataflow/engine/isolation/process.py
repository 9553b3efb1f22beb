"""The worker's side of one process for isolated attempts: how it is started, asked, listened to and ended."""

from __future__ import annotations

import codecs
import contextlib
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from dataflow.engine.failures import unpack_error
from dataflow.engine.isolation.wire import LOAD, SETTLE, Buffer, chunks, pack, receive, said, unpack
from dataflow.engine.speaking import relay
from dataflow.errors import ProcessDied, UnpicklableResult

__all__ = ["Ended", "OutOfTime", "Packed", "Process", "opened"]

MOST_FUNCTIONS = 64
"""How many functions a process keeps; the oldest gives way."""
LOAD_SECONDS = 60.0
"""How long starting, and importing what a function needs, may take at least: the time limit is for the call alone."""
REAP_SECONDS = 1.0
"""How long to wait for a killed process; one that the system does not let go yet is looked at again later."""
LOOK_SECONDS = 0.5
"""How often to look whether the process lives, on systems that cannot tell by themselves."""
TAIL_BYTES = 4096
"""How much of what a process wrote to stderr is told when it dies."""
DRAIN_READS = 64
READ_BYTES = 65536

BOOTSTRAP = "import sys; sys.path[:] = {path!r}; from dataflow.engine.isolation.child import main; main{arguments!r}"


class Packed(NamedTuple):
    """A function as it travels."""

    digest: bytes
    data: bytes


class OutOfTime(Exception):
    """The time limit of a call was over."""


class Ended(Exception):
    """The process ended before it answered."""


class Process:
    """One process; used by one thread at a time, but `kill` may come from any.

    Args:
        memory_limit_bytes: for the data of the process.
        idle_seconds: after which it ends by itself if it is asked for nothing.
    """

    def __init__(self, memory_limit_bytes: int | None, idle_seconds: float) -> None:
        self.memory_limit_bytes = memory_limit_bytes
        self.used = time.monotonic()
        """When it was last given back."""
        self._is_ready = False
        self._told: Any = None
        """The surroundings it has taken over."""
        self._known: dict[bytes, None] = {}
        """Digests of the functions it keeps, the oldest first."""
        self._popen, self._socket, self._lifeline = _start(memory_limit_bytes, idle_seconds)
        self._channel = self._socket.fileno()
        self._death = _death_of(self._popen)
        self._outlets = _outlets_of(self._popen)
        self._poll = select.poll()
        self._poll.register(self._channel, select.POLLIN)
        for descriptor in (*self._outlets, *(() if self._death is None else (self._death,))):
            self._poll.register(descriptor, select.POLLIN)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    # Asking

    def call(self, function: Packed, request: Sequence[Buffer], timeout_seconds: float | None) -> list[Buffer]:
        """The answer to a request to call a function, packed.

        Raises:
            OutOfTime: the call took longer than its limit.
            Ended: the process ended before it answered.
        """
        for outlet in self._outlets.values():
            outlet.tail.clear()
        self._prepare(function, timeout_seconds)
        return self._asked(request, None if timeout_seconds is None else time.monotonic() + timeout_seconds)

    def _prepare(self, function: Packed, timeout_seconds: float | None) -> None:
        """See that the process is up, has our surroundings and knows the function."""
        limit = None if timeout_seconds is None else time.monotonic() + max(timeout_seconds, LOAD_SECONDS)
        if not self._is_ready:
            opened(self._answer(limit))
            self._is_ready = True
        surroundings = _surroundings()
        if surroundings != self._told:
            opened(self._asked(pack((SETTLE, *surroundings)), limit))
            self._told = surroundings
        if function.digest not in self._known:
            forgotten = next(iter(self._known)) if len(self._known) == MOST_FUNCTIONS else None
            opened(self._asked(pack((LOAD, forgotten, function.digest, function.data)), limit))
            self._known.pop(forgotten, None)  # type: ignore[arg-type]
            self._known[function.digest] = None

    def _asked(self, parts: Sequence[Buffer], deadline: float | None) -> list[Buffer]:
        for chunk in chunks(parts):
            self._write(chunk, deadline)
        return self._answer(deadline)

    def _write(self, chunk: Buffer, deadline: float | None) -> None:
        missing = memoryview(chunk)
        while missing:
            try:
                missing = missing[os.write(self._channel, missing) :]
            except BlockingIOError:
                self._poll.modify(self._channel, select.POLLOUT)
                self._wait(deadline)
                self._poll.modify(self._channel, select.POLLIN)
            except (BrokenPipeError, ConnectionResetError):
                raise Ended from None

    def _answer(self, deadline: float | None) -> list[Buffer]:
        def exactly(size: int) -> bytearray:
            found = bytearray(size)
            missing = memoryview(found)
            while missing:
                missing = missing[self._read(missing, deadline) :]
            return found

        while True:
            self._wait(deadline)
            message = receive(exactly)
            found = said(message)
            if found is None:
                return message
            relay(*found)

    def _read(self, into: memoryview, deadline: float | None) -> int:
        while True:
            try:
                count = os.readv(self._channel, [into])
            except BlockingIOError:
                self._wait(deadline)
            except ConnectionResetError:
                raise Ended from None
            else:
                if count:
                    return count
                raise Ended

    def _wait(self, deadline: float | None) -> None:
        """Until the channel is ready; what the process prints meanwhile goes where this worker's prints go."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll(self._patience(deadline))}
            for descriptor in ready & self._outlets.keys():
                if not self._outlets[descriptor].forward():
                    self._poll.unregister(descriptor)
            if self._channel in ready:
                return
            if self._death in ready or (self._death is None and not self.is_alive):
                raise Ended
            if deadline is not None and time.monotonic() >= deadline:
                raise OutOfTime

    def _patience(self, deadline: float | None) -> int | None:
        """Milliseconds."""
        look = None if self._death is not None else LOOK_SECONDS
        if deadline is None:
            return None if look is None else int(look * 1000)
        left = max(0.0, deadline - time.monotonic())
        return math.ceil(1000 * (left if look is None else min(left, look)))

    # Ending

    def kill(self) -> None:
        """Kill it and what it started, at once; to be called before it was waited for."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # a dead leader of its group, on macOS
                os.killpg(self._popen.pid, signal.SIGKILL)

    def end(self) -> bool:
        """Kill it, collect its end and its last words, and close what led to it; False if it is not gone yet."""
        self.kill()  # first, so that what it started does not hold its pipes open
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(REAP_SECONDS)
        if self._lifeline >= 0:
            for outlet in self._outlets.values():
                outlet.drain()
            self._close()
        return self._popen.returncode is not None

    def obituary(self) -> ProcessDied:
        """What is to be said of its end."""
        said = next(outlet.tail for outlet in self._outlets.values() if outlet.name == "stderr")
        return _obituary(self._popen.returncode, self.memory_limit_bytes, bytes(said))

    def forget(self) -> None:
        """In a fork of the worker: this process is the worker's, not the fork's."""
        self._popen.returncode = 0
        self._close()

    def _close(self) -> None:
        self._socket.close()
        for descriptor in (self._lifeline, *(() if self._death is None else (self._death,))):
            os.close(descriptor)
        self._lifeline = -1
        for stream in (self._popen.stdout, self._popen.stderr):
            assert stream is not None
            stream.close()


class Outlet:
    """A pipe that the process prints into: passes what comes on to the stream of this process, and keeps the end."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.tail = bytearray()
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        os.set_blocking(descriptor, False)

    def forward(self) -> bool:
        """Pass on what is there; whether more may come."""
        try:
            found = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        self.tail += found
        del self.tail[:-TAIL_BYTES]
        stream = getattr(sys, self.name)
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # the stream of this process is closed: so was the print's
                stream.write(self._decoder.decode(found))
        return bool(found)

    def drain(self) -> None:
        """Pass on what is left by a process that has ended."""
        for _ in range(DRAIN_READS):
            before = len(self.tail)
            if not self.forward() or len(self.tail) == before:
                return


def opened(answer: Sequence[Buffer]) -> Any:
    """The value of an answer.

    Raises:
        BaseException: what the function raised.
        UnpicklableResult: the value cannot be unpickled here.
    """
    try:
        is_value, content = unpack(answer)
    except Exception as error:
        problem = f"the result cannot be unpickled ({type(error).__name__}: {error})"
        raise UnpicklableResult(problem, fix="return plain data, or mend how the class is pickled") from error
    if is_value:
        return content
    raise unpack_error(content)


def _surroundings() -> tuple[str | None, list[str], dict[str, str]]:
    try:
        folder = os.getcwd()  # noqa: PTH109 - a fifth of the cost of Path.cwd
    except OSError:
        folder = None
    return folder, list(sys.path), dict(os.environ)


def _start(memory_limit_bytes: int | None, idle_seconds: float) -> tuple[subprocess.Popen[bytes], socket.socket, int]:
    """The process, the channel to it, and the end of the pipe that it lives by.

    Not multiprocessing's: Dask's workers are daemonic processes, which must not have children of that kind.
    """
    ours, theirs = socket.socketpair()
    watched, lifeline = os.pipe()
    os.set_blocking(ours.fileno(), False)
    arguments = (theirs.fileno(), watched, idle_seconds, memory_limit_bytes)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    try:
        popen = subprocess.Popen(  # noqa: S603 - this interpreter, and what this module writes
            [sys.executable, *flags, "-c", BOOTSTRAP.format(path=sys.path, arguments=arguments)],
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(), watched),
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        os.close(lifeline)
        raise
    finally:
        theirs.close()
        os.close(watched)
    return popen, ours, lifeline


def _death_of(popen: subprocess.Popen[bytes]) -> int | None:
    """A descriptor that is ready when the process has ended: what it started may hold its end of the channel open."""
    try:
        return os.pidfd_open(popen.pid) if sys.platform == "linux" else None
    except OSError:
        return None


def _outlets_of(popen: subprocess.Popen[bytes]) -> dict[int, Outlet]:
    assert popen.stdout is not None
    assert popen.stderr is not None
    streams = {"stdout": popen.stdout, "stderr": popen.stderr}
    return {stream.fileno(): Outlet(stream.fileno(), name) for name, stream in streams.items()}


def _obituary(code: int | None, memory_limit_bytes: int | None, said: bytes) -> ProcessDied:
    problem = f"its process {_how(code)} before it gave an answer"
    if memory_limit_bytes is not None:
        problem += f"; its memory limit was {memory_limit_bytes / 2**20:.0f} MiB"
    text = said.decode("utf-8", "replace").strip()
    if text:
        problem += f"; the last it wrote to stderr:\n{text}"
    return ProcessDied(problem, fix=_advice(code, memory_limit_bytes))


def _how(code: int | None) -> str:
    if code is None:
        return "was killed"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name} (signal {-code})"
    except ValueError:  # real-time signals have no names
        return f"was ended by signal {-code}"


def _advice(code: int | None, memory_limit_bytes: int | None) -> str:
    if memory_limit_bytes is not None:
        return "raise the memory limit, or look at the native code that the function calls"
    if code == -signal.SIGKILL:
        return "look at the memory of the machine: systems end processes so when it runs out"
    return "look at the native code that the function calls, and for os._exit"
