"""Voices: what becomes of what code says, line by line, bounded for each element, and by whom it is heard.

A voice belongs to a batch, or to the body of a flow. It knows which element is executing without being told of each:
it looks when something is said.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from dataflow.context import current_run, inside_task, voice_here
from dataflow.run_facts import RunFacts

__all__ = ["PRINT", "Lines", "Voice", "Where", "arguments_by_name", "hearing_voice", "hushed"]

PRINT = "print"
"""Name of the logger of what was printed."""
LONGEST_LINE_CHARACTERS = 16_384
"""What is printed without an end of line is cut into lines of this length."""
TAIL = 4
"""Of what is kept of an element that says too much, this part, one fourth, is the last that it said."""


class Where(NamedTuple):
    """The element that is executing, and its attempt; of the body of a flow, only that."""

    step: int = -1
    offset: int = -1
    attempt: int = 1


class Voice(Protocol):
    """Takes what is said in a batch, or in the body of a flow."""

    @property
    def facts(self) -> RunFacts:
        """Of the run."""

    def say(self, kind: str, body: Any, at: float | None = None, replaces: str | None = None) -> bool:
        """Take a notice of the element that is executing; False if none is."""

    def write(self, text: str) -> bool:
        """Take what is printed; whether it is not to be printed any more."""

    def log(self, level: int, name: str, message: str, at: float | None = None) -> bool:
        """Take a line of a log; False if no element is executing."""

    def shows(self, name: str) -> bool:
        """Whether lines of a logger of this name are shown where the run was started."""


class _Hush(threading.local):
    """Whether what this thread says now is not said by an element."""

    is_on = False


hush = _Hush()


class _Hushed:
    """What the code inside says, in this thread, is not taken for what an element says."""

    def __enter__(self) -> None:
        self._before = hush.is_on
        hush.is_on = True

    def __exit__(self, *_: object) -> None:
        hush.is_on = self._before


def hushed() -> _Hushed:
    """A block within which nothing that this thread says is heard: handlers of logs print, too.

    Example:
        >>> with hushed():
        ...     print("of nobody")
        of nobody
    """
    return _Hushed()


def hearing_voice() -> Voice | None:
    """The voice that takes what is said here; None outside of flows and tasks.

    Example:
        >>> hearing_voice() is None
        True
    """
    if hush.is_on:
        return None
    if inside_task.get() is None and (run := current_run.get()) is not None:
        return run.voice
    voice: Any = voice_here()
    return voice  # type: ignore[no-any-return]


class _Quota:
    """How much of what an element says was kept."""

    __slots__ = ("cut_bytes", "cut_lines", "cut_time", "left", "tail", "tail_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.left = limit_bytes - limit_bytes // TAIL
        self.tail: deque[tuple[Where, float, tuple[int, str, str], int]] | None = None
        """The last lines, once there were too many."""
        self.tail_bytes = self.cut_lines = self.cut_bytes = 0
        self.cut_time = 0.0

    def cut(self, most_bytes: int) -> None:
        """Leave the oldest lines out."""
        assert self.tail is not None
        while self.tail_bytes > most_bytes and len(self.tail) > 1:
            _, self.cut_time, _, size = self.tail.popleft()
            self.tail_bytes -= size
            self.cut_bytes += size
            self.cut_lines += 1


class _Begun(NamedTuple):
    """A line that has not ended."""

    time: float
    text: str
    level: int
    logger: str


class Lines:
    """Makes lines of what is printed and logged, of each element no more than the limit; used under a lock.

    Args:
        limit_bytes: how much of an element is kept: the first lines, and the last ones.
        put: takes what is kept: of whom, when, level, logger and message, and the size in bytes.
    """

    def __init__(self, limit_bytes: int, put: Callable[[Where, float, tuple[int, str, str], int], None]) -> None:
        self._limit = limit_bytes
        self._put = put
        self._quotas: dict[tuple[int, int], _Quota] = {}
        self._begun: dict[Where, _Begun] = {}

    def printed(self, where: Where, text: str, level: int, name: str) -> None:
        """Something was printed; a line is one when its end comes."""
        begun = self._begun.pop(where, None) or _Begun(time.time(), "", level, name)
        *lines, rest = (begun.text + text).split("\n")
        for line in lines:
            self.add(where, begun.time, level, name, line.removesuffix("\r").rpartition("\r")[2])
        if "\r" in rest[:-1]:  # a line that was overwritten, as bars of progress are
            rest = rest[:-1].rpartition("\r")[2] + rest[-1]
        if len(rest) > LONGEST_LINE_CHARACTERS:
            self.add(where, begun.time, level, name, rest)
        elif rest:
            self._begun[where] = _Begun(time.time() if lines else begun.time, rest, level, name)

    def add(self, where: Where, at: float, level: int, name: str, message: str) -> None:
        """A line came."""
        message, size = _fitting(message, self._limit // TAIL)
        quota = self._quotas.get(where[:2])
        if quota is None:
            quota = self._quotas[where[:2]] = _Quota(self._limit)
        body = (level, name, message)
        if quota.tail is None and size <= quota.left:
            quota.left -= size
            self._put(where, at, body, size)
            return
        if quota.tail is None:
            quota.tail = deque()
        quota.tail.append((where, at, body, size))
        quota.tail_bytes += size
        quota.cut(self._limit // TAIL)

    def end(self) -> None:
        """Nothing more comes: lines without an end are ones now, and what was held back is given."""
        for where, begun in self._begun.items():
            self.add(where, begun.time, begun.level, begun.logger, begun.text.rstrip("\r"))
        self._begun.clear()
        for (step, offset), quota in self._quotas.items():
            if quota.cut_lines:
                text = f"{quota.cut_lines:,} lines ({quota.cut_bytes:,} bytes) are left out here"
                note = f"{text}: DATAFLOW_LOG_BYTES_PER_ELEMENT is {self._limit}"
                self._put(Where(step, offset), quota.cut_time, (logging.WARNING, "dataflow", note), len(note))
            for kept in quota.tail or ():
                self._put(*kept)
        self._quotas.clear()
        self._put = _forget  # there is no circle of references any more that only the collector would find


def arguments_by_name(
    function: Callable[..., Any], positional: Sequence[Any], keywords: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The arguments of a call by the names of the function's parameters, defaults included.

    Example:
        >>> arguments_by_name(lambda x, y=2: None, (1,), {})
        {'x': 1, 'y': 2}
    """
    try:
        bound = inspect.signature(function).bind(*positional, **keywords)
    except (TypeError, ValueError):  # functions written in C may have no signature
        return {**{str(number): value for number, value in enumerate(positional)}, **keywords}
    bound.apply_defaults()
    return bound.arguments


def _forget(where: Where, at: float, body: tuple[int, str, str], size: int) -> None:
    """Nothing comes any more."""


def _fitting(message: str, most_characters: int) -> tuple[str, int]:
    """A message that can be encoded and is not too long, and its size in bytes with the end of the line."""
    if len(message) > most_characters:
        half = most_characters // 2
        cut = len(message) - 2 * half
        message = f"{message[:half]} … {cut:,} characters are left out … {message[-half:] if half else ''}"
    if message.isascii():
        return message, len(message) + 1
    try:
        return message, len(message.encode()) + 1
    except UnicodeEncodeError:  # half of a pair, which no file or database takes
        data = message.encode("utf-8", "backslashreplace")
        return data.decode(), len(data) + 1
