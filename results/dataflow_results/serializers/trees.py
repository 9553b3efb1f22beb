"""Arrays as folders of chunks (Zarr): written and read chunk by chunk, so that a value is never whole in memory."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dataflow_results.errors import ResultsError, StoringError
from dataflow_results.serializers.folders import Folder, Scratch, zarr_store
from dataflow_results.serializers.labelled import (
    ZARR_FORMAT,
    chunk_shape,
    labelled_difference,
    labelled_objection,
    read_labelled,
    write_labelled,
)
from dataflow_results.serializers.protocol import corrupt, optional, reading, refuse

if TYPE_CHECKING:
    from dataflow_results.files.protocol import Files

__all__ = ["ZarrSerializer", "check_tree"]

NAME = "zarr"
FIX = "change what it is about, or use serializer 'pickle' or 'numpy'"
COPIES = 8
"""Chunks of somebody else's Zarr array that are copied at once."""
NUMERIC = "biufcmMSU"
"""Kinds of dtype that Zarr gives back equal."""


@dataclass(frozen=True, slots=True)
class ZarrSerializer:
    """Takes numpy arrays, arrays and groups of Zarr, and Datasets and DataArrays of xarray that Dask does not compute.

    What was lazy or labelled comes back lazily: each chunk is read, and its checksum verified, when it is used. A numpy
    array comes back whole, read chunk by chunk.

    Raises:
        Unserializable: another type, or a value that would not come back exactly.
        StoringError: the package zarr, or xarray, is not installed.
        CorruptResult: files of the folder are not what was written, or have gone; of lazy values, when they are used.

    Example:
        >>> import tempfile, numpy
        >>> from dataflow_results.files import open_files
        >>> files = open_files(tempfile.mkdtemp())
        >>> memory = ZarrSerializer().dump_tree(numpy.arange(3), files, "trees/1")
        >>> ZarrSerializer().load_tree(memory, files, "trees/1")
        array([0, 1, 2])
    """

    name: str = field(default=NAME, init=False)
    safe: bool = field(default=True, init=False)

    def accepts(self, value: Any) -> bool:
        """Whether it would come back exactly; tried on one element along each dimension."""
        kind = _KINDS.get(_kind_name(value))
        return kind is not None and importlib.util.find_spec(NAME) is not None and not _objection(kind, value)

    def dump_tree(self, value: Any, files: Files, folder: str) -> bytes:
        """Write the value below a folder; gives the digest of the folder's manifest, and how to open it."""
        kind = _KINDS.get(_kind_name(value))
        if kind is None:
            raise refuse(NAME, value, "it is no array", "an array of numpy, zarr or xarray, or serializer 'pickle'")
        objection = _objection(kind, value)
        if objection:
            raise refuse(NAME, value, objection, FIX)
        below = Folder(files, folder)
        try:
            memory = _written(kind, value, below)
        except BaseException:
            below.discard()
            raise
        return json.dumps(memory).encode()

    def load_tree(self, memory: bytes, files: Files, folder: str) -> Any:
        """The value again."""
        with reading(NAME, ValueError, KeyError, TypeError):
            told = json.loads(memory)
            kind = _KINDS[told["kind"]]
            below = Folder.sealed(files, folder, bytes.fromhex(told["manifest"]))
        return _opened(kind, below, told)


def check_tree(memory: bytes, files: Files, folder: str) -> None:
    """Read every file of a folder that `ZarrSerializer` wrote.

    Raises:
        CorruptResult: one is not what was written, or has gone.
    """
    with reading(NAME, ValueError, KeyError, TypeError):
        below = Folder.sealed(files, folder, bytes.fromhex(json.loads(memory)["manifest"]))
    for key in below.below(""):
        below.read(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How values of one type are written to a store of Zarr and read again."""

    name: str
    objection: Callable[[Any], str]
    """Why a value cannot be written, from its description only."""
    write: Callable[[Any, Any], dict[str, Any]]
    """Gives what ``read`` needs besides the store."""
    read: Callable[[Any, dict[str, Any]], Any]
    sample: Callable[[Any], Any] | None
    """A small piece with the same description, on which to try; None: nothing to try."""
    difference: Callable[[Any, Any], str]
    """What differs between two values besides their data."""


def _kind_name(value: Any) -> str:
    cls = type(value)
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def _objection(kind: _Kind, value: Any) -> str:
    """Why a value would not come back as it is; empty if it would."""
    objection = kind.objection(value)
    if objection or kind.sample is None:
        return objection
    below = Folder(Scratch(), "tried")
    sample = kind.sample(value)
    try:
        lost = kind.difference(sample, _opened(kind, below, _written(kind, sample, below)))
    except StoringError as error:
        return error.problem
    return lost and f"its {lost} would be lost"


def _written(kind: _Kind, value: Any, below: Folder) -> dict[str, Any]:
    try:
        extra = kind.write(value, zarr_store(below, read_only=False))
    except ResultsError:
        raise
    except Exception as error:  # boundary: packages of arrays, which raise what they like
        raise refuse(NAME, value, f"{type(error).__name__}: {error}", FIX) from error
    return {"kind": kind.name, "extra": extra, "manifest": below.seal().hex()}


def _opened(kind: _Kind, below: Folder, told: dict[str, Any]) -> Any:
    try:
        return kind.read(zarr_store(below, read_only=True), told["extra"])
    except ResultsError:
        raise
    except Exception as error:  # boundary: packages of arrays, which raise what they like
        raise corrupt(NAME, f"{type(error).__name__}: {error}") from error


def _numpy_objection(array: Any) -> str:
    return "" if array.dtype.kind in NUMERIC and array.dtype.metadata is None else f"its dtype is {array.dtype!r}"


def _write_numpy(array: Any, store: Any) -> dict[str, Any]:
    target = optional(NAME, serializer=NAME).create_array(
        store,
        shape=array.shape,
        dtype=array.dtype,
        chunks=chunk_shape(array.shape, array.dtype.itemsize),
        zarr_format=ZARR_FORMAT,
    )
    if array.size:
        target[...] = array
    return {}


def _read_numpy(store: Any, _extra: dict[str, Any]) -> Any:
    source = optional(NAME, serializer=NAME).open_array(store, mode="r")
    return np.asarray(source[...], source.dtype)  # of a scalar, Zarr forgets the order of its bytes


def _numpy_sample(array: Any) -> Any:
    return array[(*(slice(0, 1) for _ in array.shape), ...)]  # with the dots, a scalar stays an array


def _numpy_difference(before: Any, after: Any) -> str:
    return "" if before.dtype == after.dtype and before.shape == after.shape else "dtype"


def _copy_zarr(source: Any, store: Any) -> dict[str, Any]:
    """Copy the stored bytes of an array or group as they are, without decoding a chunk."""
    place = source.store_path
    optional("zarr.core.sync", serializer=NAME).sync(_copied(place.store, place.path, store))
    return {}


async def _copied(source: Any, path: str, store: Any) -> None:
    prototype = optional("zarr.core.buffer", serializer=NAME).default_buffer_prototype()
    prefix = f"{path}/" if path else ""
    gate = asyncio.Semaphore(COPIES)

    async def copy(key: str) -> None:
        async with gate:
            data = await source.get(key, prototype=prototype)
            if data is not None:
                await store.set(key[len(prefix) :], data)

    await asyncio.gather(*[copy(key) async for key in source.list_prefix(prefix)])


def _read_zarr(store: Any, _extra: dict[str, Any]) -> Any:
    return optional(NAME, serializer=NAME).open(store, mode="r")


def _nothing(*_: Any) -> str:
    return ""


def _labelled_sample(value: Any) -> Any:
    return value.isel({dimension: slice(0, 1) for dimension in value.dims})


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _Kind(
                name="numpy.ndarray",
                objection=_numpy_objection,
                write=_write_numpy,
                read=_read_numpy,
                sample=_numpy_sample,
                difference=_numpy_difference,
            ),
            *(
                _Kind(
                    name=name,
                    objection=_nothing,
                    write=_copy_zarr,
                    read=_read_zarr,
                    sample=None,
                    difference=_nothing,
                )
                for name in ("zarr.Array", "zarr.Group")
            ),
            *(
                _Kind(
                    name=name,
                    objection=labelled_objection,
                    write=write_labelled,
                    read=read_labelled,
                    sample=_labelled_sample,
                    difference=labelled_difference,
                )
                for name in ("xarray.DataArray", "xarray.Dataset")
            ),
        )
    }
)
"""By top-level module and name of the type."""
