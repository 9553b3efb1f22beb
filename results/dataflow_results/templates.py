"""Templates of file names: where results go as plain files, for people and tools that do not know this store."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataflow_results.errors import TemplateError

__all__ = ["BY_ELEMENT", "FIELDS", "Place", "Template", "serializer_for"]

FIELDS = ("parameters", "task_name", "flow_name", "run_id", "node", "index", "map_index", "date", "today")
"""What a template may name."""
BY_ELEMENT = frozenset({"index", "map_index"})
"""Fields that differ for each element of a map."""
OWN_NAMES = frozenset({"format.json", "leases", "objects", "pins", "runs", "set-aside", "tasks", "trees"})
"""What a store keeps of its own; no result of a user is put there."""
BY_EXTENSION = {
    "arrow": "arrow",
    "bin": "bytes",
    "feather": "arrow",
    "json": "json",
    "npy": "numpy",
    "parquet": "parquet",
    "pickle": "pickle",
    "pkl": "pickle",
    "txt": "text",
    "zarr": "zarr",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is the same for all elements of a node."""

    task_name: str = ""
    flow_name: str = ""
    run_id: str = ""
    node: str = ""
    date: Any = None
    """A `datetime.datetime`: when the run looks; ``{date:%Y-%m-%d}`` formats it, ``{today}`` is that very format."""


class Template:
    """A template such as ``"{parameters[date]}/{task_name}-{index}.parquet"``.

    Args:
        text: a relative file name with fields of `FIELDS` in braces, formatted as `str.format` does.

    Raises:
        TemplateError: a field does not exist, or the name would leave the store.

    Example:
        >>> template = Template("{parameters[date]}/{task_name}-{index}.parquet")
        >>> template.name(Place(task_name="load"), 3, {"date": "2026-01-01"})
        '2026-01-01/load-3.parquet'
    """

    __slots__ = ("_render", "arguments", "fields", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields, self.arguments = _parsed(text)
        self._render: Callable[..., str] = text.format

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Template, (self.text,))

    def name(self, place: Place, index: int, arguments: Mapping[str, Any]) -> str:
        """The file of one element.

        Args:
            place: what is the same for all elements of its node.
            index: of the element in its map; 0 in a plain node.
            arguments: of the call, by name.

        Raises:
            TemplateError: a value is not there, does not format, or makes no file name.
        """
        today = "" if place.date is None else f"{place.date:%Y-%m-%d}"
        try:
            name = self._render(
                parameters=arguments, task_name=place.task_name, flow_name=place.flow_name, run_id=place.run_id,
                node=place.node, index=index, map_index=index, date=place.date, today=today,
            )  # fmt: skip
        except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            known = ", ".join(map(repr, arguments)) or "none"
            problem = f"it cannot be filled in ({type(error).__name__}: {error}); the arguments are {known}"
            raise TemplateError(problem, where=_where(self.text), fix="name an argument that the task has") from error
        return _checked(name, self.text)

    def tells_apart(self, iterated: frozenset[str]) -> bool | None:
        """Whether the elements of a map get different files: True, False, or None if that depends on the values.

        Args:
            iterated: names of the arguments that differ by element.

        Example:
            >>> Template("{node}.json").tells_apart(frozenset({"x"}))
            False
        """
        if self.fields & BY_ELEMENT:
            return True
        return None if self.arguments & iterated or ("parameters" in self.fields and not self.arguments) else False


def serializer_for(name: str) -> str | None:
    """The serializer that the ending of a file name asks for; None if it asks for none.

    Example:
        >>> serializer_for("{index}.parquet"), serializer_for("{index}")
        ('parquet', None)
    """
    return BY_EXTENSION.get(name.rpartition(".")[2].lower()) if "." in name.rpartition("/")[2] else None


def _parsed(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The fields of a template, and the arguments that ``parameters[...]`` names."""
    try:
        named = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
        parts = [_parts(field) for field in named]
    except ValueError as error:
        raise TemplateError(f"it is not well formed: {error}", where=_where(text), fix="{index}.json") from error
    unknown = sorted({first for first, _ in parts} - set(FIELDS))
    if unknown:
        fix = f"one of {', '.join(FIELDS)}; arguments as {{parameters[{unknown[0] or 'name'}]}}"
        raise TemplateError(f"there is no field {unknown[0]!r}", where=_where(text), fix=fix)
    _checked(text.replace("{", "").replace("}", ""), text)
    arguments = frozenset(key for first, key in parts if first == "parameters" and key)
    return frozenset(first for first, _ in parts), arguments


def _parts(field: str) -> tuple[str, str]:
    """Name and first key of a field: ``parameters[date]`` → parameters, date."""
    head, bracket, rest = field.partition("[")
    return head.partition(".")[0], rest.partition("]")[0] if bracket else ""


def _checked(name: str, text: str) -> str:
    pieces = name.split("/")
    if pieces[0] in OWN_NAMES or pieces[-1].startswith("."):
        fix = f"another folder than {', '.join(sorted(OWN_NAMES))}"
        raise TemplateError(f"{name!r} is a file of the store itself", where=_where(text), fix=fix)
    if not name or name.startswith("/") or ".." in pieces or "" in pieces or "\\" in name or "\0" in name:
        fix = "a relative name without empty parts and without .."
        raise TemplateError(f"{name!r} is no file name inside the store", where=_where(text), fix=fix)
    return name


def _where(text: str) -> str:
    return f"result_storage_key {text!r}"
