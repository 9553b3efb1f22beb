"""Capturing what tasks and flows log and print: it is heard by the voice of whoever says it, and goes on its way.

While a batch or the body of a flow runs, ``sys.stdout`` is a stream that listens and passes on, and each record of
Python's logging is looked at where it goes to its handlers. A handler on the root logger would not do: with one,
``logging.basicConfig`` in a task does nothing, and warnings are not printed any more where nobody set up logging.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dataflow.engine.voices import hearing_voice, hushed

__all__ = ["HeardStream", "captured"]

DEBUGGERS = frozenset({"bdb", "cmd", "pdb"})
"""Modules that talk to a person, not to a log."""

MOST_KEPT = 16
"""Of so many streams what listened to them is kept."""


class HeardStream:
    """A stream that listens to what is printed.

    Args:
        stream: where it goes on to; None where the process has none.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (getattr, (sys, "stdout"))  # elsewhere, what is printed to there

    def write(self, text: str) -> int:
        """Print, and be heard."""
        voice = hearing_voice()
        is_talk = sys._getframe(1).f_globals.get("__name__") in DEBUGGERS
        if voice is not None and type(text) is str and not is_talk and voice.write(text):
            return len(text)
        if self.stream is None:
            return len(text)
        with hushed():  # a stream that the user has put over one of these leads to that again
            return self.stream.write(text)  # type: ignore[no-any-return]

    def writelines(self, lines: Any) -> None:
        """Print several."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Have printed what was written."""
        if self.stream is not None:
            self.stream.flush()


class _Capture:
    """What is put in place while something listens, and taken away again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listening = 0
        self._handle: Any = None
        self._kept: deque[HeardStream] = deque(maxlen=MOST_KEPT)

    def begin(self) -> None:
        """One more listens."""
        with self._lock:
            self._listening += 1
            if self._listening == 1:
                self._handle = logging.Logger.callHandlers
                logging.Logger.callHandlers = _heard_by(self._handle)  # type: ignore[method-assign]
            if not isinstance(sys.stdout, HeardStream):  # somebody may have put another in its place meanwhile
                sys.stdout = self._over(sys.stdout)

    def _over(self, stream: Any) -> HeardStream:
        """What listens to a stream, the same one each time.

        ``print`` holds no reference to ``sys.stdout``: were it freed while another thread prints, Python would crash.
        """
        found = next((one for one in self._kept if one.stream is stream), None)
        if found is None:
            found = HeardStream(stream)
            self._kept.append(found)
        return found

    def end(self) -> None:
        """One fewer listens; what others have put over ours meanwhile is left alone, and ours then is silent."""
        with self._lock:
            self._listening -= 1
            if self._listening:
                return
            if getattr(logging.Logger.callHandlers, "is_ours", False):
                logging.Logger.callHandlers = self._handle  # type: ignore[method-assign]
            if isinstance(sys.stdout, HeardStream):
                sys.stdout = sys.stdout.stream


def _heard_by(handle: Any) -> Any:
    """`Logger.callHandlers` that has records heard before."""

    def heard(self: logging.Logger, record: logging.LogRecord) -> None:
        voice = hearing_voice()
        if voice is None:
            handle(self, record)
            return
        is_heard = voice.log(record.levelno, record.name, _text(record), record.created)
        if is_heard and not self.hasHandlers() and voice.shows(record.name):
            return  # it would be printed as the last resort, and is shown already
        with hushed():  # what handlers print was heard as a record
            handle(self, record)

    heard.is_ours = True  # type: ignore[attr-defined]
    return heard


def _text(record: logging.LogRecord) -> str:
    """The message of a record, with the exception that it is about."""
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - boundary: arguments that do not fit, and the code that makes texts of them
        text = f"{record.msg} {record.args!r:.200}"
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}\n{''.join(traceback.format_exception(*record.exc_info)).rstrip()}"
    return f"{text}\n{record.stack_info}" if record.stack_info else text


_capture = _Capture()


@contextmanager
def captured() -> Iterator[None]:
    """What is logged and printed inside is heard.

    Example:
        >>> import sys
        >>> with captured():
        ...     type(sys.stdout).__name__
        'HeardStream'
    """
    _capture.begin()
    try:
        yield
    finally:
        _capture.end()
