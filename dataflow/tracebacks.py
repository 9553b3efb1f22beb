"""Tracebacks as users want to read them: their own lines, and between them one line of ours for each way through us."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import FunctionType, TracebackType
from typing import Any

from dataflow_results.errors import ExplainedError

__all__ = ["detach", "fold", "folding", "forget_context"]

OURS = frozenset({"dataflow", "dataflow_results"})
"""Packages whose frames are folded."""
HIDDEN = tuple(
    f"dataflow.{name}" for name in ("bodies", "compiler", "conclusions", "engine", "functions", "session", "values")
)
"""Modules of ours that users do not call, so that their frames are never the one that stays."""
BELOW = frozenset({"asyncio", "concurrent", "contextlib", "dask", "distributed", "tblib", "threading", "tornado"})
"""Packages that we call users' code through. Frames of theirs are folded where they follow one of ours."""
GENERATED = "<walk of "
"""How the file of code begins that the engine generates."""

UNKNOWN_POSITION = -1
"""Where in its line something was raised does not travel."""

Run = tuple[bool, list[TracebackType]]
"""Entries of a traceback that follow each other, and whether they are ours."""


class folding:  # noqa: N801 - used as a statement: `with folding():`
    """Exceptions that leave the block have folded tracebacks; stands around what a public function does.

    Nothing is folded where the setting ``full_tracebacks`` says so.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            fold(error)


def fold(error: BaseException) -> BaseException:
    """Take our own frames out of the traceback of an exception, and out of those of its causes.

    Of consecutive frames of ours the first one stays, if it is one that users know: what they called. At the end of a
    traceback the last one stays too, where something broke that is no explained error of ours.

    Returns:
        The same exception.
    """
    if not _shows_all():
        for one in _chain(error):
            one.__traceback__ = _linked(_kept(one))
    return error


def _shows_all() -> bool:
    # Imported when something has failed: workers load this module, and start faster without settings.
    return bool(importlib.import_module("dataflow.settings").settings().full_tracebacks)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, its causes, and what was being handled when they were raised; each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def _kept(error: BaseException) -> list[TracebackType]:
    runs = list(_runs(error.__traceback__))
    kept: list[TracebackType] = []
    for position, (is_ours, entries) in enumerate(runs):
        if not is_ours:
            kept += entries
            continue
        known = [entry for entry in entries[:1] if not _module(entry).startswith(HIDDEN)]
        if position == len(runs) - 1 and (not known or not isinstance(error, ExplainedError)):
            known += [entry for entry in entries[-1:] if entry not in known]
        kept += known
    return kept


def _runs(traceback: TracebackType | None) -> Iterator[Run]:
    entries: list[TracebackType] = []
    inside = False
    for entry in _entries(traceback):
        ours = _is_ours(entry) or (inside and _module(entry).partition(".")[0] in BELOW)
        if entries and ours != inside:
            yield inside, entries
            entries = []
        entries.append(entry)
        inside = ours
    if entries:
        yield inside, entries


def _is_ours(entry: TracebackType) -> bool:
    return _module(entry).partition(".")[0] in OURS or entry.tb_frame.f_code.co_filename.startswith(GENERATED)


def _module(entry: TracebackType) -> str:
    """Name of the module of a frame; code that was generated counts as the engine's."""
    if entry.tb_frame.f_code.co_filename.startswith(GENERATED):
        return "dataflow.engine"
    return str(entry.tb_frame.f_globals.get("__name__", ""))


def _linked(entries: list[TracebackType]) -> TracebackType | None:
    """A traceback of these entries; their frames are the same, so that a debugger finds what is in them."""
    following: TracebackType | None = None
    for entry in reversed(entries):
        following = TracebackType(following, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return following


def detach(error: BaseException) -> BaseException:
    """Make the frames of an exception that came in bytes stand alone.

    To make a traceback from bytes, frames are made by raising something. Those frames know their callers, and so keep
    alive everything that stands in the functions which asked for the exception, and where that is the exception itself,
    until the garbage collector comes: a whole run, say. The frames that take their places know nobody.

    Returns:
        The same exception.
    """
    for one in _chain(error):
        following: TracebackType | None = None
        for entry in reversed(list(_entries(one.__traceback__))):
            following = TracebackType(following, _lone_frame(entry), UNKNOWN_POSITION, entry.tb_lineno)
        one.__traceback__ = following
    return error


def forget_context(error: BaseException, handled: BaseException | None) -> None:
    """Make an exception forget that it was raised while we handled another one, of which its code knew nothing.

    Args:
        error: what was raised.
        handled: what was being handled when the code was called, an earlier attempt say; None: nothing.
    """
    if handled is None or error is handled:
        return
    for one in _chain(error):
        if one.__context__ is handled:
            one.__context__ = None


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _lone_frame(entry: TracebackType) -> Any:
    """A frame of a function with the same name, file and module; it was never begun, so nobody has called it."""
    like = entry.tb_frame.f_code
    code = _never_begun.__code__.replace(
        co_name=like.co_name, co_filename=like.co_filename, co_firstlineno=like.co_firstlineno
    )
    return FunctionType(code, entry.tb_frame.f_globals)().gi_frame


def _never_begun() -> Iterator[None]:
    yield
