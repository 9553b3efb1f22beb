"""Packed exceptions read for people: type, message, where in the user's code it was raised, the folded traceback."""

from __future__ import annotations

import re
import traceback
from types import TracebackType
from typing import NamedTuple

from dataflow.foreign_errors import load_error
from dataflow.tracebacks import GENERATED, OURS, fold

__all__ = ["Told", "read_error"]

LONGEST_MESSAGE = 500
"""Characters of a message that are kept."""
FIRST_CHARACTERS, LAST_CHARACTERS = 1_000, 2_900
"""Of a traceback that is too long; what is between them is left out. Together with the mark less than 4 kB."""
LEFT_OUT = "\n  … {count:,} characters left out …\n"

LIBRARY = re.compile(r"[/\\](?:site-packages|dist-packages|python3\.\d+)[/\\]|<frozen ")
"""In the names of files that the user has not written."""


class Told(NamedTuple):
    """What an exception tells of itself."""

    type: str
    """Name of its class with the module, but for those of Python itself."""
    message: str
    place: str
    """Of the innermost frame of the user's code: ``"/path/file.py:17 in load"``; empty if there is none."""
    traceback: str


def read_error(packed: bytes) -> Told:
    r"""Unpack an exception and read it.

    Example:
        >>> from dataflow.engine.failures import pack_error
        >>> read_error(pack_error(ValueError("no such record")))
        Told(type='ValueError', message='no such record', place='', traceback='ValueError: no such record\n')
    """
    error = load_error(bytes(packed))  # of an inline run, too, not the very object, which its user may hold
    try:
        return _told(fold(error))
    except Exception as problem:  # noqa: BLE001 - boundary: printing runs code of the user's exception class
        return Told(_name(type(error)), f"it cannot be printed ({type(problem).__name__})", "", "")


def _told(error: BaseException) -> Told:
    text = "".join(traceback.format_exception(error))
    return Told(_name(type(error)), _message(error), _place(error.__traceback__), _bounded(text))


def _name(kind: type) -> str:
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _message(error: BaseException) -> str:
    message = str(error)
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"


def _place(entry: TracebackType | None) -> str:
    """The last frame of code that the user wrote; where there is none, of a library; else of ours."""
    places = ["", "", ""]
    while entry is not None:
        place = f"{entry.tb_frame.f_code.co_filename}:{entry.tb_lineno} in {entry.tb_frame.f_code.co_name}"
        places[_distance(entry)] = place
        entry = entry.tb_next
    return next(filter(None, places), "")


def _distance(entry: TracebackType) -> int:
    """How far code is from the user: 0 what he wrote, 1 libraries, 2 ourselves."""
    file = entry.tb_frame.f_code.co_filename
    module = str(entry.tb_frame.f_globals.get("__name__", ""))
    if module.partition(".")[0] in OURS or file.startswith(GENERATED):
        return 2
    return int(LIBRARY.search(file) is not None)


def _bounded(text: str) -> str:
    count = len(text) - FIRST_CHARACTERS - LAST_CHARACTERS
    if count <= 0:
        return text
    return text[:FIRST_CHARACTERS] + LEFT_OUT.format(count=count) + text[-LAST_CHARACTERS:]
