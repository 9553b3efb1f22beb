"""Whether input may fit a JSON schema: asked where the type itself is not known, because it stands in another process.

Only what certainly does not fit is refused; the run itself checks again, by the type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pydantic_core

__all__ = ["complaints"]

VALUE = "value"
MOST_LEVELS = 20
BOOLEANS = frozenset({"true", "t", "yes", "y", "on", "1", "1.0", "false", "f", "no", "n", "off", "0", "0.0"})
"""What pydantic takes for a truth value, as text in small letters."""


def complaints(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What of a value does not fit a schema; empty if it may fit.

    Args:
        schema: as pydantic writes it.
        value: as JSON has it, a model or a dataclass; of a schema that is no object also ``{"value": ...}``.

    Example:
        >>> schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
        >>> complaints(schema, {"age": "41"}), complaints(schema, {"age": "old"}), complaints(schema, {})
        ([], ["age: 'old' is no integer"], ['age: is missing'])
    """
    value = _plain(value)
    found = list(_found(schema, value, "", schema, 0))
    if found and isinstance(value, Mapping) and set(value) == {VALUE} and schema.get("type") != "object":
        found = list(_found(schema, value[VALUE], "", schema, 0))
    return [f"{path}: {problem}" if path else problem for path, problem in found]


def _plain(value: Any) -> Any:
    """As JSON has it; what JSON cannot have is left as it is, for the type to judge."""
    try:
        return pydantic_core.to_jsonable_python(value)
    except ValueError:
        return value


def _found(
    schema: Mapping[str, Any], value: Any, path: str, root: Mapping[str, Any], level: int
) -> Iterator[tuple[str, str]]:
    schema = _opened(schema, root)
    if level > MOST_LEVELS:
        return
    if "enum" in schema and str(value) not in map(str, schema["enum"]):
        yield path, f"{value!r} is none of {', '.join(map(repr, schema['enum']))}"
        return
    if "anyOf" in schema:
        found = [list(_found(one, value, path, root, level + 1)) for one in schema["anyOf"]]
        if all(found):
            yield path, " and ".join(problem for one in found for _, problem in one[:1])
        return
    kind = None if "format" in schema else schema.get("type")  # times and the like may be said in several ways
    if kind in _FITS and not _FITS[kind](value):
        yield path, f"{value!r:.60} is no {kind}"
    elif kind == "object":
        yield from _in_object(schema, value, path, root, level)
    elif kind == "array" and "items" in schema:
        for position, one in enumerate(value):
            yield from _found(schema["items"], one, f"{path}[{position}]", root, level + 1)


def _in_object(
    schema: Mapping[str, Any], value: Mapping[str, Any], path: str, root: Mapping[str, Any], level: int
) -> Iterator[tuple[str, str]]:
    before = f"{path}." if path else ""
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{before}{name}", "is missing"
    known = schema.get("properties", {})
    for name, one in value.items():
        if name in known:
            yield from _found(known[name], one, f"{before}{name}", root, level + 1)
        elif known and schema.get("additionalProperties", False) is False:
            yield f"{before}{name}", f"there is no such field, only {', '.join(known)}"


def _opened(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, where it only says where it stands."""
    reference = str(schema.get("$ref", ""))
    if not reference.startswith("#/$defs/"):
        return schema
    found: Mapping[str, Any] = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return found


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_integer(value: Any) -> bool:
    return _is_number(value) and math.isfinite(float(value)) and float(value) == int(float(value))


_FITS: dict[Any, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
    "integer": _is_integer,
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: str(value).lower() in BOOLEANS,
    "null": lambda value: value is None,
}
"""What a type takes; where pydantic turns text into a type, text of that form, too."""
