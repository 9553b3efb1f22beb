"""Reproductions: the function of one element with exactly its inputs, to be called again here, in a debugger say."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Reproduction"]

LONGEST_REPR = 1_000
"""A longer value is not written out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Reproduction:
    """One element of a run, to be run again here: calling it calls the function with the inputs of the element.

    Its repr is the call as Python, which can be copied as far as the inputs can be written.

    Example:
        >>> from dataflow import flow, task
        >>> @task
        ... def share(total, parts):
        ...     return total / parts
        >>> @flow(cluster="inline")
        ... def shares():
        ...     return share.map(12, [3, 0, 4])
        >>> run = shares.start()
        >>> again = run.reproduce("share[1]") if run.wait().is_failed() else None
        >>> again
        share(total=12, parts=0)
        >>> again.error
        ZeroDivisionError('division by zero')
        >>> again()
        Traceback (most recent call last):
        ...
        ZeroDivisionError: division by zero
    """

    task: str
    """Name of the task."""
    node: str
    """Slug of the node."""
    index: int | None
    """Of the element; None of a plain node."""
    function: Callable[..., Any]
    """The bare function."""
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    error: BaseException | None = None
    """What the element ended with; None if it did not fail."""
    recomputed: tuple[str, ...] = ()
    """Places whose values were computed again here for its inputs, because the run does not have them any more."""

    def __call__(self) -> Any:
        """Run it here; an ``async def`` function to its end, or, where an event loop runs, as something to await."""
        value = self.function(*self.arguments, **self.keywords)
        return value if not inspect.iscoroutine(value) or _has_loop() else asyncio.run(value)

    def __repr__(self) -> str:
        return f"{self._name()}({', '.join(self._written())})"

    def _name(self) -> str:
        name = str(getattr(self.function, "__name__", ""))
        return name if name.isidentifier() and name != "run" else self.task

    def _written(self) -> list[str]:
        names = _names(self.function)
        if len(names) < len(self.arguments):  # the rest goes to *args, before which nothing can be named
            names = [""] * len(self.arguments)
        pairs = [*zip(names, self.arguments, strict=False), *self.keywords.items()]
        return [f"{name}={_shown(value)}" if name else _shown(value) for name, value in pairs]


def _names(function: Callable[..., Any]) -> list[str]:
    """Names of the positional parameters; an empty one for those that cannot be named in a call."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function of C without a signature
        return []
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return [p.name if p.kind is not p.POSITIONAL_ONLY else "" for p in parameters if p.kind in kinds]


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _shown(value: Any) -> str:
    """A value as Python, or, if it cannot be written so, the name of its type."""
    text = repr(value)
    if len(text) <= LONGEST_REPR and _is_python(text):
        return text
    return f"<{type(value).__name__}>"


def _is_python(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True
