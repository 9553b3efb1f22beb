"""What the doors tell the history about a run: what it is called, its parameters, and how to run it again."""

from __future__ import annotations

import json
import pickle
import reprlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePath
from typing import Any

import cloudpickle

from dataflow.errors import UsageError
from dataflow.large_values import is_large

__all__ = ["Description", "parameters_json", "pickled_arguments", "run_name", "text_of"]

LARGEST_ARGUMENTS_BYTES = 1_000_000
"""Arguments of a flow are kept up to this size, so that a suspended run can be taken up by its id alone."""
SHOWN_CHARACTERS = 200
"""The text of a parameter is cut here."""
PLAIN = (bool, int, float, complex, str, bytes, type(None), date, PurePath, list, tuple, dict, set, frozenset, range)
"""Types whose text is cheap, and says what the value is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is known of a run before it begins; the same for all its attempts."""

    name: str
    """What the run is called."""
    door: str = "function"
    """``"function"``, ``"graph"`` or ``"task"``: what an attempt of an element submits itself."""
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    parameters: str = "{}"
    """JSON."""
    tags: tuple[str, ...] = ()
    log_prints: bool | None = None
    """Whether what is printed is a line of the log; None: as the run around it, or the setting, says."""
    show_logs: bool | None = None
    """Whether each line is shown as it comes; None: the same."""
    entrypoint: str = ""
    arguments: bytes | None = None


def run_name(given: Any, flow: str, parameters: Mapping[str, Any]) -> str:
    """What a run is called: as ``flow_run_name`` says, a template or a function; else as its flow.

    Args:
        given: ``"daily-{day}"``, a function without parameters or with one that takes all of them, or None.
        flow: name of the flow.
        parameters: values by name, defaults included.

    Raises:
        UsageError: the template names a parameter that does not exist, or the function gives no text.

    Example:
        >>> run_name("load-{year}", "load", {"year": 2013})
        'load-2013'
    """
    if given is None:
        return flow
    name = _called(given, parameters) if callable(given) else _filled(given, flow, parameters)
    if not isinstance(name, str) or not name:
        raise UsageError(f"flow_run_name gave {name!r}", where=f"flow {flow!r}", fix="a function that gives a text")
    return name


def _called(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    code = getattr(function, "__code__", None)
    return function(parameters=parameters) if code is not None and code.co_argcount else function()


def _filled(template: str, flow: str, parameters: Mapping[str, Any]) -> str:
    try:
        return template.format(**{**parameters, "flow_name": flow, "date": datetime.now().astimezone()})
    except (AttributeError, IndexError, KeyError, ValueError) as error:
        problem = f"flow_run_name={template!r} cannot be filled in ({type(error).__name__}: {error})"
        known = ", ".join(parameters) or "none"
        raise UsageError(problem, where=f"flow {flow!r}", fix=f"names of its parameters: {known}") from error


def parameters_json(parameters: Mapping[str, Any]) -> str:
    """The text of each parameter.

    Example:
        >>> parameters_json({"year": 2013, "years": [2013, 2014]})
        '{"year": "2013", "years": "[2013, 2014]"}'
    """
    return json.dumps({name: text_of(value) for name, value in parameters.items()})


def text_of(value: Any) -> str:
    """A short text of a value that costs nothing, whatever the value is.

    Example:
        >>> text_of(range(1_000_000)), text_of(object())
        ('range(0, 1000000)', '<object>')
    """
    if isinstance(value, PLAIN):
        return _short.repr(value)[:SHOWN_CHARACTERS]
    shape = getattr(value, "shape", None)
    size = f" of {' x '.join(map(str, shape))}" if isinstance(shape, tuple) else ""
    return f"<{type(value).__qualname__}{size}>"


class _Short(reprlib.Repr):
    """Cuts long containers and texts, and tells of everything else only what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = SHOWN_CHARACTERS
        self.maxlong = self.maxlist = self.maxtuple = self.maxdict = self.maxset = 20

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x) if isinstance(x, PLAIN) else text_of(x)


_short = _Short()


def pickled_arguments(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bytes | None:
    """The arguments of a flow; None if they are large or do not pickle."""
    if any(map(is_large, (*arguments, *keywords.values()))):
        return None
    try:
        data: bytes = cloudpickle.dumps((arguments, dict(keywords)), protocol=pickle.DEFAULT_PROTOCOL)
    except Exception:  # noqa: BLE001 - boundary: pickling runs code of the values' classes, which may raise anything
        return None
    return data if len(data) <= LARGEST_ARGUMENTS_BYTES else None
