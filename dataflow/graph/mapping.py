"""Decisions about mapped calls: which arguments are iterated, over which index space, and what is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from dataflow.annotations import allow_failure, flatten, mapped, strip, unmapped
from dataflow.errors import ArgumentError, MapError, MapLengthError
from dataflow.graph.habits import is_sequence, items_of, opened
from dataflow.graph.nodes import (
    Argument,
    Constant,
    Elements,
    Input,
    Items,
    Node,
    Reference,
    Rows,
    Space,
    Whole,
    inputs_of,
)
from dataflow.graph.reading import Reader

__all__ = [
    "Iterated",
    "Spaces",
    "common_space",
    "decide",
    "decide_waits",
    "is_sequence",
    "lengths_differ",
    "read_generators",
]

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Iterated:
    """An argument that gives each element of a map its own item."""

    path: str
    argument: Items | Rows | Elements
    space: Space | None = None
    """The index space of the node that is iterated; None for a literal, which brings no space of its own."""

    @property
    def length(self) -> int | None:
        """Number of items, or None while unknown."""
        match self.argument:
            case Items(_, length):
                return length
            case Rows(rows):
                return len(rows)
            case _:
                return self.space.length if self.space else None


class Spaces:
    """The index spaces that nodes of one graph open when they are iterated; one for each node, index and depth."""

    __slots__ = ("_opened",)

    def __init__(self) -> None:
        self._opened: dict[tuple[Node, int | range | None, int], Space] = {}

    def of(self, used: Input) -> Space:
        """The space of a node's elements, or the one that opening its values gives, of a length not known yet."""
        if used.node.space is not None and used.index is None and not used.depth:
            return used.node.space
        return self._opened.setdefault((used.node, used.index, used.depth), Space(None))


Decision = Argument | Iterated


def decide(reader: Reader, spaces: Spaces, value: Any, path: str, *, is_mapped: bool) -> Decision:
    """How one argument is passed: iterated, or the same for every element.

    Args:
        reader: turns references into inputs.
        spaces: index spaces of the graph.
        value: the argument as it was written, annotations included.
        path: the name of its parameter.
        is_mapped: whether the call is a map, so that what can be iterated is, unless it is ``unmapped``.

    Raises:
        ArgumentError: the argument is both ``unmapped`` and ``mapped``, or has annotations inside a container.
        HandleError: a reference belongs to another graph.
        MapError: the argument is a dict, a set, a data frame, or ``mapped`` and nothing that can be iterated.
    """
    bare, kinds, levels = strip(value)
    if mapped in kinds and unmapped in kinds:
        raise reader.error(ArgumentError, "is both unmapped(...) and mapped(...)", path, "keep one of the two")
    allowed = allow_failure in kinds
    if mapped in kinds or (is_mapped and unmapped not in kinds):
        iterate = _iterate_reference if isinstance(bare, Reference) else _iterate_literal
        iterated = iterate(reader, spaces, bare, path, levels, allowed)
        if iterated is not None:
            return iterated
        if kinds & {mapped, flatten}:
            raise _no_items(reader, bare, path, "mapped" if mapped in kinds else "flatten")
    return _take_whole(reader, bare, path, levels, allowed)


def _take_whole(reader: Reader, bare: Any, path: str, levels: int, allowed: bool) -> Argument:
    """The same for every element; ``flatten`` of a node gathers and flattens, of a literal it is done at once."""
    if isinstance(bare, Reference):
        return Whole(reader.input(bare, path, allowed=allowed, depth=levels))
    if not levels:
        return reader.read(bare, path, allowed=allowed)
    flat = _flat_items(reader, bare, path, levels)
    if flat is None:
        raise _no_items(reader, bare, path, "flatten")
    return Constant(list(flat))


def _no_items(reader: Reader, bare: Any, path: str, wrapper: str) -> Exception:
    return reader.error(
        MapError,
        f"{wrapper}(...) is given {type(bare).__name__} {bare!r:.60}, which a map does not iterate",
        path,
        f"give a list, or leave {wrapper}(...) out",
    )


def _iterate_reference(
    reader: Reader, spaces: Spaces, reference: Reference, path: str, levels: int, allowed: bool
) -> Iterated:
    """Element-wise for a mapped node; a plain node, or one element, gives a list that is known at run time."""
    node, index = reference.node, reference.index
    length = node.space.length if node.space is not None else None
    if isinstance(index, range) and length is not None and index == range(length):
        reference, index = Reference(node), None  # all of them, in order
    has_elements = node.space is not None and not isinstance(index, int)
    used = reader.input(reference, path, allowed=allowed, depth=levels if has_elements else levels + 1)
    if isinstance(index, range) and not levels:
        return Iterated(path=path, argument=Rows(tuple(Whole(Input(node, i, 0, allowed)) for i in index)))
    return Iterated(path=path, argument=Elements(used), space=spaces.of(used))


def _iterate_literal(
    reader: Reader, spaces: Spaces, bare: Any, path: str, levels: int, allowed: bool
) -> Iterated | None:
    items = _flat_items(reader, bare, path, levels)
    if items is None:
        return None
    if isinstance(items, Iterator):
        return Iterated(path=path, argument=Items(items, None))
    if not isinstance(items, list | tuple) or reader.is_literal(items):
        return Iterated(path=path, argument=Items(items, _length(reader, items, path)))
    rows = tuple(reader.row(item, f"{path}[{i}]", allowed=allowed) for i, item in enumerate(items))
    return Iterated(path=path, argument=Rows(rows))


def _flat_items(reader: Reader, bare: Any, path: str, levels: int) -> Sequence[Any] | Iterator[Any] | None:
    """The items of a literal after ``levels`` flattens; None if it has none. A generator stays lazy."""
    items = _located(reader, lambda: items_of(bare, path))
    if items is None or not levels:
        return items
    flat = items
    for _ in range(levels):
        flat = opened(flat, path)
    if isinstance(items, Iterator):
        return flat
    if not reader.is_literal(items):
        raise reader.error(
            MapError,
            "flatten(...) of a list with futures or Dask collections in it",
            path,
            "let a task give the list, and flatten what it gives: flatten(gather(...))",
        )
    return _located(reader, lambda: list(flat))


def _located(reader: Reader, read: Callable[[], Read]) -> Read:
    """Do something that may raise MapError about a path; the error then names the call too."""
    try:
        return read()
    except MapError as error:
        raise reader.error(MapError, error.problem, error.where.removeprefix("argument "), error.fix) from None


def _length(reader: Reader, items: Sequence[Any], path: str) -> int:
    try:
        return len(items)
    except TypeError as error:  # such as sparse matrices, which have rows but no length
        raise reader.error(
            MapError,
            f"a {type(items).__name__} has no length: {error}",
            path,
            f"list({path}), or unmapped({path}) to give it whole",
        ) from None


def read_generators(iterated: list[Iterated], *, strict: bool) -> dict[int, Items]:
    """Read generators that are zipped with something else into lists, as far as the others go.

    A generator that is iterated alone stays lazy. Beside others its items would have to wait for theirs.

    Args:
        iterated: the iterated arguments of one call; those that are read are replaced in it.
        strict: whether different lengths are an error; then one item too many is read to see it.

    Returns:
        What takes the place of each generator, by the ``id`` of the argument it was.
    """
    if len(iterated) < 2:
        return {}
    known = [each.length for each in iterated if each.length is not None]
    most = min(known) + strict if known else None
    read: dict[int, Items] = {}
    for position, each in enumerate(iterated):
        if isinstance(each.argument, Items) and each.argument.length is None:
            items = list(islice(each.argument.source, most))
            read[id(each.argument)] = Items(items, len(items))
            iterated[position] = Iterated(path=each.path, argument=read[id(each.argument)])
    return read


def common_space(iterated: Sequence[Iterated], *, strict: bool, where: str) -> Space:
    """The index space of a map over these arguments. Spaces that are known to be equal become one.

    Args:
        iterated: at least one argument.
        strict: whether different lengths are an error; else the shortest decides.
        where: the call, for the error.

    Raises:
        MapLengthError: two arguments are known to have different lengths.
    """
    lengths = [each.length for each in iterated]
    known = {length for length in lengths if length is not None}
    if len(known) > 1 and strict:
        raise lengths_differ(iterated, where)
    roots = list({id(each.space.root()): each.space.root() for each in iterated if each.space}.values())
    literals = any(each.space is None for each in iterated)
    if None in lengths:
        return roots[0] if len(roots) == 1 and not literals else Space(None)
    if len(known) > 1 or not roots:
        return Space(min(known))
    for other in roots[1:]:
        roots[0].merge(other)
    return roots[0]


def lengths_differ(iterated: Sequence[Iterated], where: str) -> MapLengthError:
    """The error that names every iterated argument with its length."""
    described = ", ".join(
        f"{each.path} has {'an unknown number' if each.length is None else f'{each.length:,}'}" for each in iterated
    )
    return MapLengthError(
        f"iterated arguments have different lengths: {described}",
        where=where,
        fix="give lists of one length, unmapped(...) for what every element gets whole, or map(..., strict=False)",
    )


def decide_waits(reader: Reader, spaces: Spaces, wait_for: Any) -> list[Decision]:
    """Dependencies without data: each node whole, element-wise only where it is wrapped in ``mapped``.

    Raises:
        ArgumentError: something that cannot be waited for.
        HandleError: a reference belongs to another graph.
    """
    entries = wait_for if isinstance(wait_for, list | tuple | set | frozenset) else (wait_for,)
    decisions: dict[object, Decision] = {}
    for position, entry in enumerate(entries):
        path = f"wait_for[{position}]"
        for decision in _waits_of(reader, spaces, entry, path):
            key = decision.argument if isinstance(decision, Iterated) else decision
            decisions.setdefault(key, decision)
    return list(decisions.values())


def _waits_of(reader: Reader, spaces: Spaces, entry: Any, path: str) -> Iterator[Decision]:
    bare, kinds, _ = strip(entry)
    if mapped in kinds and isinstance(bare, Reference) and flatten not in kinds:
        yield decide(reader, spaces, entry, path, is_mapped=False)
        return
    if kinds & {mapped, flatten}:
        raise _cannot_wait(reader, bare, path)
    argument = reader.read(bare, path, allowed=allow_failure in kinds)
    inputs = inputs_of(argument)
    if not inputs and not (isinstance(argument, Constant) and _is_nothing(argument.value)):
        raise _cannot_wait(reader, bare, path)
    yield from (Whole(used) for used in inputs)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple | set | frozenset | dict) and not value)


def _cannot_wait(reader: Reader, bare: Any, path: str) -> Exception:
    return reader.error(
        ArgumentError,
        f"{type(bare).__name__} {bare!r:.60} is nothing that can be waited for in this way",
        path,
        "give futures or handles, mapped(...) around one of them to wait element by element",
    )
