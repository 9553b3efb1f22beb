"""Functions that generated flows are made of: total on any value, so that they fail only where they are meant to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dataflow.graph.nodes import TaskSpec

__all__ = ["FUNCTIONS", "number", "specs"]

MODULUS = 1009


class Refused(Exception):
    """The failure that generated flows are full of."""


def number(value: Any) -> int:
    """Fold any value into one small number that depends on its structure, its order and its exceptions."""
    if isinstance(value, BaseException):
        return 17 + len(type(value).__name__)
    if isinstance(value, dict):
        return number([*value.keys(), *value.values()])
    if isinstance(value, (list, tuple)):
        return sum(position * number(item) for position, item in enumerate(value, start=1)) % MODULUS
    return len(value) if isinstance(value, str) else int(value or 0)


def combine(x: Any, y: Any = 0) -> int:
    return (3 * number(x) + 5 * number(y) + 1) % MODULUS


def keep(x: Any, y: Any = None) -> Any:
    return [x, y] if y is not None else x


def refuse_some(x: Any, y: Any = 1) -> int:
    folded = number(x) + number(y)
    if folded % 3 == 0:
        raise Refused(f"{folded} is a multiple of three")
    return folded


def refuse_all(x: Any, y: Any = 0) -> int:
    raise Refused(f"refused {number(x) + number(y)}")


def some(x: Any, y: Any = 0) -> list[int]:
    return [number(x) + position for position in range((number(x) + number(y)) % 3)]


def nested(x: Any, y: Any = 0) -> list[list[int]]:
    return [some(x, y), some(y, x)]


def label(x: Any, y: Any = 0) -> str:
    return f"{number(x)}-{number(y)}"


def pair(x: Any, y: Any = 0) -> dict[str, Any]:
    return {"x": x, "y": y}


async def combine_later(x: Any, y: Any = 0) -> int:
    return refuse_some(x, y) + 1


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (combine, keep, refuse_some, refuse_all, some, nested, label, pair, combine_later)
}


def specs(batch_size: int | None, more: Callable[[str], Mapping[str, Any]] = lambda name: {}) -> dict[str, TaskSpec]:
    """Every function as a task with this batch size; ``more`` gives further options by name."""
    return {
        name: TaskSpec(
            **{
                "name": name,
                "function": function,
                "parameters": tuple(inspect.signature(function).parameters),
                "is_async": inspect.iscoroutinefunction(function),
                "batch_size": batch_size,
                **more(name),
            }
        )
        for name, function in FUNCTIONS.items()
    }
