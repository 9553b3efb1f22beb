"""Filters: a task's function turned into one that lets its first argument through, or skips it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dataflow.graph.nodes import TaskSpec
from dataflow.signals import Skip

__all__ = ["filtering"]


def filtering(spec: TaskSpec) -> TaskSpec:
    """The task whose value is what it was given first, where the function is true of that; else it is skipped.

    Example:
        >>> def positive(x):
        ...     return x > 0
        >>> kept = filtering(TaskSpec(name="positive", function=positive, parameters=("x",)))
        >>> kept.name, kept.function(3)
        ('positive.filter', 3)
    """
    first = spec.parameters[0] if spec.parameters else ""
    persistence = spec.persistence
    if persistence is not None:
        persistence = replace(persistence, function=_around(spec.is_async, persistence.function, first))
    function = _around(spec.is_async, spec.function, first)
    return replace(spec, name=f"{spec.name}.filter", function=function, persistence=persistence)


def _around(is_async: bool, function: Callable[..., Any], first: str) -> Callable[..., Any]:
    return functools.partial(let_through_async if is_async else let_through, function, first)


def let_through(function: Callable[..., Any], first: str, /, *arguments: Any, **keywords: Any) -> Any:
    """The first argument, if the function is true of it."""
    return _kept(function(*arguments, **keywords), first, arguments, keywords)


async def let_through_async(function: Callable[..., Any], first: str, /, *arguments: Any, **keywords: Any) -> Any:
    """The same for an async function."""
    return _kept(await function(*arguments, **keywords), first, arguments, keywords)


def _kept(answer: Any, first: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    if answer:
        return arguments[0] if arguments else keywords[first]
    raise Skip  # without a message, which would be kept for each element; the name of the node tells it
