"""The canonical form of values and code: equal for equal values in every process, machine and Python patch version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dataflow_results.canonical.arrays import SCALARS, find_array_handler, rows_of_array
from dataflow_results.canonical.arrow import find_arrow_handler
from dataflow_results.canonical.code import Source, find_code_handler, find_named_handler, source_of
from dataflow_results.canonical.encoder import encode, encode_many, set_finders, set_rows
from dataflow_results.canonical.forms import CANONICAL_VERSION, CanonicalWarning
from dataflow_results.canonical.labelled import find_sparse_handler, find_xarray_handler
from dataflow_results.canonical.objects import find_object_handler, find_registered, keep_registered
from dataflow_results.canonical.outline import outline
from dataflow_results.canonical.plain import LEAVES
from dataflow_results.canonical.tables import find_pandas_handler, find_polars_handler

__all__ = [
    "CANONICAL_VERSION",
    "CanonicalWarning",
    "Source",
    "encode",
    "encode_many",
    "outline",
    "register",
    "source_of",
]

FINDERS = (
    find_registered,
    find_pandas_handler,  # before the standard library: a Timestamp is a datetime
    find_polars_handler,
    find_arrow_handler,
    find_xarray_handler,
    find_sparse_handler,
    find_array_handler,
    find_code_handler,
    find_object_handler,
    find_named_handler,
)
"""Who knows the handlers of types, in the order they are asked."""


def register(cls: type, function: Callable[[Any], Any]) -> None:
    """Say what instances of a class, and of classes built on it, consist of.

    Args:
        cls: a class of your own or of a library.
        function: gives, for an instance, a value that has a canonical form; two instances for which it gives equal
            values get equal keys. To be called in every process that makes keys.

    Example:
        >>> class Model:
        ...     def __init__(self, weights):
        ...         self.weights, self.client = weights, object()
        >>> register(Model, lambda model: model.weights)
        >>> encode(Model([1, 2])) == encode(Model([1, 2]))
        True
    """
    keep_registered(cls, function)
    set_finders(FINDERS)


LEAVES.update(SCALARS)
set_finders(FINDERS)
set_rows(np.ndarray, rows_of_array)
