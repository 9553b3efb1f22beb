"""Limits that this process knows: their values, how they are written, and which of them a task is subject to."""

from __future__ import annotations

import importlib
import math
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataflow.errors import UsageError

__all__ = ["Limit", "Place", "cluster_has", "define", "defined", "effective", "has_tags", "limit_of", "note_tags"]

HOW_TO_DEFINE = 'write set_limit({name!r}, {example}), DATAFLOW_LIMITS="{name}={bare}", or limit={example} in the call'
TAG = "tag:"
_RATE = re.compile(r"\s*([0-9.]+)\s*/\s*([a-z]+)\s*")
_UNIT_SECONDS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86400),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a name allows: so many at once, or one at a time in so many seconds. Exactly one of both is set."""

    places: int | None = None
    interval_seconds: float | None = None

    def __str__(self) -> str:
        if self.places is not None:
            return str(self.places)
        return f"{1 / self.interval_seconds:g}/s" if self.interval_seconds else ""


@dataclass(frozen=True, slots=True)
class Place:
    """Part of a request: so many places of a name; ``limit`` is what the code itself says, if it does."""

    name: str
    count: int = 1
    limit: int | None = None


def limit_of(said: int | str, name: str) -> Limit:
    """The limit that ``3``, ``"3"`` or ``"10/s"`` means.

    Args:
        said: a number of places, or how often in a unit of time (``s``, ``min``, ``h``, ``day``).
        name: for the message.

    Raises:
        UsageError: it means neither.

    Example:
        >>> limit_of("120/min", "api").interval_seconds
        0.5
    """
    if isinstance(said, int) and not isinstance(said, bool):
        if said >= 1:
            return Limit(places=said)
    elif isinstance(said, str) and said.strip().isdecimal():
        return limit_of(int(said), name)
    elif isinstance(said, str) and (found := _RATE.fullmatch(said)) and found[2] in _UNIT_SECONDS:
        times = _positive(found[1])
        if times:
            return Limit(interval_seconds=_UNIT_SECONDS[found[2]] / times)
    raise UsageError(
        f"{said!r} is no limit", where=f"limit {name!r}", fix='write a whole number from 1 on, or a rate such as "10/s"'
    )


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


class _Known:
    """The limits of this process: from the setting, then as `define` changed them; and what clusters told of theirs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.own: dict[str, Limit] | None = None
        """None until the setting was read."""
        self.elsewhere: frozenset[str] = frozenset()
        self.has_tags = False


_known = _Known()


def defined() -> dict[str, Limit]:
    """The limits that this process has set, by name.

    Raises:
        UsageError: the setting cannot be read.
    """
    with _known.lock:
        return dict(_own())


def define(name: str, limit: Limit | None) -> None:
    """Set a limit for this process, or take it away; clusters are told by whoever calls."""
    with _known.lock:
        if limit is None:
            _own().pop(name, None)
        else:
            _own()[name] = limit


def _own() -> dict[str, Limit]:
    if _known.own is None:
        # Settings are loaded when they are asked for: workers, which need this module for its words, start faster.
        _known.own = dict(_from_setting(importlib.import_module("dataflow.settings").settings().limits))
    return _known.own


def _from_setting(text: str) -> Mapping[str, Limit]:
    found: dict[str, Limit] = {}
    for entry in filter(str.strip, text.split(",")):
        name, equals, said = entry.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                f"{entry.strip()!r} is no limit",
                where=f"DATAFLOW_LIMITS={text!r}",
                fix='write names and limits, as in "database=3, api=10/s"',
            )
        found[name.strip()] = limit_of(said.strip(), name.strip())
    return found


def cluster_has(names: Iterable[str]) -> None:
    """A cluster told the names of limits that somebody set there. One too many is harmless."""
    _known.elsewhere |= frozenset(names)


def note_tags() -> None:
    """Some task has tags; from now on clusters are asked whether a tag has a limit there."""
    _known.has_tags = True


def has_tags() -> bool:
    """Whether some task of this process has tags."""
    return _known.has_tags


def effective(limits: Iterable[tuple[str, int | None]]) -> tuple[tuple[str, int | None], ...]:
    """Those limits of a task that are limits: it says them itself, or somebody has set them.

    A limit for the tag ``gpu`` may be set as ``gpu`` or, apart from one that code takes places of, as ``tag:gpu``.

    Example:
        >>> effective([("task:load", 3), ("tag:nobody-limits-this", None)])
        (('task:load', 3),)
    """
    found: list[tuple[str, int | None]] = []
    for name, said in limits:
        choices = (name, name.removeprefix(TAG))
        is_set = next((choice for choice in choices if _is_set(choice)), None)
        if said is not None or is_set is not None:
            found.append((is_set or name, said))
    return tuple(dict(found).items())


def _is_set(name: str) -> bool:
    own = defined().get(name)
    return name in _known.elsewhere if own is None else own.places is not None
