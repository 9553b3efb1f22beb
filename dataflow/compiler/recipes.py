"""Recipes: how a worker makes the inputs of a batch from the dependencies that Dask hands it.

A batch has a list of dependencies (columns of earlier batches, objects under keys of their own). A recipe names them by
position. Recipes are named tuples because a batch of plain nodes carries one per argument and node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = [
    "Batch",
    "Broken",
    "Counted",
    "Direct",
    "Each",
    "Fill",
    "Gather",
    "HeldSpan",
    "Known",
    "Literal",
    "Part",
    "Parts",
    "Pick",
    "Values",
]


class Literal(NamedTuple):
    """The value itself."""

    value: Any


class Direct(NamedTuple):
    """The dependency at this position, as it is."""

    dependency: int


class Broken(NamedTuple):
    """An input that failed: ``elements`` elements that all carry this packed error, with no data moved."""

    state: int
    error: bytes
    elements: int = 1


class Part(NamedTuple):
    """A slice of a column, opened ``depth`` levels, and of that the elements ``first`` to ``last``."""

    dependency: int
    start: int
    stop: int
    depth: int = 0
    first: int = 0
    last: int | None = None


class Pick(NamedTuple):
    """One element."""

    part: Part | Broken
    allow_failure: bool = False


class Gather(NamedTuple):
    """The ordered list of all elements of the parts; a failed one makes the whole failed, unless allowed."""

    parts: tuple[Part | Broken, ...]
    allow_failure: bool = False
    is_judged: bool = False
    """Whether a trigger judges it, by the states of all these elements."""


class Counted(NamedTuple):
    """The states of elements without their values, for a trigger to judge."""

    successful: int
    failed: int
    skipped: int
    error: bytes
    """Of the first that failed."""


class Fill(NamedTuple):
    """A container in which each slot is filled from the recipe of the same position."""

    skeleton: Any
    recipes: tuple[Any, ...]
    is_judged: bool = False
    """Whether a trigger judges what is filled in."""


Recipe = Literal | Direct | Broken | Pick | Gather | Counted | Fill


class Known(NamedTuple):
    """The key of a plain node, and what it was made of, packed for its record."""

    key: bytes
    preimage: bytes


class Values(NamedTuple):
    """A column of literal values (any sequence)."""

    values: Any


class Parts(NamedTuple):
    """A column made of parts, one after the other; exceptions in the place of failed elements if allowed."""

    parts: tuple[Part | Broken, ...]
    allow_failure: bool = False


class Each(NamedTuple):
    """A column with a recipe for each element."""

    recipes: tuple[Recipe, ...]


ColumnRecipe = Values | Parts | Each


class HeldSpan(NamedTuple):
    """Elements that left an earlier batch unfinished; that batch kept how far they came under these offsets."""

    start: int
    elements: int
    dependency: int
    offset: int
    approval: bytes | None = None
    """Pickled: what they are told by who approved them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a worker is told about one batch, besides its program and its dependencies."""

    number: int
    count: int
    broadcasts: tuple[Recipe, ...]
    columns: tuple[ColumnRecipe, ...]
    budget_seconds: float | None = None
    """After this long the batch gives back the elements it has not begun; None runs all of them."""
    seconds_per_element: float | None = None
    """How long an element took so far; None if that is not known yet."""
    first: int = 0
    """Index of its first element in the index space of its nodes."""
    lineage: tuple[tuple[Known | None, ...], ...] = ()
    """Keys that are known already, for each plain node and step; empty if there are none."""
    mapped: bool = False
    """Whether its elements are those of a mapped stage."""
    is_scattered: bool = False
    """Whether its elements are not one run of consecutive ones."""
    held: tuple[HeldSpan, ...] = ()
    """Elements that are gone on with."""
    most_at_once: int | None = None
    """How many of its elements may run at once, where that is limited."""
    limits: tuple[str, ...] = ()
    """Names of the limits that it holds places of."""
    cancelled: tuple[int, ...] = ()
    """Steps that are not run any more, because somebody cancelled their nodes."""
    slugs: tuple[tuple[str, ...], ...] = ()
    """Slugs of the nodes of the steps: one row for all elements of a mapped stage; of plain nodes one for each."""
    starts: tuple[tuple[int, int], ...] = ()
    """Of a mapped stage's batch that is scattered: offset and index of the first element of each run of them."""
