"""Wrappers that say how one argument of a call is to be read: whole, iterated, flattened, or failed allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Annotation", "allow_failure", "flatten", "mapped", "unmapped"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Annotation(Generic[T]):
    """Base of the wrappers; ``value`` is what was wrapped."""

    value: T


class unmapped(Annotation[T]):  # noqa: N801 - reads as a verb at the call, as its users know it
    """Give the whole value to every element of a map.

    Example:
        >>> from dataflow import task, Flow, unmapped
        >>> @task
        ... def scale(x, factors):
        ...     return x * sum(factors)
        >>> with Flow("scale") as flow:
        ...     scaled = scale.map([1, 2], unmapped([2, 3]))
        >>> flow.run(cluster="inline").result[scaled].result
        [5, 10]
    """

    __slots__ = ()


class mapped(Annotation[T]):  # noqa: N801
    """Iterate over the value where it would be taken whole: in a plain call or in ``wait_for``."""

    __slots__ = ()


class flatten(Annotation[T]):  # noqa: N801
    """Take away one level of nesting; nests, so ``flatten(flatten(x))`` takes away two."""

    __slots__ = ()


class allow_failure(Annotation[T]):  # noqa: N801
    """Run although the wrapped input failed; the exception stands in the place of its value."""

    __slots__ = ()


def strip(value: Any) -> tuple[Any, frozenset[type[Annotation[Any]]], int]:
    """Take the wrappers off a value.

    Returns:
        The bare value, the kinds of wrapper it had, and how many of them were ``flatten``.
    """
    kinds: set[type[Annotation[Any]]] = set()
    depth = 0
    while isinstance(value, Annotation):
        kinds.add(type(value))
        depth += isinstance(value, flatten)
        value = value.value
    return value, frozenset(kinds), depth
