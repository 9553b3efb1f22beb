"""Text, bytes and JSON: what any tool can read, and what comes back equal or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataflow_results.errors import Unserializable
from dataflow_results.serializers.protocol import reading, refuse

if TYPE_CHECKING:
    from dataflow_results.digests import Buffer

__all__ = ["BytesSerializer", "JsonSerializer", "TextSerializer"]

ATOMS = frozenset({bool, float, int, str, type(None)})
JSON_FIX = "turn it into lists, dicts with str keys, str, int, float, bool and None, or use serializer 'pickle'"


@dataclass(frozen=True, slots=True)
class TextSerializer:
    r"""Takes str, stored as UTF-8 and nothing else.

    Raises:
        Unserializable: no str, or one with half of a surrogate pair, which UTF-8 cannot express.

    Example:
        >>> TextSerializer().dump("größe")
        [b'gr\xc3\xb6\xc3\x9fe']
    """

    name: str = field(default="text", init=False)
    safe: bool = field(default=True, init=False)

    def accepts(self, value: Any) -> bool:
        """Exactly str, without half of a surrogate pair."""
        return type(value) is str and (value.isascii() or _is_utf8(value))

    def dump(self, value: Any) -> list[Buffer]:
        """The text in UTF-8."""
        if type(value) is not str:
            raise refuse(self.name, value, "it is no str", "use serializer 'pickle'")
        try:
            return [value.encode()]
        except UnicodeEncodeError as error:
            raise refuse(self.name, value, str(error), "use serializer 'pickle'") from error

    def load(self, data: memoryview) -> str:
        """The text again."""
        with reading(self.name, UnicodeDecodeError):
            return str(data, "utf-8")


@dataclass(frozen=True, slots=True)
class BytesSerializer:
    """Takes bytes, stored as they are.

    Raises:
        Unserializable: no bytes; a bytearray or memoryview would not come back as one.

    Example:
        >>> BytesSerializer().dump(b"as it is")
        [b'as it is']
    """

    name: str = field(default="bytes", init=False)
    safe: bool = field(default=True, init=False)

    def accepts(self, value: Any) -> bool:
        """Exactly bytes."""
        return type(value) is bytes

    def dump(self, value: Any) -> list[Buffer]:
        """The value itself."""
        if type(value) is not bytes:
            raise refuse(self.name, value, "it is no bytes", "use bytes(value), or serializer 'pickle'")
        return [value]

    def load(self, data: memoryview) -> bytes:
        """The bytes again; a copy, because bytes own their memory."""
        return bytes(data)


@dataclass(frozen=True, slots=True)
class JsonSerializer:
    """Takes what JSON gives back equal: None, bool, int, float, str, and lists and str-keyed dicts of them.

    Args:
        allow_nan: also take NaN and infinities, which many readers of JSON refuse.

    Raises:
        Unserializable: tuples, keys that are no str, subclasses (enums, named tuples) and anything else that would come
            back as something else; the error names the place inside of the value.

    Example:
        >>> JsonSerializer().dump({"a": [1, 2.5, None]})
        [b'{"a":[1,2.5,null]}']
    """

    allow_nan: bool = False
    name: str = field(default="json", init=False)
    safe: bool = field(default=True, init=False)

    def accepts(self, value: Any) -> bool:
        """Whether the outermost type is one of JSON."""
        return type(value) in ATOMS or type(value) in (list, dict)

    def dump(self, value: Any) -> list[Buffer]:
        """The value as compact JSON in UTF-8."""
        try:
            for path, stranger in _strangers(value, "value"):
                raise _at(path, refuse(self.name, stranger, "it would come back as something else", JSON_FIX))
            text = json.dumps(value, ensure_ascii=False, allow_nan=self.allow_nan, separators=(",", ":"))
            return [text.encode()]
        except (ValueError, RecursionError) as error:  # NaN, cycles, integers beyond str(), half surrogate pairs
            raise refuse(self.name, value, f"{type(error).__name__}: {error}", JSON_FIX) from error

    def load(self, data: memoryview) -> Any:
        """The value again."""
        with reading(self.name, ValueError, RecursionError):
            return json.loads(str(data, "utf-8"))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _strangers(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    """What in a value has no equal in JSON, and where."""
    if type(value) is list:
        for position, item in enumerate(value):
            if type(item) not in ATOMS:
                yield from _strangers(item, f"{path}[{position}]")
    elif type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                yield f"key {key!r} of {path}", key
            elif type(item) not in ATOMS:
                yield from _strangers(item, f"{path}[{key!r}]")
    elif type(value) not in ATOMS:
        yield path, value


def _at(path: str, error: Unserializable) -> Unserializable:
    error.where = path
    return error
