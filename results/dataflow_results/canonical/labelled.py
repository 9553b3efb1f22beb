"""xarray and scipy.sparse: labelled and sparse arrays by content. Neither library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dataflow_results.canonical.encoder import Handler, Walk
from dataflow_results.canonical.forms import Parts

__all__ = ["find_sparse_handler", "find_xarray_handler"]


def _variable(variable: Any, _walk: Walk) -> Parts:
    return Parts("xarray.Variable", {".dims": variable.dims, ".data": variable.data, ".attrs": dict(variable.attrs)})


def _data_array(array: Any, _walk: Walk) -> Parts:
    coords = {str_path(name): coord.variable for name, coord in array.coords.items()}
    return Parts(
        "xarray.DataArray",
        {".name": array.name, ".variable": array.variable, ".coords": _named(array.coords), **coords},
    )


def _dataset(dataset: Any, _walk: Walk) -> Parts:
    variables = {str_path(name): variable for name, variable in dataset.variables.items()}
    names = {".data_vars": _named(dataset.data_vars), ".coords": _named(dataset.coords)}
    return Parts("xarray.Dataset", {".attrs": dict(dataset.attrs), **names, **variables})


def _tree(tree: Any, _walk: Walk) -> Parts:
    return Parts("xarray.DataTree", {str_path(path): dataset for path, dataset in tree.to_dict().items()})


def str_path(name: Any) -> str:
    """The piece of path that leads to a variable."""
    return f"[{name!r}]"


def _named(variables: Any) -> set[Any]:
    return set(variables)


XARRAY: Mapping[str, Handler] = {
    "DataTree": _tree,
    "Dataset": _dataset,
    "DataArray": _data_array,
    "Variable": _variable,
}
"""Handlers by the name of a class of xarray."""


def find_xarray_handler(cls: type) -> Handler | None:
    """The handler of a type of xarray."""
    names = (base.__name__ for base in cls.__mro__ if base.__module__.startswith("xarray."))
    return next((XARRAY[name] for name in names if name in XARRAY), None)


def _sparse(matrix: Any, _walk: Walk) -> Parts:
    """A sparse array or matrix: its kind, and its entries by row; duplicates count as their sum."""
    if matrix.ndim != 2:
        entries = matrix.tocoo().copy()
        entries.sum_duplicates()
        coords = {f".coords[{axis}]": np.asarray(held, np.int64) for axis, held in enumerate(entries.coords)}
        return Parts(_kind(matrix), {".shape": matrix.shape, ".data": entries.data, **coords})
    rows = matrix.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy() if rows is matrix else rows
        rows.sum_duplicates()
    places = {".indices": rows.indices.astype(np.int64), ".indptr": rows.indptr.astype(np.int64)}
    return Parts(_kind(matrix), {".shape": matrix.shape, ".data": rows.data, **places})


def _kind(matrix: Any) -> str:
    return f"scipy.sparse.{type(matrix).__name__}"


def find_sparse_handler(cls: type) -> Handler | None:
    """The handler of a sparse array or matrix of scipy."""
    sparse = any(base.__module__.startswith("scipy.sparse") for base in cls.__mro__)
    return _sparse if sparse and hasattr(cls, "tocsr") else None
