"""Values of the standard library and of users' classes: what each consists of."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import logging
import operator
import pathlib
import re
import types
import typing
import uuid
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dataflow_results.canonical.encoder import Handler, Walk
from dataflow_results.canonical.forms import Parts, hidden
from dataflow_results.canonical.refusals import Refusal

__all__ = ["class_label", "find_object_handler", "find_registered", "keep_registered"]

Fields = Mapping[str, Any]


def class_label(cls: type) -> str:
    """How a class is named in keys; classes typed in a notebook or script by their name only."""
    return f"class {cls.__qualname__}" if cls.__module__ == "__main__" else f"class {cls.__module__}:{cls.__qualname__}"


def _path(value: pathlib.PurePath) -> Fields:
    windows = isinstance(value, pathlib.PureWindowsPath)
    return {".path": value.as_posix(), ".windows": windows}


def _datetime(value: dt.datetime) -> Fields:
    date = (value.year, value.month, value.day)
    return {".date": date, ".time": _clock(value), ".tzinfo": value.tzinfo}


def _clock(value: dt.datetime | dt.time) -> tuple[int, ...]:
    return (value.hour, value.minute, value.second, value.microsecond, value.fold)


def _timezone(value: dt.timezone) -> Fields:
    return {".offset": value.utcoffset(None), ".name": value.tzname(None)}


def _zone(value: zoneinfo.ZoneInfo) -> Fields:
    if value.key is None:
        raise Refusal("a ZoneInfo read from a file has no name", instead='use ZoneInfo("Area/City")')
    return {".key": value.key}


def _named_tuple_of(*names: str) -> Callable[[Any], Fields]:
    return lambda value: {f".{name}": getattr(value, name) for name in names}


def _reduced(value: Any) -> Fields:
    made = value.__reduce__()
    return {".arguments": made[1], ".state": made[2] if len(made) > 2 else None}


def _partial(value: functools.partial[Any]) -> Fields:
    return {".func": value.func, ".args": value.args, ".keywords": value.keywords}


def _logger(value: logging.Logger | logging.LoggerAdapter[Any]) -> Fields:
    return {".name": value.logger.name if isinstance(value, logging.LoggerAdapter) else value.name}


def _deque(value: collections.deque[Any]) -> Fields:
    return {".maxlen": value.maxlen, ".items": list(value)}


def _view(value: memoryview) -> Fields:
    return {".format": value.format, ".shape": value.shape, ".content": value.tobytes()}


def _typing_alias(value: Any) -> Fields:
    return {".origin": typing.get_origin(value), ".args": typing.get_args(value)}


STANDARD: Mapping[type, Callable[[Any], Fields]] = {
    array.array: lambda value: {".typecode": value.typecode, ".items": value.tolist()},
    collections.ChainMap: lambda value: {".maps": value.maps},
    collections.OrderedDict: lambda value: {".items": list(value.items())},
    collections.defaultdict: lambda value: {".factory": value.default_factory, ".items": dict(value)},
    collections.deque: _deque,
    dt.date: _named_tuple_of("year", "month", "day"),
    dt.datetime: _datetime,
    dt.time: lambda value: {".time": _clock(value), ".tzinfo": value.tzinfo},
    dt.timedelta: _named_tuple_of("days", "seconds", "microseconds"),
    dt.timezone: _timezone,
    decimal.Decimal: lambda value: {".text": str(value)},
    fractions.Fraction: _named_tuple_of("numerator", "denominator"),
    functools.partial: _partial,
    ipaddress._IPAddressBase: lambda value: {".text": str(value)},
    logging.Logger: _logger,
    logging.LoggerAdapter: _logger,
    memoryview: _view,
    operator.attrgetter: _reduced,
    operator.itemgetter: _reduced,
    operator.methodcaller: _reduced,
    pathlib.PurePath: _path,
    range: _named_tuple_of("start", "stop", "step"),
    re.Pattern: _named_tuple_of("pattern", "flags"),
    slice: _named_tuple_of("start", "stop", "step"),
    types.GenericAlias: _typing_alias,
    types.SimpleNamespace: lambda value: {f".{name}": held for name, held in vars(value).items()},
    types.UnionType: _typing_alias,
    type(typing.List[int]): _typing_alias,  # noqa: UP006 - the class of typing's own aliases has no public name
    type(typing.Optional[int]): _typing_alias,  # noqa: UP045 - the same
    uuid.UUID: lambda value: {".text": value.hex},
    zoneinfo.ZoneInfo: _zone,
}
"""What values of the standard library consist of, by class."""


def _find_standard(cls: type) -> Handler | None:
    base = next((base for base in cls.__mro__ if base in STANDARD), None)
    if base is None:
        return None
    take = STANDARD[base]
    if cls.__module__ == base.__module__ or issubclass(cls, logging.Logger):
        label = "pathlib.PurePath" if base is pathlib.PurePath else f"{base.__module__}.{cls.__qualname__}"
        return lambda value, _: Parts(label, take(value))  # PosixPath and PurePosixPath are equal in Python, too
    return lambda value, _: Parts(class_label(cls), {**take(value), **_attributes(value)})


# --- users' classes ---------------------------------------------------------------------------------------------------


def _extras(value: Any, known: Iterable[str]) -> dict[str, Any]:
    """What an object carries besides its declared fields; values kept by cached_property only repeat them."""
    held = getattr(value, "__dict__", None) or {}
    known = set(known)
    return {name: held[name] for name in held if name not in known and not _is_cached(type(value), name)}


def _is_cached(cls: type, name: str) -> bool:
    return type(getattr(cls, name, None)).__name__ == "cached_property"  # there are several besides that of functools


def _attributes(value: Any, known: Iterable[str] = ()) -> dict[str, Any]:
    return {f".{name}": held for name, held in _extras(value, known).items()}


def _declared(value: Any, names: Iterable[str]) -> dict[str, Any]:
    names = tuple(names)
    fields = {f".{name}": getattr(value, name) for name in names if hasattr(value, name)}
    return {**fields, **_attributes(value, names)}


def _built_in_content(value: Any) -> dict[str, Any]:
    """What an instance of a subclass of a built-in type holds as that type."""
    base = next((base for base in BUILT_IN if isinstance(value, base)), None)
    return {} if base is None else {"": BUILT_IN[base](value)}


BUILT_IN: Mapping[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: complex(value.real, value.imag),
    str: lambda value: "".join(str.__iter__(value)),
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytearray(memoryview(value)),
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    dict: lambda value: {key: dict.__getitem__(value, key) for key in dict.__iter__(value)},
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}
"""Bare content of built-in types, past whatever a subclass overrides."""


def take_enum(value: enum.Enum, _walk: Walk) -> Parts:
    """A member of an enum: its class, name and value."""
    return Parts(class_label(type(value)), {".name": value.name, ".value": value.value})


def take_dataclass(value: Any, _walk: Walk) -> Parts:
    """An instance of a dataclass: its fields, and what else it carries."""
    names = [field.name for field in dataclasses.fields(value)]
    return Parts(class_label(type(value)), {**_declared(value, names), **_built_in_content(value)})


def take_attrs(value: Any, _walk: Walk) -> Parts:
    """An instance of an attrs class: its attributes, and what else it carries."""
    names = [attribute.name for attribute in type(value).__attrs_attrs__]
    return Parts(class_label(type(value)), {**_declared(value, names), **_built_in_content(value)})


def take_model(value: Any, _walk: Walk) -> Parts:
    """A pydantic model: fields, extra and private attributes; which of them were set does not matter."""
    names = list(type(value).model_fields)
    more = {**(value.__pydantic_extra__ or {}), **(value.__pydantic_private__ or {})}
    return Parts(
        class_label(type(value)), {**_declared(value, names), **{f".{name}": held for name, held in more.items()}}
    )


def take_struct(value: Any, _walk: Walk) -> Parts:
    """A msgspec struct: its fields."""
    return Parts(class_label(type(value)), _declared(value, type(value).__struct_fields__))


def take_named_tuple(value: Any, _walk: Walk) -> Parts:
    """A named tuple: its class and fields."""
    names = type(value)._fields
    fields = {f".{name}": held for name, held in zip(names, tuple.__iter__(value), strict=True)}
    return Parts(class_label(type(value)), {**fields, **_attributes(value, names)})


def take_built_in_subclass(value: Any, _walk: Walk) -> Parts:
    """An instance of a user's subclass of int, str, dict, ...: its class, its content, and its attributes."""
    return Parts(class_label(type(value)), {**_built_in_content(value), **_slots(value), **_attributes(value)})


def take_exception(value: BaseException, _walk: Walk) -> Parts:
    """An exception: its class, arguments and attributes, not where it was raised."""
    return Parts(class_label(type(value)), {".args": value.args, **_attributes(value, ("__notes__",))})


def take_secret(value: Any, _walk: Walk) -> bytes:
    """A secret of pydantic: only ever its digest."""
    return hidden(b"z", repr(value.get_secret_value()).encode())


def take_own_key(value: Any, _walk: Walk) -> Parts:
    """An object that says itself what it consists of."""
    return Parts(class_label(type(value)), {".__dataflow_key__()": value.__dataflow_key__()})


def _slots(value: Any) -> dict[str, Any]:
    names = [name for cls in type(value).__mro__ for name in _slot_names(cls)]
    return {f".{name}": getattr(value, name) for name in names if hasattr(value, name)}


def _slot_names(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _is_secret(cls: type) -> bool:
    return cls.__module__.startswith("pydantic") and hasattr(cls, "get_secret_value")


def _take_text(value: Any, _walk: Walk) -> Parts:
    return Parts(class_label(type(value)), {".text": str(value)})


def _is_url(cls: type) -> bool:
    return any(base.__module__.startswith("pydantic") and base.__name__ in URL_CLASSES for base in cls.__mro__)


URL_CLASSES = ("Url", "MultiHostUrl", "_BaseUrl", "_BaseMultiHostUrl")

FAMILIES: tuple[tuple[Callable[[type], bool], Handler], ...] = (
    (lambda cls: hasattr(cls, "__dataflow_key__"), take_own_key),
    (_is_secret, take_secret),
    (_is_url, _take_text),
    (lambda cls: issubclass(cls, enum.Enum), take_enum),
    (lambda cls: hasattr(cls, "__pydantic_private__") and hasattr(cls, "model_fields"), take_model),
    (lambda cls: hasattr(cls, "__attrs_attrs__"), take_attrs),
    (dataclasses.is_dataclass, take_dataclass),
    (lambda cls: hasattr(cls, "__struct_fields__"), take_struct),
    (_is_named_tuple, take_named_tuple),
    (lambda cls: issubclass(cls, BaseException), take_exception),
)
"""Kinds of classes that say what their instances consist of; the first that fits is taken."""


def find_object_handler(cls: type) -> Handler | None:
    """The handler of a class of the standard library, or of a user's class that declares its content."""
    family = next((handler for belongs, handler in FAMILIES if belongs(cls)), None)
    if family is not None:
        return family
    standard = _find_standard(cls)
    if standard is not None:
        return standard
    return take_built_in_subclass if issubclass(cls, tuple(BUILT_IN)) else None


# --- the registry -----------------------------------------------------------------------------------------------------

_registered: dict[type, Callable[[Any], Any]] = {}


def keep_registered(cls: type, function: Callable[[Any], Any]) -> None:
    """Remember what a user says instances of a class consist of."""
    _registered[cls] = function


def find_registered(cls: type) -> Handler | None:
    """The handler of a class that was registered, or whose base was."""
    base = next((base for base in cls.__mro__ if base in _registered), None)
    if base is None:
        return None
    function = _registered[base]
    return lambda value, _: Parts(class_label(type(value)), {"": function(value)})
