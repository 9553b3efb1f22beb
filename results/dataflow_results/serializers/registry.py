"""Serializers by name, and the one for a value when nothing is said."""

from __future__ import annotations

import functools
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeAlias

from dataflow_results.errors import ReadingError, StoringError, UnknownFormat
from dataflow_results.serializers.arrays import NumpySerializer
from dataflow_results.serializers.compressed import COMPRESSIONS, CompressedSerializer
from dataflow_results.serializers.labelled import is_small_and_loaded
from dataflow_results.serializers.pickles import PickleSerializer
from dataflow_results.serializers.protocol import Serializer, TreeSerializer
from dataflow_results.serializers.tables import ArrowSerializer, ParquetSerializer
from dataflow_results.serializers.texts import BytesSerializer, JsonSerializer, TextSerializer
from dataflow_results.serializers.trees import ZarrSerializer

__all__ = ["AnySerializer", "choose", "find_serializer", "known_serializers", "register_serializer", "resolve"]

AnySerializer: TypeAlias = Serializer | TreeSerializer
ENTRY_POINTS = "dataflow.serializers"
WRAPPED = re.compile(r"(?P<compression>\w+)\((?P<inner>.+)\)")
DEFAULT_COMPRESSION = COMPRESSIONS[-1]

PICKLE = PickleSerializer()
_BUILT_IN: Mapping[str, AnySerializer] = MappingProxyType(
    {
        serializer.name: serializer
        for serializer in (
            PICKLE, JsonSerializer(), TextSerializer(), BytesSerializer(), NumpySerializer(),
            ArrowSerializer(), ParquetSerializer(), ZarrSerializer(),
        )
    }
)  # fmt: skip
_PLAIN = frozenset({int, float, bool, complex, type(None), list, tuple, dict, set, frozenset})
"""Types that are pickled without another thought, because maps have millions of them."""
_BY_TYPE: Mapping[str, str] = MappingProxyType(
    {
        "builtins.str": "text",
        "builtins.bytes": "bytes",
        "numpy.ndarray": "numpy",
        "pandas.DataFrame": "arrow",
        "polars.DataFrame": "arrow",
        "pyarrow.Table": "arrow",
        "xarray.DataArray": "zarr",
        "xarray.Dataset": "zarr",
        "zarr.Array": "zarr",
        "zarr.Group": "zarr",
    }
)
"""Top-level module and name of a type → serializer; pickle takes what that one does not accept."""
_LARGE_TREE_BYTES = 1024 * 1024
"""Labelled arrays below this size are pickled if they are in memory: a folder for each would be many small files."""

_lock = threading.Lock()
_registered: dict[str, AnySerializer] = {}
_registered_types: dict[str, str] = {}


def find_serializer(name: str) -> AnySerializer:
    """The serializer that a record names.

    Raises:
        UnknownFormat: there is none of this name here; the error lists those there are.
        ReadingError: it comes from another distribution and cannot be loaded.

    Example:
        >>> find_serializer("json").name, find_serializer("zstd(numpy)").name
        ('json', 'zstd(numpy)')
    """
    found = _find(name)
    if found is None:
        fix = f"install what provides it, or register it; known: {', '.join(known_serializers())}"
        raise UnknownFormat(f"no serializer is called {name!r}", fix=fix)
    return found


def resolve(spec: str | AnySerializer | None) -> AnySerializer | None:
    """The serializer somebody asks for by name or by itself; None stays None: chosen by the type of each value.

    One that is given by itself is registered, so that this process finds it again when it reads. ``compressed/json``
    means ``zstd(json)``.

    Raises:
        StoringError: the name is unknown, or the object is no serializer, or its name means another one.

    Example:
        >>> resolve("compressed/pickle").name
        'zstd(pickle)'
    """
    if spec is None:
        return None
    if isinstance(spec, str):
        kind, slash, inner = spec.partition("/")
        found = _find(f"{DEFAULT_COMPRESSION}({inner})" if slash and kind == "compressed" else spec)
        if found is None:
            known = ", ".join(known_serializers())
            raise StoringError(f"no serializer is called {spec!r}", fix=f"one of {known}; or zstd(...), lz4(...)")
        return found
    if not _is_serializer(spec):
        fix = "a name such as 'pickle', or an object with name, safe, accepts, dump and load"
        raise StoringError(f"{spec!r} is no serializer", fix=fix)
    present = _find(spec.name)
    if present is None:
        register_serializer(spec)
    elif type(present) is not type(spec):
        raise StoringError(f"{type(spec).__name__} is called {spec.name!r}, as another serializer is", fix="rename it")
    return spec


def choose(value: Any, default: AnySerializer | None = None) -> AnySerializer:
    """The serializer for a value: the default if there is one, else by type.

    Example:
        >>> choose("text").name, choose(1).name, choose(1, find_serializer("json")).name
        ('text', 'pickle', 'json')
    """
    if default is not None:
        return default
    cls = type(value)
    if cls in _PLAIN:
        return PICKLE
    candidate = _for_type(f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}")
    if candidate is PICKLE or not candidate.accepts(value):
        return PICKLE
    return PICKLE if is_small_and_loaded(value, _LARGE_TREE_BYTES) else candidate


def known_serializers() -> list[str]:
    """Names of all serializers of this process, sorted; compressed ones are not listed.

    Example:
        >>> known_serializers()[:4]
        ['arrow', 'bytes', 'json', 'numpy']
    """
    return sorted({*_BUILT_IN, *_registered, *_entry_points()})


def register_serializer(serializer: AnySerializer, types: Sequence[str] = ()) -> None:
    """Make a serializer known to this process under its name.

    A distribution does the same for every process by an entry point of the group ``dataflow.serializers`` that names a
    serializer, or a class of them; the types it is chosen for stand in its attribute ``types``.

    Args:
        serializer: what is registered; replaces one of the same name that was registered before.
        types: top-level module and name of the types it is chosen for when nothing is said, as in
            ``geopandas.GeoDataFrame``.

    Raises:
        StoringError: the name is that of a built-in one, or holds what belongs to compressed ones.

    Example:
        >>> from dataflow_results.serializers import JsonSerializer
        >>> register_serializer(JsonSerializer())
        Traceback (most recent call last):
        dataflow_results.errors.StoringError: 'json' is the name of a built-in serializer...
    """
    name = serializer.name
    if name in _BUILT_IN or not re.fullmatch(r"[\w.-]+", name):
        why = "is the name of a built-in serializer" if name in _BUILT_IN else "is no name for a serializer"
        raise StoringError(f"{name!r} {why}", fix="letters, digits, '_', '-', '.', and no name of a built-in one")
    with _lock:
        _registered[name] = serializer
        _registered_types.update(dict.fromkeys(types, name))
    _for_type.cache_clear()


def _is_serializer(spec: object) -> bool:
    return isinstance(spec, Serializer | TreeSerializer)


def _find(name: str) -> AnySerializer | None:
    wrapped = WRAPPED.fullmatch(name)
    if wrapped is None:
        return _BUILT_IN.get(name) or _registered.get(name) or _from_entry_point(name)
    inner = _find(wrapped["inner"]) if wrapped["compression"] in COMPRESSIONS else None
    if isinstance(inner, TreeSerializer):
        raise StoringError(f"{name!r}: {inner.name!r} compresses by itself", fix=f"write {inner.name!r}")
    return None if inner is None else CompressedSerializer(inner, wrapped["compression"])


@functools.cache
def _entry_points() -> Mapping[str, EntryPoint]:
    return MappingProxyType({point.name: point for point in entry_points(group=ENTRY_POINTS)})


def _from_entry_point(name: str) -> AnySerializer | None:
    point = _entry_points().get(name)
    if point is None:
        return None
    try:
        loaded: Any = point.load()
        serializer: AnySerializer = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:  # boundary: code of another distribution
        fix = f"repair or remove the distribution of {point.value!r}"
        raise ReadingError(f"serializer {name!r} cannot be loaded: {error}", fix=fix) from error
    with _lock:
        return _registered.setdefault(name, serializer)


@functools.lru_cache(maxsize=1024)
def _for_type(name: str) -> AnySerializer:
    known = _BY_TYPE.get(name) or _registered_types.get(name) or _types_of_entry_points().get(name)
    return PICKLE if known is None else find_serializer(known)


@functools.cache
def _types_of_entry_points() -> Mapping[str, str]:
    """Types that serializers of other distributions are chosen for; one that cannot be loaded is told, and left out."""
    types: dict[str, str] = {}
    for name in sorted(_entry_points()):
        try:
            found = find_serializer(name)
        except ReadingError as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)
        else:
            types.update(dict.fromkeys(getattr(found, "types", ()), name))
    return MappingProxyType(types)
